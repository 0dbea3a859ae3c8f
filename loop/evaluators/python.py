"""Any Python function as an evaluator: ``module:attribute``.

The function takes a trajectory (T,) or (T, channels) and returns a number, or a mapping of names to numbers and arrays::

    def measure(trajectory):
        return {"charge": charge, "image": image}   # numbers become metrics, arrays are stored with the trial

The module is looked up on Python's path and in the current folder.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EvaluatorError
from ..records import EvaluatorKind, FloatArray, Measurement, as_array, as_number

BARE_METRIC = "objective"


class PythonEvaluator:
    """Calls a function of a trajectory.

    Args:
        target: ``module:attribute``; an attribute of an attribute is reached with dots.
        kind: ``pure`` when the function may be called again at will, ``physical`` when a call moves something real.
    """

    def __init__(self, target: str, kind: EvaluatorKind = "pure") -> None:
        module, _, attribute = target.partition(":")
        if not module or not attribute:
            raise ValueError(f"target must read module:attribute, not {target!r}")
        self.target = target
        self._kind: EvaluatorKind = kind
        self._function: Callable[[FloatArray], Any] | None = None

    @property
    def kind(self) -> EvaluatorKind:
        """``pure`` or ``physical``, as configured."""
        return self._kind

    def prepare(self) -> None:
        """Import the function.

        Raises:
            EvaluatorError: the module or the attribute is not there, or is not callable.
        """
        module, _, attribute = self.target.partition(":")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            found: Any = import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
        except Exception as error:
            raise EvaluatorError(f"evaluator {self.target}: {type(error).__name__}: {error}") from error
        if not callable(found):
            raise EvaluatorError(f"evaluator {self.target} is a {type(found).__name__}; it must be a function of a trajectory")
        self._function = found

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Call the function.

        Raises:
            TypeError: it returned something that is neither a number nor a mapping of numbers and arrays.
        """
        if self._function is None:
            self.prepare()
        assert self._function is not None
        return measurement_from(self._function(trajectory), self.target)

    def close(self) -> None:
        """Forget the function."""
        self._function = None


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
