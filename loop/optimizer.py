"""Ask and tell: Bayesian optimization in a box or over fixed candidates.

An initial quasi-random design (scrambled Sobol points), then the maximum of an acquisition function of the surrogate's posterior, with
the pending points (asked, not yet told) known to both. Everything that `ask` does follows from the observations in the order in which they
were told, the pending points and the number of points asked so far: no clock, no global random state, no warm start. (The Gaussian process
learns its hyperparameters from the first so many observations of a fixed schedule; a restarted one does so again.) That is why
`from_state` continues bit for bit on the same processor type, library versions and thread count.

>>> optimizer = Optimizer([[-1, 1], [-1, 1]])
>>> for _ in range(30):
...     z = optimizer.ask()
...     optimizer.tell(z, my_measurement(z[0]))
"""

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from .errors import CandidatesExhaustedError
from .records import FloatArray, Goal, Incumbent
from .registry import ACQUISITIONS, SURROGATES
from .seeding import generator

CandidatesExhausted = CandidatesExhaustedError
DEFAULT_SURROGATE = "gp"
DEFAULT_ACQUISITION = "portfolio"
_LARGEST = 1e130
"""Larger values are cut: their squares, which every model takes, would overflow."""
_OUTLYING = 100.0
"""Ranges of the middle eighty percent beyond which a value counts as an outlier; a true peak is rarely so high."""
_LIBRARIES = ("numpy", "scipy", "torch", "gpytorch", "botorch")

NamedChoice = str | Mapping[str, Any]


class Optimizer:
    """Proposes where to measure next.

    Args:
        bounds: the box, shape (d, 2) with rows [low, high].
        surrogate: name of a surrogate, or a mapping ``{"name": ..., "parameters": {...}}``; None for the default (``gp``).
        acquisition: name of an acquisition function, or such a mapping; None for the default (``portfolio``).
        n_initial: points of the initial design; observations told before count towards them. None for 2 (d + 1).
        candidates: fixed candidates, shape (n, d): then `ask` returns rows exactly equal to these, each at most once.
        seed: every random stream is derived from it.
        noise: variance of the objective's noise in its squared units; None to infer it.
        goal: ``maximize`` or ``minimize``.

    Raises:
        ValueError: bounds or candidates of a wrong shape, not finite or out of order.
        UnknownNameError: an unknown surrogate or acquisition function; the message lists the known ones.
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
    ) -> None:
        self.bounds = _checked_bounds(bounds)
        self.n_dimensions = len(self.bounds)
        self.candidates = None if candidates is None else _checked_candidates(candidates, self.n_dimensions)
        if goal not in ("maximize", "minimize"):
            raise ValueError(f"goal must be 'maximize' or 'minimize', not {goal!r}")
        if n_initial is not None and n_initial < 1:
            raise ValueError(f"n_initial must be at least 1, not {n_initial}")
        self.goal: Goal = goal
        self.seed = seed
        self.noise = noise
        self.n_initial = 2 * (self.n_dimensions + 1) if n_initial is None else n_initial
        self._surrogate_choice = _choice(surrogate, DEFAULT_SURROGATE)
        self._acquisition_choice = _choice(acquisition, DEFAULT_ACQUISITION)
        SURROGATES.check(self._surrogate_choice["name"])
        self._acquisition = ACQUISITIONS.create(self._acquisition_choice["name"], self._acquisition_choice["parameters"])
        self._x = np.empty((0, self.n_dimensions))
        self._y = np.empty(0)
        self._y_var = np.empty(0)
        self._pending = np.empty((0, self.n_dimensions))
        self._spent = np.empty((0, self.n_dimensions))
        self._infeasible = np.empty((0, self.n_dimensions))
        self.n_asked = 0
        self.last_origins: list[str] = []
        self.last_values = np.empty(0)
        self._fitted: tuple[int, Any] | None = None
        if self.noise is not None and not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"noise must be a variance of at least 0, not {noise!r}")

    @property
    def pending(self) -> FloatArray:
        """Points asked and neither told nor discarded, shape (p, d)."""
        return self._pending.copy()

    @property
    def observations(self) -> tuple[FloatArray, FloatArray]:
        """Points and values told so far, shapes (n, d) and (n,), in the order in which they were told."""
        return self._x.copy(), self._y.copy()

    @property
    def incumbent(self) -> Incumbent | None:
        """The best observation so far; its ``trial`` is its position in the order of telling. None before the first."""
        if not len(self._y):
            return None
        best = int(np.argmax(self._sign * self._y))
        return Incumbent(trial=best, z=self._x[best].copy(), objective=float(self._y[best]))

    def ask(self, q: int = 1) -> FloatArray:
        """Return the next q points, shape (q, d) float64; they stay pending until told or discarded.

        `last_origins` (``initial`` or the acquisition function's name) and `last_values` (its values, NaN where it has none) say afterwards
        where each of them came from.

        Raises:
            CandidatesExhausted: fewer than q fixed candidates are left.
        """
        if q < 1:
            raise ValueError(f"ask(q): q must be at least 1, not {q}")
        if self.candidates is not None:
            self._free_candidates(q)  # complains before anything changes
        n_left_of_design = max(0, self.n_initial - len(self._x) - len(self._pending))
        n_design = q if not len(self._x) else min(q, n_left_of_design)
        points, values = np.empty((0, self.n_dimensions)), np.empty(0)
        if n_design:
            points, values = self._design(n_design), np.full(n_design, math.nan)
            self._pending = np.concatenate([self._pending, points])
        if n_design < q:
            proposed = self._propose(q - n_design)
            points = np.concatenate([points, proposed.points])
            values = np.concatenate([values, proposed.values])
            self._pending = np.concatenate([self._pending, proposed.points])
        self.n_asked += q
        self.last_origins = ["initial"] * n_design + [self._acquisition_choice["name"]] * (q - n_design)
        self.last_values = values
        return points

    def tell(self, X: npt.ArrayLike, y: npt.ArrayLike, y_var: npt.ArrayLike | None = None) -> None:
        """Add observations; points need not have been asked for.

        Args:
            X: points, shape (q, d) (or (d,) for one).
            y: values, shape (q,) or (q, 1).
            y_var: variances of the values, same shape as y.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, points outside the box. Nothing is added then.
        """
        x = self._checked_points(X)
        values = _column(y, len(x), "y")
        variances = np.full(len(x), math.nan) if y_var is None else _column(y_var, len(x), "y_var")
        if y_var is not None and (variances < 0).any():
            raise ValueError("y_var must hold variances, which are not negative")
        self._x = np.concatenate([self._x, x])
        self._y = np.concatenate([self._y, values])
        self._y_var = np.concatenate([self._y_var, variances])
        self._forget_pending(x)

    def discard(self, X: npt.ArrayLike, infeasible: bool = False) -> None:
        """Free pending points that will not be told: failed, vetoed, refused.

        Args:
            X: the points, shape (q, d).
            infeasible: the points give nothing and must not be asked again: the acquisition function sees the worst value observed there,
                the incumbent and `posterior` do not. Fixed candidates are never asked again either way.
        """
        x = self._checked_points(X)
        self._forget_pending(x)
        if infeasible:
            self._infeasible = np.concatenate([self._infeasible, x])
        elif self.candidates is not None:
            self._spent = np.concatenate([self._spent, x])

    def move_pending(self, old: npt.ArrayLike, new: npt.ArrayLike) -> None:
        """Put the pending point ``new`` (d,) in the place of ``old`` (d,): what is measured there is not quite what was asked for.

        Raises:
            ValueError: ``old`` is not pending, or ``new`` lies outside the box. Nothing is changed then.
        """
        (before,), (after,) = self._checked_points(old), self._checked_points(new)
        rows = np.flatnonzero((self._pending == before).all(axis=1))
        if not len(rows):
            raise ValueError(f"point {before.tolist()} is not pending; ask for it first")
        self._pending[rows[0]] = after

    def posterior(self, X: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the surrogate's mean and variance of the objective at points X (n, d), each of shape (n,).

        Raises:
            ValueError: nothing has been told yet.
        """
        if not len(self._x):
            raise ValueError("the surrogate knows nothing yet; tell observations first")
        posterior = self._surrogate().posterior(np.atleast_2d(np.asarray(X, dtype=np.float64)))
        return self._sign * posterior.mean, posterior.variance

    def state(self) -> dict[str, Any]:
        """Return everything needed to continue, as JSON-able values; `from_state` reads it."""
        return {
            "bounds": self.bounds.tolist(),
            "surrogate": self._surrogate_choice,
            "acquisition": self._acquisition_choice,
            "n_initial": self.n_initial,
            "candidates": None if self.candidates is None else self.candidates.tolist(),
            "seed": self.seed,
            "noise": self.noise,
            "goal": self.goal,
            "n_asked": self.n_asked,
            "x": self._x.tolist(),
            "y": self._y.tolist(),
            "y_var": [None if math.isnan(value) else value for value in self._y_var.tolist()],
            "pending": self._pending.tolist(),
            "spent": self._spent.tolist(),
            "infeasible": self._infeasible.tolist(),
            "environment": environment(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Optimizer":
        """Return an optimizer that goes on where `state` was taken."""
        made = cls(
            state["bounds"],
            surrogate=state["surrogate"],
            acquisition=state["acquisition"],
            n_initial=state["n_initial"],
            candidates=state["candidates"],
            seed=state["seed"],
            noise=state["noise"],
            goal=state["goal"],
        )
        made.restore(**{name: state[name] for name in ("n_asked", "x", "y", "pending", "y_var", "spent", "infeasible")})
        return made

    def restore(
        self,
        *,
        n_asked: int,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        pending: npt.ArrayLike,
        y_var: list[float | None] | None = None,
        spent: npt.ArrayLike = (),
        infeasible: npt.ArrayLike = (),
    ) -> None:
        """Take over a history: points asked so far, observations in the order of telling, what is pending, spent and infeasible."""
        shape = (-1, self.n_dimensions)
        self.n_asked = n_asked
        self._x = np.asarray(x, dtype=np.float64).reshape(shape)
        self._y = np.asarray(y, dtype=np.float64).reshape(-1)
        variances = [None] * len(self._y) if y_var is None else y_var
        self._y_var = np.array([math.nan if value is None else value for value in variances], dtype=np.float64)
        self._pending = np.asarray(pending, dtype=np.float64).reshape(shape)
        self._spent = np.asarray(spent, dtype=np.float64).reshape(shape)
        self._infeasible = np.asarray(infeasible, dtype=np.float64).reshape(shape)
        self._fitted = None

    @property
    def _sign(self) -> float:
        return 1.0 if self.goal == "maximize" else -1.0

    def _design(self, n: int) -> FloatArray:
        """Return the next n points of the initial design: those with the numbers n_asked, n_asked + 1, ..."""
        if self.candidates is not None:
            free = self._free_candidates(n)
            order = generator(self.seed, "initial", self.n_asked).permutation(len(free))
            return self.candidates[free[order[:n]]]
        sobol = qmc.Sobol(self.n_dimensions, scramble=True, rng=generator(self.seed, "initial"))
        if self.n_asked:
            sobol.fast_forward(self.n_asked)
        # Drawn one by one: SciPy warns about a first draw whose length is not a power of two, which does not matter for a design.
        unit = np.concatenate([sobol.random(1) for _ in range(n)])
        low, high = self.bounds.T
        return np.asarray(low + (high - low) * unit, dtype=np.float64)

    def _propose(self, q: int) -> Any:
        from ..models.acquisition import Box, CandidateSet, Observed

        domain: Any = Box(self.bounds)
        if self.candidates is not None:
            free = self._free_candidates(q)
            excluded = np.ones(len(self.candidates), dtype=bool)
            excluded[free] = False
            domain = CandidateSet(self.candidates, excluded)
        surrogate = self._surrogate() if self._acquisition.needs_surrogate else None
        if surrogate is not None and len(self._infeasible):
            surrogate = surrogate.condition(self._infeasible, np.full(len(self._infeasible), (self._sign * self._y).min()))
        return self._acquisition.propose(
            surrogate,
            domain,
            q,
            pending=self._pending,
            observed=Observed(self._x, np.clip(self._sign * self._y, -_LARGEST, _LARGEST)),
            generator=generator(self.seed, "acquisition", self.n_asked),
        )

    def _surrogate(self) -> Any:
        """Return the surrogate fitted to all observations (and keep it until the next)."""
        if self._fitted is None or self._fitted[0] != len(self._x):
            choice = self._surrogate_choice
            # Learning is a pure function of the observations; the old object only saves itself work that it has done before.
            surrogate = (
                self._fitted[1]
                if self._fitted
                else SURROGATES.create(choice["name"], choice["parameters"], bounds=self.bounds, noise=self.noise)
            )
            known = np.isfinite(self._y_var)
            surrogate.fit(self._x, tamed(self._sign * self._y), self._y_var if len(known) and known.all() else None)
            self._fitted = (len(self._x), surrogate)
        return self._fitted[1]

    def _free_candidates(self, n: int) -> npt.NDArray[np.int64]:
        """Return the rows of the candidates that were neither asked nor told nor discarded; at least n, or an error."""
        assert self.candidates is not None
        taken = {row.tobytes() for part in (self._x, self._pending, self._spent, self._infeasible) for row in part}
        free = np.array([index for index, row in enumerate(self.candidates) if row.tobytes() not in taken], dtype=np.int64)
        if len(free) < n:
            raise CandidatesExhaustedError(
                f"{n} candidates asked for, {len(free)} of {len(self.candidates)} are left; give more, or stop here"
            )
        return free

    def _checked_points(self, X: npt.ArrayLike) -> FloatArray:
        x = np.atleast_2d(np.asarray(X, dtype=np.float64)) + 0.0
        if x.ndim != 2 or x.shape[1] != self.n_dimensions:
            raise ValueError(f"points must have shape (q, {self.n_dimensions}), not {np.shape(X)}")
        if not np.isfinite(x).all():
            raise ValueError("points must be finite")
        low, high = self.bounds.T
        slack = 1e-9 * (high - low)
        outside = ((x < low - slack) | (x > high + slack)).any(axis=1)
        if outside.any():
            raise ValueError(
                f"point {x[outside][0].tolist()} lies outside the box {self.bounds.tolist()}; widen the bounds, or leave it out"
            )
        return x

    def _forget_pending(self, x: FloatArray) -> None:
        """Take each of the points out of the pending ones, once."""
        told = [row.tobytes() for row in x]
        kept = []
        for row in self._pending:
            key = row.tobytes()
            if key in told:
                told.remove(key)
            else:
                kept.append(row)
        self._pending = np.array(kept).reshape(-1, self.n_dimensions)


def tamed(values: FloatArray) -> FloatArray:
    """Return values (n,) with outliers drawn in, so that one wild reading does not hide all others from the surrogate.

    What lies further from the median than a hundred times the range of the middle eighty percent grows only logarithmically beyond that;
    the order of the values stays, and usual ones do not change.
    """
    y = np.clip(values, -_LARGEST, _LARGEST)
    low, middle, high = np.quantile(y, [0.1, 0.5, 0.9])
    spread = float(high - low)
    if spread <= 0.0:
        apart = np.abs(y - middle)
        spread = float(apart[apart > 0].min()) if (apart > 0).any() else 0.0
    limit = _OUTLYING * spread
    excess = np.abs(y - middle) - limit
    if spread <= 0.0 or not (excess > 0).any():
        return y
    drawn_in = limit + spread * np.log1p(np.maximum(excess, 0.0) / spread)
    return np.where(excess > 0, middle + np.sign(y - middle) * drawn_in, y)


def environment() -> dict[str, str]:
    """Return the processor and library versions that bit-identical proposals depend on."""
    return {"machine": platform.machine(), "python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def _choice(choice: NamedChoice | None, default: str) -> dict[str, Any]:
    if choice is None or isinstance(choice, str):
        return {"name": choice or default, "parameters": {}}
    return {"name": choice["name"], "parameters": dict(choice.get("parameters", {}))}


def _checked_bounds(bounds: npt.ArrayLike) -> FloatArray:
    box = np.asarray(bounds, dtype=np.float64)
    if box.ndim != 2 or box.shape[1] != 2 or not len(box):
        raise ValueError(f"bounds must have shape (d, 2) with rows [low, high], not {box.shape}")
    if not np.isfinite(box).all() or (box[:, 0] >= box[:, 1]).any():
        raise ValueError(f"bounds must be finite with low < high in every row, not {box.tolist()}")
    return box


def _checked_candidates(candidates: npt.ArrayLike, n_dimensions: int) -> FloatArray:
    rows = np.ascontiguousarray(np.asarray(candidates, dtype=np.float64)) + 0.0
    if rows.ndim != 2 or rows.shape[1] != n_dimensions or not np.isfinite(rows).all():
        raise ValueError(f"candidates must be finite with shape (n, {n_dimensions}), not {rows.shape}")
    return rows


def _column(values: npt.ArrayLike, n: int, name: str) -> FloatArray:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    column = np.atleast_1d(column)
    if column.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},) or ({n}, 1) to match the points, not {np.shape(values)}")
    if not np.isfinite(column).all():
        raise ValueError(f"{name} must be finite; discard the points of readings that are not")
    return column
