"""Where training trajectories come from: a family that draws them, or a user's file.

Files:
    ``.npy``   an array (n, T) or (n, T, channels).
    ``.csv``   one trajectory a row. Without a header: T numbers. With one: columns ``channel@time``, for example ``E@0.0,E@0.1,...``.
    ``.zarr``  a group with an array ``trajectory`` (n, T[, channels]) and, if there, ``time`` (T,); attributes ``unit`` and ``channels``.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..simulators.trajectories import DampedSinusoid, published_trajectories
from .config import CampaignConfig, TrajectoriesConfig
from .errors import ConfigError
from .records import FloatArray, TrajectorySet
from .registry import FAMILIES
from .seeding import generator

PUBLISHED_SEED = 171


class PublishedFamily:
    """The published set of damped sinusoids, drawn from its legacy seed; the campaign's own seed plays no part.

    Source: Valleti et al., Digital Discovery 2022, 10.1039/D2DD00065B.
    """

    def __init__(self, seed: int = PUBLISHED_SEED) -> None:
        self.seed = seed

    @property
    def times(self) -> FloatArray:
        """Time of each of the 900 steps."""
        return DampedSinusoid().times

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:  # noqa: ARG002 - the legacy seed rules
        """Return the n published trajectories, shape (n, 900)."""
        return published_trajectories(n, self.seed)


def load_trajectories(config: CampaignConfig) -> TrajectorySet:
    """Return the training trajectories that a configuration names.

    Raises:
        ConfigError: the file is missing or not what it should be, or the family's parameters are wrong.
    """
    source = config.trajectories
    if source.family is not None:
        family = FAMILIES.create(source.family.name, source.family.parameters)
        values = np.asarray(family.draw(source.n, generator(config.seed, "trajectories")), dtype=np.float64)
        return _with_names(values, np.asarray(family.times, dtype=np.float64), source, source.unit, source.channels)
    if source.box is not None:
        corners = np.array(list(source.box.values())).T
        return _with_names(corners, np.arange(corners.shape[1], dtype=np.float64), source, source.unit, source.channels)
    assert source.file is not None
    return read_trajectory_file(Path(source.file), source)


def read_trajectory_file(path: Path, source: TrajectoriesConfig) -> TrajectorySet:
    """Return the trajectories of a file; ``source`` says what the file itself does not.

    Raises:
        ConfigError: the file is missing or not what it should be.
    """
    if not path.exists():
        raise ConfigError(f"trajectories.file: there is no {path}")
    readers = {".npy": _read_npy, ".csv": _read_csv, ".zarr": _read_zarr}
    if path.suffix not in readers:
        raise ConfigError(f"trajectories.file: {path.name} ends in {path.suffix!r}; known are {', '.join(readers)}")
    values, times, unit, channels = readers[path.suffix](path)
    steps = np.arange(values.shape[1] if values.ndim > 1 else 0, dtype=np.float64) * (source.dt or 1.0)
    return _with_names(values, steps if times is None else times, source, unit or source.unit, channels or source.channels)


_Parsed = tuple[FloatArray, FloatArray | None, str, tuple[str, ...]]


def _with_names(values: FloatArray, times: FloatArray, source: TrajectoriesConfig, unit: str, channels: tuple[str, ...]) -> TrajectorySet:
    if not channels:
        n_channels = values.shape[2] if values.ndim == 3 else 1
        channels = ("value",) if n_channels == 1 else tuple(f"channel {index}" for index in range(n_channels))
    return TrajectorySet(values, times, unit, source.time_unit, channels)


def _read_npy(path: Path) -> _Parsed:
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if np.iscomplexobj(loaded):
            raise TypeError("it holds complex numbers")  # noqa: TRY301
        return np.asarray(loaded, dtype=np.float64), None, "", ()
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise ConfigError(f"trajectories.file: cannot read {path} as an array of numbers: {error}") from error


def _read_csv(path: Path) -> _Parsed:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # with or without the byte-order mark that spreadsheets write
        names = [name.strip() for name in lines[0].split(",")] if lines else []
        has_header = any("@" in name for name in names)
        rows = [line for line in lines[int(has_header) :] if line.strip()]
        if not rows:
            raise ValueError("it holds no trajectories")  # noqa: TRY301
        table = np.loadtxt(rows, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise ConfigError(f"trajectories.file: cannot read {path} as comma-separated numbers, one trajectory a row: {error}") from error
    if not has_header:
        return table, None, "", ()
    try:
        pairs = [(name.partition("@")[0], float(name.partition("@")[2])) for name in names]
    except ValueError as error:
        raise ConfigError(f"trajectories.file: the header of {path} must read channel@time in every column: {error}") from error
    channels = tuple(dict.fromkeys(channel for channel, _ in pairs))
    times = tuple(dict.fromkeys(time for _, time in pairs))
    order = {pair: column for column, pair in enumerate(pairs)}
    if len(order) != len(pairs) or len(names) != table.shape[1]:
        raise ConfigError(
            f"trajectories.file: the header of {path} names {len(order)} different columns, its rows have {table.shape[1]}; name each once"
        )
    try:
        columns = [[order[channel, time] for channel in channels] for time in times]
    except KeyError as error:
        raise ConfigError(f"trajectories.file: {path} lacks the column {error.args[0][0]}@{error.args[0][1]}") from error
    values = table[:, columns]
    return values[:, :, 0] if len(channels) == 1 else values, np.array(times), "", channels


def _read_zarr(path: Path) -> _Parsed:
    from .store.foreign import read_trajectories

    return read_trajectories(path)
