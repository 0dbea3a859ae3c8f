"""The posterior mean: pure exploitation.

    a(x) = m(x).

For the last measurement of a campaign, or for finding what the surrogate takes for the optimum; as a rule for a whole campaign it is caught
by the first good hill.

Source: De Ath, Everson, Rahat and Fieldsend 2021 (called Exploit there), 10.1145/3425501.
"""

from typing import ClassVar

import numpy as np

from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import MomentScore, Score


class PosteriorMean(ScoredAcquisition):
    """The highest posterior mean."""

    name: ClassVar[str] = "posterior_mean"

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        del known, generator
        return MomentScore(surrogate, lambda mean, variance: (mean, np.ones_like(mean), np.zeros_like(variance)))
