"""The ground truth: the objective over a grid of the latent space, with its optimum and where the training data lie.

The lines enclose the given shares of the encoded training data: levels of a histogram on the grid, smoothed as a kernel estimate of the
density (highest density regions).

Source: R. J. Hyndman, The American Statistician 50, 120 (1996), https://doi.org/10.1080/00031305.1996.10474359.
"""

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from scipy.ndimage import gaussian_filter

from ..records import FloatArray, Goal
from .panels import Panel, arrange
from .theme import BLUE, INCUMBENT, axis_title, new_figure, plain, say, value_scale
from .thinning import thinned_rows

_SHARES = (0.5, 0.95)
"""Shares of the training data that the lines enclose."""
_LINE = "#f472b6"
"""Pink is far from every colour of the scale, and stands on white and on near-black in the legend."""
_DENSITY_CELLS = 80
"""Cells of the density along one axis."""
_DENSITY_WIDTH = 2.0
"""Standard deviation of its smoothing, in cells."""
_MAX_CELLS = 300
"""Heat map cells along one axis: more are finer than a screen shows and make a heavy page."""


def draw_objective_map(
    x: FloatArray,
    y: FloatArray,
    objective: FloatArray,
    *,
    training: FloatArray | None = None,
    goal: Goal = "maximize",
    objective_name: str = "objective",
    unit: str = "",
) -> go.Figure:
    """Draw the objective over the latent grid.

    Args:
        x: first latent coordinate, ascending, shape (nx,).
        y: second latent coordinate, ascending, shape (ny,); shape (0,) for a latent space of one dimension.
        objective: objective at every point, shape (ny, nx), or (nx,) in one dimension; non-finite where it has none.
        training: encoded training data, shape (n, d); drawn as contour lines in two dimensions.
        goal: which way is better.
        objective_name: name of the objective.
        unit: its unit; empty for none.

    Raises:
        ValueError: if the objective's shape is not the grid's.
    """
    shape = (y.size, x.size) if y.size else (x.size,)
    if objective.shape != shape:
        raise ValueError(f"the objective has shape {objective.shape}, the grid {shape}; evaluate it on np.meshgrid(x, y), one row per y")
    title = f"{objective_name} over the latent space"
    figure = new_figure(title, aspect=1.25, height=560)
    finite: npt.NDArray[np.bool_] = np.isfinite(objective)
    if not finite.any():
        return say(figure, "the objective has no finite value on this grid")
    masked = np.where(finite, objective, -np.inf if goal == "maximize" else np.inf)
    best = np.unravel_index(int(np.argmax(masked) if goal == "maximize" else np.argmin(masked)), shape)
    value = float(objective[best])
    if not y.size:
        figure.add_scatter(x=x, y=objective, mode="lines", line={"color": BLUE, "width": 2}, name=plain(objective_name))
        _add_optimum(figure, float(x[best[0]]), value, value)
        figure.update_xaxes(title_text="z")
        figure.update_yaxes(title_text=axis_title(objective_name, unit))
        return figure
    columns, rows = thinned_rows(x.size, _MAX_CELLS), thinned_rows(y.size, _MAX_CELLS)
    figure.add_heatmap(
        x=x[columns],
        y=y[rows],
        z=np.where(finite, objective, np.nan)[np.ix_(rows, columns)],
        coloraxis="coloraxis",
        name=plain(objective_name),
        hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>%{z:.6g}<extra></extra>",
    )
    figure.update_layout(coloraxis={"colorscale": value_scale(is_bright_low=goal == "minimize")})
    if training is not None and len(training) > 1:
        _add_training(figure, training, x, y)
    _add_optimum(figure, float(x[best[1]]), float(y[best[0]]), value)
    arrange(figure, [Panel(f"{objective_name} ({unit})" if unit else objective_name, 1, "coloraxis")], panel_aspect=1.2)
    figure.update_xaxes(title_text="z<sub>1</sub>", range=_edges(x))
    figure.update_yaxes(title_text="z<sub>2</sub>", range=_edges(y))
    return figure


def enclosing_levels(density: FloatArray, shares: tuple[float, ...]) -> list[float]:
    """Return the densities above which the given shares of all mass lie, one per share.

    Args:
        density: non-negative mass per cell, any shape.
        shares: between 0 and 1.
    """
    descending = np.sort(density.ravel())[::-1]
    mass = np.cumsum(descending) / descending.sum()
    return [float(descending[min(int(np.searchsorted(mass, share)), descending.size - 1)]) for share in shares]


def _add_training(figure: go.Figure, training: FloatArray, x: FloatArray, y: FloatArray) -> None:
    """Draw the lines that enclose shares of the training data, as far as the grid reaches."""
    counts, x_edges, y_edges = np.histogram2d(
        training[:, 0], training[:, 1], bins=_DENSITY_CELLS, range=[[float(x[0]), float(x[-1])], [float(y[0]), float(y[-1])]]
    )
    if counts.sum() == 0:
        return
    density = gaussian_filter(counts, _DENSITY_WIDTH)
    for share, level, dash in zip(_SHARES, enclosing_levels(density, _SHARES), ("solid", "dash")):
        figure.add_contour(
            x=0.5 * (x_edges[1:] + x_edges[:-1]),
            y=0.5 * (y_edges[1:] + y_edges[:-1]),
            z=density.T,
            contours={"start": level, "end": level, "size": 1.0, "coloring": "none"},
            line={"color": _LINE, "width": 1.8, "dash": dash},
            name=f"{share:.0%} of the training data",
            showlegend=True,
            showscale=False,
            hoverinfo="skip",
        )


def _add_optimum(figure: go.Figure, x: float, y: float, value: float) -> None:
    """Mark the best point of the grid."""
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        name=f"optimum: {value:.6g}",
        showlegend=True,
        marker={"symbol": "star", "size": 16, "color": INCUMBENT, "line": {"color": "white", "width": 1.2}},
        hovertemplate=f"optimum {value:.6g}<extra></extra>",
    )


def _edges(values: FloatArray) -> list[float]:
    """Return the outer edges of a heat map's cells along one axis."""
    if values.size < 2:
        return [float(values[0]) - 0.5, float(values[0]) + 0.5]
    return [float(values[0] - 0.5 * (values[1] - values[0])), float(values[-1] + 0.5 * (values[-1] - values[-2]))]
