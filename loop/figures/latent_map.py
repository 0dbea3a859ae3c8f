"""The latent space in one panel, for a page that shows it live: one surface at a time, with the explored trials on top.

The surrogate's mean, its standard deviation and the acquisition function are layers, of which a page shows one. Explored trials keep the
mean's colour scale whichever layer is shown, and every set of points has a trace of its own even while it is empty, so that a page
can append to it. ``layout.meta["latentloop"]`` says which trace is which. In more than two dimensions points are shown by their first
two coordinates and the layers on a slice; a space of one dimension is drawn as the curve of :func:`~.latent_space.draw_latent_space`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray, Goal, Trial, TrialState
from .latent_space import VIRIDIS_MIDDLE, SurrogateGrid, draw_latent_space
from .panels import Panel, arrange
from .theme import AMBER, GREY, INCUMBENT, INK, UNCERTAINTY_SCALE, add_legend_entry, new_figure, plain, value_scale
from .thinning import MAX_POINTS, thinned_rows

_UNDER_WAY = (TrialState.PROPOSED, TrialState.HELD, TrialState.ARMED)
_ACQUISITION_SCALE = "Cividis"
_FLOOR = 0.6
"""Quantile of the acquisition surface at which its colours start: logarithmic ones fall by hundreds around measured points."""
_MAX_TRAINING = 1000
_BAR = {"thickness": 10, "outlinewidth": 0, "x": 1.0, "xpad": 10, "len": 1.0, "title": {"side": "right"}}


@dataclass(frozen=True, slots=True)
class LatentLayers:
    """What the optimizer believes, on a grid of the first two latent coordinates."""

    surrogate: SurrogateGrid
    acquisition: FloatArray | None = None
    """Acquisition value, shape (ny, nx), or (nx,) in one dimension; non-finite where it has none."""

    def __post_init__(self) -> None:
        if self.acquisition is not None and self.acquisition.shape != self.surrogate.mean.shape:
            raise ValueError(
                f"the acquisition surface has shape {self.acquisition.shape}, the mean {self.surrogate.mean.shape}; use one grid for both"
            )


def draw_latent_map(
    trials: Sequence[Trial],
    *,
    training: FloatArray | None = None,
    bounds: FloatArray | None = None,
    layers: LatentLayers | None = None,
    goal: Goal = "maximize",
    objective_name: str = "objective",
    unit: str = "",
    acquisition_name: str = "acquisition",
    axis_names: Sequence[str] = (),
) -> go.Figure:
    """Draw the latent space with one surface at a time under the explored trials.

    Args:
        trials: trials in any state; completed ones are drawn by their value, those under way as diamonds.
        training: encoded training data, shape (n, d).
        bounds: box of the latent space, rows [low, high], shape (d, 2).
        layers: surfaces to switch between; None before the surrogate has anything to learn from.
        goal: which way is better.
        objective_name: name of the objective.
        unit: its unit; empty for none.
        acquisition_name: name of the acquisition function.
        axis_names: names of the first two coordinates, where they are parameters rather than latent ones.
    """
    done = [trial for trial in trials if trial.state is TrialState.COMPLETED and np.isfinite(trial.objective)]
    d = next((len(rows[0]) for rows in (training, [t.z for t in trials]) if rows is not None and len(rows)), 0)
    if bounds is not None and bounds.size:
        d = len(bounds)
    if d < 2:
        surrogate = None if layers is None else layers.surrogate
        return draw_latent_space(
            trials, training=training, bounds=bounds, surrogate=surrogate, goal=goal, objective_name=objective_name, unit=unit
        )
    quantity = f"{objective_name} ({unit})" if unit else objective_name
    figure = new_figure("Latent space", height=520)
    roles: dict[str, object] = {"kind": "latent_map", "d": d, "goal": goal}
    values = np.array([trial.objective for trial in done], dtype=np.float64)
    roles["layers"] = _add_layers(figure, layers, acquisition_name)
    _share_scale(figure, values, layers, goal)
    roles["training"] = _add_points(
        figure,
        "training data",
        np.empty((0, 2)) if training is None else training[thinned_rows(len(training), _MAX_TRAINING), :2],
        {"color": GREY, "size": 3, "opacity": 0.45},
    )
    figure.data[-1].update(hoverinfo="skip", hovertemplate=None)
    best = None if not done else int(np.argmax(values) if goal == "maximize" else np.argmin(values))
    rows = thinned_rows(len(done), MAX_POINTS) if best is None else np.union1d(thinned_rows(len(done), MAX_POINTS), [best])
    roles["trials"] = _add_trials(
        figure,
        "explored",
        [done[row] for row in rows],
        {"color": values[rows], "coloraxis": "coloraxis", "size": 9, "line": {"color": "rgba(255,255,255,0.9)", "width": 1}},
    )
    # Plotly's legend takes values for names of colours where they stand for a colour scale, and warns of each.
    figure.data[-1].update(showlegend=False, legendgroup="explored")
    add_legend_entry(figure, "explored", VIRIDIS_MIDDLE, "explored")
    under_way = [trial for trial in trials[-10 * MAX_POINTS :] if trial.state in _UNDER_WAY]
    diamond = {"symbol": "diamond", "color": AMBER, "size": 11, "line": {"color": INK, "width": 1}}
    roles["pending"] = _add_trials(figure, "under way or held", under_way, diamond)
    star = {"symbol": "star", "size": 17, "color": INCUMBENT, "line": {"color": "white", "width": 1.2}}
    roles["incumbent"] = _add_trials(figure, "best", [] if best is None else [done[best]], star)
    arrange(figure, [Panel(quantity if done else "", 1, "coloraxis" if done else "")], panel_aspect=1.2)
    names = [axis_names[k] if k < len(axis_names) else f"z<sub>{k + 1}</sub>" + (f" of {d}" if d > 2 else "") for k in (0, 1)]
    for k, axis in enumerate((figure.layout.xaxis, figure.layout.yaxis)):
        axis.update(title_text=names[k], showgrid=False)
        if bounds is not None and bounds.size:
            axis.update(range=[float(bounds[k, 0]), float(bounds[k, 1])])
    figure.update_layout(showlegend=True, meta={**figure.layout.meta, "latentloop": roles})
    return figure


def _add_layers(figure: go.Figure, layers: LatentLayers | None, acquisition_name: str) -> dict[str, int]:
    """Add one heat map per surface, the first one visible; returns each one's trace number."""
    if layers is None:
        return {}
    grid, numbers = layers.surrogate, {}
    surfaces: list[tuple[str, str, FloatArray, dict[str, object]]] = [
        ("mean", "surrogate mean", grid.mean, {"coloraxis": "coloraxis"}),
        (
            "uncertainty",
            "surrogate standard deviation",
            grid.standard_deviation,
            {"colorscale": UNCERTAINTY_SCALE, "colorbar": _bar("standard deviation")},
        ),
    ]
    if layers.acquisition is not None and np.isfinite(layers.acquisition).any():
        finite = layers.acquisition[np.isfinite(layers.acquisition)]
        low, high = float(np.quantile(finite, _FLOOR)), float(finite.max())
        bounds = {"zmin": low, "zmax": high if high > low else low + 1.0}
        colours = {"colorscale": _ACQUISITION_SCALE, "colorbar": _bar(acquisition_name), **bounds}
        surfaces.append(("acquisition", acquisition_name, np.where(np.isfinite(layers.acquisition), layers.acquisition, np.nan), colours))
    for key, name, surface, colours in surfaces:
        numbers[key] = len(figure.data)
        figure.add_heatmap(
            x=grid.x,
            y=grid.y,
            z=np.round(surface, 3 - int(np.floor(np.log10(np.nanmax(np.abs(surface)) or 1.0)))),
            visible=key == "mean",
            zsmooth="best",
            name=plain(name),
            hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>" + plain(name) + " %{z:.5g}<extra></extra>",
            **colours,
        )
    return numbers


def _bar(title: str) -> dict[str, object]:
    """Return the upright colour bar of a layer that has a scale of its own."""
    return {**_BAR, "title": {"side": "right", "text": plain(title)}}


def _share_scale(figure: go.Figure, values: FloatArray, layers: LatentLayers | None, goal: Goal) -> None:
    """Give explored trials and the mean one scale, so that both can be compared."""
    seen = values if layers is None else np.concatenate([values, layers.surrogate.mean[np.isfinite(layers.surrogate.mean)]])
    # Before the first value there is no bar: the first trials that a page appends would bring Plotly's own, which never goes away again.
    scale: dict[str, object] = {"colorscale": value_scale(is_bright_low=goal == "minimize"), "showscale": bool(len(values))}
    if seen.size:
        scale |= {"cmin": float(seen.min()), "cmax": float(seen.max())}
    figure.update_layout(coloraxis=scale)


def _add_trials(figure: go.Figure, name: str, trials: Sequence[Trial], marker: dict[str, object]) -> int:
    """Add trials as points whose ``customdata`` is their number; returns the trace's number."""
    z = np.array([trial.z[:2] for trial in trials]).reshape(-1, 2)
    return _add_points(figure, name, z, marker, [trial.number for trial in trials], [trial.objective for trial in trials])


def _add_points(
    figure: go.Figure,
    name: str,
    z: FloatArray,
    marker: dict[str, object],
    numbers: Sequence[int] = (),
    values: Sequence[float] = (),
) -> int:
    texts = ["" if np.isnan(value) else f"{value:.6g}" for value in values]
    figure.add_scatter(
        x=z[:, 0],
        y=z[:, 1],
        mode="markers",
        name=name,
        marker=marker,
        customdata=list(numbers),
        text=texts,
        cliponaxis=False,
        hovertemplate="trial %{customdata}: %{text}<br>z = (%{x:.3g}, %{y:.3g})<extra></extra>",
    )
    return len(figure.data) - 1
