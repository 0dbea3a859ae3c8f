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

from ..models.errors import ModelError
from .errors import LatentloopError, PlugInError
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


def _homes(registry: Registry, name: str) -> list[tuple[str, str]]:
    """Return the entry points of a name, each as written and with the package that it leads to."""
    return [(entry.value, entry.module.partition(".")[0]) for entry in entry_points(group=registry.group) if entry.name == name]


def _passes_through(trace: TracebackType | None, package: str) -> bool:
    frames = traceback.walk_tb(trace)
    return any(str(frame.f_globals.get("__name__", "")).partition(".")[0] == package for frame, _ in frames)
