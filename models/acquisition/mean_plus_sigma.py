"""Mean plus k standard deviations, the publication's choice.

    a(x) = m(x) + k s(x),    k = 10 there,

tuned with the ground truth known. It explores for very long.

Source: Valleti, Vasudevan, Ziatdinov and Kalinin 2022, 10.1039/D2DD00065B.
"""

import math
from typing import ClassVar

import numpy as np

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import Score
from .ucb import UCB


class MeanPlusSigma(ScoredAcquisition):
    """Mean plus k standard deviations.

    Args:
        k: Weight of the standard deviation, at least 0.
    """

    name: ClassVar[str] = "mean_plus_sigma"

    def __init__(self, k: float = 10.0) -> None:
        if not 0 <= k < math.inf:
            raise ParameterError(f"k is {k}; it must be at least 0")
        self.k = k

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        return UCB(self.k**2).score(surrogate, known, generator)
