"""Random search: uniform in the box, or among the candidates that are left.

The baseline that every other acquisition function has to beat, and the one to trust when nothing is known. It needs no surrogate.

Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 13, 281 (2012).
"""

import math
from typing import ClassVar, Final

import numpy as np

from ..errors import DomainError
from ..surrogates.base import Array, Surrogate
from .base import Acquisition
from .domains import Box, Domain
from .maximization import Choice

MAX_DRAWS: Final = 1000
"""Draws in a row that may all hit taken points; so many only do so when the box is full."""


class Random(Acquisition):
    """Uniform draws; the values of its proposals are NaN."""

    name: ClassVar[str] = "random"
    needs_surrogate: ClassVar[bool] = False

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        del surrogate, best_first
        if isinstance(domain, Box):
            for _ in range(MAX_DRAWS):
                point = domain.from_unit(generator.random((1, domain.n_dimensions)))
                if not domain.is_taken(point, taken)[0]:
                    return Choice(point[0], math.nan)
            raise DomainError(f"{MAX_DRAWS} random points of the box were all measured or pending; the box is too small for more points")
        index = int(generator.choice(domain.available(taken)))
        return Choice(domain.rows[index].copy(), math.nan, index)
