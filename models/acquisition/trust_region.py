"""Log expected improvement in a box around the incumbent that grows with success and shrinks with failure (TuRBO).

    edges L l_k / (l_1 ... l_d)^(1/d),    L from 0.8: doubled after three improvements in a row, halved after max(4, d) failures

with the length scales l_k of the surrogate. In many dimensions nearly all of a box is unknown, and a global rule spends its evaluations on
the border; inside a small box the model is right, and the search becomes a descent that learns. Once L falls below 2^-7 the incumbent's
basin is known: the search starts anew, from fresh points of the whole box, and remembers only these for its centre.

The size follows from the measured values alone, in the order in which they were told, so that a restarted optimizer has the same one.

Source: Eriksson, Pearce, Gardner, Turner and Poloczek, Scalable global optimization via local Bayesian optimization, NeurIPS 2019,
10.48550/arXiv.1910.01739 (one trust region; expected improvement instead of Thompson sampling).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from ..errors import NotFittedError
from ..surrogates.base import Array, Surrogate
from .base import Acquisition
from .domains import Box, Domain
from .log_ei import LogEI
from .maximization import Choice
from .random import Random

START: Final = 0.8
LONGEST: Final = 1.6
SHORTEST: Final = 0.5**7
SUCCESSES: Final = 3
FEWEST_FAILURES: Final = 4
IMPROVEMENT: Final = 1e-3
"""What counts as one, as a share of the range of the values."""


class TrustRegion(Acquisition):
    """Log expected improvement in a trust region; over fixed candidates, log expected improvement."""

    name: ClassVar[str] = "trust_region"

    def __init__(self) -> None:
        self._rule = LogEI()
        self._anew = Random()

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            raise NotFittedError(f"acquisition {self.name!r} needs a surrogate with observations; measure initial points first")
        if type(domain) is not Box or len(best_first) == 0:
            return self._rule.next_point(surrogate, domain, taken, best_first, generator)
        measured = taken[: len(best_first)]
        values = surrogate.posterior(measured).mean
        region = trust_region(values, domain.n_dimensions)
        n_own = len(measured) - region.since
        if n_own == 0 or len(taken) - region.since < design_size(domain.n_dimensions):
            return self._anew.next_point(surrogate, domain, taken, best_first, generator)
        own = region.since + np.argsort(-values[region.since :], kind="stable")
        around = self._box(surrogate, domain, measured[own[0]], region.length)
        return self._rule.next_point(surrogate, around, taken, measured[own], generator)

    @staticmethod
    def _box(surrogate: Surrogate, domain: Box, centre: Array, length: float) -> Box:
        learned = getattr(surrogate, "hyperparameters", None)
        scales = np.ones(domain.n_dimensions) if learned is None else np.asarray(learned.lengthscale)
        half = 0.5 * length * scales / np.exp(np.log(scales).mean())
        middle = domain.to_unit(centre[None])[0]
        return Box(domain.from_unit(np.clip([middle - half, middle + half], 0.0, 1.0)).T)


@dataclass(frozen=True, slots=True)
class Region:
    """How far the search may go, and what it remembers."""

    length: float
    """Edge, as a share of the box's."""
    since: int
    """Number of the first observation after the last restart."""


def design_size(d: int) -> int:
    """Points that a search in d dimensions starts from."""
    return 2 * (d + 1)


def trust_region(values: Array, d: int) -> Region:
    """The trust region after values (n,), in the order of telling, in d dimensions."""
    length, since, successes, failures = START, 0, 0, 0
    margin = IMPROVEMENT * float(np.ptp(values)) if len(values) else 0.0
    for number in range(len(values)):
        if number - since < design_size(d):
            continue
        if values[number] > values[since:number].max() + margin:
            successes, failures = successes + 1, 0
        else:
            successes, failures = 0, failures + 1
        if successes == SUCCESSES:
            length, successes = min(2.0 * length, LONGEST), 0
        elif failures == max(FEWEST_FAILURES, d):
            length, failures = 0.5 * length, 0
        if length < SHORTEST:
            length, since, successes, failures = START, number + 1, 0, 0
    return Region(length, since)
