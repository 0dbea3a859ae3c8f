"""What goes wrong in code that is not ours becomes a sentence that says whose it is.

A user's own surrogate, acquisition function, latent model, family or executor is found by an entry point. An exception out of it ends a
campaign as any error does: the session is ``failed``, and everything measured is kept.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..models.errors import ModelError
from .errors import LatentloopError, PlugInError
from .observations import numbers, slack
from .records import FloatArray
from .registry import Registry


@contextmanager
def named(*chosen: tuple[Registry, str], everywhere: bool = False) -> Iterator[None]:
    """Raise PlugInError in the place of an exception that has no sentence, where a plug-in is to blame.

    Args:
        *chosen: what takes part: registries, each with a name.
        everywhere: blame the plug-ins for any exception, because nothing but them and our own code that calls them runs in here;
            otherwise only those through whose files it came.
    """
    try:
        yield
    except (LatentloopError, ModelError):
        raise
    except Exception as error:
        guilty = [
            f"{registry.kind} {name!r} ({where})"
            for registry, name in chosen
            if name not in registry.built_in
            for where, package in _homes(registry, name)
            if everywhere or _passes_through(error.__traceback__, package)
        ]
        if not guilty:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise PlugInError(
            f"{' or '.join(guilty)}, which is no part of latentloop, failed: {type(error).__name__}: {error} "
            f"(line {last.lineno} of {Path(last.filename).name}); mend its code, then resume: what was measured is kept"
        ) from error


def require_acquisition(name: str, made: object) -> None:
    """Raise PlugInError where what an entry point leads to is no acquisition function."""
    missing = [word for word in ("propose", "needs_surrogate") if not hasattr(made, word)]
    if missing:
        raise PlugInError(
            f"acquisition function {name!r} is a {type(made).__name__} without {' and '.join(missing)}; "
            "derive it from latentloop.models.acquisition.Acquisition"
        )


def require_proposal(name: str, proposed: Any, q: int, box: FloatArray, taken: FloatArray) -> None:
    """Raise PlugInError where an acquisition function proposes what cannot be measured.

    Args:
        name: of the acquisition function.
        proposed: its `Proposal`.
        q: how many points it was asked for.
        box: where they have to lie, (d, 2).
        taken: points (m, d) that it must not propose.
    """
    points = np.asarray(proposed.points)
    problem = ""
    if points.shape != (q, len(box)):
        problem = f"points of shape {points.shape} where ({q}, {len(box)}) were asked for"
    elif not np.isfinite(points).all():
        problem = f"{points[~np.isfinite(points).all(axis=1)][0].tolist()}, which is no point"
    else:
        outside = ((points < box[:, 0] - slack(box)) | (points > box[:, 1] + slack(box))).any(axis=1)
        known = {row.tobytes() for row in taken + 0.0}
        again = [point.tolist() for point in points + 0.0 if point.tobytes() in known]
        if outside.any():
            problem = f"{points[outside][0].tolist()}, which lies outside the box {box.tolist()}"
        elif again or len(np.unique(points, axis=0)) < q:
            problem = f"{(again or points.tolist())[0]}, which is measured, pending or chosen already"
    if problem:
        raise PlugInError(f"acquisition function {name!r} proposed {problem}; mend it, then resume: what was measured is kept")


def require_features(features: Any, box: FloatArray) -> None:
    """Try features at two points of a box (d, 2).

    Raises:
        ValueError: they are no function of points (n, d) that returns one finite trajectory, (T,) or (T, C), for each.
    """
    if not callable(features):
        raise ValueError(f"features must be a function of points (n, d), not {features!r}")  # noqa: TRY004 - as all errors of arguments here
    points = box[:, 0] + np.array([[0.5], [0.25]]) * (box[:, 1] - box[:, 0])
    try:
        found = numbers(features(points), "features")
    except Exception as error:
        raise ValueError(f"features, tried at {points.tolist()}, failed: {type(error).__name__}: {error}") from error
    if found.ndim not in (2, 3) or len(found) != 2 or not found.size:
        raise ValueError(
            f"features of points (2, {len(box)}) have shape {found.shape}; return one trajectory for each, (2, T) or (2, T, C)"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"features hold NaN or infinity at {points.tolist()}; make them finite in the whole box, or narrow the bounds")


def _homes(registry: Registry, name: str) -> list[tuple[str, str]]:
    """Return the entry points of a name, each as written and with the package that it leads to."""
    return [(entry.value, entry.module.partition(".")[0]) for entry in entry_points(group=registry.group) if entry.name == name]


def _passes_through(trace: TracebackType | None, package: str) -> bool:
    frames = traceback.walk_tb(trace)
    return any(str(frame.f_globals.get("__name__", "")).partition(".")[0] == package for frame, _ in frames)
