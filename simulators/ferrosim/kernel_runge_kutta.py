"""The classical Runge-Kutta method of order 4, for any lattice under the synchronous rule.

The field is linear between its rows, so the two middle stages see the mean of two rows. Each stage computes all rates
first and moves the stage's state afterwards, because every rate needs the old neighbours.
"""

from typing import Any

from .kernel import gather_field, gather_state, record_frame, refresh_halo, scatter_state, scatter_totals
from .lanes import clip, compiled, load, splat, store


@compiled
def runge_kutta_blocks(
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
    workspace: Any,
    every: int,
    totals: Any,
    last: Any,
    frames: Any,
) -> None:
    """Runge-Kutta 4; arguments as in `kernel_sites.site_blocks` unless said here.

    Args:
        constants: c3, c12, clip bound, 1 / n^2, mobility of x, gamma, weight of the energy's second mean-field term.
        workspace: state, state of the stage, rate of the stage, weighted sum of the rates, field, total.
    """
    state, stage, slope, sum_of_slopes, field, total = workspace
    n_steps = fields.shape[1]
    lanes = total.shape[0] // (2 * n_steps)
    m = offsets.shape[0]
    zero = site.dtype.type(0)
    half, third, sixth = site.dtype.type(0.5), site.dtype.type(1.0 / 3.0), site.dtype.type(1.0 / 6.0)
    c3, c12, bound, inverse = splat(constants[0]), splat(constants[1]), splat(constants[2]), splat(constants[3])
    mobility, gamma, mean_weight = splat(constants[4] * constants[5]), splat(constants[5]), splat(constants[6])
    for block in range(block_range[0], block_range[1]):
        first = block * lanes
        gather_field(fields, first, scale, field, lanes)
        state[:] = 0
        gather_state(initial, first, interior, state, lanes)
        if every > 0:
            record_frame(state, first, interior, frames, 0, lanes)
        for t in range(n_steps):
            mean_x = mean_y = weighted_x = weighted_y = splat(zero)
            for k in range(interior.shape[0]):
                here = 2 * interior[k]
                x, y, dep = load(state, here), load(state, here + 1), splat(site[4 * interior[k] + 3])
                store(stage, here, x)
                store(stage, here + 1, y)
                store(sum_of_slopes, here, splat(zero))
                store(sum_of_slopes, here + 1, splat(zero))
                mean_x, mean_y = mean_x + x, mean_y + y
                weighted_x, weighted_y = weighted_x + dep * x, weighted_y + dep * y
            store(total, 2 * t, mean_x)
            store(total, 2 * t + 1, mean_y)
            if every > 0 and t % every == 0 and t > 0:
                record_frame(state, first, interior, frames, t // every, lanes)
            if t == n_steps - 1:
                break
            step = steps[t + 1]
            for number in range(4):
                refresh_halo(stage, wrap)
                after = zero if number == 0 else (site.dtype.type(1) if number == 3 else half)
                early, late = splat(site.dtype.type(1) - after), splat(after)
                field_x = early * load(field, 2 * t) + late * load(field, 2 * t + 2) - mean_weight * (weighted_x * inverse)
                field_y = early * load(field, 2 * t + 1) + late * load(field, 2 * t + 3) - mean_weight * (weighted_y * inverse)
                mean_x, mean_y = mean_x * inverse, mean_y * inverse
                share = splat(step * (sixth if number == 0 or number == 3 else third))
                for k in range(interior.shape[0]):
                    p = interior[k]
                    here, w = 2 * p, m * p
                    sum_x = sum_y = splat(zero)
                    for o in range(m):
                        there = here + 2 * offsets[o]
                        sum_x = sum_x + splat(weight[w + o]) * load(stage, there)
                        sum_y = sum_y + splat(weight[w + o]) * load(stage, there + 1)
                    x, y = clip(load(stage, here), bound), clip(load(stage, here + 1), bound)
                    x2, y2 = x * x, y * y
                    linear, dep = splat(site[4 * p + 2]), splat(site[4 * p + 3])
                    rate_x = field_x + splat(site[4 * p]) - dep * mean_x + sum_x - x * (linear + c3 * x2 + c12 * y2)
                    rate_y = field_y + splat(site[4 * p + 1]) - dep * mean_y + sum_y - y * (linear + c3 * y2 + c12 * x2)
                    rate_x, rate_y = mobility * rate_x, gamma * rate_y
                    store(slope, here, rate_x)
                    store(slope, here + 1, rate_y)
                    store(sum_of_slopes, here, load(sum_of_slopes, here) + share * rate_x)
                    store(sum_of_slopes, here + 1, load(sum_of_slopes, here + 1) + share * rate_y)
                if number == 3:
                    break
                ahead = splat(step * (site.dtype.type(1) if number == 2 else half))
                mean_x = mean_y = weighted_x = weighted_y = splat(zero)
                for k in range(interior.shape[0]):
                    here = 2 * interior[k]
                    x, y = load(state, here) + ahead * load(slope, here), load(state, here + 1) + ahead * load(slope, here + 1)
                    dep = splat(site[4 * interior[k] + 3])
                    store(stage, here, x)
                    store(stage, here + 1, y)
                    mean_x, mean_y = mean_x + x, mean_y + y
                    weighted_x, weighted_y = weighted_x + dep * x, weighted_y + dep * y
            for k in range(interior.shape[0]):
                here = 2 * interior[k]
                store(state, here, load(state, here) + load(sum_of_slopes, here))
                store(state, here + 1, load(state, here + 1) + load(sum_of_slopes, here + 1))
        scatter_totals(total, first, totals, lanes)
        scatter_state(state, first, interior, last, lanes)
