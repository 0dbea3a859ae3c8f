"""Two rules in turns: exploration of the whole box, and search close to the incumbent with a model of its own.

    odd turns    log EI of a Gaussian process learned from the k observations nearest to the incumbent, in the box that they span around it,
    even turns   mean + sqrt(beta_t) sigma of the surrogate, with Kandasamy's weight, outside of that box once it is small.

One process with one set of length scales has to serve smooth plains and narrow peaks: fitted to the plains it stays away from the peak
it has found, fitted to the peak it knows nothing of the plains. The local model shrinks with its observations and follows the objective
down to any scale, and the global rule never gathers at the incumbent. A local turn whose expected improvement has become negligible is
given to exploration, so that it resumes once the incumbent's neighbourhood is known. Whose turn it is follows from the number of points.

Sources: Eriksson, Pearce, Gardner, Turner and Poloczek 2019 (local models), 10.48550/arXiv.1910.01739; Hoffman, Brochu and de Freitas 2011
(portfolios), 10.48550/arXiv.1009.5419; Kandasamy, Schneider and Poczos 2015, 10.48550/arXiv.1503.01673.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFittedError, ParameterError
from ..surrogates.base import Array, Surrogate
from ..surrogates.gaussian_process import GaussianProcess
from .base import Acquisition
from .domains import Box, Domain
from .log_ei import LogEI
from .maximization import Choice, best_in_box
from .scores import Score
from .ucb_schedule import UCBSchedule

NEAREST: Final = (5, 5)
"""The local model learns from a d + b observations, for (a, b)."""
NARROWEST: Final = 1e-5
"""Smallest half-width of the local box, as a share of the whole one."""
SMALL: Final = 0.2
"""A local box with no edge longer than this share of the whole one's is left to the local turns."""


class Portfolio(Acquisition):
    """Scheduled upper confidence bound and local log expected improvement in turns.

    Over fixed candidates, or with a surrogate that makes no local model, it is the former alone.

    Args:
        negligible: Expected improvement, as a share of the range of the values, below which a local turn is given up.
    """

    name: ClassVar[str] = "portfolio"

    def __init__(self, negligible: float = 1e-4) -> None:
        if not 0 <= negligible < 1:
            raise ParameterError(f"negligible is {negligible}; give a share from 0 to below 1")
        self.negligible = negligible
        self._explore = UCBSchedule("kandasamy")
        self._exploit = LogEI()

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            raise NotFittedError(f"acquisition {self.name!r} needs a surrogate with observations; measure initial points first")
        if not (len(best_first) and type(domain) is Box and isinstance(surrogate, GaussianProcess)):
            return self._explore.next_point(surrogate, domain, taken, best_first, generator)
        rows, around = _neighbourhood(surrogate.points, domain, best_first[0])
        if len(taken) % 2:
            local = surrogate.restricted(around.bounds, rows)
            choice = self._exploit.next_point(local, around, taken, best_first, generator)
            spread = float(np.ptp(surrogate.posterior(surrogate.points).mean))
            if choice.value > math.log(max(self.negligible * spread, np.finfo(np.float64).tiny)):
                return choice
        score: Score = self._explore.score(surrogate, taken, generator)
        if (around.edge <= SMALL * domain.edge).all():
            score = OutsideScore(score, around)
        return best_in_box(score, domain, taken, best_first, generator)


@dataclass(frozen=True, slots=True)
class OutsideScore:
    """A value to maximize outside of a box; inside it is minus infinity."""

    score: Score
    """The value."""
    box: Box
    """Where not to look."""

    def value(self, x: Array) -> Array:
        """See `Score`."""
        return np.where(self._inside(x), -np.inf, self.score.value(x))

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """See `Score`."""
        value, gradient = self.score.value_and_gradient(x)
        return np.where(self._inside(x), -np.inf, value), gradient

    def _inside(self, x: Array) -> NDArray[np.bool_]:
        inside = (x > self.box.bounds[:, 0]) & (x < self.box.bounds[:, 1])
        return np.asarray(inside.all(axis=1), dtype=np.bool_)


def _neighbourhood(points: Array, domain: Box, centre: Array) -> tuple[NDArray[np.int64], Box]:
    """Which of the points (n, d) lie closest to the centre (d,), and the box around it that they span."""
    middle = domain.to_unit(centre[None])[0]
    gap = np.abs(domain.to_unit(points) - middle)
    rows = np.sort(np.argsort(gap.max(axis=1), kind="stable")[: NEAREST[0] * domain.n_dimensions + NEAREST[1]])
    half = np.maximum(gap[rows].max(axis=0), NARROWEST)
    return rows, Box(domain.from_unit(np.clip([middle - half, middle + half], 0.0, 1.0)).T)
