"""The group ``trials`` of a store: which arrays it has, and what the metadata of each must say.

Everything but the payload can be made anew from the journal and the configuration, the metadata of every array included. So damaged
metadata are not only noticed (they are compared with what they must be, not merely parsed) but mended when the campaign is driven again.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from ..records import TrajectorySet, TrialState
from .objects import Objects

GROUP = "trials"
CHUNK = 1024
SCALARS: Mapping[str, tuple[str, str]] = {
    "objective": ("", "the metric that is optimized"),
    "objective_error": ("", "standard error of the objective"),
    "acquisition_value": ("", "value of the acquisition function where it was maximal"),
    "predicted_objective": ("", "what the surrogate expected of the objective when it proposed the trial"),
    "predicted_error": ("", "standard deviation of that belief, without the noise of a measurement"),
    "distance": ("", "distance of z from the encoded training data, in units of their spacing"),
    "consistency": ("", "|encode(decode(z)) - z|"),
    "armed_at": ("s", "POSIX time at which the trial was armed"),
    "finished_at": ("s", "POSIX time at which its result was committed"),
    "seconds": ("s", "time the measurement took on its worker"),
}
COLUMNS = ("state", "model_version", "acquisition", "worker", "z", *SCALARS)
"""Arrays that the journal can rebuild; those of metrics come to them."""
LATER = ("predicted_objective", "predicted_error")
"""Columns that stores of earlier releases lack; one without a prediction in its journal is whole without them."""
_CODECS = (ZstdCodec(level=1), Crc32cCodec())
_GROWING = ("names",)
"""Attributes that grow while a campaign runs."""


def create_trials(root: zarr.Group, n_trials: int, n_latent: int, like: TrajectorySet) -> None:
    """Make the group ``trials`` with all its arrays, long enough for ``n_trials`` trials with trajectories like the given ones."""
    times, channels = like.times, like.channels
    group = root.create_group("trials", overwrite=True, attributes={"description": "one row per trial; drop the rows whose state is 0"})
    states = {"flag_values": [int(state) for state in TrialState], "flag_meanings": " ".join(state.word for state in TrialState)}
    column(group, "state", n_trials, "uint8", 0, states)
    column(group, "model_version", n_trials, "int32", -1, {"description": "version of the latent model"})
    column(
        group, "acquisition", n_trials, "uint8", 0, {"names": ["", "initial"], "description": "index into names: what proposed the trial"}
    )
    column(group, "worker", n_trials, "uint8", 0, {"names": [""], "description": "index into names: what measured the trial"})
    for name, (scalar_unit, description) in SCALARS.items():
        column(group, name, n_trials, "float64", np.nan, {"unit": scalar_unit, "description": description})
    payload(group, "z", n_trials, (n_latent,), ("latent",), CHUNK, {"description": "latent vector"})
    shape, dimensions = like.values.shape[1:], ("time", "channel")[: like.values.ndim - 1]
    payload(group, "trajectory", n_trials, shape, dimensions, 1, {"unit": like.unit, "channels": list(channels)})
    time = group.create_array(
        "time",
        shape=times.shape,
        dtype="float64",
        compressors=_CODECS,
        dimension_names=("time",),
        attributes={"unit": like.time_unit},
    )
    time[:] = times


def fits(root: zarr.Group, n_latent: int, like: TrajectorySet) -> bool:
    """Return whether the group ``trials`` is there, whole, for such latent vectors and trajectories."""
    try:
        group: Any = root["trials"]
        found = group["z"].shape[1:], group["trajectory"].shape[1:], group["time"].shape  # `time` is made last
    except KeyError:
        return False
    return bool(found == ((n_latent,), like.values.shape[1:], like.times.shape))


def metric_column(group: Any, metric: str, length: int) -> Any:
    """Make the column of a metric."""
    return column(group, f"metric_{metric}", length, "float64", np.nan, {"description": f"metric {metric}"})


def damaged_metadata(
    objects: Objects, n_trials: int, n_latent: int, like: TrajectorySet, metrics: Iterable[str], others: Iterable[str]
) -> dict[str, bytes]:
    """Compare the metadata of the group and its arrays with what they must be; return what must be written instead, by name.

    Args:
        objects: those of the store.
        n_trials: the length that new metadata give their arrays.
        n_latent: dimensions of the latent space.
        like: trajectories like the campaign's.
        metrics: names of the metrics that have columns.
        others: names of further payload arrays. Nobody knows what theirs must be: empty bytes say that they are to be taken away, and the
            next trial makes them anew.
    """
    damaged: dict[str, bytes] = {}
    for name, pristine in _wanted(n_trials, n_latent, like, metrics).items():
        found = _document(objects, name)
        if found is None or _fixed(found) != _fixed(pristine):
            damaged[name] = json.dumps(pristine).encode()
    for name in map(metadata_name, others):
        if _document(objects, name) is None and objects.exists(name):
            damaged[name] = b""
    return damaged


def lengthened(objects: Objects, arrays: Iterable[str], n_trials: int) -> dict[str, bytes]:
    """Return the metadata, by name, of those arrays that are too short, with the length ``n_trials``."""
    changed = {}
    for name in map(metadata_name, arrays):
        found = _document(objects, name)
        shape = None if found is None else found.get("shape")
        if found is not None and isinstance(shape, list) and shape[0] < n_trials:
            changed[name] = json.dumps({**found, "shape": [n_trials, *shape[1:]]}).encode()
    return changed


def metadata_name(array: str) -> str:
    """Return the name of the object with an array's metadata."""
    return f"{GROUP}/{array}/zarr.json"


def _wanted(n_trials: int, n_latent: int, like: TrajectorySet, metrics: Iterable[str]) -> dict[str, Any]:
    """Return the metadata of a new group, by name."""
    pristine: dict[str, Any] = {}
    root = zarr.open_group(MemoryStore(store_dict=pristine), mode="w", zarr_format=3)
    create_trials(root, n_trials, n_latent, like)
    for metric in metrics:
        metric_column(root[GROUP], metric, n_trials)
    return {name: json.loads(raw.to_bytes()) for name, raw in pristine.items() if name.startswith(GROUP) and name.endswith("zarr.json")}


def _document(objects: Objects, name: str) -> dict[str, Any] | None:
    try:
        found = json.loads(objects.get(name))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _fixed(document: dict[str, Any]) -> Any:
    """Return metadata without what may differ: the number of trials, and what grows."""
    attributes, shape = document.get("attributes"), document.get("shape")
    if isinstance(attributes, dict):
        attributes = {key: value for key, value in attributes.items() if key not in _GROWING}
    if document.get("dimension_names", [""])[:1] == ["trial"] and isinstance(shape, list):
        shape = [type(shape[0]), *shape[1:]]
    return {**document, "attributes": attributes, "shape": shape}


def column(group: zarr.Group, name: str, length: int, dtype: str, fill: float, attributes: dict[str, Any]) -> Any:
    """Make an array with one number per trial."""
    return group.create_array(
        name,
        shape=(length,),
        chunks=(CHUNK,),
        dtype=dtype,
        fill_value=fill,
        compressors=_CODECS,
        dimension_names=("trial",),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )


def payload(
    group: zarr.Group, name: str, length: int, shape: tuple[int, ...], dimensions: tuple[str, ...], chunk: int, attributes: dict[str, Any]
) -> Any:
    """Make an array with one array of floats per trial, ``chunk`` trials in a chunk."""
    return group.create_array(
        name,
        shape=(length, *shape),
        chunks=(chunk, *(max(1, size) for size in shape)),
        dtype="float64",
        fill_value=np.nan,
        compressors=_CODECS,
        dimension_names=("trial", *dimensions),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
