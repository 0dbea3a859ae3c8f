"""Quasi-random search: the points of one scrambled Sobol sequence, one after the other.

It fills the box more evenly than random search, with no surrogate either. The number of points already measured, on their way or known to
give nothing says which one is next. Among fixed candidates, the free one closest to that point is taken.

Source: Sobol 1967, 10.1016/0041-5553(67)90144-9; Owen 1998 (scrambling), 10.1006/jcom.1998.0487.
"""

import math
from typing import ClassVar

import numpy as np
from scipy.stats import qmc

from ..errors import DomainError
from ..surrogates.base import Array, Surrogate
from .base import Acquisition
from .domains import Box, Domain
from .maximization import Choice
from .random import MAX_DRAWS


class Sobol(Acquisition):
    """Points of a scrambled Sobol sequence; the values of its proposals are NaN.

    Args:
        seed: Of the scrambling. An `Optimizer` gives its own where none is given.
    """

    name: ClassVar[str] = "sobol"
    needs_surrogate: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        del surrogate, best_first, generator
        sequence = qmc.Sobol(domain.n_dimensions, scramble=True, rng=np.random.default_rng(self.seed))
        if len(taken):
            sequence.fast_forward(len(taken))
        if isinstance(domain, Box):
            for _ in range(MAX_DRAWS):
                point = domain.from_unit(sequence.random(1))
                if not domain.is_taken(point, taken)[0]:
                    return Choice(point[0], math.nan)
            raise DomainError(
                f"{MAX_DRAWS} points of the sequence in a row were all measured or pending; the box is too small for more points"
            )
        free = domain.available(taken)
        low, high = domain.rows.min(axis=0), domain.rows.max(axis=0)
        unit = (domain.rows[free] - low) / np.where(high > low, high - low, 1.0)
        index = int(free[np.argmin(((unit - sequence.random(1)) ** 2).sum(axis=1))])
        return Choice(domain.rows[index].copy(), math.nan, index)
