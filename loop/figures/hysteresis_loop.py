"""A hysteresis loop: polarization against field, and both over time.

The loop encloses the energy that is lost per cycle; it crosses zero polarization at the coercive field and zero field at the remnant
polarization. Over time, field and polarization are drawn as shares of their largest values, so that the lag between them shows.
"""

import numpy as np
import plotly.graph_objects as go

from ...simulators.ferrosim.hysteresis import coercive_field, loop_area, remnant_polarization
from ..records import FloatArray
from .panels import Panel, arrange
from .theme import AMBER, BLUE, GREEN, GREY, VERMILION, axis_title, new_figure, say
from .thinning import thinned_rows

_FILL = "rgba(58,134,200,0.14)"
_MAX_POINTS = 1000
"""Points of a curve: finer than a screen shows are dropped."""


def draw_hysteresis_loop(
    times: FloatArray,
    field: FloatArray,
    polarization: FloatArray,
    steps: int,
    *,
    field_unit: str = "Ec",
    polarization_unit: str = "a.u.",
) -> go.Figure:
    """Draw the last period as a loop, what came before it fainter, and both quantities over time.

    Args:
        times: time points (T,).
        field: field along one axis (T,).
        polarization: mean polarization along the same axis (T,).
        steps: time points of one period, at least 3; the last so many are the loop.
        field_unit: unit of the field.
        polarization_unit: unit of the polarization.

    Raises:
        ValueError: if the three arrays differ in length, or are shorter than a period.
    """
    if not times.shape == field.shape == polarization.shape or times.ndim != 1:
        raise ValueError(f"times, field and polarization have shapes {times.shape}, {field.shape} and {polarization.shape}; give (T,) each")
    if not 3 <= steps <= times.size:
        raise ValueError(f"a period of {steps} steps does not fit a run of {times.size}; give between 3 and {times.size}")
    figure = new_figure("Hysteresis loop", height=480, is_full_width=True)
    if not (np.isfinite(field).all() and np.isfinite(polarization).all()):
        return say(figure, "the loop holds values that are not finite")
    _add_loop(figure, field, polarization, steps, field_unit, polarization_unit)
    _add_times(figure, times, field, polarization, steps)
    arrange(figure, [Panel("polarization against field", 1), Panel("both over time, each over its largest value", 2)], panel_aspect=1.15)
    for axis in ("xaxis", "yaxis", "yaxis2"):
        figure.layout[axis].zeroline = True
    figure.update_layout(
        showlegend=True,
        xaxis_title_text=axis_title("field", field_unit),
        yaxis_title_text=axis_title("mean polarization", polarization_unit),
        xaxis2_title_text=axis_title("time", "a.u."),
        yaxis2_title_text=axis_title("share of the largest value"),
    )
    return figure


def crossings(of: FloatArray, zero: FloatArray) -> FloatArray:
    """Return ``of`` where ``zero`` changes sign along a closed curve, interpolated linearly, shape (k,)."""
    after, of_after = np.roll(zero, -1), np.roll(of, -1)
    hits = np.flatnonzero((zero != 0.0) & (np.sign(zero) != np.sign(after)))
    share = zero[hits] / (zero[hits] - after[hits])
    return np.asarray(of[hits] + share * (of_after[hits] - of[hits]))


def _add_loop(figure: go.Figure, field: FloatArray, polarization: FloatArray, steps: int, field_unit: str, polarization_unit: str) -> None:
    before = field.size - steps
    e, p = field[before:], polarization[before:]
    if before > 1:
        rows = thinned_rows(before + 1, _MAX_POINTS)
        figure.add_scatter(
            x=field[rows],
            y=polarization[rows],
            mode="lines",
            line={"color": GREY, "width": 1.2, "dash": "dot"},
            name="before",
            hoverinfo="skip",
        )
    rows = np.append(thinned_rows(steps, _MAX_POINTS), 0)
    figure.add_scatter(
        x=e[rows],
        y=p[rows],
        mode="lines",
        line={"color": BLUE, "width": 2.2},
        fill="toself",
        fillcolor=_FILL,
        name=f"last period, area {float(loop_area(e, p)):.4g} {field_unit} {polarization_unit}".rstrip(),
        hovertemplate="E %{x:.4g}<br>P %{y:.4g}<extra></extra>",
    )
    at_zero_p, at_zero_e = crossings(e, p), crossings(p, e)
    zero_p, zero_e = np.zeros_like(at_zero_p), np.zeros_like(at_zero_e)
    coercive, remnant = float(coercive_field(e, p)), float(remnant_polarization(e, p))
    for x, y, colour, symbol, name in (
        (at_zero_p, zero_p, VERMILION, "diamond", f"coercive field {coercive:.4g} {field_unit}"),
        (zero_e, at_zero_e, GREEN, "square", f"remnant polarization {remnant:.4g} {polarization_unit}"),
    ):
        if x.size:
            marker = {"color": colour, "size": 11, "symbol": symbol, "line": {"color": "white", "width": 1.2}}
            figure.add_scatter(
                x=x, y=y, mode="markers", marker=marker, name=name.rstrip(), hovertemplate="E %{x:.4g}<br>P %{y:.4g}<extra></extra>"
            )


def _add_times(figure: go.Figure, times: FloatArray, field: FloatArray, polarization: FloatArray, steps: int) -> None:
    rows = thinned_rows(times.size, _MAX_POINTS)
    for values, colour, name, dash in ((field, AMBER, "field", "dash"), (polarization, BLUE, "polarization", "solid")):
        largest = float(np.abs(values).max())
        figure.add_scatter(
            x=times[rows],
            y=values[rows] / (largest or 1.0),
            mode="lines",
            line={"color": colour, "width": 2, "dash": dash},
            name=f"{name} over time",
            xaxis="x2",
            yaxis="y2",
            hovertemplate=f"t %{{x:.4g}}<br>%{{y:.3f}} of {largest:.4g}<extra></extra>",
        )
    if steps < times.size:
        span = {"x0": float(times[-steps - 1]), "x1": float(times[-1]), "y0": 0, "y1": 1, "xref": "x2", "yref": "y2 domain"}
        figure.add_shape(type="rect", fillcolor=_FILL, line_width=0, layer="below", **span)
