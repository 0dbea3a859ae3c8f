"""The general kernels: any neighbour radius, per-site coefficients, two states, drawn sites; and Runge-Kutta 4.

Each works on lists of sites in the padded lattice. Under `random_sites` with a uniform time step a site's two states change
only in the step in which it is drawn and in the one after, so a step computes the drawn quarter and corrects the quarter
drawn before: half the lattice at most. The lists are the same for all trajectories and come from outside (see `schedule`).
"""

from typing import Any

from .kernel import gather_field, gather_state, record_frame, refresh_halo, scatter_state, scatter_totals
from .lanes import clip, compiled, load, splat, store


@compiled
def site_blocks(
    fields: Any,
    initial: Any,
    scale: float,
    block_range: Any,
    steps: Any,
    constants: Any,
    site: Any,
    weight: Any,
    offsets: Any,
    wrap: Any,
    interior: Any,
    drawn: Any,
    stale: Any,
    stale_start: Any,
    workspace: Any,
    every: int,
    totals: Any,
    last: Any,
    frames: Any,
) -> None:
    """Explicit Euler over lists of sites; arguments as in `kernel.sweep_blocks` unless said here.

    Args:
        steps: (T,) plain time steps.
        constants: c3, c12, clip bound, 1 / n^2, mobility of x, gamma (inside the rate), gamma of the stored state and of
            the first step (1 for the clean rule), weight of the energy's second mean-field term.
        site: flat (P * 4): e_x, e_y, lin, dep.
        weight: flat (P * m) weights of the neighbours.
        offsets: (m,) where they are.
        drawn: (1 or T, q) positions that move at step t (a single row: always the same); the first step moves all.
        stale: positions whose stored state has to follow at a step without being drawn, one step after the other.
        stale_start: (T + 1,) where each step's part of `stale` begins.
        workspace: stored state, accumulated state, slope, field, total.
    """
    stored, accumulated, slope, field, total = workspace
    n_steps = fields.shape[1]
    lanes = total.shape[0] // (2 * n_steps)
    m = offsets.shape[0]
    zero = site.dtype.type(0)
    c3, c12, bound, inverse = splat(constants[0]), splat(constants[1]), splat(constants[2]), splat(constants[3])
    mobility, gamma, mean_weight = splat(constants[4] * constants[5]), splat(constants[5]), splat(constants[7])
    up, left, right, down = 2 * offsets[0], 2 * offsets[1], 2 * offsets[2], 2 * offsets[3]
    for block in range(block_range[0], block_range[1]):
        first = block * lanes
        gather_field(fields, first, scale, field, lanes)
        stored[:] = 0
        slope[:] = 0
        gather_state(initial, first, interior, stored, lanes)
        accumulated[:] = stored
        total_x = total_y = lost_x = lost_y = weighted_x = weighted_y = splat(zero)
        for s in range(interior.shape[0]):
            x, y = load(accumulated, 2 * interior[s]), load(accumulated, 2 * interior[s] + 1)
            dep = splat(site[4 * interior[s] + 3])
            total_x, total_y = total_x + x, total_y + y
            weighted_x, weighted_y = weighted_x + dep * x, weighted_y + dep * y
        store(total, 0, total_x)
        store(total, 1, total_y)
        if every > 0:
            record_frame(stored, first, interior, frames, 0, lanes)
        for t in range(1, n_steps):
            refresh_halo(stored, wrap)
            mean_x, mean_y = total_x * inverse, total_y * inverse
            field_x = load(field, 2 * t) - mean_weight * (weighted_x * inverse)
            field_y = load(field, 2 * t + 1) - mean_weight * (weighted_y * inverse)
            step = splat(steps[t])
            # The first step multiplies by gamma once more; the stored state does so always.
            ahead = splat(steps[t] * constants[6])
            moved = ahead if t == 1 else step
            change_x = change_y = change_weighted_x = change_weighted_y = splat(zero)
            sites = interior if t == 1 else drawn[min(t, drawn.shape[0] - 1)]
            for k in range(sites.shape[0]):
                p = sites[k]
                here, w = 2 * p, m * p
                sum_x = splat(weight[w]) * load(stored, here + up) + splat(weight[w + 1]) * load(stored, here + left)
                sum_y = splat(weight[w]) * load(stored, here + up + 1) + splat(weight[w + 1]) * load(stored, here + left + 1)
                sum_x = sum_x + splat(weight[w + 2]) * load(stored, here + right) + splat(weight[w + 3]) * load(stored, here + down)
                sum_y = sum_y + splat(weight[w + 2]) * load(stored, here + right + 1) + splat(weight[w + 3]) * load(stored, here + down + 1)
                for o in range(4, m):
                    there = here + 2 * offsets[o]
                    sum_x = sum_x + splat(weight[w + o]) * load(stored, there)
                    sum_y = sum_y + splat(weight[w + o]) * load(stored, there + 1)
                x, y = clip(load(accumulated, here), bound), clip(load(accumulated, here + 1), bound)
                x2, y2 = x * x, y * y
                linear, dep = splat(site[4 * p + 2]), splat(site[4 * p + 3])
                rate_x = field_x + splat(site[4 * p]) - dep * mean_x + sum_x - x * (linear + c3 * x2 + c12 * y2)
                rate_y = field_y + splat(site[4 * p + 1]) - dep * mean_y + sum_y - y * (linear + c3 * y2 + c12 * x2)
                rate_x, rate_y = mobility * rate_x, gamma * rate_y
                store(slope, here, rate_x)
                store(slope, here + 1, rate_y)
                change_x, change_y = change_x + rate_x, change_y + rate_y
                change_weighted_x, change_weighted_y = change_weighted_x + dep * rate_x, change_weighted_y + dep * rate_y
            # Only now may states change: every rate above needed the old ones.
            for k in range(stale_start[t], stale_start[t + 1]):
                here = 2 * stale[k]
                store(stored, here, load(accumulated, here) + ahead * load(slope, here))
                store(stored, here + 1, load(accumulated, here + 1) + ahead * load(slope, here + 1))
            for k in range(sites.shape[0]):
                here = 2 * sites[k]
                x, y = load(accumulated, here), load(accumulated, here + 1)
                rate_x, rate_y = load(slope, here), load(slope, here + 1)
                store(stored, here, x + ahead * rate_x)
                store(stored, here + 1, y + ahead * rate_y)
                store(accumulated, here, x + moved * rate_x)
                store(accumulated, here + 1, y + moved * rate_y)
            # Compensated: a thousand rounded sums would cost the last three digits.
            change_x, change_y = moved * change_x - lost_x, moved * change_y - lost_y
            new_x, new_y = total_x + change_x, total_y + change_y
            lost_x, lost_y = (new_x - total_x) - change_x, (new_y - total_y) - change_y
            total_x, total_y = new_x, new_y
            weighted_x, weighted_y = weighted_x + moved * change_weighted_x, weighted_y + moved * change_weighted_y
            store(total, 2 * t, total_x)
            store(total, 2 * t + 1, total_y)
            if every > 0 and t % every == 0:
                record_frame(stored, first, interior, frames, t // every, lanes)
        scatter_totals(total, first, totals, lanes)
        scatter_state(stored, first, interior, last, lanes)
