"""Eigenvalues of the training trajectories: how many latent dimensions stay active, and the error that is left.

A latent dimension stays active while its eigenvalue exceeds beta sigma^2, the line in the left panel. The right panel shows the error per
value that the first d dimensions leave, which is also the decoder noise that suits d dimensions best.

Source: J. Lucas, G. Tucker, R. Grosse, M. Norouzi 2019, https://doi.org/10.48550/arXiv.1911.02469.
"""

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .panels import Panel, arrange
from .theme import AMBER, BLUE, GREY, new_figure, say

_LEAST = 1e-12
"""Share of the largest eigenvalue below which one is zero."""


def draw_eigenvalues(
    eigenvalues: FloatArray,
    *,
    n_values: int,
    sigma: float,
    beta: float = 1.0,
    n_latent: int | None = None,
    n_shown: int = 24,
    unit: str = "",
) -> go.Figure:
    """Draw eigenvalues with the line above which they stay active, and the error left.

    Args:
        eigenvalues: of the covariance of the trajectories, descending, shape (k,).
        n_values: values of a trajectory, steps times channels.
        sigma: decoder noise.
        beta: weight of the Kullback-Leibler term.
        n_latent: latent dimensions in use, marked; None for none.
        n_shown: how many eigenvalues to draw.
        unit: unit of the trajectories; empty for none.
    """
    figure = new_figure("Latent dimensions that the trajectories allow", height=440, is_full_width=True)
    values = np.asarray(eigenvalues, dtype=np.float64)
    if values.size == 0 or not values.max() > 0:
        return say(figure, "the trajectories are all equal: there is nothing to learn")
    threshold = beta * sigma**2
    shown = values[:n_shown]
    number = np.arange(1, len(shown) + 1)
    active = shown > threshold
    positive = np.maximum(shown, _LEAST * values[0])
    for name, rows, colour, symbol in (("active", active, BLUE, "circle"), ("collapses", ~active, GREY, "circle-open")):
        if rows.any():
            figure.add_scatter(
                x=number[rows],
                y=positive[rows],
                mode="markers",
                name=f"{name} ({int((values > threshold).sum()) if name == 'active' else int((values <= threshold).sum()):,})",
                marker={"color": colour, "size": 9, "symbol": symbol, "line": {"width": 1.5, "color": colour}},
                hovertemplate="dimension %{x}: %{y:.4g}<extra></extra>",
            )
    line = {"color": AMBER, "width": 2, "dash": "dash"}
    ends = [0.5, len(shown) + 0.5]
    figure.add_scatter(x=ends, y=[threshold] * 2, mode="lines", line=line, name=f"βσ² = {threshold:.3g}", hoverinfo="skip")
    left = np.sqrt(np.maximum(np.append(np.cumsum(values[::-1])[::-1], 0.0), 0.0) / n_values)
    dimensions = np.arange(min(len(left), n_shown + 1))
    figure.add_scatter(
        x=dimensions,
        y=left[dimensions],
        xaxis="x2",
        yaxis="y2",
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        showlegend=False,
        hovertemplate="%{x} dimensions leave %{y:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=[-0.5, float(dimensions[-1]) + 0.5],
        y=[sigma] * 2,
        xaxis="x2",
        yaxis="y2",
        mode="lines",
        line={**line, "dash": "dot"},
        name=f"decoder noise σ = {sigma:.3g}",
        hoverinfo="skip",
    )
    if n_latent is not None:
        for axes in ("", "2"):
            mark = {"x0": n_latent, "x1": n_latent, "y0": 0, "y1": 1, "xref": f"x{axes}", "yref": f"y{axes} domain"}
            figure.add_shape(type="line", line={"color": GREY, "width": 1.5}, **mark)
        figure.add_annotation(
            text=f"{n_latent} in use", x=n_latent, y=1, xref="x2", yref="y2 domain", xanchor="left", xshift=4, showarrow=False
        )
    arrange(figure, [Panel("eigenvalues of the trajectories", 1), Panel("error per value left by linear dimensions", 2)], panel_aspect=1.1)
    squared = f" ({unit}²)" if unit else ""
    figure.update_layout(
        xaxis={"title_text": "dimension", "range": ends},
        yaxis={"title_text": f"eigenvalue{squared}", "type": "log", "exponentformat": "power", "dtick": 1},
        xaxis2={"title_text": "dimensions", "range": [-0.5, float(dimensions[-1]) + 0.5]},
        yaxis2={"title_text": f"root mean squared error{f' ({unit})' if unit else ''}", "rangemode": "tozero"},
        showlegend=True,
    )
    return figure
