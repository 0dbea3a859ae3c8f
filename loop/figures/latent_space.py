"""The latent space: encoded training data, explored trials, and what the surrogate believes.

Three panels share their axes: explored trials coloured by their objective over the training data, the surrogate's posterior mean on the
same colour scale, so that both can be compared, and its standard deviation. In more than two dimensions points are shown by their first
two coordinates and the surrogate on a slice; in one dimension all becomes a curve with its band of two standard deviations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray, Goal, Trial, TrialState
from .panels import Panel, arrange
from .theme import BLUE, GREY, INCUMBENT, INK, UNCERTAINTY_SCALE, add_legend_entry, axis_title, new_figure, plain, say, value_scale
from .thinning import MAX_POINTS, thinned_rows

_SPECK = {"color": GREY, "size": 3, "opacity": 0.45}
"""One training trajectory."""

VIRIDIS_MIDDLE = "#21918c"
"""Stands for the colours of all explored trials in the legend."""


@dataclass(frozen=True, slots=True)
class SurrogateGrid:
    """The surrogate's posterior on a grid of the first two latent coordinates, or of the only one."""

    x: FloatArray
    """First latent coordinate, ascending, shape (nx,)."""
    y: FloatArray
    """Second latent coordinate, ascending, shape (ny,); shape (0,) in one dimension."""
    mean: FloatArray
    """Posterior mean in the objective's unit and sign, shape (ny, nx), or (nx,) in one dimension."""
    standard_deviation: FloatArray
    """Posterior standard deviation, shape as ``mean``."""

    def __post_init__(self) -> None:
        shape = (self.y.size, self.x.size) if self.y.size else (self.x.size,)
        for name, values in (("mean", self.mean), ("standard_deviation", self.standard_deviation)):
            if values.shape != shape:
                raise ValueError(
                    f"{name} of the surrogate has shape {values.shape}, its grid {shape}; evaluate it on np.meshgrid(x, y), one row per y"
                )


def draw_latent_space(
    trials: Sequence[Trial],
    *,
    training: FloatArray | None = None,
    bounds: FloatArray | None = None,
    surrogate: SurrogateGrid | None = None,
    goal: Goal = "maximize",
    objective_name: str = "objective",
    unit: str = "",
) -> go.Figure:
    """Draw the latent space with training data, explored trials and the surrogate.

    Args:
        trials: trials in any state; completed ones with a finite objective are drawn as explored.
        training: encoded training data, shape (n, d); thinned above 2,000.
        bounds: box of the latent space, rows [low, high], shape (d, 2); None leaves the axes to the data.
        surrogate: posterior on a grid; in more than two dimensions on the slice through the incumbent.
        goal: which way is better.
        objective_name: name of the objective.
        unit: its unit; empty for none.
    """
    done = [trial for trial in trials if trial.state is TrialState.COMPLETED and np.isfinite(trial.objective)]
    d = _n_latent(trials, training, bounds, surrogate)
    if d == 0:
        return say(new_figure("Latent space"), "no trial has completed yet, and there is no training data to show")
    if d == 1:
        return _draw_line(done, training, bounds, surrogate, goal, axis_title(objective_name, unit))
    quantity = f"{objective_name} ({unit})" if unit else objective_name
    panels = [Panel(f"explored: {quantity}" if done else "training data", 1, "coloraxis" if done else "")]
    if surrogate is not None:
        panels += [Panel(f"surrogate mean: {quantity}", 2, "coloraxis2"), Panel("surrogate standard deviation", 3, "coloraxis3")]
    notes = [] if d == 2 else [f"first two of {d} coordinates"]
    if d > 2 and surrogate is not None:
        notes.append("surrogate on the slice through the incumbent")
    title = "Latent space" + (f" ({'; '.join(notes)})" if notes else "")
    figure = new_figure(title, height=470, is_full_width=surrogate is not None)
    _add_training(figure, training)
    values = np.array([trial.objective for trial in done], dtype=np.float64)
    if surrogate is not None:
        _add_surrogate(figure, surrogate, values, goal)
    elif done:
        figure.update_layout(coloraxis={"colorscale": value_scale(is_bright_low=goal == "minimize")})
    _add_explored(figure, done, values, goal, [panel.number for panel in panels])
    arrange(figure, panels, panel_aspect=0.9 if surrogate is not None else 1.35)
    _label_axes(figure, panels, bounds, surrogate)
    if notes:
        # Pages drop the title for a heading of their own, so the note stands in the axis title too.
        figure.update_xaxes(title_text=f"z<sub>1</sub> of {d}")
    if not done:
        _note(figure, "no trial has completed yet")
    return figure


def _n_latent(trials: Sequence[Trial], training: FloatArray | None, bounds: FloatArray | None, surrogate: SurrogateGrid | None) -> int:
    """Return the number of latent dimensions, from whatever is known; 0 where nothing is."""
    if training is not None and training.size:
        return int(training.shape[1])
    if bounds is not None and bounds.size:
        return int(bounds.shape[0])
    if trials:
        return int(trials[0].z.size)
    if surrogate is not None:
        return 2 if surrogate.y.size else 1
    return 0


def _add_training(figure: go.Figure, training: FloatArray | None) -> None:
    """Draw encoded training data in the first panel."""
    if training is None or not training.size:
        return
    rows = thinned_rows(len(training))
    name = "training data" if len(rows) == len(training) else f"training data ({len(rows):,} of {len(training):,})"
    figure.add_scatter(
        x=training[rows, 0],
        y=training[rows, 1],
        mode="markers",
        name=name,
        legendgroup="training",
        showlegend=False,
        marker=_SPECK,
        hoverinfo="skip",
    )
    add_legend_entry(figure, name, GREY, "training")


def _add_surrogate(figure: go.Figure, surrogate: SurrogateGrid, values: FloatArray, goal: Goal) -> None:
    """Draw mean and standard deviation as heat maps; the mean shares the explored trials' colour range."""
    figure.add_heatmap(
        x=surrogate.x,
        y=surrogate.y,
        z=surrogate.mean,
        coloraxis="coloraxis2",
        xaxis="x2",
        yaxis="y2",
        name="mean",
        hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>mean %{z:.5g}<extra></extra>",
    )
    figure.add_heatmap(
        x=surrogate.x,
        y=surrogate.y,
        z=surrogate.standard_deviation,
        coloraxis="coloraxis3",
        xaxis="x3",
        yaxis="y3",
        name="standard deviation",
        hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>standard deviation %{z:.3g}<extra></extra>",
    )
    both = np.concatenate([values, surrogate.mean[np.isfinite(surrogate.mean)]])
    scale = value_scale(is_bright_low=goal == "minimize")
    shared = {"colorscale": scale} if both.size == 0 else {"colorscale": scale, "cmin": float(both.min()), "cmax": float(both.max())}
    figure.update_layout(coloraxis=shared, coloraxis2=shared, coloraxis3={"colorscale": UNCERTAINTY_SCALE})


def _add_explored(figure: go.Figure, done: Sequence[Trial], values: FloatArray, goal: Goal, numbers: Sequence[int]) -> None:
    """Draw explored trials and the incumbent in every panel; values as colours in the first only."""
    if not done:
        return
    best = int(np.argmax(values) if goal == "maximize" else np.argmin(values))
    rows = np.union1d(thinned_rows(len(done), MAX_POINTS), [best])
    z = np.array([done[row].z for row in rows])
    add_legend_entry(figure, "explored", VIRIDIS_MIDDLE, "explored")
    for number in numbers:
        is_first, suffix = number == 1, "" if number == 1 else str(number)
        colour = (
            {"color": values[rows], "coloraxis": "coloraxis", "size": 9} if is_first else {"color": "rgba(255,255,255,0.85)", "size": 4}
        )
        figure.add_scatter(
            x=z[:, 0],
            y=z[:, 1],
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
            mode="markers",
            name="explored",
            legendgroup="explored",
            showlegend=False,
            marker={**colour, "line": {"color": GREY if is_first else INK, "width": 0.8}},
            customdata=[[done[row].number, done[row].objective, plain(done[row].acquisition)] for row in rows],
            hovertemplate="trial %{customdata[0]}: %{customdata[1]:.6g}<br>z = (%{x:.3g}, %{y:.3g})<br>%{customdata[2]}<extra></extra>",
        )
        figure.add_scatter(
            x=[done[best].z[0]],
            y=[done[best].z[1]],
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
            mode="markers",
            name=f"best (trial {done[best].number})",
            legendgroup="best",
            showlegend=is_first,
            marker={"symbol": "star", "size": 16, "color": INCUMBENT, "line": {"color": "white", "width": 1.2}},
            hovertemplate=f"best trial {done[best].number}: {values[best]:.6g}<extra></extra>",
        )


def _label_axes(figure: go.Figure, panels: Sequence[Panel], bounds: FloatArray | None, surrogate: SurrogateGrid | None) -> None:
    """Name the axes, set their ranges, and let the panels zoom together."""
    for panel in panels:
        s = panel.suffix
        x: dict[str, object] = {"title_text": "z<sub>1</sub>"}
        y: dict[str, object] = {"title_text": "z<sub>2</sub>"}
        if panel.number > 1:
            x["matches"], y["matches"] = "x", "y"
        elif bounds is not None and bounds.size:
            x["range"], y["range"] = list(bounds[0]), list(bounds[1])
        elif surrogate is not None:
            x["range"], y["range"] = [surrogate.x[0], surrogate.x[-1]], [surrogate.y[0], surrogate.y[-1]]
        figure.layout[f"xaxis{s}"].update(x)
        figure.layout[f"yaxis{s}"].update(y)


def _draw_line(
    done: Sequence[Trial],
    training: FloatArray | None,
    bounds: FloatArray | None,
    surrogate: SurrogateGrid | None,
    goal: Goal,
    y_title: str,
) -> go.Figure:
    """Draw a latent space of one dimension: objective against z."""
    figure = new_figure("Latent space")
    figure.update_xaxes(title_text="z", range=None if bounds is None else list(bounds[0]))
    figure.update_yaxes(title_text=y_title)
    if surrogate is not None:
        width = 2.0 * surrogate.standard_deviation
        figure.add_scatter(
            x=np.concatenate([surrogate.x, surrogate.x[::-1]]),
            y=np.concatenate([surrogate.mean + width, (surrogate.mean - width)[::-1]]),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor="rgba(58,134,200,0.25)",
            name="two standard deviations",
            hoverinfo="skip",
        )
        figure.add_scatter(x=surrogate.x, y=surrogate.mean, mode="lines", line={"color": BLUE, "width": 2}, name="surrogate mean")
    if training is not None and training.size:
        rows = thinned_rows(len(training))
        figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
        marker = {"symbol": "line-ns-open", "size": 8, "color": GREY, "opacity": 0.5}
        figure.add_scatter(
            x=training[rows, 0],
            y=np.full(len(rows), 0.02),
            yaxis="y2",
            mode="markers",
            name="training data",
            marker=marker,
            hoverinfo="skip",
        )
    if not done:
        _note(figure, "no trial has completed yet")
        return figure
    values = np.array([trial.objective for trial in done], dtype=np.float64)
    best = int(np.argmax(values) if goal == "maximize" else np.argmin(values))
    rows = np.union1d(thinned_rows(len(done), MAX_POINTS), [best])
    figure.add_scatter(
        x=[done[row].z[0] for row in rows],
        y=values[rows],
        mode="markers",
        name="explored",
        marker={"color": BLUE, "size": 8, "line": {"color": INK, "width": 0.8}},
        customdata=[done[row].number for row in rows],
        hovertemplate="trial %{customdata}: %{y:.6g}<br>z = %{x:.3g}<extra></extra>",
    )
    figure.add_scatter(
        x=[done[best].z[0]],
        y=[values[best]],
        mode="markers",
        name=f"best (trial {done[best].number})",
        marker={"symbol": "star", "size": 16, "color": INCUMBENT, "line": {"color": "white", "width": 1.2}},
    )
    return figure


def _note(figure: go.Figure, sentence: str) -> None:
    """Write a sentence into the upper part of the first panel, beside what is drawn there."""
    figure.add_annotation(text=plain(sentence), x=0.5, y=0.94, xref="x domain", yref="y domain", showarrow=False, font={"size": 14})
