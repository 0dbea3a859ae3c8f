"""Where the surrogate knows least.

    a(x) = s^2(x),

the posterior variance: pure exploration, for a map of the objective rather than its maximum. For a Gaussian process each choice is the
one that takes the most information about f from one more noisy measurement.

Source: MacKay 1992, Information-Based Objective Functions for Active Data Selection, 10.1162/neco.1992.4.4.590.
"""

from typing import ClassVar

import numpy as np

from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import MomentScore, Score


class MaxVariance(ScoredAcquisition):
    """The point of largest posterior variance."""

    name: ClassVar[str] = "max_variance"

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        del known, generator
        return MomentScore(surrogate, lambda mean, variance: (variance, np.zeros_like(mean), np.ones_like(variance)))
