"""The published rule at speed: a quarter of the sites moves per step, four neighbours, equal time steps, gamma = 1.

A site's two states then differ by its last slope d or not at all: stored = accumulated in the step in which it is drawn,
stored = accumulated + d ever after. So a step touches the drawn quarter and, to add d, the quarter drawn before; the
states that the drawn sites will have then wait in a short array for the next step. Much of the time goes into fetching
sites from the second-level cache, so a step goes through the lattice band by band and moves the stored states of a band,
all but its last row, as soon as no slope needs the old ones. The lists come from outside (see `schedule`).
"""

from typing import Any

import numba

from .kernel import gather_field, gather_state, refresh_halo, scatter_state, scatter_totals
from .lanes import clip, load, splat, store


@numba.njit(nogil=True, cache=True)
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
    bounds: Any,
    workspace: Any,
    every: int,
    totals: Any,
    last: Any,
    frames: Any,
) -> None:
    """Run blocks of trajectories; arguments as in `kernel.sweep_blocks` unless said here.

    Args:
        site: flat (P * 4) over the padded positions: e_x, e_y, lin, w.
        drawn: (T, q) positions that move at step t >= 2; the first step moves all.
        stale: positions that were drawn a step before and are not drawn now, one step after the other.
        stale_rank: the place that each of them had among those drawn.
        bounds: (T, bands + 1, 3) up to where, after so many bands of a step, `drawn` is computed, `drawn` is moved, and
            `stale` is moved.
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
    depolarization = splat(constants[3])
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
            scatter_state(stored, first, interior, frames[:, 0], lanes)
        for t in range(1, n_steps):
            refresh_halo(stored, wrap)
            step_x, step_y = splat(steps[t] * constants[4]), splat(steps[t])
            field_x = load(field, 2 * t) - depolarization * total_x
            field_y = load(field, 2 * t + 1) - depolarization * total_y
            change_x = change_y = splat(zero)
            for band in range(bounds.shape[1] - 1):
                for k in range(bounds[t, band, 0], bounds[t, band + 1, 0]):
                    p = interior[k] if t == 1 else drawn[t, k]
                    here, q = 2 * p, 4 * p
                    sum_x = (load(stored, here - down) + load(stored, here + down)) + (load(stored, here - 2) + load(stored, here + 2))
                    sum_y = (load(stored, here - down + 1) + load(stored, here + down + 1)) + (
                        load(stored, here - 1) + load(stored, here + 3)
                    )
                    x, y = load(accumulated, here), load(accumulated, here + 1)
                    clipped_x, clipped_y = clip(x, bound), clip(y, bound)
                    x2, y2 = clipped_x * clipped_x, clipped_y * clipped_y
                    linear, weight = splat(site[q + 2]), splat(site[q + 3])
                    d_x = step_x * (field_x + splat(site[q]) + weight * sum_x - clipped_x * (linear + c3 * x2 + c12 * y2))
                    d_y = step_y * (field_y + splat(site[q + 1]) + weight * sum_y - clipped_y * (linear + c3 * y2 + c12 * x2))
                    x, y = x + d_x, y + d_y
                    store(accumulated, here, x)
                    store(accumulated, here + 1, y)
                    store(coming, 2 * k, x + d_x)
                    store(coming, 2 * k + 1, y + d_y)
                    change_x, change_y = change_x + d_x, change_y + d_y
                for k in range(bounds[t, band, 1], bounds[t, band + 1, 1]):
                    here = 2 * (interior[k] if t == 1 else drawn[t, k])
                    store(stored, here, load(accumulated, here))
                    store(stored, here + 1, load(accumulated, here + 1))
                for k in range(bounds[t, band, 2], bounds[t, band + 1, 2]):
                    here, rank = 2 * stale[k], 2 * stale_rank[k]
                    store(stored, here, load(before, rank))
                    store(stored, here + 1, load(before, rank + 1))
            coming, before = before, coming
            # Compensated: a thousand rounded sums would cost the last three digits.
            change_x, change_y = change_x - lost_x, change_y - lost_y
            new_x, new_y = total_x + change_x, total_y + change_y
            lost_x, lost_y = (new_x - total_x) - change_x, (new_y - total_y) - change_y
            total_x, total_y = new_x, new_y
            store(total, 2 * t, total_x)
            store(total, 2 * t + 1, total_y)
            if every > 0 and t % every == 0:
                scatter_state(stored, first, interior, frames[:, t // every], lanes)
        scatter_totals(total, first, totals, lanes)
        scatter_state(stored, first, interior, last, lanes)
