"""Which sites move at which step under `random_sites`: drawn once per model, outside the kernel.

The draws are `numpy.random.choice(n * n, n * n // 4, replace=False)` from NumPy's legacy generator, one per step from the
second on, as the published program makes them; they are the same for all trajectories.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Lists of positions in the padded lattice, per step."""

    drawn: IntArray
    """(1 or T, q): positions that move at step t; a single row stands for all steps."""
    stale: IntArray
    """Positions whose stored state follows at a step without being drawn, step after step."""
    stale_start: IntArray
    """(T + 1,): where each step's part of `stale` begins."""


def everything_moves(interior: IntArray, n_steps: int) -> Schedule:
    """The synchronous rule's lists."""
    return Schedule(interior[None, :], np.zeros(0, dtype=np.int64), np.zeros(n_steps + 1, dtype=np.int64))


def drawn_sites(interior: IntArray, n_steps: int, seed: int, *, is_uniform: bool) -> Schedule:
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
    drawn = np.zeros((n_steps, n_sites // 4), dtype=np.int64)
    drawn[2:] = interior[np.nonzero(moves[2:])[1]].reshape(n_steps - 2, n_sites // 4)
    start = np.zeros(n_steps + 1, dtype=np.int64)
    np.cumsum(follows.sum(axis=1), out=start[1:])
    return Schedule(drawn, interior[np.nonzero(follows)[1]], start)
