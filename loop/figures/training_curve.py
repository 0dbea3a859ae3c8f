"""Training curve of a latent model: its loss against the epoch.

For the variational autoencoder the loss is the negative ELBO per sample, which falls from tens of thousands to about minus a
thousand within a few epochs and then gains single units for many more. A linear axis hides the second part, a logarithmic one cannot
show negative numbers. So the axis shows u = asinh((loss - lowest) / s), which is linear near the lowest loss and logarithmic far above
it, with ticks at the losses themselves. The scale s is half of the median distance from the lowest loss; where that distance is a good
part of the whole fall, nothing would be hidden, and s is so large that the axis is linear.
"""

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .theme import BLUE, INCUMBENT, axis_title, new_figure, say

_LEAST_FALL = 1e-290
"""Losses that differ by less are taken as equal: shares of that are no numbers any more."""
_LEAST_SCALE = 1e-4
"""Lower bound of s as a share of the whole fall: a curve that is flat from its second epoch on still gets a readable axis."""
_EVEN = 0.1
"""Median distance from the lowest loss, as a share of the whole fall, above which the axis is linear."""
_N_TICKS = 7


def draw_training_curve(loss: FloatArray | None, *, name: str = "negative ELBO per sample", unit: str = "") -> go.Figure:
    """Draw a training curve.

    Args:
        loss: loss per epoch, shape (epochs,); non-finite epochs are left out; None or empty where there was no training by epochs.
        name: what the loss is.
        unit: its unit, for example "nat"; empty for none.
    """
    figure = new_figure("Training of the latent model")
    figure.update_xaxes(title_text="epoch")
    values = np.asarray([] if loss is None else loss, dtype=np.float64).ravel()
    epochs = np.flatnonzero(np.isfinite(values))
    if epochs.size == 0:
        return say(figure, "this latent model was not trained by epochs")
    values = values[epochs]
    lowest, scale = float(values.min()), _scale(values)
    height = np.arcsinh((values - lowest) / scale)
    ticks = _ticks(lowest, float(values.max()), scale)
    figure.add_scatter(
        x=epochs + 1,
        y=height,
        customdata=values,
        mode="lines" if len(values) > 1 else "markers",
        line={"color": BLUE, "width": 2},
        showlegend=False,
        hovertemplate="epoch %{x}<br>%{customdata:.6g}<extra></extra>",
    )
    figure.add_scatter(
        x=[epochs[-1] + 1],
        y=[height[-1]],
        customdata=[values[-1]],
        mode="markers",
        marker={"color": INCUMBENT, "size": 9},
        showlegend=False,
        hovertemplate="last epoch %{x}<br>%{customdata:.6g}<extra></extra>",
    )
    figure.add_annotation(
        x=1.0,
        y=1.0,
        xref="paper",
        yref="paper",
        text=f"<b>{_written(values[-1])}</b> after {epochs[-1] + 1} {'epoch' if epochs[-1] == 0 else 'epochs'}",
        xanchor="right",
        yanchor="top",
        showarrow=False,
        font={"size": 14},
    )
    top = float(height.max()) or 1.0
    figure.update_yaxes(
        title_text=axis_title(name, unit),
        tickmode="array",
        tickvals=np.arcsinh((ticks - lowest) / scale),
        ticktext=[_written(tick) for tick in ticks],
        range=[-0.06 * top, 1.06 * top],
    )
    if len(values) < 10:
        figure.update_xaxes(tickmode="linear", dtick=1, tick0=1)
    return figure


def _scale(values: FloatArray) -> float:
    """Return s, in units of the loss: where the axis turns from linear to logarithmic."""
    fall = float(np.ptp(values))
    if fall < _LEAST_FALL:
        return max(abs(float(values[0])), 1.0)
    middle = float(np.median(values - values.min()))
    return 100.0 * fall if middle > _EVEN * fall else max(0.5 * middle, _LEAST_SCALE * fall)


def _ticks(lowest: float, highest: float, scale: float) -> FloatArray:
    """Return round losses at about even distances on the axis, ascending, starting with the lowest loss."""
    if highest - lowest < _LEAST_FALL:
        return np.array([lowest])
    even = lowest + scale * np.sinh(np.linspace(0.0, np.arcsinh((highest - lowest) / scale), _N_TICKS))
    gaps = np.diff(even)
    # A tick may move by a fifth of the smaller gap beside it, which is what one rounds away.
    room = np.minimum(np.append(gaps, gaps[-1]), np.append(gaps[0], gaps))
    digits = -np.floor(np.log10(room)).astype(int)
    rounded = [round(float(tick), int(digit)) for tick, digit in zip(even, digits)]
    return np.unique([lowest, *(tick for tick in rounded[1:] if lowest < tick <= highest)])


def _written(value: float) -> str:
    """Return a loss as people write it: one decimal at most from ten on, and a minus sign instead of a hyphen."""
    text = f"{value:.4g}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 10_000 else f"{value:,.0f}"
    text = text.removesuffix(".0")
    return text.replace("-", "−")
