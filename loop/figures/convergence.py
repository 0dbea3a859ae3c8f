"""Convergence of methods: the best value found, or the regret, against the number of evaluations, over many runs.

Each line is the mean over the runs of a method, on a logarithmic axis that of the logarithms, with the 95 % confidence interval of that
mean by Student's t. Runs of one length only: a mean over a changing set of runs can rise or fall without anybody finding anything.
"""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from scipy.stats import t as student

from ..records import FloatArray
from .theme import COLORWAY, GREY, axis_title, new_figure, plain, say
from .thinning import thinned_rows

_DASHES = ("solid", "dash", "dot", "dashdot")
"""After the colours are used up."""
_SMALLEST = 1e-12
"""Regrets below it are rounding errors, and have no logarithm when zero."""


def draw_convergence(
    runs: Mapping[str, FloatArray],
    *,
    target: float | None = None,
    is_log: bool = False,
    n_initial: int = 0,
    value_name: str = "best value found",
    unit: str = "",
) -> go.Figure:
    """Draw methods against evaluations.

    Args:
        runs: method -> values after 1, 2, ... evaluations, shape (runs, evaluations); finite.
        target: a value to reach, drawn as a line.
        is_log: draw logarithms, for regrets.
        n_initial: evaluations of the initial design, which all methods share; marked.
        value_name: what is drawn.
        unit: its unit; empty for none.

    Raises:
        ValueError: if a method's values are not (runs, evaluations).
    """
    figure = new_figure(f"{value_name} by evaluation", height=470)
    figure.update_xaxes(title_text="evaluation")
    figure.update_yaxes(title_text=axis_title(value_name, unit), type="log" if is_log else "linear")
    if not runs:
        return say(figure, "no method has run yet")
    for index, (name, values) in enumerate(runs.items()):
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(f"the runs of {name!r} have shape {values.shape}; give (runs, evaluations)")
        colour, dash = COLORWAY[index % len(COLORWAY)], _DASHES[index // len(COLORWAY) % len(_DASHES)]
        _add_method(figure, f"{name} ({len(values)} {'run' if len(values) == 1 else 'runs'})", values, colour, dash, is_log=is_log)
    longest = max(values.shape[1] for values in runs.values())
    if target is not None:
        line = {"color": GREY, "width": 1.5, "dash": "dash"}
        figure.add_scatter(x=[1, longest], y=[target] * 2, mode="lines", line=line, name=f"goal {target:.4g}", hoverinfo="skip")
    if n_initial > 0:
        figure.add_vrect(x0=0, x1=n_initial, fillcolor="rgba(128,134,145,0.14)", line_width=0, layer="below")
        figure.add_annotation(
            text="initial design", x=0, y=0, xref="x", yref="paper", xanchor="left", yanchor="bottom", xshift=4, showarrow=False
        )
    if is_log:
        figure.update_yaxes(exponentformat="power")
    figure.update_xaxes(range=[0, 1.03 * longest])  # a tick at the very edge would be cut
    figure.update_layout(showlegend=True)
    return figure


def mean_and_interval(values: FloatArray, *, is_log: bool = False) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean over runs and the ends of its 95 % interval, each of shape (evaluations,).

    Args:
        values: shape (runs, evaluations); with a single run the interval is that run.
        is_log: average logarithms, and return their exponentials.
    """
    used = np.log(np.maximum(values, _SMALLEST)) if is_log else np.asarray(values, dtype=np.float64)
    n = len(used)
    mean = used.mean(axis=0)
    half = student.ppf(0.975, n - 1) * used.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros_like(mean)
    ends = (mean, mean - half, mean + half)
    if is_log:
        return np.exp(ends[0]), np.exp(ends[1]), np.exp(ends[2])
    return ends


def _add_method(figure: go.Figure, name: str, values: FloatArray, colour: str, dash: str, *, is_log: bool) -> None:
    """Draw one method's mean and its interval."""
    mean, lower, upper = mean_and_interval(values, is_log=is_log)
    rows = thinned_rows(len(mean))
    evaluation = rows + 1
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    if len(values) > 1:
        figure.add_scatter(
            x=np.concatenate([evaluation, evaluation[::-1]]),
            y=np.concatenate([upper[rows], lower[rows][::-1]]),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.2)",
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=evaluation,
        y=mean[rows],
        mode="lines",
        line={"color": colour, "width": 2, "dash": dash},
        name=plain(name),
        legendgroup=name,
        hovertemplate="evaluation %{x}: %{y:.5g}<extra>" + plain(name) + "</extra>",
    )
