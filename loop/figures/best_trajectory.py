"""The best trial's trajectory over time, before the background of what the training data and the initial trials offered."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ..records import FloatArray
from .theme import AMBER, COLORWAY, GREY, INCUMBENT, axis_title, new_figure, plain, say
from .thinning import thinned_rows


def draw_best_trajectory(
    trajectory: FloatArray | None,
    *,
    times: FloatArray | None = None,
    trial: int | None = None,
    objective: float = float("nan"),
    initial: FloatArray | None = None,
    initial_trial: int | None = None,
    envelope: tuple[FloatArray, FloatArray] | None = None,
    bounds: tuple[FloatArray, FloatArray] | None = None,
    channels: Sequence[str] = (),
    unit: str = "",
    time_unit: str = "",
    objective_name: str = "objective",
) -> go.Figure:
    """Draw a trajectory over time.

    Args:
        trajectory: the best trial's, shape (T,) or (T, channels); None before the first completed trial.
        times: time of each step, shape (T,); None counts the steps.
        trial: its number.
        objective: its objective; NaN leaves it out.
        initial: trajectory of the best initial trial, for contrast; shape as ``trajectory``.
        initial_trial: its number.
        envelope: lowest and highest value of the training data at each step, each of the shape of ``trajectory``.
        bounds: lowest and highest value that the safety envelope allows at each step, each of the shape of ``trajectory``; infinite
            where it allows any.
        channels: names of the channels; one name labels the axis, more label the lines.
        unit: unit of the values, for example "Ec".
        time_unit: unit of ``times``.
        objective_name: name of the objective.

    Raises:
        ValueError: if a shape does not fit the trajectory's.
    """
    figure = new_figure("Best trajectory")
    if trajectory is None or trajectory.size == 0:
        return say(figure, "no trial has completed yet")
    best = _as_channels(trajectory)
    T, n_channels = best.shape
    clock = np.arange(T, dtype=np.float64) if times is None else times
    if clock.shape != (T,):
        raise ValueError(f"the trajectory has {T} steps, its times {clock.shape}; give one time per step")
    rows = thinned_rows(T)
    names = [plain(channels[k]) if k < len(channels) else f"channel {k + 1}" for k in range(n_channels)]
    colours = [INCUMBENT] if n_channels == 1 else [COLORWAY[k % len(COLORWAY)] for k in range(n_channels)]
    if envelope is not None:
        lower, upper = (_like(side, best, "envelope") for side in envelope)
        for k in range(n_channels):
            _add_band(figure, clock[rows], lower[rows, k], upper[rows, k], n_channels, names[k], colours[k])
    if bounds is not None:
        lowest, highest = (_like(side, best, "safety envelope") for side in bounds)
        for k in range(n_channels):
            name = "safety envelope" if n_channels == 1 else f"{names[k]}, safety envelope"
            _add_bounds(figure, clock[rows], lowest[rows, k], highest[rows, k], name, AMBER if n_channels == 1 else colours[k])
    if initial is not None:
        contrast = _like(initial, best, "initial trajectory")
        label = "best initial trial" + (f" ({initial_trial})" if initial_trial is not None else "")
        for k in range(n_channels):
            line = {"color": GREY if n_channels == 1 else colours[k], "width": 1.6, "dash": "dot"}
            name = label if n_channels == 1 else f"{names[k]}, {label}"
            figure.add_scatter(x=clock[rows], y=contrast[rows, k], mode="lines", name=name, line=line)
    label = "best trial" + (f" ({trial})" if trial is not None else "")
    if np.isfinite(objective):
        label += f": {plain(objective_name)} {objective:.6g}"
    for k in range(n_channels):
        name = label if n_channels == 1 else f"{names[k]}, {label}"
        figure.add_scatter(
            x=clock[rows],
            y=best[rows, k],
            mode="lines" if T > 1 else "markers",
            name=name,
            line={"color": colours[k], "width": 2.2},
            hovertemplate="%{x:.4g}: %{y:.5g}<extra></extra>",
        )
    figure.update_xaxes(title_text="step" if times is None else axis_title("time", time_unit))
    figure.update_yaxes(title_text=axis_title(channels[0] if len(channels) == 1 else "value", unit))
    figure.update_layout(showlegend=True)
    return figure


def _as_channels(values: FloatArray) -> FloatArray:
    """Return a trajectory as (T, channels)."""
    return values[:, np.newaxis] if values.ndim == 1 else values


def _like(values: FloatArray, best: FloatArray, what: str) -> FloatArray:
    """Return another trajectory as (T, channels), and refuse one of another shape."""
    shaped = _as_channels(values)
    if shaped.shape != best.shape:
        raise ValueError(
            f"the {what} has shape {shaped.shape}, the best trajectory {best.shape} (steps, channels); resample it to the same steps"
        )
    return shaped


def _add_band(figure: go.Figure, clock: FloatArray, lower: FloatArray, upper: FloatArray, n_channels: int, name: str, colour: str) -> None:
    """Draw the range of the training data as a pale band."""
    shade = "128,134,145" if n_channels == 1 else ",".join(str(int(colour[k : k + 2], 16)) for k in (1, 3, 5))
    figure.add_scatter(
        x=np.concatenate([clock, clock[::-1]]),
        y=np.concatenate([upper, lower[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=f"rgba({shade},0.18)",
        name="range of the training data" if n_channels == 1 else f"{name}, range of the training data",
        hoverinfo="skip",
    )


def _add_bounds(figure: go.Figure, clock: FloatArray, lowest: FloatArray, highest: FloatArray, name: str, colour: str) -> None:
    """Draw what the safety envelope allows as two thin lines, with gaps where it allows any value."""
    is_first = True
    for side in (highest, lowest):
        if np.isfinite(side).any():
            figure.add_scatter(
                x=clock,
                y=np.where(np.isfinite(side), side, np.nan),
                mode="lines",
                name=name,
                legendgroup=name,
                showlegend=is_first,
                line={"color": colour, "width": 1.2, "dash": "dash"},
                hovertemplate=f"{name}: %{{y:.5g}}<extra></extra>",
            )
            is_first = False
