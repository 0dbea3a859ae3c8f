"""Makes a new store: built whole beside its place, then put there in one step.

In a folder that step is a rename. On object storage the parts are uploaded: event 0 first, whose exclusive creation decides who wins a race
for the place, and the root's metadata, which make it a campaign, last.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..records import TrajectorySet
from .faults import reach
from .journal import Journal, name_of
from .objects import LocalObjects, Objects

ROOT = "zarr.json"


def require_free(objects: Objects) -> None:
    """Raise StoreError when something is at the place already, or when nothing can be made there."""
    where, final = objects.where, objects.folder
    is_campaign = f"{where} holds a campaign already; continue it with `latentloop resume {where}`, or choose another path"
    is_other = f"{where} exists already and is not a campaign; choose another path, or move it away"
    if final is None:
        try:
            found = objects.walk()
        except OSError as error:
            raise StoreError(f"cannot create {where}: {error.strerror}") from error
        if found:
            raise StoreError(is_campaign if objects.exists(name_of(0)) and objects.exists(ROOT) else is_other)
        return
    if os.path.lexists(final):
        raise StoreError(is_campaign if (final / "journal").is_dir() else is_other)
    parent = next(folder for folder in final.absolute().parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise StoreError(f"cannot create {final}: {parent} is not a folder; choose another path")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"cannot create {final}: {parent} is not writable; choose another path, or change its permissions")


def build(
    objects: Objects,
    mark: Mapping[str, Any],
    created: Mapping[str, Any],
    n_latent: int,
    like: TrajectorySet,
    before: Callable[[Path], None],
) -> None:
    """Make a store with its first event and its live arrays.

    Args:
        objects: the place, which is free.
        mark: attributes of the root group.
        created: what event 0 says.
        n_latent: dimensions of the latent space.
        like: trajectories like those to come.
        before: called with the folder that has everything, before it takes its place.

    Raises:
        StoreError: something came to the place meanwhile, or the disk refused.
    """
    import zarr

    from .layout import create_trials

    final = objects.folder
    building = Path(tempfile.mkdtemp()) / "store" if final is None else final.with_name(f".{final.name}.{os.getpid()}.new")
    try:
        shutil.rmtree(building, ignore_errors=True)  # of a process of the same number that was killed
        building.mkdir(parents=True)
        parts = LocalObjects(building)
        root = zarr.open_group(parts.zarr(is_read_only=False), mode="w-", zarr_format=3, attributes=dict(mark))
        root.create_array(
            "journal",
            shape=(0,),
            dtype="uint8",
            dimension_names=("event",),
            attributes={"description": "the campaign's events, one JSON object each: 00000000.json, 00000001.json, ..."},
        )
        root.create_group("latent")
        create_trials(root, created["configuration"]["budget"]["trials"], n_latent, like)
        Journal(parts).append("created", created)
        before(building)
        reach("store.built")
        objects.adopt(building, first=name_of(0), last=ROOT)
        reach("store.named")
    except BaseException as error:
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, FileExistsError):
            raise StoreError(f"{objects.where} holds a campaign already; choose another path") from error
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(f"cannot create {objects.where}: {error.strerror or error}") from error
        raise
