"""A campaign as the studio has it: a snapshot of its history, the latent model and the surrogate that follow from it.

Runs in the studio's process, beside `drawing`. Campaigns of many trials are thinned before they come here; the surrogate then knows the
thinned observations only, and figures say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..campaign import Campaign
from ..config import CampaignConfig, config_from_mapping
from ..config.trajectories import TrajectoriesConfig
from ..errors import ConfigError
from ..figures.thinning import thinned_rows
from ..latent_training import latent_space, restore_model
from ..numbers import finite, finite_list
from ..records import FloatArray, Signal, TrajectorySet
from ..registry import FAMILIES
from ..seeding import generator
from ..standing import standing_of
from ..store.history import History
from ..store.objects import open_objects
from ..store.reader import StoreReader
from ..trajectory_source import read_trajectory_file

_PREVIEWS = 12
_PREVIEW_STEPS = 400
_MOST_PREVIEW_STEPS = 5_000
_MOST_PREVIEW_BYTES = 200_000_000
_MOST_KEPT = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A campaign at one moment, as far as figures need it."""

    path: Path
    history: History
    """With the chosen trials only; `told` and `avoided` are positions among them."""
    n_trials: int
    signal: Signal | None
    version: int | None
    """Of the latent model; None before the first."""
    weights: bytes
    encoded: FloatArray | None
    curve: FloatArray | None
    digests: Mapping[int, Mapping[str, str]]
    """What the journal says of the arrays of the trials that a figure may read."""

    @property
    def is_thinned(self) -> bool:
        """Whether trials were left out."""
        return len(self.history.trials) < self.n_trials


def decode(snapshot: Snapshot, z: Sequence[float]) -> dict[str, Any]:
    """Return what a latent point decodes to, what it breaks of the envelope, and what the surrogate expects there.

    Raises:
        ConfigError: a point of another dimension.
    """
    campaign = restored(snapshot)
    point = np.asarray(z, dtype=np.float64)
    if point.shape != (len(campaign.box),) or not np.isfinite(point).all():
        raise ConfigError(f"z must hold {len(campaign.box)} finite numbers, one for each latent dimension, not {len(z)}")
    trajectory = np.asarray(campaign.space.decode(point[None])[0], dtype=np.float64)
    violation = campaign.violation(trajectory) if np.isfinite(trajectory).all() else None
    mean = std = None
    if len(snapshot.history.told):
        expected, variance = campaign.optimizer.posterior(point[None])
        mean, std = finite(float(expected[0])), finite(float(np.sqrt(variance[0])))
    return {
        "trajectory": finite_list(trajectory),
        "times": [] if snapshot.signal is None else finite_list(snapshot.signal.times),
        "violation": None if violation is None else violation.sentence,
        "mean": mean,
        "std": std,
    }


def preview(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a few trajectories of a family or a file, thinned to what a page shows; those of a file are spread over the whole of it.

    Raises:
        ConfigError: the family's parameters are wrong or too large, or the file is too large or not what it should be.
    """
    config = TrajectoriesConfig.model_validate(section)
    shown = _of_file(Path(config.file), config) if config.file is not None else _of_family(config)
    times, values = shown.times, shown.values[thinned_rows(len(shown.values), _PREVIEWS)]
    step = max(1, len(times) // _PREVIEW_STEPS)
    return {
        "times": finite_list(times[::step]),
        "time_unit": shown.time_unit,
        "unit": shown.unit,
        "channels": list(shown.channels),
        "trajectories": finite_list(values[:, ::step]),
        "n_in_file": None if config.file is None else len(shown.values),
    }


def _of_family(config: TrajectoriesConfig) -> TrajectorySet:
    assert config.family is not None
    for parameter in ("n_steps", "n_times", "degree"):
        if config.family.parameters.get(parameter, 0) > _MOST_PREVIEW_STEPS:
            raise ConfigError(f"a preview takes {parameter} up to {_MOST_PREVIEW_STEPS}")
    family = FAMILIES.create(config.family.name, config.family.parameters)
    try:
        values = np.asarray(family.draw(_PREVIEWS, generator(0, "trajectories")), dtype=np.float64)[:_PREVIEWS]
        times = np.asarray(family.times, dtype=np.float64)
    except (ValueError, ArithmeticError) as error:
        raise ConfigError(f"trajectories.family: {error}") from error
    n_channels = 1 if values.ndim == 2 else values.shape[2]
    names = config.channels or tuple(f"channel {index}" if n_channels > 1 else "value" for index in range(n_channels))
    return TrajectorySet(values, times, config.unit, config.time_unit, names)


def _of_file(path: Path, config: TrajectoriesConfig) -> TrajectorySet:
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")))
    if size > _MOST_PREVIEW_BYTES:
        raise ConfigError(f"{path.name} is too large for a preview ({size / 1e6:.0f} MB); a campaign can start from it nevertheless")
    return read_trajectory_file(path, config)


@lru_cache(maxsize=4)
def _model(weights: bytes) -> Any:
    return restore_model(weights)


_campaigns: dict[tuple[Any, ...], Campaign] = {}


def restored(snapshot: Snapshot) -> Campaign:
    """Return the campaign of a snapshot, with its surrogate; the last few are kept."""
    history = snapshot.history
    key = (snapshot.path, history.identity, snapshot.version, len(history.told), len(history.avoided), history.n_events, snapshot.n_trials)
    if key not in _campaigns:
        made = fresh(snapshot)
        while len(_campaigns) >= _MOST_KEPT:
            _campaigns.pop(next(iter(_campaigns)))
        _campaigns[key] = made
    return _campaigns[key]


def fresh(snapshot: Snapshot) -> Campaign:
    """Return the campaign of a snapshot, made anew, for those who change it."""
    history = snapshot.history
    if snapshot.version is None or snapshot.encoded is None:
        raise ConfigError("the latent model of this campaign has not been trained yet")
    config = config_of(snapshot)
    space, box = latent_space(config, _model(snapshot.weights), snapshot.encoded)
    if snapshot.version:
        box = np.array(history.models[snapshot.version]["box"], dtype=np.float64)  # a retrained model's was widened to the trials
    made = Campaign(config, space, box, snapshot.version, "pure", snapshot.signal)
    made.restore(history.trials, history.told, history.avoided, standing_of(history))
    return made


def reader_of(snapshot: Snapshot) -> StoreReader:
    """Return a reader of the campaign's arrays, without reading its journal again."""
    store = StoreReader(open_objects(snapshot.path))
    store.evidence.payloads.update({number: dict(digests) for number, digests in snapshot.digests.items()})
    return store


def config_of(snapshot: Snapshot) -> CampaignConfig:
    """Return the configuration of a snapshot."""
    return config_from_mapping(snapshot.history.configuration, snapshot.path.name)


def middle_of(snapshot: Snapshot) -> FloatArray:
    """Return the point through which surfaces are cut: the incumbent, or the middle of the box."""
    history = snapshot.history
    campaign = restored(snapshot)
    told = [history.trials[position] for position in history.told]
    if not told:
        return np.asarray(campaign.box.mean(axis=1))
    return (max if history.goal == "maximize" else min)(told, key=lambda trial: trial.objective).z


def grid_points(box: FloatArray, n: int, rest: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return x, y and the points of a grid over the first two latent coordinates, the others held."""
    x = np.linspace(box[0, 0], box[0, 1], n)
    y = np.linspace(box[1, 0], box[1, 1], n) if len(box) > 1 else np.zeros(1)
    points = np.tile(rest, (len(x) * len(y), 1))
    first, second = np.meshgrid(x, y)
    points[:, 0] = first.ravel()
    if len(box) > 1:
        points[:, 1] = second.ravel()
    return x, y, points
