"""Exploitation and exploration in turns, each by the rule that was measured to be the best for the kind of surrogate.

    odd turns    exploit: log EI. In a box and with a plain Gaussian process its model is learned from the k observations nearest to the
                 incumbent, in the box that they span around it,
    even turns   explore: for a plain Gaussian process, exact or sparse, mean + sqrt(beta_t) sigma with Kandasamy's weight, outside of the
                 local box once that is small; for other surrogates the maximum of a function drawn from the posterior (Thompson).

A plain process with one set of length scales has to serve smooth plains and narrow peaks: fitted to the plains it stays away from the peak
it has found, fitted to the peak it knows nothing of the plains. The local model shrinks with its observations and follows the objective
down to any scale, and the global rule never gathers at the incumbent. A process of decoded trajectories needs no local model; what it
lacks early is doubt, which a random draw brings in where an upper bound wastes evaluations on the whole border of a wide box.

No measurement is spent where nothing is left to learn: a turn whose expected improvement is negligible is given to exploration, and where
a draw would go to a place that is already known, the place known least is measured instead. Whose turn it is follows from the number
of points.

Sources: Eriksson, Pearce, Gardner, Turner and Poloczek 2019 (local models), 10.48550/arXiv.1910.01739; Hoffman, Brochu and de Freitas 2011
(portfolios), 10.48550/arXiv.1009.5419; Kandasamy, Schneider and Poczos 2015, 10.48550/arXiv.1503.01673; Thompson 1933.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFittedError, ParameterError
from ..surrogates.base import Array, Surrogate
from ..surrogates.gaussian_process import GaussianProcess
from ..surrogates.sparse import SparseGaussianProcess
from .base import Acquisition, ScoredAcquisition
from .domains import Box, Domain
from .log_ei import LogEI
from .max_variance import MaxVariance
from .maximization import Choice, best_candidate, best_in_box
from .scores import Score
from .thompson import Thompson
from .ucb_schedule import UCBSchedule

NEAREST: Final = (5, 5)
"""The local model learns from a d + b observations, for (a, b)."""
NARROWEST: Final = 1e-5
"""Smallest half-width of the local box, as a share of the whole one."""
SMALL: Final = 0.2
"""A local box with no edge longer than this share of the whole one's is left to the local turns."""
KNOWN: Final = 1e-3
"""A standard deviation below this share of the range of the values: exploration has nothing to find there."""
NEGLIGIBLE: Final = (1e-10, 1e-4)
"""Expected improvement, as a share of the range, below which exploitation is given up: of a plain process, whose local model follows a
smooth objective down to any scale (a ten-thousandth stopped it at a regret of 7e-4 on Cosines), and of any other, whose improvements of
that size are repetitions."""


class Portfolio(Acquisition):
    """Log expected improvement, and Thompson sampling or a scheduled upper confidence bound, in turns.

    Args:
        negligible: Expected improvement, as a share of the range of the values, below which a turn of exploitation is given up. None for
            1e-10 with a plain Gaussian process and 1e-4 with any other surrogate.
    """

    name: ClassVar[str] = "portfolio"

    def __init__(self, negligible: float | None = None) -> None:
        if negligible is not None and not 0 <= negligible < 1:
            raise ParameterError(f"negligible is {negligible}; give a share from 0 to below 1")
        self.negligible = negligible
        self._exploit = LogEI()
        self._draw = Thompson()
        self._bound = UCBSchedule("kandasamy")
        self._least_known = MaxVariance()

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            raise NotFittedError(f"acquisition {self.name!r} needs a surrogate with observations; measure initial points first")
        if len(best_first) == 0:
            return self._draw.next_point(surrogate, domain, taken, best_first, generator)
        spread = float(np.ptp(surrogate.posterior(best_first[[0, -1]]).mean))
        around: Box | None = None
        model, where = surrogate, domain
        # Only of a whole box is a smaller one around the incumbent a part.
        if type(domain) is Box and isinstance(surrogate, GaussianProcess):
            rows, around = _neighbourhood(surrogate.points, domain, best_first[0])
        is_plain = isinstance(surrogate, GaussianProcess | SparseGaussianProcess)
        negligible = NEGLIGIBLE[0 if is_plain else 1] if self.negligible is None else self.negligible
        if len(taken) % 2:
            if around is not None and isinstance(surrogate, GaussianProcess):
                model, where = surrogate.restricted(around.bounds, rows), around
            choice = self._exploit.next_point(model, where, taken, best_first, generator)
            if choice.value > math.log(max(negligible * spread, np.finfo(np.float64).tiny)):
                return choice
        rule = self._bound if is_plain else self._draw
        choice = _best(rule, surrogate, domain, around, taken, best_first, generator)
        if is_plain or math.sqrt(float(surrogate.posterior(choice.point[None]).variance[0])) > KNOWN * spread:
            return choice
        return _best(self._least_known, surrogate, domain, around, taken, best_first, generator)


def _best(
    rule: ScoredAcquisition,
    surrogate: Surrogate,
    domain: Domain,
    around: Box | None,
    taken: Array,
    best_first: Array,
    generator: np.random.Generator,
) -> Choice:
    """The point of highest value by a rule, outside of the local box once that is small."""
    score: Score = rule.score(surrogate, taken, generator)
    if not isinstance(domain, Box):
        return best_candidate(score, domain, taken)
    if around is not None and (around.edge <= SMALL * domain.edge).all():
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
