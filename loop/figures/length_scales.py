"""Length scales over a campaign: how far the surrogate believes that a measurement reaches, dimension by dimension.

In units of the box's edges: a dimension with a length scale above one hardly matters, one far below needs many measurements. While they
still jump, the surrogate has not understood the function; the noise, in the lower curve, says what it has given up explaining.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .theme import COLORWAY, GREY, new_figure, plain, say

_DASHES = ("solid", "dash", "dot", "dashdot")
_DECADES_WITH_DIGITS = 2.0
"""Over more decades than this only powers of ten fit beside the axis; most campaigns stay within one, where powers alone would leave the
axis with a single number."""


def draw_length_scales(
    n_observations: FloatArray, length_scales: FloatArray, *, noise: FloatArray | None = None, names: Sequence[str] | None = None
) -> go.Figure:
    """Draw hyperparameters against the number of observations.

    Args:
        n_observations: at each fit, ascending, shape (k,).
        length_scales: in units of the box's edges, shape (k, d); positive.
        noise: standard deviation of the noise as a share of that of the objective, shape (k,).
        names: of the dimensions; None for z1, z2, ...

    Raises:
        ValueError: if the shapes do not fit together.
    """
    scales = np.asarray(length_scales, dtype=np.float64)
    fits = np.asarray(n_observations, dtype=np.float64)
    if scales.ndim != 2 or fits.shape != (len(scales),) or (noise is not None and noise.shape != fits.shape):
        raise ValueError(f"{fits.shape} fits and length scales of shape {scales.shape} do not fit together; give (k,) and (k, d)")
    if names is not None and len(names) != scales.shape[1]:
        raise ValueError(f"{len(names)} names for {scales.shape[1]} dimensions")
    figure = new_figure("Length scales of the surrogate", height=420)
    figure.update_xaxes(title_text="observations", rangemode="tozero")
    figure.update_yaxes(title_text="length scale (edges of the box)", type="log")
    if not scales.size:
        return say(figure, "the surrogate has not been fitted yet")
    shown = np.concatenate([scales.reshape(-1), [1.0] if noise is None else [1.0, *noise[noise > 0]]])
    digits = (1, 2, 3, 5) if np.ptp(np.log10(shown)) <= _DECADES_WITH_DIGITS else (1,)
    ticks = [float(f"{digit}e{exponent}") for exponent in range(-8, 4) for digit in digits]
    figure.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    mode = "lines+markers" if len(scales) < 30 else "lines"
    for k in range(scales.shape[1]):
        figure.add_scatter(
            x=fits,
            y=scales[:, k],
            mode=mode,
            line={"color": COLORWAY[k % len(COLORWAY)], "width": 2, "dash": _DASHES[k // len(COLORWAY) % len(_DASHES)]},
            marker={"size": 6},
            name=f"z<sub>{k + 1}</sub>" if names is None else plain(names[k]),
            hovertemplate="%{x} observations: %{y:.3g}<extra></extra>",
        )
    figure.add_hline(y=1.0, line={"color": GREY, "width": 1, "dash": "dash"})
    if noise is not None:
        figure.add_scatter(
            x=fits,
            y=noise,
            mode=mode,
            line={"color": GREY, "width": 2, "dash": "dot"},
            marker={"size": 6},
            name="noise (share of the spread)",
        )
    figure.update_layout(showlegend=True)
    return figure
