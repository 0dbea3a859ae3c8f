"""Upper confidence bound whose weight grows with the number of observations.

    UCB_t(x) = m(x) + sqrt(beta_t) s(x),
    srinivas    beta_t = 2 log(d t^2 pi^2 / (6 delta)),
    kandasamy   beta_t = 0.2 d log(2 t),

for t observations in d dimensions. The former is what the regret bound asks for, with delta the chance that it fails; the latter, without
a bound, is what works in practice, and explores the more the more dimensions there are.

Sources: Srinivas, Krause, Kakade and Seeger 2012, 10.1109/TIT.2011.2182033;
Kandasamy, Schneider and Poczos 2015, 10.48550/arXiv.1503.01673.
"""

import math
from typing import ClassVar, Final, Literal

import numpy as np

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import Score
from .ucb import UCB

KANDASAMY_FACTOR: Final = 0.2


class UCBSchedule(ScoredAcquisition):
    """Mean plus sqrt(beta_t) standard deviations.

    Args:
        schedule: "kandasamy" or "srinivas".
        delta: Chance that the bound of the latter fails, between 0 and 1.
    """

    name: ClassVar[str] = "ucb_schedule"

    def __init__(self, schedule: Literal["kandasamy", "srinivas"] = "kandasamy", delta: float = 0.1) -> None:
        if schedule not in ("kandasamy", "srinivas") or not 0 < delta < 1:
            raise ParameterError(f"schedule {schedule!r} with delta {delta}: say kandasamy or srinivas, and delta between 0 and 1")
        self.schedule = schedule
        self.delta = delta

    def beta(self, n_observations: int, n_dimensions: int) -> float:
        """Weight beta_t of the variance."""
        t, d = max(n_observations, 1), n_dimensions
        if self.schedule == "kandasamy":
            return KANDASAMY_FACTOR * d * math.log(2 * t)
        return 2.0 * math.log(d * t**2 * math.pi**2 / (6.0 * self.delta))

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        return UCB(self.beta(len(known), known.shape[1])).score(surrogate, known, generator)
