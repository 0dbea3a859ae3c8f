"""Any Python function or class as an evaluator: ``module:attribute``, or the name of an entry point.

A function takes a trajectory (T,) or (T, channels) and returns a number, or a mapping of names to numbers and arrays::

    def measure(trajectory):
        return {"charge": charge, "image": image}   # numbers become metrics, arrays are stored with the trial

A class has `measure`, and what it needs of `kind`, `wants` (see `declaration`), `prepare`, `stop`, `close`, `accept_signal` and
`measure_job` (see the protocols); it is made with ``arguments``. The module is looked up on Python's path and in the current folder; a
name without a colon is that of an entry point in the group ``latentloop.evaluators``.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EvaluatorError
from ..records import BARE_METRIC, EvaluatorKind, FloatArray, Job, Measurement, Signal, as_array, as_number
from .declaration import require_wanted

_GROUP = "latentloop.evaluators"


class PythonEvaluator:
    """Calls a function of a trajectory, or an object's `measure`.

    Args:
        target: ``module:attribute`` (an attribute of an attribute is reached with dots), or the name of an entry point.
        kind: ``pure`` when it may be called again at will, ``physical`` when a call moves something real; None for what a class says of
            itself, and ``pure`` for a function.
        arguments: keyword arguments that a class is made with.
    """

    def __init__(self, target: str, kind: EvaluatorKind | None = None, arguments: dict[str, Any] | None = None) -> None:
        module, colon, attribute = target.partition(":")
        if not module or (colon and not attribute):
            raise ValueError(f"target must read module:attribute, or be the name of an entry point, not {target!r}")
        if not colon and not any(entry.name == target for entry in entry_points(group=_GROUP)):
            raise ValueError(f"target must read module:attribute, and there is no entry point {target!r} in {_GROUP} either")
        self.target = target
        self._kind: EvaluatorKind | None = kind
        self._is_configured = kind is not None
        self._arguments = dict(arguments or {})
        self._signal: Signal | None = None
        self._object: Any = None
        self._function: Callable[[FloatArray], Any] | None = None

    @property
    def kind(self) -> EvaluatorKind:
        """``pure`` or ``physical``, as configured, or as a class says of itself.

        Raises:
            EvaluatorError: it is not configured, and the target cannot be imported to ask it.
        """
        if self._kind is None:
            found = self._found()
            said: Any = getattr(found, "kind", None)
            if isinstance(said, property) or (said is None and inspect.isclass(found)):  # an object may know what its class does not
                said = getattr(self._made(), "kind", None)
            said = "pure" if said is None else said
            if said not in ("pure", "physical"):
                raise EvaluatorError(f"evaluator {self.target} says its kind is {said!r}; it must be 'pure' or 'physical'")
            self._kind = "physical" if said == "physical" else "pure"
        return self._kind

    @property
    def says_kind(self) -> bool:
        """Whether the configuration or the target says if it is pure or physical; a plain function does not, and counts as pure."""
        found = self._found()
        if self._is_configured or getattr(found, "kind", None) is not None:
            return True
        return inspect.isclass(found) and getattr(self._made(), "kind", None) is not None  # an object may know what its class does not

    @property
    def is_concurrent(self) -> bool:
        """Whether several trajectories may be measured at once, as a class says of itself."""
        return bool(getattr(self._found(), "is_concurrent", False))

    def accept_signal(self, signal: Signal) -> None:
        """Hand on what the trajectories' numbers mean.

        Raises:
            ConfigError: the target says in ``wants`` that it wants others.
        """
        self._signal = signal
        with suppress(EvaluatorError):  # where the module lies on the workers alone, `prepare` asks there
            self._require_wanted(self._found())

    def prepare(self) -> None:
        """Import the function; make and prepare the object.

        Raises:
            EvaluatorError: the module or the attribute is not there, or is neither callable nor has `measure`.
        """
        found = self._found()
        if not inspect.isclass(found) and callable(found):
            if self._arguments:
                raise EvaluatorError(f"evaluator {self.target} is a function; `arguments` are for a class")
            self._function = found
            return
        made = self._made() if inspect.isclass(found) else found
        self._require_wanted(made)
        if not callable(getattr(made, "measure", None)):
            raise EvaluatorError(
                f"evaluator {self.target} is a {type(made).__name__}; it must be a function of a trajectory, or have `measure`"
            )
        if self._signal is not None and callable(getattr(made, "accept_signal", None)):
            made.accept_signal(self._signal)
        if callable(getattr(made, "prepare", None)):
            made.prepare()
        self._object, self._function = made, made.measure

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Call the function or the object.

        Raises:
            TypeError: it returned something that is neither a number nor a mapping of numbers and arrays.
        """
        return self.measure_job(Job(0, trajectory))

    def measure_job(self, job: Job) -> Measurement:
        """Call the function or the object; one that has `measure_job` itself is told the trial too."""
        if self._function is None:
            self.prepare()
        assert self._function is not None
        own = getattr(self._object, "measure_job", None)
        return measurement_from(own(job) if callable(own) else self._function(job.trajectory), self.target)

    def stop(self) -> None:
        """Stop the object, where it can be stopped."""
        if callable(getattr(self._object, "stop", None)):
            self._object.stop()

    def close(self) -> None:
        """Close the object, and forget it."""
        made, self._object, self._function = self._object, None, None
        if callable(getattr(made, "close", None)):
            made.close()

    def _require_wanted(self, found: Any) -> None:
        """Raise ConfigError where the campaign's trajectories are not what the target says in ``wants``."""
        wants = getattr(found, "wants", None)
        if self._signal is not None and wants is not None and not isinstance(wants, property):
            require_wanted(wants, self._signal, f"evaluator {self.target}")

    def _found(self) -> Any:
        """Return what the target names."""
        return found_target(self.target)

    def _made(self) -> Any:
        """Return an object of the class that the target names."""
        try:
            return self._found()(**self._arguments)
        except EvaluatorError:
            raise
        except Exception as error:
            raise EvaluatorError(f"evaluator {self.target} cannot be made: {type(error).__name__}: {error}") from error


def found_target(target: str) -> Any:
    """Return what ``module:attribute``, or the name of an entry point, names.

    Raises:
        EvaluatorError: it cannot be imported, or is not there.
    """
    module, colon, attribute = target.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if not colon:
            return next(entry for entry in entry_points(group=_GROUP) if entry.name == module).load()
        found: Any = import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:
        hint = f"; looked on Python's path and in {Path.cwd()}" if isinstance(error, ModuleNotFoundError) else ""
        raise EvaluatorError(f"evaluator {target}: {type(error).__name__}: {error}{hint}") from error
    return found


def measurement_from(value: Any, source: str) -> Measurement:
    """Return what a user's function returned as a measurement.

    Args:
        value: a number, or a mapping of names to numbers and arrays.
        source: named in errors.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, Measurement):
        return value
    if not isinstance(value, Mapping):
        return Measurement(metrics={BARE_METRIC: as_number(value, source)})
    metrics: dict[str, float] = {}
    arrays: dict[str, FloatArray] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise TypeError(f"{source} returned a mapping with the key {name!r}; keys must be names")
        if np.ndim(item) == 0:
            metrics[name] = as_number(item, f"{source}, metric {name!r},")
        else:
            arrays[name] = as_array(item, f"{source}, array {name!r},")
    return Measurement(metrics=metrics, arrays=arrays)
