"""Starting from earlier measurements: those of another campaign, or a table of one's own (``latentloop run ... --prior STORE|CSV``).

STORE: a campaign's folder. Its completed trials are taken over with their trajectories. Where both campaigns have the same latent model,
to the last bit, their points are the same as well; elsewhere the trajectories are encoded anew, with what that costs (see `standing`).

CSV: a header, then one measurement a row. A column with the name of ``objective.metric`` holds the value, ``METRIC_error`` its standard
error where known; what was measured stands in columns ``z0, z1, ...`` (points of this campaign's latent space), under the names of
``trajectories.box``, or as a trajectory in columns ``channel@time``. Other columns are ignored.

Earlier measurements are no trials: they do not count against the budget, but towards ``optimizer.n_initial``. What has become of each is
in the event ``prior``, which is written before the optimizer hears of any.
"""

import csv
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .config import CampaignConfig, config_from_mapping
from .errors import ConfigError
from .latent_training import latent_space, restore_model
from .outliers import tamed
from .records import FloatArray, Goal, TrajectorySet, Trial
from .standing import Place, place_to, places_of
from .store.campaign_store import CampaignStore
from .store.earlier import read_earlier, write_earlier
from .store.history import jsonable


@dataclass(frozen=True, slots=True)
class EarlierMeasurements:
    """Measurements as their source has them; n of them."""

    source: str
    labels: tuple[str, ...]
    """Which trial or row each is."""
    objective: FloatArray
    """Shape (n,)."""
    error: FloatArray
    """Standard errors, shape (n,); NaN where unknown."""
    trajectories: FloatArray | None
    """Shape (n, T[, channels]); None where there are points only."""
    points: FloatArray | None = None
    """Points that decode to the trajectories, shape (n, d); None where there are none."""
    models: tuple[str, ...] = ()
    """SHA-256 of the latent model that each of the points belongs to; empty for points of the campaign's own model."""
    skipped: tuple[tuple[str, str], ...] = ()
    """What was left out, and why."""


def read_prior(config: CampaignConfig, like: TrajectorySet) -> EarlierMeasurements:
    """Return the earlier measurements that a configuration names.

    Args:
        config: names the source in ``prior``.
        like: the campaign's training trajectories, which earlier ones must resemble.

    Raises:
        ConfigError: the source is not what it should be; the message names row and column.
        StoreError: the source is a campaign that cannot be read.
    """
    assert config.prior is not None
    found = _read_csv(Path(config.prior), config, like) if config.prior.endswith(".csv") else _read_store(config.prior, config, like)
    if not found.labels:
        reasons = "".join(f"; {label}: {reason}" for label, reason in found.skipped[:3])
        raise ConfigError(f"prior: {config.prior} holds no measurement of {config.objective.metric!r}{reasons}")
    return found


def take_up(store: CampaignStore, config: CampaignConfig, found: EarlierMeasurements, training: TrajectorySet) -> list[str]:
    """Find out where earlier measurements stand in the first latent model, and journal them; return what became of them, in sentences.

    Args:
        store: driven by this process, with the first latent model and no trials.
        config: the campaign's configuration.
        found: the earlier measurements.
        training: the campaign's training trajectories.

    Raises:
        ConfigError: a row of a table lies outside the box, or no measurement at all can be used.
    """
    data, encoded, _ = store.model(0)
    model = restore_model(data)
    _, box = latent_space(config, model, encoded)
    own = store.history.models[0]["sha256"]
    n = len(found.labels)
    places: list[Place | None] = [None] * n
    lost = np.zeros(n)
    trajectories = found.trajectories
    if trajectories is None:
        assert found.points is not None
        _require_inside(found, box, config, f" and resume {store.path}")
        trajectories = np.asarray(model.decode(found.points), dtype=np.float64)
    else:
        places, lost = places_of(model, trajectories, training.values, float(tamed(found.objective).var()))
    if found.points is not None:
        for index, point in enumerate(found.points):
            if not found.models or found.models[index] == own:
                places[index], lost[index] = Place(point), 0.0
    skipped: list[dict[str, Any]] = [{"label": label, "reason": reason} for label, reason in found.skipped]
    points: list[dict[str, Any]] = []
    kept = []
    for index, place in enumerate(places):
        reason = ""
        if place is None:
            reason = f"{100 * lost[index]:.0f} % of its trajectory's variance is lost on the way through the latent space"
        elif ((place.z < box[:, 0] - _slack(box)) | (place.z > box[:, 1] + _slack(box))).any():
            reason = "its code lies outside the box"
        if reason or place is None:
            skipped.append({"label": found.labels[index], "reason": reason, "objective": float(found.objective[index])})
            continue
        inside = Place(np.clip(place.z, box[:, 0], box[:, 1]), place.extra)
        kept.append(index)
        points.append(
            {
                "label": found.labels[index],
                "objective": float(found.objective[index]),
                "error": jsonable(float(found.error[index])),
                "lost": float(lost[index]),
                "code": place_to(inside),
            }
        )
    if not points:
        raise ConfigError(
            f"prior: none of the {n} measurements in {found.source} can be used; the first: {skipped[0]['reason']}; "
            f"give others there and resume {store.path}, or begin anew without them"
        )
    write_earlier(store, trajectories[kept], {"source": found.source, "points": points, "skipped": skipped})
    return _sentences(found.source, points, skipped, config.objective.goal)


def prior_trajectories(store: CampaignStore) -> FloatArray:
    """Return the trajectories of the earlier measurements of a campaign, (0, T[, channels]) where there are none."""
    if store.history.prior:
        return read_earlier(store)
    return np.empty((0, *(len(store.times()),), *(() if len(store.signal().channels) == 1 else (len(store.signal().channels),))))


def prior_summary(history: Any) -> dict[str, Any] | None:
    """Return how many earlier measurements a campaign started from, from where, and the best of them; None for none."""
    if not history.prior:
        return None
    points = history.prior["points"]
    best = (max if history.goal == "maximize" else min)(point["objective"] for point in points)
    return {
        "n_points": len(points),
        "n_skipped": len(history.prior["skipped"]),
        "source": history.prior["source"],
        "best": best,
        "largest_loss": max(point["lost"] for point in points),
    }


def _sentences(source: str, points: list[dict[str, Any]], skipped: list[dict[str, Any]], goal: Goal) -> list[str]:
    """Return how many earlier measurements are used and left out and why, and a warning where the best of them is left out."""
    said = f"{len(points)} of {len(points) + len(skipped)} measurements of {source} are used"
    if not skipped:
        return [said]
    plain = (re.sub(r"^\S+ % of", "more than a quarter of", each["reason"]) for each in skipped)
    reasons = Counter(re.sub(r"^\S+ is outside", "its value is outside", reason) for reason in plain)
    sentences = [f"{said}, {len(skipped)} left out: " + "; ".join(f"{n} because {reason}" for reason, n in reasons.items())]
    sign = 1.0 if goal == "maximize" else -1.0
    lost = max((each for each in skipped if "objective" in each), key=lambda each: sign * each["objective"], default=None)
    best = max(sign * point["objective"] for point in points)
    if lost is not None and sign * lost["objective"] > best:
        sentences.append(
            f"warning: the best of them is left out ({lost['label']}: {lost['objective']:.6g}, the best used {sign * best:.6g}); "
            "a latent model of more dimensions, or one trained on such trajectories, keeps it"
        )
    return sentences


def _slack(box: FloatArray) -> FloatArray:
    """What rounding may bring a code outside of the box."""
    return np.asarray(1e-9 * (box[:, 1] - box[:, 0]))


def _read_store(source: str, config: CampaignConfig, like: TrajectorySet) -> EarlierMeasurements:
    """Return the completed trials of another campaign."""
    if "://" not in source and not Path(source).is_dir():
        raise ConfigError(f"prior: {source} is neither a campaign's folder nor a .csv file; give one of them")
    other = CampaignStore.open(source)
    theirs = config_from_mapping(other.history.configuration, source)
    names, their_names = config.trajectories.box, theirs.trajectories.box
    if (names is None) != (their_names is None) or (names is not None and list(names) != list(their_names or {})):
        raise ConfigError(f"prior: {source} searches {_searched(theirs)}, this campaign {_searched(config)}; they have to be the same")
    metric = config.objective.metric
    trials, skipped = [], []
    for number in other.history.told:
        trial = other.history.trials[number]
        value = trial.metrics.get(metric, math.nan)
        if not math.isfinite(value):
            known = ", ".join(sorted(trial.metrics)) or "none"
            raise ConfigError(f"prior: trial {number} of {source} has no metric {metric!r}; it has: {known}")
        reason = _implausible(config, value)
        if reason:
            skipped.append((f"trial {number}", reason))
        else:
            trials.append(trial)
    if not trials:
        return EarlierMeasurements(source, (), np.empty(0), np.empty(0), None, skipped=tuple(skipped))
    signal, (mine, mine_unit) = other.signal(), (like.times, like.unit)
    trajectories = np.array([other.trajectory(trial) for trial in trials])
    if trajectories.shape[1:] != like.values.shape[1:] or not np.allclose(signal.times, mine) or signal.unit != mine_unit:
        raise ConfigError(
            f"prior: trajectories of {source} have shape {trajectories.shape[1:]}, times up to {signal.times[-1]:g} and unit "
            f"{signal.unit!r}, those of this campaign {like.values.shape[1:]}, {mine[-1]:g} and {mine_unit!r}; they have to be the same"
        )
    dimensions = {trial.z.shape for trial in trials}
    return EarlierMeasurements(
        source=source,
        labels=tuple(f"trial {trial.number}" for trial in trials),
        objective=np.array([trial.metrics[metric] for trial in trials]),
        error=np.array([trial.objective_error if theirs.objective.metric == metric else math.nan for trial in trials]),
        trajectories=trajectories,
        points=np.array([trial.z for trial in trials]) if len(dimensions) == 1 else None,
        models=tuple(_model_of(other, trial) for trial in trials),
        skipped=tuple(skipped),
    )


def _model_of(other: CampaignStore, trial: Trial) -> str:
    """Return the hash of the latent model that decodes a trial's point to its trajectory; a mark that fits none where none does."""
    if trial.is_projected or trial.is_edited:
        return "none"
    return str(other.history.models[trial.model_version]["sha256"])


def _searched(config: CampaignConfig) -> str:
    return "trajectories" if config.trajectories.box is None else f"the parameters {', '.join(config.trajectories.box)}"


def _implausible(config: CampaignConfig, value: float) -> str:
    low, high = config.objective.plausible
    return "" if low <= value <= high else f"{value:g} is outside the plausible range [{low:g}, {high:g}] of objective.plausible"


def _read_csv(path: Path, config: CampaignConfig, like: TrajectorySet) -> EarlierMeasurements:
    """Return the measurements of a table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"prior: cannot read {path} as a table of comma-separated values: {error}") from error
    names = [name.strip() for name in rows[0]] if rows else []
    metric = config.objective.metric
    if names.count(metric) != 1:
        raise ConfigError(
            f"prior: {path} needs one column named {metric!r} (objective.metric); its columns are {', '.join(names) or 'none'}"
        )
    wanted, is_trajectory = _wanted_columns(path, names, config, like)
    where = {name: names.index(name) for name in [*wanted, metric]}
    with_error = f"{metric}_error" in names
    if with_error:
        where[f"{metric}_error"] = names.index(f"{metric}_error")
    table = {
        name: np.array([_cell(path, row, line, name, column) for line, row in enumerate(rows[1:], 2)]) for name, column in where.items()
    }
    for line, value in enumerate(table[metric], 2):
        if reason := _implausible(config, value):
            raise ConfigError(f"prior: {path}, row {line}, column {metric}: {reason}")
    values = np.column_stack([table[name] for name in wanted])
    errors = table[f"{metric}_error"] if with_error else np.full(len(values), math.nan)
    if (errors < 0).any():
        raise ConfigError(f"prior: {path}, row {int(np.argmax(errors < 0)) + 2}, column {metric}_error: a standard error is not negative")
    found = EarlierMeasurements(
        source=str(path),
        labels=tuple(f"row {line}" for line in range(2, len(values) + 2)),
        objective=table[metric],
        error=errors,
        trajectories=values.reshape(len(values), *like.values.shape[1:]) if is_trajectory else None,
        points=None if is_trajectory else values,
    )
    box = config.trajectories.box.values() if config.trajectories.box is not None else config.latent.box
    if box is not None and not is_trajectory:
        _require_inside(found, np.array(list(box), dtype=np.float64), config)
    return found


def _wanted_columns(path: Path, names: list[str], config: CampaignConfig, like: TrajectorySet) -> tuple[list[str], bool]:
    """Return the columns that say what was measured, in order, and whether they are a trajectory."""
    if config.trajectories.box is not None:
        wanted = list(config.trajectories.box)
    elif "z0" in names:
        n_latent = config.latent.model.parameters.get("n_latent", 2)
        wanted = [f"z{index}" for index in range(n_latent)]
        if f"z{n_latent}" in names:
            raise ConfigError(f"prior: {path} has a column z{n_latent}, but the latent space of this campaign has {n_latent} dimensions")
    elif any("@" in name for name in names):
        wanted = _trajectory_columns(path, names, like)
        return wanted, True
    else:
        raise ConfigError(f"prior: {path} says nowhere what was measured; give columns z0, z1, ... or channel@time")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ConfigError(f"prior: {path} lacks the column {missing[0]!r}; needed are {', '.join(wanted)}")
    return wanted, False


def _trajectory_columns(path: Path, names: list[str], like: TrajectorySet) -> list[str]:
    """Return the columns of a trajectory in the order (time, channel)."""
    found: dict[str, list[tuple[float, str]]] = {}
    for name in names:
        channel, mark, time = name.partition("@")
        if mark:
            try:
                found.setdefault(channel, []).append((float(time), name))
            except ValueError as error:
                raise ConfigError(f"prior: {path}, column {name}: what stands behind @ is no time") from error
    columns = []
    for channel in like.channels:
        pairs = sorted(found.get(channel, []))
        times = np.array([time for time, _ in pairs])
        if times.shape != like.times.shape or not np.allclose(times, like.times):
            raise ConfigError(
                f"prior: {path} has {len(times)} columns {channel}@time, and trajectories of this campaign {len(like.times)} steps, from "
                f"{like.times[0]:g} to {like.times[-1]:g}; give one column for each"
            )
        columns.append([name for _, name in pairs])
    return [name for step in zip(*columns, strict=True) for name in step]


def _cell(path: Path, row: list[str], line: int, name: str, column: int) -> float:
    """Return a number of the table."""
    text = row[column].strip() if column < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        if name.endswith("_error") and not text:
            return value  # not known for this one
        raise ConfigError(
            f"prior: {path}, row {line}, column {name}: {text or 'nothing'!r} is not a finite number; mend it, or leave the row out"
        )
    return value


def _require_inside(found: EarlierMeasurements, box: FloatArray, config: CampaignConfig, then: str = "") -> None:
    """Raise ConfigError for a point of a table outside the box; `then` says how to go on."""
    assert found.points is not None
    names = list(config.trajectories.box) if config.trajectories.box is not None else [f"z{index}" for index in range(len(box))]
    outside = (found.points < box[:, 0] - _slack(box)) | (found.points > box[:, 1] + _slack(box))
    if outside.any():
        row, column = (int(index) for index in np.argwhere(outside)[0])
        raise ConfigError(
            f"prior: {found.source}, {found.labels[row]}, column {names[column]}: {found.points[row, column]:g} lies outside the box "
            f"[{box[column, 0]:g}, {box[column, 1]:g}]; leave the row out{then}, or begin anew with a wider box"
        )
