"""Decoded trajectories across the latent space: at every point of a coarse grid the trajectory that it decodes to.

All trajectories are small lines in one figure, each in a cell around its own latent coordinates and on one common vertical scale, so
that shapes and amplitudes can be compared: a cell's width is time, its height the range of all decoded values. The background turns
grey where a point lies far from the encoded training data, that is where the decoder was never taught.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .theme import BLUE, COLORWAY, DISTANCE_SCALE, INCUMBENT, new_figure, plain, say
from .thinning import thinned_rows

_FILLING = 0.82
"""Share of a cell that its line may take in width and height."""
_MAX_STEPS = 120
"""Time steps drawn of one small line: a cell is rarely wider than that many pixels."""
_MAX_CELLS = 15
"""Cells drawn along one axis; more would be specks."""


def draw_latent_grid(
    x: FloatArray,
    y: FloatArray,
    trajectories: FloatArray,
    *,
    distance: FloatArray | None = None,
    bounds: FloatArray | None = None,
    incumbent: FloatArray | None = None,
    channels: Sequence[str] = (),
    n_latent: int = 2,
) -> go.Figure:
    """Draw decoded trajectories at their places in the latent space.

    Args:
        x: first latent coordinate, ascending and even, shape (nx,).
        y: second latent coordinate, likewise, shape (ny,); one value (for example 0) for a latent space of one dimension.
        trajectories: what the grid's points decode to, shape (ny, nx, T) or (ny, nx, T, channels).
        distance: how far each point lies from the encoded training data, shape (ny, nx); shades the background.
        bounds: box of the latent space, rows [low, high], shape (d, 2); drawn as a frame.
        incumbent: latent vector of the best trial, shape (d,); drawn as a star.
        channels: names of the channels, for the legend.
        n_latent: dimensions of the latent space; above two the axes say that the grid is a slice.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    figure = new_figure("Decoded trajectories across the latent space", aspect=1.1, height=560)
    if trajectories.size == 0:
        return say(figure, "no latent grid has been decoded")
    if trajectories.ndim == 3:
        trajectories = trajectories[..., np.newaxis]
    if trajectories.ndim != 4 or trajectories.shape[:2] != (y.size, x.size):
        raise ValueError(
            f"decoded trajectories have shape {trajectories.shape}, the grid is {y.size} x {x.size}; give them as (ny, nx, T[, channels])"
        )
    columns, rows = thinned_rows(x.size, _MAX_CELLS), thinned_rows(y.size, _MAX_CELLS)
    if distance is not None:
        _add_distance(figure, x, y, distance)
    x, y, trajectories = x[columns], y[rows], trajectories[np.ix_(rows, columns)]
    n_channels = trajectories.shape[3]
    for channel in range(n_channels):
        across, upward = _small_lines(x, y, trajectories, channel)
        named = channel < len(channels)
        figure.add_scatter(
            x=across,
            y=upward,
            mode="lines",
            line={"width": 1.4, "color": BLUE if n_channels == 1 else COLORWAY[channel % len(COLORWAY)]},
            name=plain(channels[channel]) if named else f"channel {channel + 1}",
            showlegend=n_channels > 1,
            hoverinfo="skip",
        )
    _frame(figure, x, y, bounds)
    if incumbent is not None and incumbent.size:
        figure.add_scatter(
            x=[incumbent[0]],
            y=[incumbent[1] if incumbent.size > 1 else y[0]],
            mode="markers",
            name="best trial",
            marker={"symbol": "star", "size": 14, "color": INCUMBENT, "line": {"color": "white", "width": 1.2}},
            hovertemplate="best trial: z = (%{x:.3g}, %{y:.3g})<extra></extra>",
        )
    figure.update_xaxes(title_text=f"z<sub>1</sub> of {n_latent}" if n_latent > 2 else "z<sub>1</sub>")
    figure.update_yaxes(title_text="z<sub>2</sub>")
    if n_latent == 1:
        figure.update_xaxes(title_text="z")
        figure.update_yaxes(visible=False)
    return figure


def _pitch(values: FloatArray) -> float:
    """Return the width of a cell along one axis, in latent units."""
    return float(np.min(np.diff(values))) if values.size > 1 else 1.0


def _small_lines(x: FloatArray, y: FloatArray, trajectories: FloatArray, channel: int) -> tuple[FloatArray, FloatArray]:
    """Return one channel of all trajectories as one line, broken by NaN between two cells: coordinates (n,) and (n,)."""
    steps = thinned_rows(trajectories.shape[2], _MAX_STEPS)
    values = trajectories[:, :, steps, channel]
    # One scale for all cells and channels: lines of different cells can be compared.
    finite = trajectories[np.isfinite(trajectories)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    height = (values - 0.5 * (low + high)) / ((high - low) or 1.0)
    time = np.linspace(-0.5, 0.5, len(steps)) if len(steps) > 1 else np.zeros(1)
    across = x[np.newaxis, :, np.newaxis] + _FILLING * _pitch(x) * np.broadcast_to(time, height.shape)
    upward = y[:, np.newaxis, np.newaxis] + _FILLING * _pitch(y) * height
    gap = np.full((*height.shape[:2], 1), np.nan)
    return np.concatenate([across, gap], axis=2).ravel()[:-1], np.concatenate([upward, gap], axis=2).ravel()[:-1]


def _add_distance(figure: go.Figure, x: FloatArray, y: FloatArray, distance: FloatArray) -> None:
    """Shade the background by the distance from the training data."""
    figure.add_heatmap(
        x=x,
        y=y,
        z=distance,
        coloraxis="coloraxis",
        name="distance",
        hovertemplate="z = (%{x:.3g}, %{y:.3g})<br>distance %{z:.3g}<extra></extra>",
    )
    colorbar = {"title": {"text": "distance from the training data", "side": "right"}, "thickness": 12}
    figure.update_layout(coloraxis={"colorscale": DISTANCE_SCALE, "cmin": 0.0, "colorbar": colorbar})


def _frame(figure: go.Figure, x: FloatArray, y: FloatArray, bounds: FloatArray | None) -> None:
    """Set the axes around all cells, and draw the box of the latent space."""
    left, right = float(x[0]) - 0.5 * _pitch(x), float(x[-1]) + 0.5 * _pitch(x)
    low, high = float(y[0]) - 0.5 * _pitch(y), float(y[-1]) + 0.5 * _pitch(y)
    if bounds is not None and len(bounds) > 1:
        (x0, x1), (y0, y1) = (float(v) for v in bounds[0]), (float(v) for v in bounds[1])
        figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, line={"dash": "dot", "width": 1, "color": "rgba(128,134,145,0.9)"})
        left, right, low, high = min(left, x0), max(right, x1), min(low, y0), max(high, y1)
    figure.update_xaxes(range=[left, right], showgrid=False)
    figure.update_yaxes(range=[low, high], showgrid=False)
