"""Zarr groups that are not campaigns: a user's trajectories, a ground truth."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..errors import ConfigError, StoreError
from ..records import FloatArray


def read_trajectories(path: Path) -> tuple[FloatArray, FloatArray | None, str, tuple[str, ...]]:
    """Return values (n, T[, channels]), times (T,) or None, unit and channel names from a user's Zarr group.

    Raises:
        ConfigError: it is no Zarr group, or holds no array ``trajectory`` of numbers.
    """
    try:
        group: Any = zarr.open_group(path, mode="r")
        array = group["trajectory"]
        if np.iscomplexobj(np.empty(0, array.dtype)):
            raise TypeError("it holds complex numbers")  # noqa: TRY301
        values = np.asarray(array[:], dtype=np.float64)
        times = np.asarray(group["time"][:], dtype=np.float64) if "time" in group else None
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"trajectories.file: {path} must be a Zarr group with an array `trajectory` (n, T[, channels]): {error}"
        ) from error
    channels = array.attrs.get("channels", ())
    names = (channels,) if isinstance(channels, str) else tuple(str(name) for name in channels)
    return values, times, str(array.attrs.get("unit", "")), names


def write_ground_truth(
    path: Path, axes: list[FloatArray], objective: FloatArray, names: tuple[str, ...], attributes: dict[str, Any]
) -> None:
    """Write an objective over a latent grid as a new Zarr group that xarray opens.

    Args:
        path: where; must not exist.
        axes: the grid's coordinates, one array per latent dimension.
        objective: values, shape (len(axes[0]), len(axes[1]), ...).
        names: name of each axis.
        attributes: what the group says of itself.

    Raises:
        StoreError: something is at ``path`` already, or the disk refused.
    """
    if path.exists():
        raise StoreError(f"{path} exists already; choose another path, or move it away")
    try:
        group = zarr.open_group(path, mode="w-", zarr_format=3, attributes=attributes)
        for name, axis in zip(names, axes, strict=True):
            group.create_array(name, data=axis, dimension_names=(name,))
        group.create_array("objective", data=objective, dimension_names=names)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}") from error


@dataclass(frozen=True, slots=True)
class MeasuredGrid:
    """An objective over a latent grid."""

    axes: tuple[FloatArray, ...]
    """The grid's coordinates along each latent dimension."""
    objective: FloatArray
    """Shape (len(axes[0]), len(axes[1]), ...); NaN where a measurement failed."""
    configuration: Mapping[str, Any]
    """Of the campaign that it belongs to."""


def read_ground_truth(path: str | Path) -> MeasuredGrid:
    """Return what `write_ground_truth` has written.

    Raises:
        StoreError: it is no such group.
    """
    try:
        group: Any = zarr.open_group(path, mode="r")
        array = group["objective"]
        names = array.metadata.dimension_names
        axes = tuple(np.asarray(group[name][:], dtype=np.float64) for name in names)
        configuration = group.attrs["configuration"]
        if not isinstance(configuration, Mapping):
            raise TypeError("its attribute `configuration` is no mapping")  # noqa: TRY301
        return MeasuredGrid(axes, np.asarray(array[...], dtype=np.float64), dict(configuration))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is not a ground truth (latentloop ground-truth CONFIG -o FILE.zarr writes one): {error}") from error


def append_arrays(path: Path, parts: Iterable[Mapping[str, FloatArray]], attributes: dict[str, Any]) -> dict[str, Any]:
    """Write named arrays part by part into a new Zarr group, each appended along its first axis; return the group's arrays.

    Raises:
        StoreError: something is at ``path`` already, or the disk refused.
        ConfigError: there are no parts.
    """
    if path.exists():
        raise StoreError(f"{path} exists already; choose another path, or move it away")
    arrays: dict[str, Any] = {}
    try:
        group = zarr.open_group(path, mode="w-", zarr_format=3, attributes=attributes)
        for part in parts:
            for name, values in part.items():
                if name in arrays:
                    arrays[name].append(values)
                else:
                    dimensions = ("trajectory", *(f"{name}_{axis}" for axis in range(1, values.ndim)))
                    arrays[name] = group.create_array(name, data=values, chunks=values.shape, dimension_names=dimensions)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}") from error
    if not arrays:
        raise ConfigError("there are no fields to simulate")
    return arrays
