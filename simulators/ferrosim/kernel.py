"""The fast path: all sites at every step, four neighbours, one depolarization for all sites.

One pass over the lattice per step, in place: the row above and the site to the left are still needed in their old state,
so a one-row buffer and a register keep them. That halves the memory of the usual two lattices, and a 20 x 20 lattice of
eight trajectories stays close to the processor. The mean of the next step is summed in the same pass. Every arithmetic
operation works on a register of trajectories (see `lanes`).

All buffers are flat arrays of registers, two per site or step: x, then y.
"""

from typing import Any

from .lanes import clip, compiled, load, splat, store, store_transposed, stream_transposed


@compiled
def gather_field(fields: Any, first: int, scale: float, field: Any, lanes: int) -> None:
    """Bring `lanes` trajectories from row `first` on of fields (S, T, 2) into registers; the last one fills up."""
    last = fields.shape[0] - 1
    for lane in range(lanes):
        s = min(first + lane, last)
        for t in range(fields.shape[1]):
            field[2 * t * lanes + lane] = fields[s, t, 0] * scale
            field[(2 * t + 1) * lanes + lane] = fields[s, t, 1] * scale


@compiled
def scatter_totals(total: Any, first: int, totals: Any, lanes: int) -> None:
    """Write registers of totals to rows first... of totals (S, T, 2)."""
    for lane in range(min(lanes, totals.shape[0] - first)):
        for t in range(totals.shape[1]):
            totals[first + lane, t, 0] = total[2 * t * lanes + lane]
            totals[first + lane, t, 1] = total[(2 * t + 1) * lanes + lane]


@compiled
def gather_state(initial: Any, first: int, interior: Any, state: Any, lanes: int) -> None:
    """Bring initial states (S or 1, n * n, 2) into the padded lattice of registers."""
    last = initial.shape[0] - 1
    for s in range(interior.shape[0]):
        for lane in range(lanes):
            row = min(first + lane, last)
            state[2 * interior[s] * lanes + lane] = initial[row, s, 0]
            state[(2 * interior[s] + 1) * lanes + lane] = initial[row, s, 1]


@compiled
def scatter_state(state: Any, first: int, interior: Any, states: Any, lanes: int) -> None:
    """Write the padded lattice of registers to rows first... of states (S, n * n, 2)."""
    count = min(lanes, states.shape[0] - first)
    for s in range(interior.shape[0]):
        for lane in range(count):
            states[first + lane, s, 0] = state[2 * interior[s] * lanes + lane]
            states[first + lane, s, 1] = state[(2 * interior[s] + 1) * lanes + lane]


@compiled
def record_frame(state: Any, first: int, interior: Any, frames: Any, index: int, lanes: int) -> None:
    """Write the padded lattice of registers to rows first... of frames (S, F, n * n, 2), at frame `index`."""
    n_runs, n_frames, n_sites = frames.shape[0], frames.shape[1], frames.shape[2]
    if first + lanes > n_runs:
        scatter_state(state, first, interior, frames[:, index], lanes)
        return
    flat = frames.reshape(frames.size)
    n = round(n_sites**0.5)
    # Past the caches, where whole lines are written: the frames would only drive out the lattice.
    has_whole_lines = frames.ctypes.data % 64 == 0 and 2 * n * frames.itemsize % 64 == 0
    per_row = 2 * n // lanes  # squares of registers; what is left of a row goes number by number
    for i in range(n):
        register = 2 * interior[i * n]
        offset = ((first * n_frames + index) * n_sites + i * n) * 2
        for k in range(per_row):
            if has_whole_lines:
                stream_transposed(state, register + k * lanes, flat, offset + k * lanes, 2 * n_frames * n_sites)
            else:
                store_transposed(state, register + k * lanes, flat, offset + k * lanes, 2 * n_frames * n_sites)
        for k in range(per_row * lanes, 2 * n):
            for lane in range(lanes):
                flat[offset + 2 * n_frames * n_sites * lane + k] = state[(register + k) * lanes + lane]


@compiled
def refresh_halo(state: Any, wrap: Any) -> None:
    """Copy the other side of a periodic lattice into its halo."""
    for k in range(wrap.shape[0]):
        store(state, 2 * wrap[k, 0], load(state, 2 * wrap[k, 1]))
        store(state, 2 * wrap[k, 0] + 1, load(state, 2 * wrap[k, 1] + 1))


@compiled
def sweep_blocks(
    fields: Any,
    initial: Any,
    scale: float,
    block_range: Any,
    steps: Any,
    constants: Any,
    site: Any,
    wrap: Any,
    interior: Any,
    workspace: Any,
    every: int,
    totals: Any,
    last: Any,
    frames: Any,
) -> None:
    """Run the blocks of trajectories block_range[0] to block_range[1] - 1 to the end.

    Args:
        fields: (S, T, 2) in units of Ec.
        initial: (S or 1, n * n, 2).
        scale: Ec.
        block_range: first block and one past the last; a block is one register of trajectories.
        steps: (T,) time steps times gamma, in the kernel's precision; steps[0] is unused.
        constants: c3, c12, clip bound, depolarization / n^2, mobility of x (0 or 1), in the kernel's precision.
        site: flat (n * n * 4): e_x, e_y, lin, w.
        wrap: (k, 2) halo copies of a periodic lattice.
        interior: (n * n,) positions of the sites in the padded lattice.
        workspace: state, row above, field, total: registers for (n + 2)^2 sites, n sites, T and T steps.
        every: record every so many steps; 0: none.
        totals: (S, T, 2), written.
        last: (S, n * n, 2), written.
        frames: (S, F, n * n, 2), written if every > 0.
    """
    state, above, field, total = workspace
    n_steps = fields.shape[1]
    lanes = total.shape[0] // (2 * n_steps)
    n = above.shape[0] // (2 * lanes)
    down = 2 * (n + 2)
    zero = site.dtype.type(0)
    c3, c12, bound = splat(constants[0]), splat(constants[1]), splat(constants[2])
    depolarization = splat(constants[3])
    for block in range(block_range[0], block_range[1]):
        first = block * lanes
        gather_field(fields, first, scale, field, lanes)
        state[:] = 0
        gather_state(initial, first, interior, state, lanes)
        mean_x = mean_y = splat(zero)
        for s in range(n * n):
            mean_x = mean_x + load(state, 2 * interior[s])
            mean_y = mean_y + load(state, 2 * interior[s] + 1)
        store(total, 0, mean_x)
        store(total, 1, mean_y)
        if every > 0:
            record_frame(state, first, interior, frames, 0, lanes)
        for t in range(1, n_steps):
            refresh_halo(state, wrap)
            step_x, step_y = splat(steps[t] * constants[4]), splat(steps[t])
            field_x = load(field, 2 * t) - depolarization * mean_x
            field_y = load(field, 2 * t + 1) - depolarization * mean_y
            mean_x = mean_y = splat(zero)
            for j in range(n):
                store(above, 2 * j, load(state, 2 * (j + 1)))
                store(above, 2 * j + 1, load(state, 2 * (j + 1) + 1))
            for i in range(n):
                row = down * (i + 1) + 2
                left_x, left_y = load(state, row - 2), load(state, row - 1)
                x, y = load(state, row), load(state, row + 1)
                for j in range(n):
                    here, q = row + 2 * j, 4 * (i * n + j)
                    right_x, right_y = load(state, here + 2), load(state, here + 3)
                    sum_x = (load(above, 2 * j) + load(state, here + down)) + (left_x + right_x)
                    sum_y = (load(above, 2 * j + 1) + load(state, here + down + 1)) + (left_y + right_y)
                    store(above, 2 * j, x)
                    store(above, 2 * j + 1, y)
                    clipped_x, clipped_y = clip(x, bound), clip(y, bound)
                    x2, y2 = clipped_x * clipped_x, clipped_y * clipped_y
                    linear, weight = splat(site[q + 2]), splat(site[q + 3])
                    rate_x = field_x + splat(site[q]) + weight * sum_x - clipped_x * (linear + c3 * x2 + c12 * y2)
                    rate_y = field_y + splat(site[q + 1]) + weight * sum_y - clipped_y * (linear + c3 * y2 + c12 * x2)
                    left_x, left_y = x, y
                    x, y = x + step_x * rate_x, y + step_y * rate_y
                    store(state, here, x)
                    store(state, here + 1, y)
                    mean_x, mean_y = mean_x + x, mean_y + y
                    x, y = right_x, right_y
            store(total, 2 * t, mean_x)
            store(total, 2 * t + 1, mean_y)
            if every > 0 and t % every == 0:
                record_frame(state, first, interior, frames, t // every, lanes)
        scatter_totals(total, first, totals, lanes)
        scatter_state(state, first, interior, last, lanes)
