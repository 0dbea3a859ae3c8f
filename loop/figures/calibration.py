"""Calibration of a surrogate: predicted against measured, and how often the intervals hold.

Left, each measured value against the mean that was predicted for it, with the 95 % interval; on the diagonal the two agree, and intervals
that do not reach it are drawn in another colour. Right, the share of values inside the central interval of each level: below the diagonal
the surrogate is overconfident, above it timid. The band holds 95 % of what a perfectly calibrated surrogate would show with as many values.

Source: V. Kuleshov, N. Fenner, S. Ermon 2018, https://doi.org/10.48550/arXiv.1807.00263.
"""

import numpy as np
import plotly.graph_objects as go
from scipy.stats import binom, norm

from ..records import FloatArray
from .panels import Panel, arrange
from .theme import BLUE, GREY, INCUMBENT, axis_title, new_figure, say
from .thinning import thinned_rows

_LEVELS = np.linspace(0.05, 0.95, 19)
_WIDTH = float(norm.ppf(0.975))
"""Standard deviations on each side of a 95 % interval."""
_MAX_BARS = 400
"""Intervals drawn; more of them are a blot."""
_BAND = "rgba(128,134,145,0.22)"


def draw_calibration(
    measured: FloatArray, mean: FloatArray, std: FloatArray, *, objective_name: str = "objective", unit: str = ""
) -> go.Figure:
    """Draw predictions beside what was measured.

    Args:
        measured: measured values, shape (n,).
        mean: what was predicted for each without knowing it, shape (n,).
        std: its standard deviation with the noise of a measurement, shape (n,), positive.
        objective_name: name of the objective.
        unit: its unit; empty for none.

    Raises:
        ValueError: if the shapes differ.
    """
    if not measured.shape == mean.shape == std.shape or measured.ndim != 1:
        raise ValueError(f"measured, mean and std have shapes {measured.shape}, {mean.shape} and {std.shape}; give (n,) for all")
    figure = new_figure("Calibration of the surrogate", height=470, is_full_width=True)
    usable = np.isfinite(measured) & np.isfinite(mean) & np.isfinite(std) & (std > 0)
    if not usable.any():
        return say(figure, "there is no prediction to compare with a measurement")
    measured, mean, std = measured[usable], mean[usable], std[usable]
    misses = np.abs(measured - mean) / std
    _add_predictions(figure, measured, mean, std, misses)
    _add_coverage(figure, misses)
    held = float((misses <= _WIDTH).mean())
    arrange(
        figure,
        [Panel("predicted against measured", 1), Panel(f"95 % intervals hold {100 * held:.0f} % of the values", 2)],
        panel_aspect=1.0,
    )
    figure.update_layout(
        xaxis={"title_text": axis_title(f"measured {objective_name}", unit)},
        yaxis={"title_text": axis_title(f"predicted {objective_name}", unit)},
        xaxis2={"title_text": "level of the interval", "range": [0, 1], "tickformat": ".0%"},
        yaxis2={"title_text": "values inside", "range": [0, 1.02], "tickformat": ".0%"},
        showlegend=True,
    )
    return figure


def _add_predictions(figure: go.Figure, measured: FloatArray, mean: FloatArray, std: FloatArray, misses: FloatArray) -> None:
    """Draw means with their intervals, and the diagonal."""
    low = float(min(measured.min(), mean.min()))
    high = float(max(measured.max(), mean.max()))
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": GREY, "width": 1.5, "dash": "dash"}, showlegend=False, hoverinfo="skip"
    )
    rows = thinned_rows(len(measured), _MAX_BARS)
    for name, chosen, colour in (
        ("95 % interval holds", misses[rows] <= _WIDTH, BLUE),
        ("it does not", misses[rows] > _WIDTH, INCUMBENT),
    ):
        shown = rows[chosen]
        if shown.size == 0:
            continue
        figure.add_scatter(
            x=measured[shown],
            y=mean[shown],
            error_y={"type": "data", "array": _WIDTH * std[shown], "thickness": 1, "width": 0, "color": colour},
            mode="markers",
            name=name,
            marker={"color": colour, "size": 6, "opacity": 0.9},
            hovertemplate="measured %{x:.5g}<br>predicted %{y:.5g}<extra></extra>",
        )


def _add_coverage(figure: go.Figure, misses: FloatArray) -> None:
    """Draw the share of values inside the interval of each level, and the band of a perfect surrogate."""
    n = len(misses)
    halfwidths: FloatArray = np.array([float(norm.ppf((1 + level) / 2)) for level in _LEVELS])
    coverage = (misses[None, :] <= halfwidths[:, None]).mean(axis=1)
    lower, upper = (np.array([float(binom.ppf(end, n, level)) / n for level in _LEVELS]) for end in (0.025, 0.975))
    figure.add_scatter(
        x=np.concatenate([[0], _LEVELS, [1], _LEVELS[::-1]]),
        y=np.concatenate([[0], upper, [1], lower[::-1]]),
        xaxis="x2",
        yaxis="y2",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=_BAND,
        name=f"perfect, {n:,} values",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        xaxis="x2",
        yaxis="y2",
        mode="lines",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=_LEVELS,
        y=coverage,
        xaxis="x2",
        yaxis="y2",
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        name="coverage",
        hovertemplate="%{x:.0%} interval: %{y:.1%} inside<extra></extra>",
    )
