"""Which sites move at which step under `random_sites`: drawn once per model, outside the kernel.

The draws are `numpy.random.choice(n * n, n * n // 4, replace=False)` from NumPy's legacy generator, one per step from the
second on, as the published program makes them; they are the same for all trajectories.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
ShortArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Lists of positions in the padded lattice, per step."""

    drawn: ShortArray
    """(1 or T, q): positions that move at step t; a single row stands for all steps."""
    stale: ShortArray
    """Positions whose stored state follows at a step without being drawn, step after step."""
    stale_rank: ShortArray
    """The place of each among the sites drawn a step before (-1: it was not)."""
    stale_start: IntArray
    """(T + 1,): where each step's part of `stale` begins."""


def everything_moves(interior: ShortArray, n_steps: int) -> Schedule:
    """The synchronous rule's lists."""
    everything = interior[None, :]
    return Schedule(everything, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros(n_steps + 1, dtype=np.int64))


def drawn_sites(interior: ShortArray, n_steps: int, seed: int, *, is_uniform: bool) -> Schedule:
    """The random_sites rule's lists.

    Args:
        interior: positions of the sites (n * n,), row by row.
        n_steps: T.
        seed: seed of the legacy generator.
        is_uniform: whether all time steps are equal. If so, a site's stored state rests from the second step after its draw;
            otherwise it changes at every step, with the step.

    Returns:
        The lists; within a step sorted, for the sake of the memory.
    """
    n_sites = len(interior)
    generator = np.random.RandomState(seed)
    moves = np.zeros((n_steps, n_sites), dtype=bool)
    moves[:2] = True
    for t in range(2, n_steps):
        moves[t, generator.choice(n_sites, n_sites // 4, replace=False)] = True
    follows = ~moves
    follows[:2] = False
    if is_uniform:
        follows[2:] &= moves[1:-1]
    drawn = np.zeros((n_steps, n_sites // 4), dtype=np.int32)
    drawn[2:] = interior[np.nonzero(moves[2:])[1]].reshape(n_steps - 2, n_sites // 4)
    rank = np.full(moves.shape, -1, dtype=np.int32)
    rank[1:] = np.where(moves[:-1], np.cumsum(moves[:-1], axis=1, dtype=np.int32) - 1, -1)
    start = np.zeros(n_steps + 1, dtype=np.int64)
    np.cumsum(follows.sum(axis=1), out=start[1:])
    return Schedule(drawn, interior[np.nonzero(follows)[1]], rank[follows], start)


def bands(schedule: Schedule, width: int, n_bands: int) -> IntArray:
    """Cut the lists of a step into bands, at the same places for all steps.

    Args:
        schedule: lists of the random_sites rule.
        width: positions per row of the padded lattice.
        n_bands: how many.

    Returns:
        Array (n_bands, 3): how many drawn sites are computed, drawn sites moved and stale sites moved at the end of a band. A
        site is moved when the next site to be computed lies more than a row behind it. The last band takes what is left.
    """
    n_steps, n_drawn = schedule.drawn.shape
    computed = np.round(np.linspace(0, n_drawn, n_bands + 1)[1:]).astype(np.int64)
    ends = np.stack([computed, computed, np.full(n_bands, len(schedule.stale))], axis=1)
    for t in range(2, n_steps):
        stale = schedule.stale[schedule.stale_start[t] : schedule.stale_start[t + 1]]
        safe = schedule.drawn[t][np.minimum(computed, n_drawn - 1)] - width
        ends[:, 1] = np.minimum(ends[:, 1], np.searchsorted(schedule.drawn[t], safe))
        ends[:, 2] = np.minimum(ends[:, 2], np.searchsorted(stale, safe))
    return ends
