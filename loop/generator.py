"""The optimizer behind the community's generator standard, so that Xopt, libEnsemble, optimas and others can drive it.

A VOCS names the variables (a box, or discrete values: then all of them, and every combination is a candidate), one objective to maximize
or minimize, constraints, constants and observables. A point that breaks a constraint is taken as one that gave nothing: the optimizer
looks elsewhere, and does not learn from its objective. The same holds for a point whose objective is missing or not finite.

>>> from gest_api.vocs import VOCS
>>> generator = LatentloopGenerator(VOCS(variables={"x": [0.0, 1.0]}, objectives={"f": "MINIMIZE"}))
>>> points = generator.suggest(2)
>>> generator.ingest([{**point, "f": point["x"] ** 2} for point in points])

Source: the standard is github.com/campa-consortium/gest-api.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from gest_api.generator import Generator
from gest_api.vocs import VOCS, ContextualVariable, ContinuousVariable, DiscreteVariable, MaximizeObjective, MinimizeObjective

from .errors import CandidatesExhaustedError
from .optimizer import Optimizer
from .optimizer_state import NamedChoice
from .records import FloatArray

_MOST_COMBINATIONS = 100_000
"""Combinations of discrete values that the acquisition function can value one by one in reasonable time."""
_FLOATS = (None, float, "float", "float64", "f8", np.float64)


class LatentloopGenerator(Generator):  # type: ignore[misc]  # the standard carries no types
    """Suggests points and learns from results, with the optimizer's measured defaults.

    Suggested points carry an ``_id``; results that come back with it may lie elsewhere (an actuator's readback): what counts is where they
    were measured. Results without an ``_id`` may be of suggested points, which are known by their values, or of any others.

    Args:
        vocs: variables, objective, constraints, constants and observables.
        surrogate, acquisition, n_initial, seed, noise: as for `Optimizer`; earlier results count towards ``n_initial``.
        batch: points that `suggest` returns when it is not told how many.

    Raises:
        ValueError: a VOCS that cannot be served, with the reason.
    """

    returns_id = True

    def __init__(
        self,
        vocs: VOCS,
        *,
        surrogate: NamedChoice | None = None,
        acquisition: NamedChoice | None = None,
        n_initial: int | None = None,
        seed: int = 0,
        noise: float | None = None,
        batch: int = 1,
    ) -> None:
        super().__init__(vocs)
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.vocs = vocs
        self.batch = batch
        self._names = list(vocs.variables)
        (self._objective,) = vocs.objectives
        bounds, candidates = _domain(vocs)
        self.optimizer = Optimizer(
            bounds,
            surrogate=surrogate,
            acquisition=acquisition,
            n_initial=n_initial,
            candidates=candidates,
            seed=seed,
            noise=noise,
            goal="maximize" if isinstance(vocs.objectives[self._objective], MaximizeObjective) else "minimize",
        )
        """The optimizer underneath; `Optimizer.state` keeps what it has learned."""
        self._waiting: dict[int, FloatArray] = {}
        self._n_suggested = 0

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """Return the next points: every variable, every constant and an ``_id``.

        Raises:
            ValueError: fewer than 1 point asked for, or more combinations of discrete values than are left.
        """
        wanted = self.batch if num_points is None else num_points
        try:
            rows = self.optimizer.ask(wanted)
        except CandidatesExhaustedError as error:
            raise ValueError(str(error)) from error
        constants = {name: constant.value for name, constant in self.vocs.constants.items()}
        points = []
        for row in rows:
            self._waiting[self._n_suggested] = row
            points.append({**dict(zip(self._names, row.tolist(), strict=True)), **constants, "_id": self._n_suggested})
            self._n_suggested += 1
        return points

    def ingest(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Learn from results, each with the variables, the objective and the constraints; also of points never suggested.

        Raises:
            ValueError: a result without a variable, outside the variables' domain, with another constant or an unknown ``_id``. Nothing
                is learned from any of the results then.
        """
        rows = [self._row(result, index) for index, result in enumerate(results)]
        known = [self._known(result, index) for index, result in enumerate(results)]
        given = [number for number in known if number is not None]
        if len(set(given)) < len(given):
            raise ValueError("two results carry the same _id; ingest each result once")
        for row, number, result in zip(rows, known, results, strict=True):
            point = row[None]
            if number is None:
                number = next((key for key, waiting in self._waiting.items() if np.array_equal(waiting, row)), None)
            asked = None if number is None else self._waiting.pop(number)
            if asked is not None and not np.array_equal(asked, row):
                self.optimizer.move_pending(asked, row)
            value = _number(result.get(self._objective))
            if math.isfinite(value) and self._is_feasible(result):
                self.optimizer.tell(point, [value])
            else:
                self.optimizer.discard(point, infeasible=True)

    def finalize(self) -> None:
        """Give up what is still waited for; there are no processes, threads or files to close."""
        for row in self._waiting.values():
            self.optimizer.discard(row[None])
        self._waiting.clear()

    def _validate_vocs(self, vocs: VOCS) -> None:
        """Raise ValueError for what cannot be served, with the reason and the way out."""
        if not vocs.variables:
            raise ValueError("VOCS must define at least one variable.")
        if len(vocs.objectives) != 1:
            found = ", ".join(vocs.objectives) or "none"
            raise ValueError(
                f"VOCS must define at least one objective, and latentloop optimizes exactly one; given are: {found}. "
                "Make the others observables or constraints"
            )
        ((name, objective),) = vocs.objectives.items()
        if not isinstance(objective, MinimizeObjective | MaximizeObjective):
            raise ValueError(  # noqa: TRY004 - the standard says so
                f"objective {name!r} is a {type(objective).__name__}; latentloop takes MINIMIZE and MAXIMIZE. "
                "To explore, maximize it with acquisition='max_variance'"
            )
        for name, variable in vocs.variables.items():
            _require_served(name, variable)
        kinds = {isinstance(variable, DiscreteVariable) for variable in vocs.variables.values()}
        if len(kinds) > 1:
            raise ValueError("continuous and discrete variables together are not supported; give all of them ranges, or all values")
        if kinds == {True}:
            n = math.prod(len(variable.values) for variable in vocs.variables.values())
            if not 2 <= n <= _MOST_COMBINATIONS:
                raise ValueError(f"the discrete variables have {n:,} combinations; latentloop takes 2 to {_MOST_COMBINATIONS:,}")

    def _row(self, result: Mapping[str, Any], index: int) -> FloatArray:
        """Return the point of a result, checked; (d,)."""
        row = np.empty(len(self._names))
        for column, name in enumerate(self._names):
            row[column] = _number(result.get(name))
            if not math.isfinite(row[column]):
                raise ValueError(f"result {index}: variable {name!r} is {result.get(name)!r}; a finite number is needed")
            variable = self.vocs.variables[name]
            if isinstance(variable, DiscreteVariable):
                if row[column] not in {float(value) for value in variable.values}:
                    raise ValueError(f"result {index}: variable {name!r} is {row[column]:g}, which is none of its values")
            elif not variable.domain[0] <= row[column] <= variable.domain[1]:
                raise ValueError(
                    f"result {index}: variable {name!r} is {row[column]:g}, outside its domain {variable.domain}; "
                    "widen the domain, or leave the result out"
                )
        for name, constant in self.vocs.constants.items():
            if name in result and result[name] != constant.value:
                raise ValueError(
                    f"result {index}: constant {name!r} is {result[name]!r}, not {constant.value!r}; leave out what was measured elsewhere"
                )
        return row

    def _known(self, result: Mapping[str, Any], index: int) -> int | None:
        """Return the number of the suggestion that a result says it belongs to; None where it says nothing."""
        mark = _number(result.get("_id"))
        if math.isnan(mark):  # a table of results has one for every row, be it empty
            return None
        if mark not in self._waiting:
            raise ValueError(f"result {index}: _id {result['_id']!r} is not waited for; leave _id out for points from elsewhere")
        return int(mark)

    def _is_feasible(self, result: Mapping[str, Any]) -> bool:
        """Say whether a result keeps all constraints; one that is missing or not finite is broken."""
        for name, constraint in self.vocs.constraints.items():
            value = _number(result.get(name))
            if not (math.isfinite(value) and constraint.check(value)):
                return False
        return True


def _require_served(name: str, variable: Any) -> None:
    """Raise ValueError for a variable that cannot be optimized over."""
    if isinstance(variable, ContextualVariable):
        raise ValueError(  # noqa: TRY004 - the standard says so
            f"variable {name!r} is contextual; latentloop does not condition on what it cannot set. Make it an observable"
        )
    if not isinstance(variable, ContinuousVariable | DiscreteVariable):
        raise ValueError(  # noqa: TRY004 - the standard says so
            f"variable {name!r} is a {type(variable).__name__}; latentloop takes continuous and discrete ones"
        )
    if isinstance(variable, DiscreteVariable):
        for value in variable.values:
            if isinstance(value, bool | np.bool_) or not math.isfinite(_number(value)):
                raise ValueError(
                    f"variable {name!r} has the value {value!r}; latentloop only supports continuous variables and discrete numbers. "
                    "Number the choices in an order that means something"
                )
    elif variable.dtype not in _FLOATS:
        raise ValueError(f"variable {name!r} is continuous with dtype {variable.dtype!r}; give a discrete variable its values instead")
    elif not np.isfinite(variable.domain).all():
        raise ValueError(f"variable {name!r} has the domain {variable.domain}; it must be finite")


def _domain(vocs: VOCS) -> tuple[FloatArray, FloatArray | None]:
    """Return the box (d, 2), and the candidates (n, d) where the variables are discrete."""
    if not any(isinstance(variable, DiscreteVariable) for variable in vocs.variables.values()):
        return np.array([variable.domain for variable in vocs.variables.values()], dtype=np.float64), None
    # Sets have no order: sorted, so that the same VOCS gives the same suggestions in every process.
    values = [sorted({float(value) for value in variable.values}) for variable in vocs.variables.values()]
    bounds = np.array([[each[0], each[-1]] if len(each) > 1 else [each[0] - 0.5, each[0] + 0.5] for each in values])
    return bounds, np.array(list(product(*values)))


def _number(value: Any) -> float:
    """Return a number; NaN for what is missing or none."""
    try:
        return float(np.asarray(value, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        return math.nan
