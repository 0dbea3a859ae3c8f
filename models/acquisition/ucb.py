"""Upper confidence bound.

    UCB(x) = m(x) + sqrt(beta) s(x)

for a posterior mean m and standard deviation s: optimism in the face of uncertainty. beta = 4 is mean + 2 sigma.

Source: Srinivas, Krause, Kakade and Seeger 2012, 10.1109/TIT.2011.2182033.
"""

import math
from typing import ClassVar

import numpy as np

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import MomentScore, Score


class UCB(ScoredAcquisition):
    """Mean plus sqrt(beta) standard deviations.

    Args:
        beta: Weight of the variance, at least 0.
    """

    name: ClassVar[str] = "ucb"

    def __init__(self, beta: float = 4.0) -> None:
        if not 0 <= beta < math.inf:
            raise ParameterError(f"beta is {beta}; it must be at least 0")
        self.beta = beta

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        del known, generator
        return MomentScore(surrogate, self._bound)

    def _bound(self, mean: Array, variance: Array) -> tuple[Array, Array, Array]:
        std = np.sqrt(variance)
        weight = math.sqrt(self.beta)
        return mean + weight * std, np.ones_like(mean), 0.5 * weight / std
