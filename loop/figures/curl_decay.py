"""The decay of the curl while the field is held, and its rate against the curl at the start of the hold.

Left, one line per trajectory, coloured by where it starts; right, one point per trajectory with the line rate = k (start - rest) through
them: proportional to what lies above the curl that the lattice keeps.
"""

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from ..records import FloatArray
from .panels import Panel, arrange
from .theme import AMBER, BLUE, GREEN, VERMILION, axis_title, new_figure, say
from .thinning import MAX_POINTS, thinned_rows

_MAX_LINES = 200
_MAX_TIMES = 200
_SCALE = [[0.0, BLUE], [0.5, AMBER], [1.0, VERMILION]]
"""Thin lines must stand on white and on near-black alike."""


def draw_curl_decay(
    times: FloatArray,
    curls: FloatArray,
    *,
    rate: FloatArray,
    line: tuple[float, float],
    correlation: float,
    time_unit: str = "a.u.",
) -> go.Figure:
    """Draw the decay of the curl over many trajectories.

    Args:
        times: time since the start of the hold (k,).
        curls: sum over sites of |curl| (n, k).
        rate: rate of the decay (n,).
        line: rate constant and resting curl of the line drawn through the rates.
        correlation: of the curl at the start and the rate.
        time_unit: unit of the time.

    Raises:
        ValueError: if a shape does not fit.
    """
    if curls.ndim != 2 or curls.shape[1] != times.size or rate.shape != curls.shape[:1]:
        raise ValueError(f"times {times.shape}, curls {curls.shape} and rate {rate.shape} do not fit; give (k,), (n, k) and (n,)")
    figure = new_figure("Decay of the curl while the field is held", height=480, is_full_width=True)
    if not curls.size:
        return say(figure, "there are no trajectories")
    start = curls[:, 0]
    low, high = float(start.min()), float(start.max())
    chosen = np.argsort(start, kind="stable")[thinned_rows(len(start), _MAX_LINES)]  # ascending, so that large ones lie on top
    shares = (start[chosen] - low) / ((high - low) or 1.0)
    at = thinned_rows(times.size, _MAX_TIMES)
    for row, colour in zip(chosen, sample_colorscale(_SCALE, shares.tolist()), strict=True):
        figure.add_scatter(
            x=times[at],
            y=curls[row, at],
            mode="lines",
            line={"color": colour, "width": 1},
            opacity=0.65,
            showlegend=False,
            name=f"trajectory {row}",
            hovertemplate=f"trajectory {row}<br>t %{{x:.3g}}<br>curl %{{y:.4g}}<extra></extra>",
        )
    _add_rates(figure, start, rate, line, correlation)
    panels = [Panel("curl over time, by its start", 1, "coloraxis"), Panel("decay rate against curl at the start", 2)]
    arrange(figure, panels, panel_aspect=1.1)
    figure.update_layout(
        showlegend=True,
        coloraxis={"colorscale": _SCALE, "cmin": low, "cmax": high},
        xaxis_title_text=axis_title("time since the field is held", time_unit),
        yaxis_title_text=axis_title("sum of |curl|", "a.u."),
        xaxis2_title_text=axis_title("curl at the start", "a.u."),
        yaxis2_title_text=axis_title("decay rate", f"a.u. per {time_unit}" if time_unit != "a.u." else "a.u."),
        yaxis2_zeroline=True,
    )
    return figure


def _add_rates(figure: go.Figure, start: FloatArray, rate: FloatArray, line: tuple[float, float], correlation: float) -> None:
    rows = thinned_rows(len(start), MAX_POINTS)
    figure.add_scatter(
        x=start[rows],
        y=rate[rows],
        mode="markers",
        marker={"color": start[rows], "coloraxis": "coloraxis", "size": 7, "opacity": 0.85},
        showlegend=False,
        name="trajectories",
        xaxis="x2",
        yaxis="y2",
        hovertemplate="curl at the start %{x:.4g}<br>rate %{y:.4g}<extra></extra>",
    )
    constant, rest = line
    ends = np.array([min(float(start.min()), rest), float(start.max())])
    figure.add_scatter(
        x=ends,
        y=constant * (ends - rest),
        mode="lines",
        line={"color": GREEN, "width": 2.5},
        name=f"rate = {constant:.3g} (curl − {rest:.3g}), correlation {correlation:.3f}",
        xaxis="x2",
        yaxis="y2",
        hoverinfo="skip",
    )
