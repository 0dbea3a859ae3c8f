"""What programs and instrument servers are sent, and what they answer: one JSON document each way.

Sent::

    {"trial": 17, "key": "4f0c...-17-9a1b2c3d", "trajectory": [0.0, 0.1, ...],     (T,) or (T, channels)
     "times": [0.0, 0.5, ...], "units": {"value": "V", "time": "ms"}, "channels": ["E"]}

Answered: a number; a mapping of names to numbers (metrics) and lists (arrays); or, with standard errors,
``{"metrics": {...}, "errors": {...}, "arrays": {...}}``. An array is a list, ``{"npy": "<base64 of a .npy file>"}``, or, from a program
on this machine, ``{"file": "image.npy"}``.
"""

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..records import FloatArray, Job, Measurement, Signal, as_array, as_number
from .python import measurement_from

LARGEST_ANSWER = 256_000_000
"""Bytes of an answer beyond which nobody reads on."""
_PARTS = {"metrics", "errors", "arrays"}
ReadFile = Callable[[str], Any]


def request_document(job: Job, signal: Signal | None) -> dict[str, Any]:
    """Return what is sent for a job; times, units and channels only where they are known."""
    document: dict[str, Any] = {"trial": job.trial, "key": request_key(job), "trajectory": job.trajectory.tolist()}
    if signal is not None:
        document["times"] = signal.times.tolist()
        document["units"] = {"value": signal.unit, "time": signal.time_unit}
        document["channels"] = list(signal.channels)
    return document


def request_key(job: Job) -> str:
    """Return a name of this experiment: the same for the same trial and trajectory, whoever sends it and however often."""
    digest = hashlib.sha256(np.ascontiguousarray(job.trajectory, dtype=np.float64).tobytes()).hexdigest()[:16]
    return f"{job.key or job.trial}-{digest}"


def measurement_from_text(text: str, source: str, read_file: ReadFile | None = None) -> Measurement:
    """Return the measurement that a JSON text holds.

    Args:
        text: the whole of it, or text whose last line is it.
        source: named in errors.
        read_file: reads a ``{"file": name}``; None where there are no files.

    Raises:
        ValueError: it is not JSON, or an array cannot be read.
        TypeError: it is JSON, and not a measurement.
    """
    try:
        document = json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            raise ValueError(f"{source} answered nothing; a JSON number or object is needed") from None
        try:
            document = json.loads(lines[-1])
        except ValueError as error:
            raise ValueError(f"{source} answered {_short(text)!r}, which is not JSON: {error}") from None
    return measurement_from_document(document, source, read_file)


def measurement_from_document(document: Any, source: str, read_file: ReadFile | None = None) -> Measurement:
    """Return the measurement that a JSON document describes; arguments and errors as for `measurement_from_text`."""
    if not isinstance(document, Mapping):
        return measurement_from(document, source)
    if not isinstance(document.get("metrics"), Mapping):
        return measurement_from({name: _array_if_one(value, source, read_file) for name, value in document.items()}, source)
    unknown = sorted(set(document) - _PARTS)
    if unknown:
        raise TypeError(f"{source} answered the unknown part {unknown[0]!r} beside metrics; known are {', '.join(sorted(_PARTS))}")
    errors, arrays = document.get("errors", {}), document.get("arrays", {})
    for name, part in (("errors", errors), ("arrays", arrays)):
        if not isinstance(part, Mapping):
            raise TypeError(f"{source} answered {name} that is a {type(part).__name__}; it must be an object of names")
    return Measurement(
        {name: as_number(value, f"{source}, metric {name!r},") for name, value in document["metrics"].items()},
        {name: as_number(value, f"{source}, standard error {name!r},") for name, value in errors.items()},
        {name: as_array(_array_if_one(value, source, read_file), f"{source}, array {name!r},") for name, value in arrays.items()},
    )


def npy_bytes(values: FloatArray) -> bytes:
    """Return an array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _array_if_one(value: Any, source: str, read_file: ReadFile | None) -> Any:
    """Return the array that ``{"npy": ...}`` or ``{"file": ...}`` stands for; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    try:
        if set(value) == {"npy"} and isinstance(value["npy"], str):
            return np.load(io.BytesIO(base64.b64decode(value["npy"], validate=True)), allow_pickle=False)
        if set(value) == {"file"} and isinstance(value["file"], str) and read_file is not None:
            return read_file(value["file"])
    except (OSError, EOFError, ValueError, binascii.Error) as error:
        raise ValueError(f"{source} answered an array that cannot be read: {error}") from error
    raise TypeError(f"{source} answered the object {_short(json.dumps(value))} where a number or an array is needed")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 120 else f"{flat[:117]}..."
