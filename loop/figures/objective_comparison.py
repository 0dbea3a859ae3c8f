"""The reconstructed objective beside the ground truth, with the points that were explored.

Both surfaces have the same colours, so that what the surrogate has understood of the landscape can be seen at a glance, and where it has
not looked. The third panel, where a standard deviation is given, says where it knows that it does not know.

Source: the comparison is that of M. Valleti, R. Vasudevan, M. Ziatdinov, S. Kalinin 2022, https://doi.org/10.1039/D2DD00065B, figure 6.
"""

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray, Goal
from .panels import Panel, arrange
from .theme import INCUMBENT, INK, UNCERTAINTY_SCALE, add_legend_entry, new_figure, say, value_scale
from .thinning import thinned_rows

_MAX_CELLS = 200
"""Heat map cells along one axis of each panel."""
_POINT = "rgba(255,255,255,0.85)"


def draw_objective_comparison(
    x: FloatArray,
    y: FloatArray,
    truth: FloatArray,
    mean: FloatArray,
    *,
    std: FloatArray | None = None,
    explored: FloatArray | None = None,
    goal: Goal = "maximize",
    objective_name: str = "objective",
    unit: str = "",
) -> go.Figure:
    """Draw ground truth and surrogate side by side.

    Args:
        x: first latent coordinate, ascending, shape (nx,), at least 2.
        y: second latent coordinate, ascending, shape (ny,), at least 2.
        truth: the objective itself, shape (ny, nx); non-finite where it has none.
        mean: the surrogate's mean on the same grid.
        std: its standard deviation on the same grid.
        explored: points that were measured, shape (n, 2).
        goal: which way is better.
        objective_name: name of the objective.
        unit: its unit; empty for none.

    Raises:
        ValueError: if a surface's shape is not the grid's.
    """
    shape = (y.size, x.size)
    for name, surface in (("truth", truth), ("mean", mean), ("std", std)):
        if surface is not None and surface.shape != shape:
            raise ValueError(f"{name} has shape {surface.shape}, the grid {shape}; evaluate it on np.meshgrid(x, y), one row per y")
    quantity = f"{objective_name} ({unit})" if unit else objective_name
    figure = new_figure("Ground truth and what the surrogate made of it", height=470, is_full_width=True)
    if not np.isfinite(truth).any():
        return say(figure, "the ground truth has no finite value on this grid")
    panels = [Panel(f"ground truth: {quantity}", 1, "coloraxis"), Panel(f"surrogate mean: {quantity}", 2, "coloraxis2")]
    surfaces = [truth, mean]
    finite = truth[np.isfinite(truth)]
    # The range of the truth: a surrogate that is off beyond it is off, and must not wash out the colours of both.
    shared = {"colorscale": value_scale(is_bright_low=goal == "minimize"), "cmin": float(finite.min()), "cmax": float(finite.max())}
    figure.update_layout(coloraxis=shared, coloraxis2=shared)
    if std is not None:
        panels.append(Panel("surrogate standard deviation", 3, "coloraxis3"))
        surfaces.append(std)
        figure.update_layout(coloraxis3={"colorscale": UNCERTAINTY_SCALE})
    columns, rows = thinned_rows(x.size, _MAX_CELLS), thinned_rows(y.size, _MAX_CELLS)
    for panel, surface in zip(panels, surfaces):
        figure.add_heatmap(
            x=x[columns],
            y=y[rows],
            z=np.where(np.isfinite(surface), surface, np.nan)[np.ix_(rows, columns)],
            coloraxis=panel.coloraxis,
            xaxis=f"x{panel.suffix}",
            yaxis=f"y{panel.suffix}",
            name=panel.heading,
            hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>%{z:.5g}<extra></extra>",
        )
        if explored is not None and len(explored):
            _add_explored(figure, explored, panel)
    worth = np.where(np.isfinite(truth), truth, -np.inf if goal == "maximize" else np.inf)
    best = np.unravel_index(int(np.argmax(worth) if goal == "maximize" else np.argmin(worth)), shape)
    for panel in panels[:2]:
        figure.add_scatter(
            x=[x[best[1]]],
            y=[y[best[0]]],
            xaxis=f"x{panel.suffix}",
            yaxis=f"y{panel.suffix}",
            mode="markers",
            name=f"optimum of the ground truth: {truth[best]:.5g}",
            legendgroup="optimum",
            showlegend=panel.number == 1,
            marker={"symbol": "star", "size": 16, "color": INCUMBENT, "line": {"color": "white", "width": 1.2}},
            hovertemplate=f"optimum {truth[best]:.6g}<extra></extra>",
        )
    if explored is not None and len(explored):
        add_legend_entry(figure, f"explored ({len(explored):,})", "#c9ccd2", "explored")
    arrange(figure, panels, panel_aspect=0.9 if std is not None else 1.1)
    for panel in panels:
        x_axis: dict[str, object] = {"title_text": "z<sub>1</sub>", "range": [float(x[0]), float(x[-1])]}
        y_axis: dict[str, object] = {"title_text": "z<sub>2</sub>", "range": [float(y[0]), float(y[-1])]}
        if panel.number > 1:
            x_axis["matches"], y_axis["matches"] = "x", "y"
        figure.update_layout({f"xaxis{panel.suffix}": x_axis, f"yaxis{panel.suffix}": y_axis})
    figure.update_layout(showlegend=True)
    return figure


def _add_explored(figure: go.Figure, explored: FloatArray, panel: Panel) -> None:
    """Draw the explored points in one panel."""
    rows = thinned_rows(len(explored))
    figure.add_scatter(
        x=explored[rows, 0],
        y=explored[rows, 1],
        xaxis=f"x{panel.suffix}",
        yaxis=f"y{panel.suffix}",
        mode="markers",
        legendgroup="explored",
        showlegend=False,
        marker={"color": _POINT, "size": 5, "line": {"color": INK, "width": 0.8}},
        hovertemplate="explored z = (%{x:.3g}, %{y:.3g})<extra></extra>",
    )
