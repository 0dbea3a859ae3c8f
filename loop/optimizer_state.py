"""What an optimizer is made of, checked: arguments of any number type made plain, and the state that a restart begins with.

A state may have been edited by hand, cut short, or written by something else. An error says which entry is wrong, what it is, and what it
should be; nothing is guessed.
"""

import math
import operator
from collections.abc import Mapping
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from .observations import checked_box
from .records import FloatArray

NamedChoice = str | Mapping[str, Any]

_CHOICES = ("bounds", "surrogate", "acquisition", "n_initial", "candidates", "seed", "noise", "goal", "region")
_POINTS = ("x", "pending", "spent", "infeasible")
_HISTORY = ("n_asked", "x", "y", "y_var", "y_extra", "pending", "spent", "infeasible")
_OPTIONAL = ("environment", "y_extra", "has_features")
"""What a state may lack: nothing follows from the first, and states from before there were the others have none."""


def checked_state(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `Optimizer`, and those of `Optimizer.restore`, that a state holds.

    Raises:
        ValueError: an entry that is missing, unknown, of another shape or impossible.
    """
    if not isinstance(state, Mapping):
        raise _wrong(f"it is a {type(state).__name__}, and must be the mapping that Optimizer.state() returns")
    known = {*_CHOICES, *_HISTORY, *_OPTIONAL}
    if missing := [name for name in (*_CHOICES, *_HISTORY) if name not in state and name not in _OPTIONAL]:
        raise _wrong(f"it lacks {', '.join(map(repr, missing))}")
    if unknown := sorted(str(name) for name in state if name not in known):
        raise _wrong(f"it has no entry {', '.join(map(repr, unknown))}; known are {', '.join(sorted(known))}")
    box = _in_state(checked_box, _numbers(state["bounds"], "bounds"))
    history: dict[str, Any] = {name: _points(state[name], name, box) for name in _POINTS}
    history["n_asked"] = _in_state(whole_number, state["n_asked"], "'n_asked'", 0)
    n = len(history["x"])
    history["y"] = _column(state["y"], "y", n)
    if state["y_var"] is not None:
        if not isinstance(state["y_var"], list | tuple):
            raise _wrong(f"'y_var' is {state['y_var']!r}, and must be a list of {n} variances, null where unknown")
        given = [math.nan if value is None else value for value in state["y_var"]]
        column = _column(given, "y_var", n, unknown=True)
        history["y_var"] = [None if math.isnan(value) else value for value in column.tolist()]
    if state.get("y_extra") is not None:
        history["y_extra"] = _column(state["y_extra"], "y_extra", n)
    for name in ("y_var", "y_extra"):
        negative = [index for index, value in enumerate(history.get(name, ())) if value is not None and value < 0]
        if negative:
            raise _wrong(f"{name!r} holds a negative variance at {negative[0]}")
    return {name: state[name] for name in _CHOICES}, history


def named_choice(choice: NamedChoice | None, kind: str, default: str) -> dict[str, Any]:
    """Return a choice as a mapping of JSON-able values.

    Args:
        choice: a name, or ``{"name": ..., "parameters": {...}}``; None for the default.
        kind: what is chosen, for messages.
        default: name of the default.

    Raises:
        ValueError: neither of these, or a parameter that JSON cannot hold.
    """
    if choice is None or isinstance(choice, str):
        return {"name": default if choice is None else choice, "parameters": {}}
    parameters = choice.get("parameters", {}) if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str) or not isinstance(parameters, Mapping):
        known = "{'name': ..., 'parameters': {...}}"
        raise ValueError(f"{kind} must be a name or a mapping {known}, not {choice!r}")  # noqa: TRY004 - as all errors of arguments here
    if unknown := sorted(str(key) for key in choice if key not in ("name", "parameters")):
        raise ValueError(f"{kind} has no entry {', '.join(map(repr, unknown))}; its entries are 'name' and 'parameters'")
    return {"name": choice["name"], "parameters": {str(name): _plain(value, f"{kind}: {name}") for name, value in parameters.items()}}


def whole_number(value: SupportsIndex, name: str, least: int) -> int:
    """Return a whole number, also one of NumPy's, as an int.

    Raises:
        ValueError: it is none, or below the least.
    """
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}") from error
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def variance(value: SupportsFloat, name: str) -> float:
    """Return a variance, also one of NumPy's, as a float.

    Raises:
        ValueError: it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a variance of at least 0, not {value!r}")
    return number


def _plain(value: Any, where: str) -> Any:
    """Return a parameter as JSON has it."""
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist(), where)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item, where) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    raise ValueError(f"{where} is a {type(value).__name__}, which a state cannot hold; give numbers, words, or lists of them")


def _points(values: Any, name: str, box: FloatArray) -> FloatArray:
    """Return points (n, d) of the box."""
    points = _numbers(values, name)
    if not points.size:
        return np.empty((0, len(box)))
    if points.ndim != 2 or points.shape[1] != len(box):
        raise _wrong(f"{name!r} has shape {points.shape}, and must have (n, {len(box)})")
    slack = 1e-9 * (box[:, 1] - box[:, 0])
    bad = ~(np.isfinite(points) & (points >= box[:, 0] - slack) & (points <= box[:, 1] + slack)).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise _wrong(f"{name!r} holds at {row} the point {points[row].tolist()}, which does not lie in the box {box.tolist()}")
    return points


def _column(values: Any, name: str, n: int, *, unknown: bool = False) -> FloatArray:
    """Return n numbers; NaN only where they may be unknown."""
    column = _numbers(values, name)
    if column.shape != (n,):
        raise _wrong(f"{name!r} has shape {column.shape}, and must have ({n},), one for each point of 'x'")
    bad = np.isinf(column) if unknown else ~np.isfinite(column)
    if bad.any():
        raise _wrong(f"{name!r} holds {column[bad][0]} at {int(np.argmax(bad))}, and must be finite")
    return column


def _numbers(values: Any, name: str) -> FloatArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _wrong(f"{name!r} must hold numbers, in rows of one length") from error


def _in_state(check: Any, *arguments: Any) -> Any:
    try:
        return check(*arguments)
    except ValueError as error:
        raise _wrong(str(error)) from error


def _wrong(what: str) -> ValueError:
    return ValueError(f"this state of an optimizer cannot be used: {what}; take one that Optimizer.state() returned")
