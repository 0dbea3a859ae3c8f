"""What every evaluator promises, as checks that anyone can run: `latentloop check-evaluator`, or `check_evaluator` in a test of one's own.

A physical evaluator is asked to measure exactly once, with the trajectory given; a pure one several times, also with trajectories that it
ought to refuse.

>>> from latentloop.loop.evaluators.contract import check_evaluator
>>> assert all(check.is_good for check in check_evaluator(MyEvaluator, trajectory))
"""

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..protocols import Evaluator, JobEvaluator, SignalEvaluator, StoppableEvaluator
from ..records import FloatArray, Job, Measurement, Signal, as_array, as_number, require_free_name, require_storable

_KINDS = ("pure", "physical")
_TOLERANCE = 1e-9
"""Relative difference that a pure evaluator may show between two runs: sums in another order, no more."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it is kept."""

    name: str
    is_good: bool
    detail: str = ""
    is_skipped: bool = False
    """True where there was nothing to check, or where checking would have fired an instrument once more."""


def check_evaluator(make: Callable[[], Evaluator], trajectory: FloatArray, signal: Signal | None = None) -> list[Check]:
    """Run the contract suite.

    Args:
        make: makes the evaluator; called once. A class, a function, or the `make` of an `EvaluatorSpec`.
        trajectory: one that the evaluator can measure, shape (T,) or (T, channels).
        signal: what its numbers mean, for evaluators that want to know.

    Returns:
        The checks in the order in which they ran. After one without which nothing works the rest is left out.
    """
    suite = _Suite(make, np.array(trajectory, dtype=np.float64), signal)
    suite.run()
    return suite.checks


class _Suite:
    def __init__(self, make: Callable[[], Evaluator], trajectory: FloatArray, signal: Signal | None) -> None:
        self.make = make
        self.trajectory = trajectory
        self.signal = signal
        self.checks: list[Check] = []

    def run(self) -> None:
        self._try("what makes it can be sent to a worker (pickled)", self._pickle)
        evaluator = self._made()
        if evaluator is None:
            return
        try:
            if not self._try("prepare sets it up", evaluator.prepare):
                return
            measured = self._measured(evaluator)
            if measured is not None:
                self._judge(measured)
                self._announced(evaluator, measured)
                self._repeat(evaluator, measured)
            self._refuse(evaluator)
            self._stop(evaluator)
        finally:
            self._try("close may be called twice", lambda: _twice(evaluator.close))
        self._reopen(evaluator)

    def _pickle(self) -> str:
        try:
            size = len(pickle.dumps(self.make))
        except Exception as error:
            raise TypeError(
                f"{type(error).__name__}: {error}; name it by module and attribute, or define it at a module's level"
            ) from error
        return f"{size} bytes"

    def _made(self) -> Evaluator | None:
        made: list[Any] = []
        if not self._try("the constructor makes it", lambda: made.append(self.make())):
            return None
        evaluator = made[0]
        lacking = [name for name in ("prepare", "measure", "close") if not callable(getattr(evaluator, name, None))]
        self._add("it has prepare, measure and close", not lacking, f"missing: {', '.join(lacking)}" if lacking else "")
        kind = getattr(evaluator, "kind", None)
        self._add("kind is pure or physical", kind in _KINDS, f"{kind!r}")
        if lacking or kind not in _KINDS:
            return None
        if isinstance(evaluator, SignalEvaluator) and self.signal is not None:
            signal = self.signal
            if not self._try("it accepts the signal's times, units and channels", lambda: evaluator.accept_signal(signal)):
                return None
        assert isinstance(evaluator, Evaluator)
        return evaluator

    def _measured(self, evaluator: Evaluator) -> Measurement | None:
        """Measure once, and check what comes back."""
        given = self.trajectory.copy()
        start = perf_counter()
        try:
            found = _measure(evaluator, given)
        except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
            self._add("measure returns a Measurement", False, f"{type(error).__name__}: {error}")
            return None
        seconds = perf_counter() - start
        is_one = isinstance(found, Measurement)
        self._add("measure returns a Measurement", is_one, f"{seconds * 1e3:.3g} ms" if is_one else f"it returned a {type(found).__name__}")
        self._add("it leaves the trajectory as it was", np.array_equal(given, self.trajectory), "")
        return found if is_one else None

    def _judge(self, found: Measurement) -> None:
        """Check names, types and values of a measurement."""

        def names() -> str:
            for name in found.metrics:
                require_storable(name)
            for name in found.arrays:
                require_free_name(name)
            unknown = set(found.errors) - set(found.metrics)
            if unknown:
                raise ValueError(f"standard errors without a metric: {', '.join(sorted(unknown))}")
            if not found.metrics:
                raise ValueError("there is no metric")
            return ", ".join([*found.metrics, *found.arrays])

        def values() -> str:
            numbers = {name: as_number(value, f"metric {name!r}") for name, value in found.metrics.items()}
            numbers.update({f"error of {name}": as_number(value, f"error {name!r}") for name, value in found.errors.items()})
            arrays = {name: as_array(value, f"array {name!r}") for name, value in found.arrays.items()}
            bad = [name for name, value in numbers.items() if not math.isfinite(value)]
            bad += [name for name, value in arrays.items() if not np.isfinite(value).all()]
            if bad:
                raise ValueError(f"not finite: {', '.join(bad)}")
            shapes = [f"{name} {np.shape(value)}" for name, value in arrays.items()]
            return ", ".join([*(f"{name} {value:.6g}" for name, value in numbers.items()), *shapes])

        self._try("its names can stand in a store", names)
        self._try("its numbers and arrays are finite", values)

    def _announced(self, evaluator: Evaluator, found: Measurement) -> None:
        """Check that it measures what it says beforehand."""
        announced = getattr(evaluator, "metrics", None)
        name = "it measures what it says beforehand"
        if announced is None:
            self._skip(name, "it has no `metrics` that a campaign could be checked against before it begins")
            return
        missing = [str(metric) for metric in announced if metric not in found.metrics]
        self._add(name, not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(map(str, announced)))

    def _repeat(self, evaluator: Evaluator, first: Measurement) -> None:
        name = "a pure evaluator gives the same twice"
        if evaluator.kind == "physical":
            self._skip(name, "physical: it is fired once only")
            return

        def again() -> str:
            second = _measure(evaluator, self.trajectory.copy())
            for what, one, other in (("metrics", first.metrics, second.metrics), ("arrays", first.arrays, second.arrays)):
                _require_same(what, one, other)
            return ""

        self._try(name, again)

    def _refuse(self, evaluator: Evaluator) -> None:
        """Check that a bad trajectory is an error, or a reading that can be told apart, and does no harm to the next."""
        name = "a bad trajectory is an error, or a reading that is not finite"
        if evaluator.kind == "physical":
            self._skip(name, "physical: no bad trajectory is sent")
            return
        bad = self.trajectory.copy()
        bad[len(bad) // 2] = np.nan
        detail = ""
        is_good = True
        try:
            found = _measure(evaluator, bad)
            numbers = [float(value) for value in found.metrics.values()]
            is_good = any(not math.isfinite(value) for value in numbers)
            detail = "it returned a reading that is not finite" if is_good else f"it made {numbers} of a NaN"
        except Exception as error:  # noqa: BLE001 - that is what is asked for
            detail = f"{type(error).__name__}: {error}"
        self._add(name, is_good, detail)

        def next_one() -> str:
            _measure(evaluator, self.trajectory.copy())
            return ""

        self._try("it measures again after an error", next_one)

    def _stop(self, evaluator: Evaluator) -> None:
        name = "stop may be called at any time, twice"
        if isinstance(evaluator, StoppableEvaluator):
            self._try(name, lambda: _twice(evaluator.stop))
        elif evaluator.kind == "physical":
            self._skip(name, "it has no stop; an instrument that can be brought to rest should have one")
        else:
            self._skip(name, "it has no stop, and is pure")

    def _reopen(self, evaluator: Evaluator) -> None:
        def reopen() -> str:
            evaluator.prepare()
            evaluator.close()
            return ""

        self._try("prepare works again after close", reopen)

    def _try(self, name: str, action: Callable[[], Any]) -> bool:
        start = perf_counter()
        try:
            detail = action()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises is the finding
            self._add(name, False, f"{type(error).__name__}: {error}")
            return False
        self._add(name, True, detail if isinstance(detail, str) and detail else f"{(perf_counter() - start) * 1e3:.3g} ms")
        return True

    def _add(self, name: str, is_good: bool, detail: str) -> None:
        self.checks.append(Check(name, is_good, detail))

    def _skip(self, name: str, why: str) -> None:
        self.checks.append(Check(name, True, why, is_skipped=True))


def _measure(evaluator: Evaluator, trajectory: FloatArray) -> Any:
    if isinstance(evaluator, JobEvaluator):
        return evaluator.measure_job(Job(0, trajectory, key="contract-0"))
    return evaluator.measure(trajectory)


def _twice(action: Callable[[], None]) -> None:
    action()
    action()


def _require_same(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    if set(one) != set(other):
        raise ValueError(f"{what} {sorted(one)} the first time, {sorted(other)} the second")
    for name in one:
        first, second = np.asarray(one[name], dtype=np.float64), np.asarray(other[name], dtype=np.float64)
        if first.shape != second.shape:
            raise ValueError(f"{name} has shape {first.shape} the first time, {second.shape} the second")
        if not np.allclose(first, second, rtol=_TOLERANCE, atol=0.0, equal_nan=True):
            raise ValueError(f"{name} differs by {np.max(np.abs(first - second)):.3g} between two runs; say kind physical, or seed it")


def trajectory_for_check(n_steps: int, n_channels: int) -> FloatArray:
    """Return a gentle trajectory, from zero to zero within [-0.1, 0.1], shape (T,) or (T, channels).

    Raises:
        ConfigError: fewer than 2 steps, or no channel.
    """
    if n_steps < 2 or n_channels < 1:
        raise ConfigError(f"{n_steps} steps of {n_channels} channels are no trajectory; give at least 2 steps and 1 channel")
    wave = 0.1 * np.sin(2.0 * np.pi * np.arange(n_steps) / (n_steps - 1))
    wave[-1] = 0.0
    return wave if n_channels == 1 else np.tile(wave[:, np.newaxis], (1, n_channels))
