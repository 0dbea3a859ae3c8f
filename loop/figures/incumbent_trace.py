"""Objective against trial number, with the running incumbent.

The incumbent after trial k is the best completed value among trials 0..k: y*(k) = max over i <= k of y(i), or min where the goal is
to minimize. Initial trials are marked apart; trials without a value that counts stand as marks on the lower axis. A bar behind a trial is
what the surrogate expected of it before it was measured, mean +- 1.96 standard deviations: of an honest one, 95 % of the bars meet their
point. A page that appends trials finds in ``layout.meta["latentloop"]`` which trace is which: predicted, initial, optimized, incumbent,
best.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..records import FloatArray, Goal, Trial, TrialState
from .theme import AMBER, BLUE, GREEN, GREY, INCUMBENT, PURPLE, axis_title, new_figure, plain, say
from .thinning import MAX_POINTS, thinned_rows

_WITHOUT_VALUE = {
    TrialState.FAILED: ("x", INCUMBENT),
    TrialState.QUARANTINED: ("diamond-open", AMBER),
    TrialState.REFUSED: ("triangle-up-open", PURPLE),
    TrialState.VETOED: ("triangle-down-open", PURPLE),
    TrialState.UNKNOWN: ("star-diamond-open", GREY),
}
"""Trials that ended without a value to learn from: symbol and colour of their mark."""
_UNDER_WAY = (TrialState.PROPOSED, TrialState.HELD, TrialState.ARMED)
_BAR_WIDTH, _MOST_WIDE = 3, 150
"""Width of a prediction's bar, and how many of that width find room."""
_95_PERCENT = 1.96
"""Standard deviations on either side of a prediction's mean."""
_REACH = 0.5
"""How far bars may stretch the axis on either side, in spans of the measured values: an early surrogate can be unsure without end."""
_MARKS_AT = 0.02
"""Height of the marks on the axis, as a fraction of the plot: their lower half stays inside."""


def draw_incumbent_trace(
    trials: Sequence[Trial], *, goal: Goal = "maximize", objective_name: str = "objective", unit: str = ""
) -> go.Figure:
    """Draw objective against trial number with the running incumbent.

    Args:
        trials: trials in any state and any order. Only finite objectives of completed ones are drawn as values; beyond 2,000 of them
            (4,000 with the improvements), the rest is thinned, and no improvement is ever left out.
        goal: which way is better.
        objective_name: name of the objective, for the axis.
        unit: its unit; empty for none.
    """
    figure = new_figure(f"{objective_name} by trial")
    trials = sorted(trials, key=lambda trial: trial.number)
    figure.update_xaxes(title_text="trial")
    figure.update_yaxes(title_text=axis_title(objective_name, unit))
    if not trials:
        return say(figure, "no trial yet")
    first, last = trials[0].number, trials[-1].number
    pad = max(0.5, 0.02 * (last - first))
    figure.update_xaxes(range=[first - pad, last + pad])
    if last - first < 10:
        figure.update_xaxes(tickmode="linear", dtick=1, tick0=first)
    trials = [trial for trial in trials if not trial.is_control]
    done = [trial for trial in trials if trial.state is TrialState.COMPLETED and np.isfinite(trial.objective)]
    if done:
        _add_values(figure, done, last, goal)
    else:
        figure.add_annotation(text="no trial has completed yet", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
        figure.update_yaxes(showticklabels=False, showgrid=False)
    _add_marks(figure, trials)
    roles = {trace.name.split(" ")[0].rstrip(","): number for number, trace in enumerate(figure.data) if trace.yaxis != "y2"}
    figure.update_layout(showlegend=True, meta={**figure.layout.meta, "latentloop": {"kind": "incumbent_trace", "goal": goal, **roles}})
    return figure


def running_incumbent(objective: FloatArray, goal: Goal) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the running best of finite values, shape (n,), and where each strictly improved on all before it."""
    best: FloatArray = np.maximum.accumulate(objective) if goal == "maximize" else np.minimum.accumulate(objective)
    improved = np.ones(len(best), dtype=np.bool_)
    improved[1:] = best[1:] != best[:-1]
    return best, improved


def _add_values(figure: go.Figure, done: Sequence[Trial], last: int, goal: Goal) -> None:
    """Draw completed trials, the line of the incumbent and its star."""
    number = np.array([trial.number for trial in done])
    objective = np.array([trial.objective for trial in done], dtype=np.float64)
    error = np.array([trial.objective_error for trial in done], dtype=np.float64)
    best, improved = running_incumbent(objective, goal)
    is_initial = np.array([trial.acquisition == "initial" for trial in done])
    steps = np.flatnonzero(improved)
    shown = np.union1d(thinned_rows(len(done), MAX_POINTS), steps)
    _add_predictions(figure, [done[row] for row in shown], objective)
    for name, chosen, symbol, colour in (
        ("initial", is_initial, "circle-open", GREY),
        ("optimized", ~is_initial, "circle", BLUE),
    ):
        rows = shown[chosen[shown]]
        if rows.size == 0:
            continue
        figure.add_scatter(
            x=number[rows],
            y=objective[rows],
            error_y={"type": "data", "array": error[rows], "thickness": 1, "width": 0} if np.isfinite(error[rows]).any() else None,
            mode="markers",
            name=name,
            marker={
                "symbol": symbol,
                "size": 7,
                "color": colour,
                "opacity": 0.85,
                "line": {"width": 1.5 if symbol.endswith("open") else 0},
            },
            customdata=[_words(done[row]) for row in rows],
            hovertemplate="trial %{x}<br>%{y:.6g}<br>%{customdata}<extra></extra>",
        )
    figure.add_scatter(
        x=np.append(number[steps], last),
        y=np.append(best[steps], best[-1]),
        mode="lines",
        name="incumbent",
        line={"color": INCUMBENT, "width": 2, "shape": "hv"},
        hovertemplate="incumbent at trial %{x}<br>%{y:.6g}<extra></extra>",
    )
    winner = steps[-1]
    figure.add_scatter(
        x=[number[winner]],
        y=[objective[winner]],
        mode="markers",
        name=f"best (trial {number[winner]})",
        marker={"symbol": "star", "size": 15, "color": INCUMBENT, "line": {"color": "white", "width": 1}},
        hovertemplate="best trial %{x}<br>%{y:.6g}<extra></extra>",
    )


def _add_predictions(figure: go.Figure, shown: Sequence[Trial], objective: FloatArray) -> None:
    """Draw what was expected of the trials as bars: one broken line, because that is the cheapest thing a browser can draw."""
    predicted = [trial for trial in shown if np.isfinite(trial.predicted_objective) and np.isfinite(trial.predicted_error)]
    if not predicted:
        return
    mean = np.array([trial.predicted_objective for trial in predicted])
    half = _95_PERCENT * np.array([trial.predicted_error for trial in predicted])
    gaps = np.full(len(predicted), np.nan)
    numbers = np.array([trial.number for trial in predicted], dtype=np.float64)
    figure.add_scatter(
        x=np.column_stack([numbers, numbers, gaps]).ravel(),
        y=np.column_stack([mean - half, mean + half, gaps]).ravel(),
        mode="lines",
        name="predicted, 95 %",
        line={"color": BLUE, "width": _BAR_WIDTH if len(predicted) <= _MOST_WIDE else 1},
        opacity=0.4,
        hoverinfo="skip",
    )
    low, high = float(objective.min()), float(objective.max())
    reach = _REACH * (high - low) or 0.1 * abs(high) or 1.0
    bottom, top = min(low, float((mean - half).min())), max(high, float((mean + half).max()))
    if bottom < low - reach or top > high + reach:
        bottom, top = max(bottom, low - reach), min(top, high + reach)
        pad = 0.05 * (top - bottom)
        figure.update_yaxes(range=[bottom - pad, top + pad])


def _words(trial: Trial) -> str:
    """Return who proposed a trial, and what was expected of it."""
    if not (np.isfinite(trial.predicted_objective) and np.isfinite(trial.predicted_error)):
        return plain(trial.acquisition)
    return f"{plain(trial.acquisition)}<br>predicted {trial.predicted_objective:.4g} ± {trial.predicted_error:.2g}"


def _add_marks(figure: go.Figure, trials: Sequence[Trial]) -> None:
    """Mark trials without a value on the lower axis, by state."""
    groups: list[tuple[str, str, str, list[Trial]]] = []
    for state, (symbol, colour) in _WITHOUT_VALUE.items():
        groups.append((state.word, symbol, colour, [trial for trial in trials if trial.state is state]))
    no_value = [trial for trial in trials if trial.state is TrialState.COMPLETED and not np.isfinite(trial.objective)]
    groups.append(("completed without a value", "cross-open", GREY, no_value))
    groups.append(("under way", "line-ns-open", GREEN, [trial for trial in trials if trial.state in _UNDER_WAY]))
    if not any(members for *_, members in groups):
        return
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
    for name, symbol, colour, members in groups:
        if not members:
            continue
        rows = thinned_rows(len(members), MAX_POINTS)
        figure.add_scatter(
            x=[members[row].number for row in rows],
            y=np.full(len(rows), _MARKS_AT),
            yaxis="y2",
            mode="markers",
            name=f"{name} ({len(members)})",
            marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
            customdata=[plain(members[row].reason) for row in rows],
            hovertemplate=f"trial %{{x}} {name}<br>%{{customdata}}<extra></extra>",
        )
