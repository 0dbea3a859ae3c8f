"""What the studio draws and decodes, from a snapshot of a campaign; runs in the studio's process.

Campaigns of many trials are thinned before they come here: every improvement, the newest, and others at even distances. The surrogate of
the figures then knows the thinned observations only, and the figure says so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ..campaign import Campaign
from ..config import CampaignConfig, config_from_mapping
from ..config.trajectories import TrajectoriesConfig
from ..errors import ConfigError
from ..latent_training import latent_space, restore_model
from ..numbers import finite, finite_list
from ..records import FloatArray, Signal, Trial
from ..registry import FAMILIES
from ..seeding import generator
from ..standing import standing_of
from ..store.history import History
from ..store.objects import open_objects
from ..store.reader import StoreReader

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SURFACE = 50
"""Points along each axis of a surrogate's surface."""
_GRID = 9
_PREVIEWS = 12
_PREVIEW_STEPS = 400
_MOST_PREVIEW_STEPS = 5_000
_MOST_FOLDS = 8


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


def draw(snapshot: Snapshot, name: str, number: int | None) -> bytes:
    """Return a figure as Plotly's JSON.

    Raises:
        ConfigError: there is no such figure of this campaign.
    """
    from ..figures.theme import without_title

    figure = _FIGURES[name](snapshot, number)
    if snapshot.is_thinned:
        figure.update_layout(
            meta={**(figure.layout.meta or {}), "thinned": f"{len(snapshot.history.trials)} of {snapshot.n_trials} trials"}
        )
    return without_title(figure).to_json().encode()


def decode(snapshot: Snapshot, z: Sequence[float]) -> dict[str, Any]:
    """Return what a latent point decodes to, what it breaks of the envelope, and what the surrogate expects there.

    Raises:
        ConfigError: a point of another dimension.
    """
    campaign = _campaign(snapshot)
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
    """Return a few trajectories of a family, thinned to what a page shows.

    Raises:
        ConfigError: the section names no family, or its parameters are wrong or too large.
    """
    config = TrajectoriesConfig.model_validate(section)
    if config.family is None:
        raise ConfigError("a preview needs trajectories.family")
    for parameter in ("n_steps", "n_times", "degree"):
        if config.family.parameters.get(parameter, 0) > _MOST_PREVIEW_STEPS:
            raise ConfigError(f"a preview takes {parameter} up to {_MOST_PREVIEW_STEPS}")
    family = FAMILIES.create(config.family.name, config.family.parameters)
    try:
        values = np.asarray(family.draw(_PREVIEWS, generator(0, "trajectories")), dtype=np.float64)[:_PREVIEWS]
        times = np.asarray(family.times, dtype=np.float64)
    except (ValueError, ArithmeticError) as error:
        raise ConfigError(f"trajectories.family: {error}") from error
    step = max(1, len(times) // _PREVIEW_STEPS)
    n_channels = 1 if values.ndim == 2 else values.shape[2]  # noqa: PLR2004
    return {
        "times": finite_list(times[::step]),
        "time_unit": config.time_unit,
        "unit": config.unit,
        "channels": list(config.channels) or [f"channel {index}" if n_channels > 1 else "value" for index in range(n_channels)],
        "trajectories": finite_list(values[:, ::step]),
    }


def report(path: Path) -> bytes:
    """Return the report of a campaign as one HTML page."""
    from ..report import write_report

    with TemporaryDirectory() as folder:
        return write_report(path, Path(folder) / "report.html").read_bytes()


def compare(traces: Mapping[str, tuple[list[float], str, str]]) -> dict[str, Any]:
    """Return the figures that compare campaigns.

    Args:
        traces: campaign -> best value so far after each completed trial, metric, goal.
    """
    import plotly.graph_objects as go

    from ..figures.theme import axis_title, new_figure, plain, without_title

    metrics = {metric for _, metric, _ in traces.values()}
    found: dict[str, go.Figure] = {
        "traces": new_figure("Best value by completed trial"),
        "efficiency": new_figure("Trials to come so far"),
    }
    name = metrics.pop() if len(metrics) == 1 else "best value"
    found["traces"].update_xaxes(title_text="completed trials")
    found["traces"].update_yaxes(title_text=axis_title(name))
    found["efficiency"].update_xaxes(title_text="share of the campaign's own gain (%)")
    found["efficiency"].update_yaxes(title_text="completed trials", rangemode="tozero")
    for campaign, (best, _, _) in traces.items():
        values = np.asarray(best, dtype=np.float64)
        if not len(values):
            continue
        corners = np.flatnonzero(np.r_[True, np.diff(values) != 0])
        steps = np.unique(np.r_[corners, len(values) - 1])
        found["traces"].add_scatter(x=(steps + 1).tolist(), y=values[steps].tolist(), mode="lines", line_shape="hv", name=plain(campaign))
        gain = values[-1] - values[0]
        if gain:
            share = 100 * (values[corners] - values[0]) / gain
            found["efficiency"].add_scatter(
                x=share.tolist(), y=(corners + 1).tolist(), mode="lines+markers", line_shape="vh", name=plain(campaign)
            )
    return {key: json.loads(without_title(figure).to_json()) for key, figure in found.items()}


def themes() -> bytes:
    """Return the templates of figures for light and dark pages, as JSON."""
    from ..figures.theme import template

    return json.dumps({"light": template("light").to_plotly_json(), "dark": template("dark").to_plotly_json()}).encode()


@lru_cache(maxsize=4)
def _model(weights: bytes) -> Any:
    return restore_model(weights)


_campaigns: dict[tuple[Any, ...], Campaign] = {}


def _campaign(snapshot: Snapshot) -> Campaign:
    """Return the campaign of a snapshot, with its surrogate; the last few are kept."""
    history = snapshot.history
    if snapshot.version is None or snapshot.encoded is None:
        raise ConfigError("the latent model of this campaign has not been trained yet")
    key = (snapshot.path, history.identity, snapshot.version, len(history.told), len(history.avoided), history.n_events, snapshot.n_trials)
    if key not in _campaigns:
        config = _config(snapshot)
        space, box = latent_space(config, _model(snapshot.weights), snapshot.encoded)
        if snapshot.version:
            box = np.array(history.models[snapshot.version]["box"], dtype=np.float64)  # a retrained model's was widened to the trials
        made = Campaign(config, space, box, snapshot.version, "pure", snapshot.signal)
        made.restore(history.trials, history.told, history.avoided, standing_of(history))
        while len(_campaigns) >= _MOST_FOLDS:
            _campaigns.pop(next(iter(_campaigns)))
        _campaigns[key] = made
    return _campaigns[key]


def _store(snapshot: Snapshot) -> StoreReader:
    """Return a reader of the campaign's arrays, without reading its journal again."""
    store = StoreReader(open_objects(snapshot.path))
    store.evidence.payloads.update({number: dict(digests) for number, digests in snapshot.digests.items()})
    return store


def _config(snapshot: Snapshot) -> CampaignConfig:
    return config_from_mapping(snapshot.history.configuration, snapshot.path.name)


def _rest(snapshot: Snapshot) -> FloatArray:
    """Return the point through which surfaces are cut: the incumbent, or the middle of the box."""
    history = snapshot.history
    campaign = _campaign(snapshot)
    told = [history.trials[position] for position in history.told]
    if not told:
        return np.asarray(campaign.box.mean(axis=1))
    return (max if history.goal == "maximize" else min)(told, key=lambda trial: trial.objective).z


def _points(box: FloatArray, n: int, rest: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return x, y and the points of a grid over the first two latent coordinates, the others held."""
    x = np.linspace(*box[0], n)
    y = np.linspace(*box[1], n) if len(box) > 1 else np.zeros(1)
    points = np.tile(rest, (len(x) * len(y), 1))
    first, second = np.meshgrid(x, y)
    points[:, 0] = first.ravel()
    if len(box) > 1:
        points[:, 1] = second.ravel()
    return x, y, points


def _incumbent_trace(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import draw_incumbent_trace

    history = snapshot.history
    return draw_incumbent_trace(history.trials, goal=history.goal, objective_name=_config(snapshot).objective.metric)


def _latent_space(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import SurrogateGrid
    from ..figures.latent_map import LatentLayers, draw_latent_map

    config, history = _config(snapshot), snapshot.history
    if snapshot.version is None:
        return draw_latent_map(history.trials, goal=history.goal, objective_name=config.objective.metric)
    campaign = _campaign(snapshot)
    layers, acquisition_name = None, config.optimizer.acquisition.name if config.optimizer.acquisition else ""
    if history.told:
        x, y, points = _points(campaign.box, _SURFACE, _rest(snapshot))
        shape = (len(y), len(x)) if len(campaign.box) > 1 else (len(x),)
        mean, variance = campaign.optimizer.posterior(points)
        acquisition_name, values = campaign.optimizer.acquisition_values(points)
        surface = SurrogateGrid(x, y if len(campaign.box) > 1 else np.empty(0), mean.reshape(shape), np.sqrt(variance).reshape(shape))
        layers = LatentLayers(surface, values.reshape(shape))
    return draw_latent_map(
        history.trials,
        training=snapshot.encoded if config.trajectories.box is None else None,
        bounds=campaign.box,
        layers=layers,
        goal=history.goal,
        objective_name=config.objective.metric,
        acquisition_name=acquisition_name,
        axis_names=list(config.trajectories.box or {}),
    )


def _latent_grid(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import draw_latent_grid

    campaign, config = _campaign(snapshot), _config(snapshot)
    rest = _rest(snapshot)
    x, y, points = _points(campaign.box, _GRID, rest)
    decoded = np.asarray(campaign.space.decode(points))
    return draw_latent_grid(
        x,
        y,
        decoded.reshape(len(y), len(x), *decoded.shape[1:]),
        distance=campaign.space.distance(points).reshape(len(y), len(x)),
        bounds=campaign.box[:2] if len(campaign.box) > 1 else None,
        incumbent=rest if snapshot.history.told else None,
        channels=config.trajectories.channels,
        n_latent=len(campaign.box),
    )


def _polarization(snapshot: Snapshot, number: int | None) -> "go.Figure":
    from ...simulators.ferrosim.observables import curl_map
    from ..figures import draw_polarization, draw_polarization_animation

    trial = _trial(snapshot, number)
    store = _store(snapshot)
    field = store.field(trial, "polarization")
    if field is None or not np.isfinite(field).all() or field.ndim not in (3, 4) or field.shape[-1] != 2:  # noqa: PLR2004
        raise ConfigError(f"trial {trial.number} has no polarization field")
    if field.ndim == 3:  # noqa: PLR2004
        return draw_polarization(field, curl_map(field), trial=trial.number)
    times = np.arange(len(field), dtype=np.float64) if snapshot.signal is None else snapshot.signal.times
    trajectory = store.trajectory(trial)
    applied = trajectory.reshape(len(trajectory), -1)
    both = np.zeros((len(applied), 2))
    both[:, : min(2, applied.shape[1])] = applied[:, :2]
    frame_times = np.linspace(times[0], times[-1], len(field))
    return draw_polarization_animation(field, frame_times, times, both)


def _trial(snapshot: Snapshot, number: int | None) -> Trial:
    history = snapshot.history
    wanted = [trial for trial in history.trials if trial.number == number]
    if not wanted:
        raise ConfigError("this figure is of one trial; name a completed one with ?trial=N")
    return wanted[0]


def _training_curve(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import draw_training_curve

    if snapshot.curve is None:
        raise ConfigError("the latent model of this campaign was fitted in one step and has no training curve")
    return draw_training_curve(snapshot.curve)


def _best_trajectory(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import draw_best_trajectory

    config, history, store = _config(snapshot), snapshot.history, _store(snapshot)
    told = [history.trials[position] for position in history.told]
    best = (max if history.goal == "maximize" else min)(told, key=lambda trial: trial.objective) if told else None
    return draw_best_trajectory(
        None if best is None else store.trajectory(best),
        times=None if snapshot.signal is None else snapshot.signal.times,
        trial=None if best is None else best.number,
        objective=float("nan") if best is None else best.objective,
        channels=config.trajectories.channels,
        unit=config.trajectories.unit,
        time_unit=config.trajectories.time_unit,
        objective_name=config.objective.metric,
    )


_FIGURES = {
    "incumbent_trace": _incumbent_trace,
    "latent_space": _latent_space,
    "trajectories": _best_trajectory,
    "polarization": _polarization,
    "latent_grid": _latent_grid,
    "training_curve": _training_curve,
}
