"""Readings of one fixed trajectory over time: what changes there is the instrument.

The trend is the Theil-Sen line, the median of the slopes between all pairs of readings: a single wild reading does not bend it. It is
drawn from three readings on. Times are drawn in a unit that fits; the slope is said per hour always, so that campaigns can be compared.

Source: P. K. Sen, Journal of the American Statistical Association 63 (1968) 1379, https://doi.org/10.1080/01621459.1968.10480934.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray, Trial, TrialState
from .theme import BLUE, GREY, INCUMBENT, axis_title, new_figure, say
from .thinning import thinned_rows

_FEWEST = 3
_MOST = 400
"""Readings that are drawn, and that the trend is taken from: its pairs grow with their square."""
_HOUR = 3600.0
_UNITS = (("h", _HOUR), ("min", 60.0), ("s", 1.0))
"""Units of time in seconds, the largest first."""
_FEWEST_UNITS = 2.0
"""Readings span at least so many of the unit that they are drawn in, where there is one so small."""


def draw_drift(trials: Sequence[Trial], *, objective_name: str = "objective", unit: str = "") -> go.Figure:
    """Draw the readings of the control trials against time, with their trend.

    Args:
        trials: all trials of a campaign; the completed controls among them count, and the trial whose trajectory they repeat.
        objective_name: name of the objective.
        unit: its unit; empty for none.
    """
    figure = new_figure(f"drift of {objective_name}")
    figure.update_yaxes(title_text=axis_title(objective_name, unit))
    readings = control_readings(trials)
    if not readings:
        return say(figure, "no control has been measured yet")
    readings = [readings[row] for row in thinned_rows(len(readings), _MOST)]
    seconds = np.array([trial.finished_at - readings[0].finished_at for trial in readings])
    sign, length = time_unit(float(seconds[-1]))
    times = seconds / length
    figure.update_xaxes(title_text=axis_title("time since the first reading", sign))
    values = np.array([trial.objective for trial in readings])
    errors = np.array([trial.objective_error for trial in readings])
    figure.add_scatter(
        x=times,
        y=values,
        mode="markers",
        name="control",
        marker={"color": BLUE, "size": 8},
        error_y={"type": "data", "array": np.nan_to_num(errors), "visible": bool(np.isfinite(errors).any()), "color": GREY},
        customdata=[trial.number for trial in readings],
        hovertemplate="trial %{customdata}<br>%{y:.6g} after %{x:.3g} " + sign + "<extra></extra>",
    )
    figure.add_hline(y=float(values[0]), line={"color": GREY, "dash": "dot"}, annotation_text="first reading")
    if len(readings) >= _FEWEST:
        slope, level = trend(times, values)
        ends = np.array([times[0], times[-1]])
        figure.add_scatter(
            x=ends,
            y=level + slope * ends,
            mode="lines",
            name=f"trend: {slope * _HOUR / length:+.3g} per hour",
            line={"color": INCUMBENT},
            hoverinfo="skip",
        )
    figure.update_layout(showlegend=True)
    return figure


def time_unit(span: float) -> tuple[str, float]:
    """Return the unit that a span of time in seconds is drawn in, and its seconds: the largest that it holds twice, or seconds."""
    return next((unit for unit in _UNITS if span >= _FEWEST_UNITS * unit[1]), _UNITS[-1])


def control_readings(trials: Sequence[Trial]) -> list[Trial]:
    """Return the completed controls in the order of measuring, after the trial that they repeat; empty without any control."""
    controls = [trial for trial in trials if trial.is_control]
    repeated = {trial.refers_to for trial in controls}
    found = [trial for trial in trials if trial.state is TrialState.COMPLETED and (trial.is_control or trial.number in repeated)]
    return sorted((trial for trial in found if np.isfinite(trial.objective)), key=lambda trial: trial.finished_at)


def trend(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return slope and level at x = 0 of the Theil-Sen line through points of shape (n,) each; a slope of 0 where all x are the same."""
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    is_apart = apart != 0.0
    slope = float(np.median((y[second] - y[first])[is_apart] / apart[is_apart])) if is_apart.any() else 0.0
    return slope, float(np.median(y - slope * x))
