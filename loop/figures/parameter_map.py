"""One number over two parameters: a grid search with its optimum, and what a campaign over the same parameters found beside it.

Cells without a value stay empty and are counted in the legend. With explored points there are three panels: the map, the points on the
same colours, and the best value found against the number of evaluations. There a coarser grid is a choice of the map's own cells, as evenly
spread as they come: what a grid search with fewer evaluations would have found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..records import FloatArray, Goal
from .incumbent_trace import running_incumbent
from .panels import Panel, arrange
from .theme import BLUE, GREY, INCUMBENT, axis_title, new_figure, plain, say, value_scale
from .thinning import MAX_POINTS, thinned_rows

_MAX_CELLS = 300
"""Heat map cells along one axis: more are finer than a screen shows and make a heavy page."""
_EMPTY = "rgba(128,134,145,0.30)"


@dataclass(frozen=True, slots=True, eq=False)
class ExploredPoints:
    """Points of a campaign over the map's two parameters, in the order of their evaluation."""

    points: FloatArray
    """Shape (k, 2)."""
    values: FloatArray
    """What was measured (k,); NaN where a trial gave nothing."""
    n_initial: int = 0
    """How many of them belong to the initial design."""


def draw_parameter_map(
    x: FloatArray,
    y: FloatArray,
    values: FloatArray,
    names: Sequence[str],
    *,
    explored: ExploredPoints | None = None,
    value_name: str = "value",
    unit: str = "",
    goal: Goal = "maximize",
    empty_reason: str = "no value",
) -> go.Figure:
    """Draw a grid search, alone or beside the points that a campaign explored.

    Args:
        x: values of the first parameter, ascending (nx,), at least 2.
        y: values of the second, ascending (ny,), at least 2.
        values: the number at every cell (ny, nx); non-finite where there is none.
        names: of the two parameters.
        explored: points of a campaign, on the same scales.
        value_name: what is drawn.
        unit: its unit; empty for none.
        goal: which way is better.
        empty_reason: what cells without a value are called in the legend.

    Raises:
        ValueError: if a shape does not fit.
    """
    if values.shape != (y.size, x.size) or min(x.size, y.size) < 2:
        raise ValueError(f"the values have shape {values.shape}, the grid ({y.size}, {x.size}); evaluate one row per y, 2 or more of each")
    if explored is not None and explored.points.shape != (explored.values.size, 2):
        raise ValueError(f"{explored.values.size} explored values have points of shape {explored.points.shape}; give (k, 2)")
    first, second = names
    figure = new_figure(f"{value_name} over {first} and {second}", aspect=1.25, height=560, is_full_width=explored is not None)
    finite = np.isfinite(values)
    if not finite.any():
        return say(figure, f"no cell of the grid has a value: {empty_reason}")
    _add_map(figure, x, y, values, finite, empty_reason)
    row, column = _best(values, finite, goal)
    grid_best = float(values[row, column])
    _add_star(figure, float(x[column]), float(y[row]), f"best of the grid: {grid_best:.6g}", "", INCUMBENT)
    shown = f"{value_name} ({unit})" if unit else value_name
    panels = [Panel(shown if explored is None else f"grid search, {values.size:,} evaluations", 1, "coloraxis")]
    pooled = values[finite]
    if explored is not None:
        n = explored.values.size
        has_value = np.isfinite(explored.values)
        pooled = np.concatenate([pooled, explored.values[has_value]])
        if has_value.any():
            _add_explored(figure, explored, goal)
        _add_race(figure, values, explored, goal)
        panels += [Panel(f"campaign, {n:,} evaluation{'s' if n != 1 else ''}", 2), Panel("best found", 3)]
    scale = {"colorscale": value_scale(is_bright_low=goal == "minimize"), "cmin": float(pooled.min()), "cmax": float(pooled.max())}
    figure.update_layout(coloraxis=scale, showlegend=True)
    arrange(figure, panels, panel_aspect=1.2 if explored is None else 0.8)
    for s in [""] if explored is None else ["", "2"]:
        figure.layout[f"xaxis{s}"].update(title_text=axis_title(first), range=_edges(x), showgrid=False)
        figure.layout[f"yaxis{s}"].update(title_text=axis_title(second) if s == "" else None, range=_edges(y), showgrid=False)
    if explored is not None:
        figure.update_layout(
            xaxis3={"title": {"text": axis_title("evaluations")}, "type": "log"}, yaxis3={"title": {"text": axis_title(value_name, unit)}}
        )
    return figure


def coarser_grids(values: FloatArray, goal: Goal) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return evaluations and best value of ever finer choices of a map's cells, up to the map itself, each (k,).

    Args:
        values: the map (ny, nx), with at least one finite value.
        goal: which way is better.
    """
    longest, counts, best = max(values.shape), [], []
    for n in sorted({min(longest, size) for size in (2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, longest)}):
        cells = values[np.ix_(*(np.round(np.linspace(0, length - 1, min(n, length))).astype(np.int64) for length in values.shape))]
        if np.isfinite(cells).any():
            counts.append(cells.size)
            best.append(float(np.nanmax(cells) if goal == "maximize" else np.nanmin(cells)))
    return np.array(counts, dtype=np.int64), np.array(best)


def _add_map(figure: go.Figure, x: FloatArray, y: FloatArray, values: FloatArray, finite: npt.NDArray[np.bool_], reason: str) -> None:
    columns, rows = thinned_rows(x.size, _MAX_CELLS), thinned_rows(y.size, _MAX_CELLS)
    if not finite.all():
        hollow = np.where(finite, np.nan, 1.0)[np.ix_(rows, columns)]
        figure.add_heatmap(
            x=x[columns],
            y=y[rows],
            z=hollow,
            colorscale=[[0.0, _EMPTY], [1.0, _EMPTY]],
            showscale=False,
            name=plain(reason),
            hovertemplate=f"(%{{x:.4g}}, %{{y:.4g}})<br>{plain(reason)}<extra></extra>",
        )
        marker = {"symbol": "square", "size": 12, "color": _EMPTY}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker=marker, name=f"{plain(reason)} ({int((~finite).sum()):,} cells)", hoverinfo="skip"
        )
    figure.add_heatmap(
        x=x[columns],
        y=y[rows],
        z=np.where(finite, values, np.nan)[np.ix_(rows, columns)],
        coloraxis="coloraxis",
        name="grid search",
        hoverongaps=False,
        hovertemplate="(%{x:.4g}, %{y:.4g})<br>%{z:.6g}<extra></extra>",
    )


def _add_explored(figure: go.Figure, explored: ExploredPoints, goal: Goal) -> None:
    """Draw the campaign's points on the map's colours; points without a value as crosses."""
    has_value = np.isfinite(explored.values)
    is_initial = np.arange(explored.values.size) < explored.n_initial
    for chosen, name, symbol in ((is_initial, "initial design", "square"), (~is_initial, "chosen by the optimizer", "circle")):
        numbers = np.flatnonzero(chosen & has_value)
        if not numbers.size:
            continue
        numbers = numbers[thinned_rows(numbers.size, MAX_POINTS)]
        figure.add_scatter(
            x=explored.points[numbers, 0],
            y=explored.points[numbers, 1],
            mode="markers",
            marker={
                "symbol": symbol,
                "size": 9,
                "color": explored.values[numbers],
                "coloraxis": "coloraxis",
                "line": {"color": GREY, "width": 1},
            },
            customdata=np.stack([numbers, explored.values[numbers]], axis=1),
            name=name,
            showlegend=False,
            xaxis="x2",
            yaxis="y2",
            hovertemplate="evaluation %{customdata[0]} (%{x:.4g}, %{y:.4g})<br>%{customdata[1]:.6g}<extra>" + name + "</extra>",
        )
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": f"{symbol}-open", "size": 9, "color": GREY, "line": {"width": 1.5}},
            name=name,
            hoverinfo="skip",
        )
    lost = explored.points[~has_value]
    if lost.size:
        marker = {"symbol": "x-thin", "size": 8, "color": GREY, "line": {"width": 1.5, "color": GREY}}
        figure.add_scatter(
            x=lost[:, 0], y=lost[:, 1], mode="markers", marker=marker, name=f"without a value ({len(lost)})", xaxis="x2", yaxis="y2"
        )
    best = int((np.nanargmax if goal == "maximize" else np.nanargmin)(np.where(has_value, explored.values, np.nan)))
    point, value = explored.points[best], float(explored.values[best])
    _add_star(figure, float(point[0]), float(point[1]), f"best of the campaign: {value:.6g} (evaluation {best + 1})", "2", BLUE)


def _add_race(figure: go.Figure, values: FloatArray, explored: ExploredPoints, goal: Goal) -> None:
    """Draw the best value against evaluations: the campaign's incumbent, and grids of ever more cells."""
    counts, best = coarser_grids(np.where(np.isfinite(values), values, np.nan), goal)
    figure.add_scatter(
        x=counts,
        y=best,
        mode="lines+markers",
        line={"color": INCUMBENT, "width": 1.5, "dash": "dot"},
        marker={"symbol": "square", "size": 8, "color": INCUMBENT},
        name="grids of this many cells",
        xaxis="x3",
        yaxis="y3",
        hovertemplate="%{x} cells<br>best %{y:.6g}<extra></extra>",
    )
    done = np.flatnonzero(np.isfinite(explored.values))
    if done.size:
        incumbent, improved = running_incumbent(explored.values[done], goal)
        steps = np.flatnonzero(improved)
        figure.add_scatter(
            x=np.append(done[steps] + 1, explored.values.size),
            y=np.append(incumbent[steps], incumbent[-1]),
            mode="lines",
            line={"color": BLUE, "width": 2.5, "shape": "hv"},
            name="campaign so far",
            xaxis="x3",
            yaxis="y3",
            hovertemplate="after %{x} evaluations<br>best %{y:.6g}<extra></extra>",
        )


def _best(values: FloatArray, finite: npt.NDArray[np.bool_], goal: Goal) -> tuple[int, int]:
    masked = np.where(finite, values, -np.inf if goal == "maximize" else np.inf)
    row, column = np.unravel_index(int(masked.argmax() if goal == "maximize" else masked.argmin()), values.shape)
    return int(row), int(column)


def _add_star(figure: go.Figure, x: float, y: float, name: str, pair: str, colour: str) -> None:
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        name=name,
        cliponaxis=False,
        xaxis=f"x{pair}",
        yaxis=f"y{pair}",
        marker={"symbol": "star", "size": 17, "color": colour, "line": {"color": "white", "width": 1.2}},
        hovertemplate=f"{name}<br>(%{{x:.4g}}, %{{y:.4g}})<extra></extra>",
    )


def _edges(values: FloatArray) -> list[float]:
    """Return the outer edges of a heat map's cells along one axis."""
    return [float(values[0] - 0.5 * (values[1] - values[0])), float(values[-1] + 0.5 * (values[-1] - values[-2]))]
