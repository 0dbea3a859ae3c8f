"""What the studio draws, from a snapshot of a campaign; runs in the studio's process.

A figure of a campaign whose trials were thinned says so in ``layout.meta``.
"""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError
from ..records import Trial
from ..store.reader import StoreReader
from .belief import Snapshot, config_of, fresh, grid_points, middle_of, reader_of, restored

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..figures import ReportFigure

_SURFACE = 50
"""Points along each axis of a surrogate's surface."""
_GRID = 9


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
    return bytes(without_title(figure).to_json().encode())


def report(path: Path) -> bytes:
    """Return the report of a campaign as one HTML page."""
    from ..report import write_report

    with TemporaryDirectory() as folder:
        page = write_report(path, Path(folder) / "report.html").read_text(encoding="utf-8")
    return page.replace(html.escape(str(path)), html.escape(path.name)).encode()  # where the server keeps it is nobody's business


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


def _incumbent_trace(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import draw_incumbent_trace

    history = snapshot.history
    return draw_incumbent_trace(history.trials, goal=history.goal, objective_name=config_of(snapshot).objective.metric)


def _latent_space(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import SurrogateGrid
    from ..figures.latent_map import LatentLayers, draw_latent_map

    config, history = config_of(snapshot), snapshot.history
    if snapshot.version is None:
        return draw_latent_map(history.trials, goal=history.goal, objective_name=config.objective.metric)
    campaign = restored(snapshot)
    layers, acquisition_name = None, config.optimizer.acquisition.name if config.optimizer.acquisition else ""
    if history.told:
        x, y, points = grid_points(campaign.box, _SURFACE, middle_of(snapshot))
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

    campaign, config = restored(snapshot), config_of(snapshot)
    rest = middle_of(snapshot)
    x, y, points = grid_points(campaign.box, _GRID, rest)
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
    store = reader_of(snapshot)
    field = store.field(trial, "polarization")
    if field is None or not np.isfinite(field).all() or field.ndim not in (3, 4) or field.shape[-1] != 2:
        raise ConfigError(f"trial {trial.number} has no polarization field")
    if field.ndim == 3:
        return draw_polarization(field, curl_map(field), trial=trial.number)
    times = np.arange(len(field), dtype=np.float64) if snapshot.signal is None else snapshot.signal.times
    trajectory = store.trajectory(trial)
    applied = trajectory.reshape(len(trajectory), -1)
    both = np.zeros((len(applied), 2))
    both[:, : min(2, applied.shape[1])] = applied[:, :2]
    frame_times = np.linspace(times[0], times[-1], len(field))
    config = config_of(snapshot).trajectories
    unit, time_unit = (config.unit, config.time_unit) if snapshot.signal is None else (snapshot.signal.unit, snapshot.signal.time_unit)
    return draw_polarization_animation(field, frame_times, times, both, field_unit=unit, time_unit=time_unit)


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

    config, history, store = config_of(snapshot), snapshot.history, reader_of(snapshot)
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


def _calibration(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..method_figures import calibration_figure

    return _of_report(calibration_figure(restored(snapshot)))


def _length_scales(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..method_figures import length_scale_figure

    return _of_report(length_scale_figure(restored(snapshot)))


def _acquisition_surface(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..method_figures import acquisition_figure

    return _of_report(acquisition_figure(fresh(snapshot), snapshot.n_trials))  # it proposes a point, which a kept campaign would remember


def _dimensions(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..method_figures import dimension_figure
    from ..trajectory_source import load_trajectories

    config = config_of(snapshot)
    kept = StoreReader.open(snapshot.path).trajectories() if config.trajectories.file is not None else None
    return _of_report(dimension_figure(config, kept or load_trajectories(config)))


def _drift(snapshot: Snapshot, _: int | None) -> "go.Figure":
    from ..figures import draw_drift

    return draw_drift(snapshot.history.trials, objective_name=config_of(snapshot).objective.metric)


def _of_report(made: "ReportFigure") -> "go.Figure":
    """Return a figure of the report; a sentence in its place where the report has none, and says why."""
    from ..figures.theme import new_figure, say

    return say(new_figure(made.heading), made.absent) if made.figure is None else made.figure


_FIGURES = {
    "incumbent_trace": _incumbent_trace,
    "latent_space": _latent_space,
    "trajectories": _best_trajectory,
    "polarization": _polarization,
    "latent_grid": _latent_grid,
    "training_curve": _training_curve,
    "calibration": _calibration,
    "length_scales": _length_scales,
    "acquisition_surface": _acquisition_surface,
    "dimensions": _dimensions,
    "drift": _drift,
}
