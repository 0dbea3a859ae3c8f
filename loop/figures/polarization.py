"""Polarization of a lattice as arrows, and the map of its curl.

The curl at site (i, j) is half of [Py(i+1, j) - Py(i-1, j)] - [Px(i, j+1) - Px(i, j-1)], so the first lattice index runs along x and
the second along y. Drawn like this (i to the right, j upwards) an arrow points where the polarization points and a positive curl turns
counter-clockwise. (An image viewer that shows rows downwards shows the same field turned by ninety degrees.)
"""

from typing import Literal

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .panels import Panel, arrange
from .theme import BLUE, DIVERGING_SCALE, INK, axis_title, new_figure, say

Arrangement = Literal["overlaid", "side_by_side"]

_MAX_ARROWS = 40
"""Arrows along one axis; larger lattices show the mean of blocks of sites."""
_LENGTH = 0.92
"""Length of an arrow that is longer than nine tenths of all, in units of the distance between two arrows ..."""
_MOST_LENGTH = 1.7
"""... unless the longest one would then be longer than this: a few strong sites must not make all others specks."""
_STRONG = 0.9
_HEAD_LENGTH, _HEAD_WIDTH = 0.42, 0.34
"""An arrow's head, in units of the arrow's length ..."""
_LEAST_HEAD = 0.16
"""... but not smaller than this, in units of the distance between two arrows, so that weak sites still show a direction ..."""
_LEAST_ARROW = 0.04
"""... unless the arrow is shorter than this: it is a point then."""


def draw_polarization(
    field: FloatArray | None,
    curl: FloatArray | None = None,
    *,
    arrangement: Arrangement = "overlaid",
    trial: int | None = None,
    unit: str = "",
) -> go.Figure:
    """Draw polarization arrows over the curl map, or beside it.

    Args:
        field: polarization of every site, x and y, shape (n, m, 2); None where the evaluator gave none.
        curl: curl of every site, shape (n, m); None draws the arrows alone.
        arrangement: arrows over the map, or both side by side.
        trial: number of the trial, for the title.
        unit: unit of the polarization.

    Raises:
        ValueError: if a shape does not fit.
    """
    title = "Polarization and its curl" + (f", trial {trial}" if trial is not None else "")
    is_apart = arrangement == "side_by_side" and curl is not None
    figure = new_figure(title, aspect=1.05, narrow_aspect=0.95, height=520, is_square=True, is_full_width=False)
    if field is None or field.size == 0:
        return say(figure, "no polarization has been recorded")
    if field.ndim != 3 or field.shape[2] != 2:
        raise ValueError(f"a polarization field has shape (n, n, 2), not {field.shape}; give the last stored state of one trial")
    if curl is not None and curl.shape != field.shape[:2]:
        raise ValueError(f"the curl has shape {curl.shape}, the polarization {field.shape}; both need the same lattice")
    pair = "2" if is_apart else ""
    if curl is not None:
        _add_curl(figure, curl, pair)
    longest = _add_arrows(figure, field, INK if curl is not None and not is_apart else BLUE)
    heading = f"polarization (longest arrow {longest:.3g}{f' {unit}' if unit else ''})"
    if is_apart:
        arrange(figure, [Panel(heading, 1), Panel("curl", 2, "coloraxis")], panel_aspect=0.82)
    elif curl is not None:
        arrange(figure, [Panel(f"curl, and {heading}", 1, "coloraxis")], panel_aspect=0.9)
    else:
        arrange(figure, [Panel(heading, 1)], panel_aspect=0.9)
    n, m = field.shape[:2]
    for s in sorted({"", pair}):
        range_of = {"showgrid": False, "constrain": "domain", "zeroline": False}
        figure.layout[f"xaxis{s}"].update(range=[-0.5, n - 0.5], title_text=axis_title("site i, along x"), **range_of)
        figure.layout[f"yaxis{s}"].update(
            range=[-0.5, m - 0.5],
            title_text=axis_title("site j, along y") if s == "" else None,
            scaleanchor=f"x{s}",
            scaleratio=1,
            constraintoward="top",
            **range_of,
        )
    return figure


def _add_curl(figure: go.Figure, curl: FloatArray, pair: str) -> None:
    """Draw the curl as a heat map whose middle colour is zero."""
    finite = curl[np.isfinite(curl)]
    limit = float(np.abs(finite).max()) if finite.size else 0.0
    limit = limit or 1.0
    figure.add_heatmap(
        z=curl.T,
        coloraxis="coloraxis",
        xaxis=f"x{pair}",
        yaxis=f"y{pair}",
        name="curl",
        hovertemplate="site (%{x}, %{y})<br>curl %{z:.4g}<extra></extra>",
    )
    figure.update_layout(coloraxis={"colorscale": DIVERGING_SCALE, "cmin": -limit, "cmax": limit})


def _add_arrows(figure: go.Figure, field: FloatArray, colour: str) -> float:
    """Draw the arrows, shafts as one broken line and heads as one set of triangles; returns the longest arrow's polarization."""
    where, arrows, pitch = _blocks(field)
    length = np.linalg.norm(arrows, axis=1)
    finite = np.isfinite(length)
    where, arrows, length = where[finite], arrows[finite], length[finite]
    longest = float(length.max()) if length.size else 0.0
    if longest == 0.0:
        figure.add_scatter(x=where[:, 0], y=where[:, 1], mode="markers", marker={"color": colour, "size": 3}, showlegend=False, name="zero")
        return longest
    scale = pitch * min(_LENGTH / max(float(np.quantile(length, _STRONG)), 1e-9 * longest), _MOST_LENGTH / longest)
    along = arrows * scale
    tail, tip = where - 0.5 * along, where + 0.5 * along
    drawn = length * scale
    has_head = drawn >= _LEAST_ARROW * pitch
    unit_vector = along[has_head] / drawn[has_head, np.newaxis]
    sideways = np.stack([-unit_vector[:, 1], unit_vector[:, 0]], axis=1)
    head = np.maximum(_HEAD_LENGTH * drawn[has_head], _LEAST_HEAD * pitch)[:, np.newaxis]
    foot = tip[has_head] - head * unit_vector
    half = 0.5 * head * (_HEAD_WIDTH / _HEAD_LENGTH) * sideways
    shafts = _broken(tail, tip)
    figure.add_scatter(
        x=shafts[:, 0],
        y=shafts[:, 1],
        mode="lines",
        line={"color": colour, "width": 1.3},
        showlegend=False,
        name="polarization",
        hoverinfo="skip",
    )
    heads = _broken(tip[has_head], foot + half, foot - half, tip[has_head])
    figure.add_scatter(
        x=heads[:, 0],
        y=heads[:, 1],
        mode="lines",
        line={"color": colour, "width": 0.5},
        fill="toself",
        fillcolor=colour,
        showlegend=False,
        name="heads",
        hoverinfo="skip",
    )
    return longest


def _blocks(field: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Return the arrows' places (k, 2), their polarization (k, 2), and the distance between two in sites."""
    n, m = field.shape[:2]
    pitch = max(1, -(-max(n, m) // _MAX_ARROWS))
    i, j = np.arange(0, n, pitch), np.arange(0, m, pitch)
    count = np.minimum(i + pitch, n) - i, np.minimum(j + pitch, m) - j
    total = np.add.reduceat(np.add.reduceat(field, i, axis=0), j, axis=1)
    mean = total / (count[0][:, np.newaxis, np.newaxis] * count[1][np.newaxis, :, np.newaxis])
    x, y = i + 0.5 * (count[0] - 1), j + 0.5 * (count[1] - 1)
    where = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    return where, mean.reshape(-1, 2), pitch


def _broken(*corners: FloatArray) -> FloatArray:
    """Return lines through corners (k, 2), one after the other and broken by NaN, shape (k * (corners + 1), 2)."""
    gap = np.full_like(corners[0], np.nan)
    return np.stack([*corners, gap], axis=1).reshape(-1, 2)
