"""The report of a campaign: one HTML file that holds everything, for the archive, a mail or the wall.

Plotly's own bundle from the plotly package is written into the page once, so that it opens without a network; a content policy in
the page forbids every request. All that users wrote (names, reasons, configuration) is escaped by Jinja2. The page follows the
reader's light or dark setting, and each figure's own wishes for its shape (``layout.meta``).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..records import Goal, Incumbent, Trial, TrialState
from .theme import template, without_title
from .thinning import thinned_rows

MAX_TABLE_ROWS = 2000
"""Rows of the table of trials: a browser sorts and scrolls these at once."""
_MAX_BEST_ROWS = 200
"""How many of them are the best trials; the others are the first and the last ones."""
_TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """One figure of the report with its words."""

    heading: str
    """A few words."""
    explanation: str
    """One sentence: what is drawn, and how to read it."""
    figure: go.Figure | None
    """None where there is nothing to draw."""
    absent: str = "There is nothing to show yet."
    """What stands in its place then."""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything that the report shows."""

    name: str
    """The campaign's name."""
    state: str
    """running, paused, interrupted, finished or failed."""
    goal: Goal
    trials: Sequence[Trial]
    """All recorded trials, in any state."""
    incumbent: Incumbent | None
    """The best completed trial; None before the first."""
    figures: Sequence[ReportFigure]
    configuration_yaml: str
    """The campaign file that would repeat it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions, processor, seeds: name to value."""
    objective_name: str = "objective"
    unit: str = ""
    budget: int | None = None
    """Trials that the campaign may take in all; None where unknown."""
    seconds: float = math.nan
    """How long the campaign has run."""
    written_at: float = math.nan
    """POSIX time in seconds at which the report was made; NaN leaves it out."""
    store: str = ""
    """Where the campaign's data lie."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One trial as the table shows it: texts, and the numbers that it is sorted by."""

    number: int
    state: str
    z: str
    objective: str
    acquisition: str
    seconds: str
    reason: str
    is_incumbent: bool
    objective_key: str
    seconds_key: str


@dataclass(frozen=True, slots=True)
class _Plot:
    """A figure as the page takes it."""

    heading: str
    explanation: str
    absent: str
    json: Markup | None
    is_full_width: bool


def render_report(content: ReportContent) -> str:
    """Return the report as one self-contained HTML page (about 5 MB, nearly all of it Plotly's bundle)."""
    chosen, note = select_rows(content.trials, content.goal)
    best = None if content.incumbent is None else content.incumbent.trial
    return _render(
        content.name,
        [_plot(item) for item in content.figures],
        report=content,
        facts=_facts(content),
        counts=_counts(content.trials),
        rows=[_row(trial, is_incumbent=trial.number == best) for trial in chosen],
        rows_note=note,
        written=_when(content.written_at) if math.isfinite(content.written_at) else "",
    )


def render_figure(figure: go.Figure, *, title: str, explanation: str = "") -> str:
    """Return one figure as a self-contained HTML page of its own."""
    return _render(title, [_plot(ReportFigure("", explanation, figure))], report=None)


def write_figure(figure: go.Figure, path: str | Path, *, title: str, explanation: str = "") -> None:
    """Write one figure as a self-contained HTML page of its own, UTF-8."""
    Path(path).write_text(render_figure(figure, title=title, explanation=explanation), encoding="utf-8")


def select_rows(trials: Sequence[Trial], goal: Goal, limit: int = MAX_TABLE_ROWS) -> tuple[list[Trial], str]:
    """Return the trials that the table shows by number, and a sentence about the others (empty where all are shown).

    Of too many trials it keeps the best ones, and of the others the first and the last.
    """
    ordered = sorted(trials, key=lambda trial: trial.number)
    if len(ordered) <= limit:
        return ordered, ""
    value = np.array([t.objective if t.state is TrialState.COMPLETED and math.isfinite(t.objective) else math.nan for t in ordered])
    ranking = np.argsort(-value if goal == "maximize" else value, kind="stable")  # NaN comes last either way
    n_best = min(_MAX_BEST_ROWS, limit // 2, int(np.isfinite(value).sum()))
    best = set(ranking[:n_best].tolist())
    others = [row for row in range(len(ordered)) if row not in best]
    n_first = (limit - n_best) // 2
    n_last = limit - n_best - n_first
    shown = best | set(others[:n_first]) | set(others[-n_last:])
    note = f"{limit:,} of {len(ordered):,} trials are listed: the first, the last and the {n_best:,} best. The store has all of them."
    return [ordered[row] for row in sorted(shown)], note


def duration(seconds: float) -> str:
    """Return a time as people say it, for example ``2 min 5 s``; a dash where it is not known."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _render(title: str, plots: Sequence[_Plot], **names: object) -> str:
    """Fill the page's template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    themes = {"light": template("light").to_plotly_json(), "dark": template("dark").to_plotly_json()}
    return environment.get_template(_TEMPLATE).render(
        title=title,
        plots=plots,
        themes=_embedded(json.dumps(themes)),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
        **names,
    )


def _embedded(text: str) -> Markup:
    """Return JSON for a script element: no ``<`` remains that could end the element."""
    return Markup(text.replace("<", "\\u003c"))


def _plot(item: ReportFigure) -> _Plot:
    """Return a figure as JSON, without the title (the page has headings) and the template (the page has both)."""
    if item.figure is None:
        return _Plot(item.heading, item.explanation, item.absent, None, is_full_width=False)
    meta = item.figure.layout.meta or {}
    if "says" in meta:
        sentence = str(meta["says"])
        return _Plot(item.heading, item.explanation, f"{sentence[:1].upper()}{sentence[1:]}.", None, is_full_width=False)
    figure = without_title(item.figure)
    figure.layout.template = None
    data = _embedded(figure.to_json(validate=False))
    return _Plot(item.heading, item.explanation, item.absent, data, is_full_width=bool(meta.get("is_full_width", False)))


def _facts(content: ReportContent) -> list[tuple[str, str, str]]:
    """Return the headline's numbers: what, value, detail."""
    best = content.incumbent
    unit = f" {content.unit}" if content.unit else ""
    facts = [("Goal", f"{content.goal} {content.objective_name}", "")]
    if best is None:
        facts.append(("Incumbent", "–", "no trial has completed yet"))
    else:
        facts.append(("Incumbent", f"{best.objective:.6g}{unit}", f"trial {best.trial}, z = {_vector(best.z)}"))
    budget = "" if content.budget is None else f"of {content.budget:,}"
    facts.append(("Trials", f"{len(content.trials):,}", budget))
    spent = [trial.seconds for trial in content.trials if math.isfinite(trial.seconds)]
    facts.append(("Time", duration(content.seconds), f"{duration(sum(spent))} of it measuring" if spent else ""))
    return facts


def _counts(trials: Sequence[Trial]) -> list[tuple[str, int]]:
    """Return how many trials are in each state, states without any left out."""
    counted = [(state.word, sum(trial.state is state for trial in trials)) for state in TrialState]
    return [(word, number) for word, number in counted if number]


def _row(trial: Trial, *, is_incumbent: bool) -> _Row:
    """Return one trial for the table."""
    return _Row(
        number=trial.number,
        state=trial.state.word,
        z=_vector(trial.z),
        objective=_number(trial.objective, ".6g"),
        acquisition=trial.acquisition,
        seconds=_number(trial.seconds, ".3g"),
        reason=trial.reason,
        is_incumbent=is_incumbent,
        objective_key=_key(trial.objective),
        seconds_key=_key(trial.seconds),
    )


def _vector(z: np.ndarray) -> str:
    """Return a latent vector with three decimals; of a long one the first six coordinates."""
    shown = ", ".join(f"{value:.3f}" for value in z[thinned_rows(min(z.size, 6))])
    return f"({shown}{', …' if z.size > 6 else ''})"


def _number(value: float, spec: str) -> str:
    """Return a number, or a dash where there is none."""
    return "–" if math.isnan(value) else format(value, spec)


def _key(value: float) -> str:
    """Return what a number is sorted by; empty sorts last."""
    return repr(float(value)) if math.isfinite(value) else ""


def _when(posix: float) -> str:
    """Return a POSIX time as date and minute in UTC."""
    return datetime.fromtimestamp(posix, UTC).strftime("%Y-%m-%d %H:%M UTC")
