"""Ask and tell: Bayesian optimization in a box or over fixed candidates.

An initial quasi-random design (scrambled Sobol points), then the maximum of an acquisition function of the surrogate's posterior, with
the pending points (asked, not yet told) known to both. Everything that `ask` does follows from the observations in the order in which they
were told, the pending points and the number of points asked so far: no clock, no global random state, no warm start. (The Gaussian process
learns its hyperparameters from the first so many observations of a fixed schedule; a restarted one does so again.) That is why
`from_state` continues bit for bit on the same processor type, library versions and thread count.

An optimizer serves one thread at a time.

>>> optimizer = Optimizer([[-1, 1], [-1, 1]])
>>> for _ in range(30):
...     z = optimizer.ask()
...     optimizer.tell(z, my_measurement(z[0]))
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .environment import environment, n_threads
from .errors import CandidatesExhaustedError
from .initial_design import design_size, space_filling
from .learner import Learned, Learner
from .observations import Observations, candidate_set, checked_box
from .optimizer_state import NamedChoice, checked_state, named_choice, variance, whole_number
from .outliers import LARGEST
from .plug_ins import named, require_acquisition, require_features, require_proposal
from .records import FloatArray, Goal, Incumbent
from .registry import ACQUISITIONS, SURROGATES
from .seeding import generator
from .surrogate_choice import GIVEN, accept_surrogate, make_acquisition, make_surrogate, needs_exact_gp, require_served, takes_features

CandidatesExhausted = CandidatesExhaustedError
DEFAULT_SURROGATE = "auto"
DEFAULT_ACQUISITION = "portfolio"


class Optimizer:
    """Proposes where to measure next.

    Args:
        bounds: the box, shape (d, 2) with rows [low, high].
        surrogate: name of a surrogate, or a mapping ``{"name": ..., "parameters": {...}}``; None for the default (``auto``: ``gp``, or
            ``gp_pca`` where there are `features`; ``gp`` for an acquisition function that needs it).
        acquisition: name of an acquisition function, or such a mapping; None for the default (``portfolio``).
        n_initial: points of the initial design; observations told before count towards them. None for 2 (d + 1), or
            for 20 where points have more than 32 coordinates and are trajectories themselves.
        candidates: fixed candidates, shape (n, d): then `ask` returns rows exactly equal to these, each at most once.
        seed: every random stream is derived from it.
        noise: variance of the objective's noise in its squared units; None to infer it.
        goal: ``maximize`` or ``minimize``.
        features: what points stand for, such as the trajectories (n, T) that a latent model decodes points (n, d) to; surrogates that know
            what to do with it look at that instead of the points. A pure function.
        region: what is searched of the box: all of it, or the ``ball`` (an ellipsoid) that touches its faces.

    Raises:
        ValueError: bounds or candidates of a wrong shape, not finite or out of order.
        UnknownNameError: an unknown surrogate or acquisition function; the message lists the known ones.
        ConfigError: parameters that these do not take, or a surrogate that cannot serve the acquisition function.
    """

    def __init__(
        self,
        bounds: npt.ArrayLike,
        surrogate: NamedChoice | None = None,
        acquisition: NamedChoice | None = None,
        n_initial: int | None = None,
        candidates: npt.ArrayLike | None = None,
        seed: int = 0,
        noise: float | None = None,
        goal: Goal = "maximize",
        features: Callable[[FloatArray], FloatArray] | None = None,
        region: Literal["box", "ball"] = "box",
    ) -> None:
        self._box = checked_box(bounds)
        self.n_dimensions = len(self._box)
        self._candidates = None if candidates is None else candidate_set(candidates, self._box)
        if goal not in ("maximize", "minimize"):
            raise ValueError(f"goal must be 'maximize' or 'minimize', not {goal!r}")
        self.goal: Goal = goal
        self.seed = whole_number(seed, "seed", 0)
        self.noise = None if noise is None else variance(noise, "noise")
        self.n_initial = design_size(self.n_dimensions) if n_initial is None else whole_number(n_initial, "n_initial", 1)
        self.features = features
        if region not in ("box", "ball"):
            raise ValueError(f"region must be 'box' or 'ball', not {region!r}")
        self.region = region
        self._surrogate_choice = named_choice(surrogate, "surrogate", DEFAULT_SURROGATE)
        self._acquisition_choice = named_choice(acquisition, "acquisition", DEFAULT_ACQUISITION)
        SURROGATES.check(self._surrogate_choice["name"])
        if self._surrogate_choice["parameters"]:
            accept_surrogate(self._surrogate_choice["name"], self._surrogate_choice["parameters"])
        if features is not None and takes_features(self._surrogate_choice["name"]):
            require_features(features, self._box)
        self._acquisition = make_acquisition(self._acquisition_choice["name"], self._acquisition_choice["parameters"], self.seed)
        require_acquisition(self._acquisition_choice["name"], self._acquisition)
        self._known = Observations(self._box, rounds=self._candidates is None)
        self.n_asked = 0
        self.last_origins: list[str] = []
        self.last_values = np.empty(0)
        self.last_predictions = np.empty((2, 0))
        self._learner = Learner(self.new_surrogate)
        require_served(self._surrogate_choice["name"], self._acquisition, self.new_surrogate)

    def __repr__(self) -> str:
        chosen = f"{self._surrogate_choice['name']}, {self._acquisition_choice['name']}"
        where = f"a {self.region}" if self._candidates is None else f"{len(self._candidates.rows)} candidates"
        known = f"{len(self._known.y)} told, {len(self._known.pending)} pending"
        return f"<Optimizer ({chosen}) in {where} of {self.n_dimensions} dimensions: {known}>"

    @property
    def bounds(self) -> FloatArray:
        """The box (d, 2), rows [low, high]."""
        return self._box.copy()

    @property
    def candidates(self) -> FloatArray | None:
        """The fixed candidates (n, d), not to be written to, or None in a box."""
        if self._candidates is None:
            return None
        rows = self._candidates.rows.view()
        rows.flags.writeable = False
        return rows

    @property
    def pending(self) -> FloatArray:
        """Points asked and neither told nor discarded, shape (p, d)."""
        return self._known.pending.copy()

    @property
    def observations(self) -> tuple[FloatArray, FloatArray]:
        """Points and values told so far, shapes (n, d) and (n,), in the order in which they were told."""
        return self._known.x.copy(), self._known.y.copy()

    @property
    def incumbent(self) -> Incumbent | None:
        """The best observation so far; its ``trial`` is its position in the order of telling. None before the first."""
        if not len(self._known.y):
            return None
        best = int(np.argmax(self.sign * self._known.y))
        return Incumbent(trial=best, z=self._known.x[best].copy(), objective=float(self._known.y[best]))

    def ask(self, q: int = 1) -> FloatArray:
        """Return the next q points, shape (q, d) float64; they stay pending until told or discarded.

        `last_origins` (``initial`` or the acquisition function's name) and `last_values` (its values, NaN where it has none) say afterwards
        where each of them came from, `last_predictions` (means and variances of shape (2, q), NaN where no surrogate was asked) what the
        surrogate expects there.

        Raises:
            CandidatesExhausted: fewer than q fixed candidates are left.
            PlugInError: a surrogate or an acquisition function of a user's own raised something.
        """
        q = whole_number(q, "ask(q): q", 1)
        if self._candidates is not None:
            self._free_candidates(q)  # complains before anything changes
        n_left_of_design = max(0, self.n_initial - len(self._known.x) - len(self._known.pending))
        # While all values are equal no surrogate knows where to look, and its doubts would drive the search into the corners.
        n_design = q if self._known.is_flat and self._acquisition.needs_surrogate else min(q, n_left_of_design)
        points, values = np.empty((0, self.n_dimensions)), np.empty(0)
        predictions = np.full((2, q), math.nan)
        if n_design:
            points, values = self._design(n_design), np.full(n_design, math.nan)
            self._known.wait_for(points)
        if n_design < q:
            # What this raises can only come from the two choices.
            chosen = (ACQUISITIONS, self._acquisition_choice["name"]), (SURROGATES, self._surrogate_choice["name"])
            try:
                with named(*chosen, everywhere=True):
                    proposed = self._propose(q - n_design)
                    expected = self.posterior(proposed.points) if self._acquisition.needs_surrogate else None
            except BaseException:
                self._known.stop_waiting(n_design)  # nobody was told of them
                raise
            points = np.concatenate([points, proposed.points])
            values = np.concatenate([values, proposed.values])
            self._known.wait_for(proposed.points)
            if expected is not None:
                predictions[:, n_design:] = expected
        self.n_asked += q
        self.last_origins = ["initial"] * n_design + [self._acquisition_choice["name"]] * (q - n_design)
        self.last_values = values
        self.last_predictions = predictions
        return points

    def tell(self, X: npt.ArrayLike, y: npt.ArrayLike, y_var: npt.ArrayLike | None = None, *, y_extra: npt.ArrayLike | None = None) -> None:
        """Add observations; points need not have been asked for.

        A point that was asked for may come back rounded, by less than 1e-6 of the box's edges; fixed candidates come back bit for bit.

        Args:
            X: points, shape (q, d) (or (d,) for one).
            y: values, shape (q,) or (q, 1).
            y_var: variances of the values, same shape as y; NaN for those that are not known. Where some are known they are kept, and
                those of the others are `noise`, or inferred.
            y_extra: variances that come on top of those, known or inferred: of labels that are not quite those of their points.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, points outside the box. Nothing is added then.
        """
        self._known.tell(X, y, y_var, y_extra)

    def discard(self, X: npt.ArrayLike, infeasible: bool = False) -> None:
        """Free pending points that will not be told: failed, vetoed, refused.

        Args:
            X: the points, shape (q, d).
            infeasible: the points give nothing and must not be asked again: the acquisition function sees the worst value observed there,
                the incumbent and `posterior` do not. Fixed candidates are never asked again either way.
        """
        self._known.discard(X, infeasible=infeasible, spend=self._candidates is not None)

    def move_pending(self, old: npt.ArrayLike, new: npt.ArrayLike) -> None:
        """Put the pending point ``new`` (d,) in the place of ``old`` (d,): what is measured there is not quite what was asked for.

        Raises:
            ValueError: ``old`` is not pending, or ``new`` lies outside the box. Nothing is changed then.
        """
        self._known.move_pending(old, new)

    def add_pending(self, X: npt.ArrayLike) -> None:
        """Count points X (q, d) as asked and not yet told."""
        self._known.wait_for(self._known.checked(X))

    def posterior(self, X: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the surrogate's mean and variance of the objective at points X (n, d), each of shape (n,).

        Raises:
            ValueError: nothing has been told yet.
        """
        posterior = self.surrogate.posterior(np.atleast_2d(np.asarray(X, dtype=np.float64)))
        return self.sign * posterior.mean, posterior.variance

    def acquisition_values(self, X: npt.ArrayLike) -> tuple[str, FloatArray]:
        """Return an acquisition function's name and its values at points X (n, d), pending points taken into account; for pictures.

        It is the configured one; the logarithm of expected improvement where that one gives points no value.

        Raises:
            ValueError: nothing has been told yet.
        """
        from ..models.acquisition.base import ScoredAcquisition

        surrogate, pending = self.surrogate, self.pending
        chosen = self._acquisition if isinstance(self._acquisition, ScoredAcquisition) else ACQUISITIONS.create("log_ei", {})
        taken = np.vstack([self._known.x, pending])
        if len(pending):
            surrogate = surrogate.condition(pending)
        score = chosen.score(surrogate, taken, generator(self.seed, "picture", self.n_asked))
        return str(chosen.name), np.asarray(score.value(np.atleast_2d(np.asarray(X, dtype=np.float64))), dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Return everything needed to continue, as JSON-able values; `from_state` reads it."""
        return {
            "bounds": self._box.tolist(),
            "surrogate": deepcopy(self._surrogate_choice),
            "acquisition": deepcopy(self._acquisition_choice),
            "n_initial": self.n_initial,
            "candidates": None if self.candidates is None else self.candidates.tolist(),
            "seed": self.seed,
            "noise": self.noise,
            "goal": self.goal,
            "region": self.region,
            "has_features": self.features is not None,
            "n_asked": self.n_asked,
            **self._known.state(),
            "environment": environment(n_threads()),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], features: Callable[[FloatArray], FloatArray] | None = None) -> "Optimizer":
        """Return an optimizer that goes on where `state` was taken; `features`, which no state holds, have to be given again.

        Raises:
            ValueError: keys, shapes or values that no state has, or features that are missing; the message says which, where, and how to
                mend it.
        """
        choices, history = checked_state(state)
        if state.get("has_features") and features is None:
            raise ValueError(
                "this optimizer looked at features, which no state holds; give the same function: from_state(state, features=...)"
            )
        try:
            made = cls(**choices, features=features)
        except ValueError as error:
            raise ValueError(f"this state of an optimizer cannot be used: {error}") from error
        made.restore(**history)
        return made

    def restore(
        self,
        *,
        n_asked: int,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        pending: npt.ArrayLike,
        y_var: Sequence[float | None] | None = None,
        y_extra: npt.ArrayLike | None = None,
        spent: npt.ArrayLike = (),
        infeasible: npt.ArrayLike = (),
    ) -> None:
        """Take over a history: points asked so far, observations in the order of telling, what is pending, spent and infeasible."""
        self.n_asked = n_asked
        self._known.restore(x, y, y_var, y_extra, pending, spent, infeasible)
        self._learner.forget()

    @property
    def surrogate(self) -> Any:
        """The surrogate, fitted to all observations (and kept until the next), of the objective times `sign`.

        Raises:
            ValueError: nothing has been told yet.
        """
        if not len(self._known.x):
            raise ValueError("the surrogate knows nothing yet; tell observations first")
        return self._learned().surrogate

    @property
    def fallback(self) -> str:
        """Why another model than the chosen surrogate answered last, as a sentence (`dkl` falls back to `gp`); empty where none did."""
        return self._learner.fallback

    def _learned(self) -> Learned:
        return self._learner.learn(self._known, self.sign, self._box)

    def new_surrogate(self) -> Any:
        """Return a surrogate of the chosen kind that knows nothing yet."""
        name, parameters = self._surrogate_choice["name"], self._surrogate_choice["parameters"]
        given = (self._box, self.noise, self.features, len(self._known.x), needs_exact_gp(self._acquisition))
        return make_surrogate(name, parameters, dict(zip(GIVEN, given, strict=True)))

    @property
    def sign(self) -> float:
        """1 where the objective is maximized, -1 where it is minimized: surrogates and acquisition functions maximize."""
        return 1.0 if self.goal == "maximize" else -1.0

    def _design(self, n: int) -> FloatArray:
        """Return the next n points of the initial design: those with the numbers n_asked, n_asked + 1, ..."""
        if self._candidates is not None:
            free = self._free_candidates(n)
            order = generator(self.seed, "initial", self.n_asked).permutation(len(free))
            return np.asarray(self._candidates.rows[free[order[:n]]])
        return space_filling(self._domain(), self._known.taken, n, self.seed, self.n_asked)

    def _domain(self) -> Any:
        """Return what is searched where there are no fixed candidates."""
        from ..models.acquisition import Ball, Box

        return Ball(self._box) if self.region == "ball" else Box(self._box)

    def _propose(self, q: int) -> Any:
        from ..models.acquisition import Observed

        known = self._known
        domain = self._domain()
        if self._candidates is not None:
            domain = self._candidates.without(np.concatenate([known.spent, known.infeasible]))
        surrogate, values = None, np.clip(self.sign * known.y, -LARGEST, LARGEST)
        if self._acquisition.needs_surrogate:
            surrogate, values = self.surrogate, self._learned().values
            if len(known.infeasible):
                surrogate = surrogate.condition(known.infeasible, np.full(len(known.infeasible), values.min()))
        proposed = self._acquisition.propose(
            surrogate,
            domain,
            q,
            # A surrogate knows of those that gave nothing; without one, nothing else would keep them from being asked again.
            pending=known.pending if surrogate is not None else np.concatenate([known.pending, known.spent, known.infeasible]),
            observed=Observed(known.x, values),
            generator=generator(self.seed, "acquisition", self.n_asked),
        )
        # No rule forbids a point that gave nothing: where noise is large, the surrogate may still prefer it to all others.
        measured = np.concatenate([known.x, known.pending])
        require_proposal(self._acquisition_choice["name"], proposed, q, self._box, measured)
        return proposed

    def _free_candidates(self, n: int) -> npt.NDArray[np.int64]:
        """Return the rows of the candidates that were neither asked nor told nor discarded; at least n, or an error."""
        assert self._candidates is not None
        free = self._candidates.available(self._known.taken)
        if len(free) < n:
            raise CandidatesExhaustedError(
                f"{n} candidates asked for, {len(free)} of {len(self._candidates.rows)} are left; give more, or stop here"
            )
        return free
