"""What an acquisition function is: the value of measuring at a point, and a search for the best one.

A batch of q points, and measurements that are still on their way, are dealt with one at a time: each point that is pending or already
chosen is given to the surrogate as if it had been measured and had returned the posterior mean. The mean stays as it is, the variance
there collapses, and the next point goes elsewhere. Larger is always better; whoever minimizes negates y.

Source: Desautels, Krause and Burdick, Parallelizing Exploration-Exploitation Tradeoffs in Gaussian Process Bandit Optimization,
JMLR 15, 4053 (2014): hallucinated observations at the posterior mean (GP-BUCB), here for every acquisition function.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CandidatesExhausted, DomainError, NotFittedError, ObservationError, ParameterError
from ..surrogates.base import Array, Surrogate
from .domains import Box, CandidateSet, Domain
from .maximization import Choice, best_candidate, best_in_box
from .scores import Score


class Observed:
    """What has been measured.

    Args:
        x: Points (n, d).
        y: Values (n,) or (n, 1), larger is better.

    Raises:
        ObservationError: The shapes do not fit together.
    """

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        self.x: Array = np.asarray(x, dtype=np.float64)
        self.y: Array = np.asarray(y, dtype=np.float64).reshape(-1)
        if self.x.ndim != 2 or len(self.x) != len(self.y):
            raise ObservationError(f"observed points have shape {self.x.shape} and values {self.y.shape}; give (n, d) and (n,)")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Where to measure next."""

    points: Array
    """Points (q, d), distinct from each other and from everything measured or pending."""
    values: Array
    """Acquisition value (q,) of each at the moment it was chosen; NaN where points are not valued."""
    indices: NDArray[np.int64] | None
    """Rows (q,) of the candidate set that the points are, or None in a box."""


class Acquisition(ABC):
    """A way of choosing the next points. A new one sets `name` and implements `next_point`, or derives from `ScoredAcquisition`."""

    name: ClassVar[str]
    """Its name in configurations."""

    needs_surrogate: ClassVar[bool] = True
    """Whether `propose` needs a fitted surrogate."""

    needs_exact_gp: ClassVar[bool] = False
    """Whether its surrogate must be the exact Gaussian process on the points (`GaussianProcess`, by the name `gp`), because it computes
    with more than a `Surrogate` promises, such as `to_botorch`. Any other surrogate is refused then before anything is measured, and the
    choice `auto` is `gp`."""

    integrates_pending: ClassVar[bool] = False
    """Whether it averages over what pending points may bring by itself; the surrogate then has seen the measured points only."""

    def propose(
        self,
        surrogate: Surrogate | None,
        domain: Domain,
        q: int = 1,
        *,
        pending: ArrayLike | None = None,
        observed: Observed | None = None,
        generator: np.random.Generator,
    ) -> Proposal:
        """The q best points to measure next, one after the other.

        Args:
            surrogate: Fitted to what has been measured; may be None where `needs_surrogate` is false.
            domain: Where to look.
            q: How many points, at least 1.
            pending: Points (p, d) that are being measured.
            observed: What has been measured; its points are not proposed again.
            generator: Source of all randomness. The same arguments and generator state give the same proposal.

        Raises:
            CandidatesExhausted: Fewer than q candidates are left.
            NotFittedError: A surrogate is needed and missing, or has no observations.
            ParameterError: q is below 1.
            DomainError: Points do not fit the domain, or the box holds no further point.
        """
        if q < 1:
            raise ParameterError(f"{q} points were asked for; ask for at least 1")
        waiting = _points(pending, domain, "pending")
        measured = _points(None if observed is None else observed.x, domain, "observed")
        best_first = np.empty((0, domain.n_dimensions)) if observed is None else measured[np.argsort(-observed.y, kind="stable")]
        taken = np.vstack([measured, waiting])
        if isinstance(domain, CandidateSet) and (left := len(domain.available(taken))) < q:
            raise CandidatesExhausted(f"{q} points were asked for, but {left} of {len(domain.rows)} candidates are left; stop, or add some")
        if self.needs_surrogate:
            if surrogate is None or surrogate.n_observations == 0:
                raise NotFittedError(f"acquisition {self.name!r} needs a surrogate with observations; measure initial points first")
            if len(waiting) and not self.integrates_pending:
                surrogate = surrogate.condition(waiting)
        choices: list[Choice] = []
        for turn in range(q):
            choice = self.next_point(surrogate, domain, taken, best_first, generator)
            choices.append(choice)
            taken = np.vstack([taken, choice.point[None]])
            if self.needs_surrogate and surrogate is not None and turn + 1 < q and not self.integrates_pending:
                surrogate = surrogate.condition(choice.point[None])
        indices = [choice.index for choice in choices if choice.index is not None]
        return Proposal(
            np.array([choice.point for choice in choices]),
            np.array([choice.value for choice in choices]),
            np.array(indices, dtype=np.int64) if indices else None,
        )

    @abstractmethod
    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """Choose one point.

        Args:
            surrogate: Conditioned on everything pending and chosen; None only where `needs_surrogate` is false.
            domain: Where to look.
            taken: Points (n, d) measured, pending or chosen, in this order, which must not be returned.
            best_first: Measured points (m, d), the best one first.
            generator: Source of randomness.
        """


class ScoredAcquisition(Acquisition):
    """An acquisition function in the narrow sense: every point has a value, and the highest one wins."""

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            raise NotFittedError(f"acquisition {self.name!r} needs a surrogate with observations; measure initial points first")
        score = self.score(surrogate, taken, generator)
        if isinstance(domain, Box):
            return best_in_box(score, domain, taken, best_first, generator)
        return best_candidate(score, domain, taken)

    @abstractmethod
    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """The function to maximize.

        Args:
            surrogate: Conditioned on everything pending and chosen.
            known: Points (n, d) measured, pending or chosen.
            generator: Source of randomness.
        """


def _points(x: ArrayLike | None, domain: Domain, what: str) -> Array:
    """Points as (n, d), finite; (0, d) for none."""
    d = domain.n_dimensions
    points = np.empty((0, d)) if x is None else np.asarray(x, dtype=np.float64)
    if points.size == 0:
        return np.empty((0, d))
    if points.ndim != 2 or points.shape[1] != d:
        raise DomainError(f"{what} points have shape {points.shape}, the domain needs (n, {d})")
    if not np.isfinite(points).all():
        raise DomainError(f"{what} points hold NaN or infinity; leave those out")
    return points
