"""Probability of improvement, as its logarithm.

    a(x) = log Phi(z),    z = (m(x) - best - margin r) / s(x),

where best is the highest posterior mean among the known points and r the range of those means. Without a margin the rule stays beside the
incumbent, where a tiny improvement is nearly certain.

Source: Kushner 1964, 10.1115/1.3653121; Jones 2001 (on the margin), 10.1023/A:1012771025575.
"""

import math
from typing import ClassVar, Final

import numpy as np
from scipy.special import log_ndtr

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import MomentScore, Score

HALF_LOG_TWO_PI: Final = 0.5 * math.log(2 * math.pi)


class ProbabilityOfImprovement(ScoredAcquisition):
    """Log probability of improving on the best known point by a margin.

    Args:
        margin: Improvement asked for, as a share of the range of the posterior means at the known points; at least 0.
    """

    name: ClassVar[str] = "pi"

    def __init__(self, margin: float = 0.01) -> None:
        if not 0 <= margin < math.inf:
            raise ParameterError(f"margin is {margin}; it must be at least 0")
        self.margin = margin

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        del generator
        means = surrogate.posterior(known).mean
        target = float(means.max()) + self.margin * float(np.ptp(means))
        return MomentScore(surrogate, lambda mean, variance: log_probability_of_improvement(mean, variance, target))


def log_probability_of_improvement(mean: Array, variance: Array, target: float) -> tuple[Array, Array, Array]:
    """Log P(f > target) (m,), and its derivatives by the mean and by the variance."""
    std = np.sqrt(variance)
    z = (mean - target) / std
    value = log_ndtr(z)
    hazard = np.exp(-0.5 * z * z - HALF_LOG_TWO_PI - value)
    return value, hazard / std, -hazard * z / (2.0 * variance)
