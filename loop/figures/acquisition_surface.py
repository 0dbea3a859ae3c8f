"""The acquisition surface: what the optimizer thinks a measurement at each point is worth, and where it goes next.

Logarithmic acquisition functions fall by hundreds around measured points; the colours therefore start at a low quantile of the surface, so
that the peaks among which the optimizer chooses can be told apart.
"""

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .panels import Panel, arrange
from .theme import AMBER, INCUMBENT, INK, new_figure, say
from .thinning import thinned_rows

_MAX_CELLS = 300
"""Heat map cells along one axis."""
_FLOOR = 0.6
"""Quantile of the surface at which the colours start."""
_SCALE = "Cividis"
"""Neither that of values nor that of uncertainties, so that nobody mistakes one for the other."""


def draw_acquisition_surface(
    x: FloatArray,
    y: FloatArray,
    value: FloatArray,
    *,
    observed: FloatArray | None = None,
    pending: FloatArray | None = None,
    proposed: FloatArray | None = None,
    name: str = "acquisition value",
) -> go.Figure:
    """Draw an acquisition function over two latent coordinates.

    Args:
        x: first latent coordinate, ascending, shape (nx,), at least 2.
        y: second latent coordinate, ascending, shape (ny,), at least 2.
        value: acquisition value, shape (ny, nx); non-finite where it has none.
        observed: measured points, shape (n, 2).
        pending: points under way, shape (p, 2).
        proposed: the points that it chose, shape (q, 2).
        name: of the acquisition function.

    Raises:
        ValueError: if the surface's shape is not the grid's.
    """
    if value.shape != (y.size, x.size):
        raise ValueError(f"value has shape {value.shape}, the grid {(y.size, x.size)}; evaluate it on np.meshgrid(x, y), one row per y")
    figure = new_figure("Where to measure next", height=540)
    finite = np.isfinite(value)
    if not finite.any():
        return say(figure, "the acquisition function has no finite value on this grid")
    low, high = float(np.quantile(value[finite], _FLOOR)), float(value[finite].max())
    columns, rows = thinned_rows(x.size, _MAX_CELLS), thinned_rows(y.size, _MAX_CELLS)
    figure.add_heatmap(
        x=x[columns],
        y=y[rows],
        z=np.where(finite, value, np.nan)[np.ix_(rows, columns)],
        coloraxis="coloraxis",
        name=name,
        hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>%{z:.5g}<extra></extra>",
    )
    figure.update_layout(coloraxis={"colorscale": _SCALE, "cmin": low, "cmax": high if high > low else low + 1.0})
    for label, points, marker in (
        ("measured", observed, {"color": "rgba(255,255,255,0.85)", "size": 6, "line": {"color": INK, "width": 0.8}}),
        ("under way", pending, {"symbol": "diamond", "color": AMBER, "size": 10, "line": {"color": INK, "width": 1}}),
        ("next", proposed, {"symbol": "star", "color": INCUMBENT, "size": 17, "line": {"color": "white", "width": 1.2}}),
    ):
        if points is None or not len(points):
            continue
        shown = thinned_rows(len(points))
        figure.add_scatter(
            x=points[shown, 0],
            y=points[shown, 1],
            mode="markers",
            name=f"{label} ({len(points):,})",
            marker=marker,
            cliponaxis=False,
            hovertemplate=f"{label}: z = (%{{x:.3g}}, %{{y:.3g}})<extra></extra>",
        )
    arrange(figure, [Panel(name, 1, "coloraxis")], panel_aspect=1.2)
    figure.update_xaxes(title_text="z<sub>1</sub>", range=[float(x[0]), float(x[-1])])
    figure.update_yaxes(title_text="z<sub>2</sub>", range=[float(y[0]), float(y[-1])])
    figure.update_layout(showlegend=True)
    return figure
