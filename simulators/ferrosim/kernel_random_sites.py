"""The published rule at speed: a quarter of the sites moves per step, four neighbours, one coupling, equal time steps, gamma = 1.

A site's two states then differ by its last slope d or not at all: stored = accumulated in the step in which it is drawn,
stored = accumulated + d ever after. So a step touches the drawn quarter and, to add d, the quarter drawn before; the
states that the drawn sites will have then wait in a short array for the next step. Much of the time goes into fetching
sites from the second-level cache, so a step goes through the lattice band by band and moves stored states soon after, when
no slope needs the old ones any more. The lists come from outside (see `schedule`).
"""

from typing import Any

from .kernel import gather_field, gather_state, record_frame, refresh_halo, scatter_state, scatter_totals
from .lanes import clip, compiled, load, splat, store


@compiled
def random_sites_blocks(
    fields: Any,
    initial: Any,
    scale: float,
    block_range: Any,
    steps: Any,
    constants: Any,
    site: Any,
    wrap: Any,
    interior: Any,
    drawn: Any,
    stale: Any,
    stale_rank: Any,
    stale_start: Any,
    bands: Any,
    workspace: Any,
    every: int,
    totals: Any,
    last: Any,
    frames: Any,
) -> None:
    """Run blocks of trajectories; arguments as in `kernel.sweep_blocks` unless said here.

    Args:
        constants: as there, then lin and w, which all sites share here.
        site: flat (P * 2) over the padded positions: e_x, e_y.
        drawn: (T, q) positions that move at step t >= 2; the first step moves all.
        stale: positions that were drawn a step before and are not drawn now, one step after the other.
        stale_rank: the place that each of them had among those drawn.
        stale_start: (T + 1,) where each step's part of `stale` begins.
        bands: (bands, 3) how many drawn sites are computed, drawn sites moved and stale sites moved at the end of a band, the
            same at every step, because the processor learns to foresee loops of constant length.
        workspace: stored state, accumulated state, coming states of the sites drawn now and of those drawn before, field,
            total.
    """
    stored, accumulated, coming, before, field, total = workspace
    n_steps = fields.shape[1]
    lanes = total.shape[0] // (2 * n_steps)
    n_sites = interior.shape[0]
    down = 2 * (interior[round(n_sites**0.5)] - interior[0])
    zero = site.dtype.type(0)
    c3, c12, bound = splat(constants[0]), splat(constants[1]), splat(constants[2])
    depolarization, linear, weight = splat(constants[3]), splat(constants[5]), splat(constants[6])
    for block in range(block_range[0], block_range[1]):
        first = block * lanes
        gather_field(fields, first, scale, field, lanes)
        stored[:] = 0
        gather_state(initial, first, interior, stored, lanes)
        accumulated[:] = stored
        total_x = total_y = lost_x = lost_y = splat(zero)
        for s in range(n_sites):
            total_x = total_x + load(stored, 2 * interior[s])
            total_y = total_y + load(stored, 2 * interior[s] + 1)
        store(total, 0, total_x)
        store(total, 1, total_y)
        if every > 0:
            record_frame(stored, first, interior, frames, 0, lanes)
        for t in range(1, n_steps):
            refresh_halo(stored, wrap)
            step_x, step_y = splat(steps[t] * constants[4]), splat(steps[t])
            field_x = load(field, 2 * t) - depolarization * total_x
            field_y = load(field, 2 * t + 1) - depolarization * total_y
            change_x = change_y = splat(zero)
            n_moving = n_sites if t == 1 else drawn.shape[1]
            computed = moved = 0
            followed = stale_start[t]
            for band in range(bands.shape[0]):
                is_last = band == bands.shape[0] - 1
                end = n_moving if is_last or t == 1 else bands[band, 0]
                for k in range(computed, end):
                    p = interior[k] if t == 1 else drawn[t, k]
                    here = 2 * p
                    sum_x = (load(stored, here - down) + load(stored, here + down)) + (load(stored, here - 2) + load(stored, here + 2))
                    sum_y = (load(stored, here - down + 1) + load(stored, here + down + 1)) + (
                        load(stored, here - 1) + load(stored, here + 3)
                    )
                    x, y = load(accumulated, here), load(accumulated, here + 1)
                    clipped_x, clipped_y = clip(x, bound), clip(y, bound)
                    x2, y2 = clipped_x * clipped_x, clipped_y * clipped_y
                    rate_x = field_x + splat(site[here]) + weight * sum_x - clipped_x * (linear + c3 * x2 + c12 * y2)
                    rate_y = field_y + splat(site[here + 1]) + weight * sum_y - clipped_y * (linear + c3 * y2 + c12 * x2)
                    x, y = x + step_x * rate_x, y + step_y * rate_y
                    store(accumulated, here, x)
                    store(accumulated, here + 1, y)
                    store(coming, 2 * k, x + step_x * rate_x)
                    store(coming, 2 * k + 1, y + step_y * rate_y)
                    change_x, change_y = change_x + rate_x, change_y + rate_y
                computed = end
                end = n_moving if is_last or t == 1 else bands[band, 1]
                for k in range(moved, end):
                    here = 2 * (interior[k] if t == 1 else drawn[t, k])
                    store(stored, here, load(accumulated, here))
                    store(stored, here + 1, load(accumulated, here + 1))
                moved = end
                end = stale_start[t + 1] if is_last else stale_start[t] + bands[band, 2]
                for k in range(followed, end if t > 1 else followed):
                    here, rank = 2 * stale[k], 2 * stale_rank[k]
                    store(stored, here, load(before, rank))
                    store(stored, here + 1, load(before, rank + 1))
                followed = end
            coming, before = before, coming
            # Compensated: a thousand rounded sums would cost the last three digits.
            change_x, change_y = step_x * change_x - lost_x, step_y * change_y - lost_y
            new_x, new_y = total_x + change_x, total_y + change_y
            lost_x, lost_y = (new_x - total_x) - change_x, (new_y - total_y) - change_y
            total_x, total_y = new_x, new_y
            store(total, 2 * t, total_x)
            store(total, 2 * t + 1, total_y)
            if every > 0 and t % every == 0:
                record_frame(stored, first, interior, frames, t // every, lanes)
        scatter_totals(total, first, totals, lanes)
        scatter_state(stored, first, interior, last, lanes)
