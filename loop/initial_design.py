"""Where to measure before anything is known.

In a box: the points of a scrambled Sobol sequence in their order, so that a design that is interrupted goes on where it stopped; points
that are taken already, as those of an earlier campaign of the same seed would be, are left out.

Source: Owen, Scrambling Sobol' and Niederreiter-Xing points, J. Complexity 14, 466 (1998), 10.1006/jcom.1998.0487.
"""

from typing import Final

import numpy as np
from scipy.stats import qmc

from ..models.acquisition.domains import Box
from ..models.errors import DomainError
from .records import FloatArray
from .seeding import generator

MOST_LATENT: Final = 32
"""Points of more coordinates are trajectories: what varies among them are a few shapes, and not each of hundreds of steps."""
TRAJECTORY_DESIGN: Final = 20
"""Initial design for such points: with it a deep kernel found .989 of the range of the published pool after 60 evaluations."""
MOST_LEFT_OUT: Final = 1000
"""So many points of the sequence in a row that are taken already: the numbers of the box are used up."""


def design_size(n_dimensions: int) -> int:
    """Return the size of an initial design that nobody has chosen."""
    return 2 * (n_dimensions + 1) if n_dimensions <= MOST_LATENT else TRAJECTORY_DESIGN


def space_filling(domain: Box, taken: FloatArray, n: int, seed: int, start: int) -> FloatArray:
    """Return points (n, d) of a domain that fill it evenly.

    Args:
        domain: a box, or a ball.
        taken: points (m, d) that are left out.
        n: how many.
        seed: of the sequence.
        start: how many points of the sequence came before.

    Raises:
        DomainError: the box holds no further points.
    """
    sobol = qmc.Sobol(domain.n_dimensions, scramble=True, rng=generator(seed, "initial"))
    if start:
        sobol.fast_forward(start)
    chosen, n_left_out = np.empty((0, domain.n_dimensions)), 0
    while len(chosen) < n:
        if n_left_out == MOST_LEFT_OUT:
            raise DomainError(f"every point of the box {domain.bounds.tolist()} is already measured or pending; give a larger box")
        # One by one: SciPy warns about a first draw whose length is not a power of two, which does not matter for a design.
        point = domain.from_unit(sobol.random(1))
        if domain.is_taken(point, taken)[0]:
            n_left_out += 1
            continue
        chosen, n_left_out = np.concatenate([chosen, point]), 0
    return chosen
