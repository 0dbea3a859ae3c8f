"""How a campaign stands, from its journal alone."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from .prior import prior_summary
from .records import Trial
from .store.campaign_store import CampaignStore

_SETTLED_BY = {
    "held": "--approve N, or --veto N --reason TEXT",
    "quarantined": "--accept N",
    "unknown": "--resolve N completed|failed|repeat",
}
"""What `latentloop trials STORE` takes for trials that wait for a person."""
_SHOWN = 10
"""Numbers of trials that the table spells out."""


def campaign_status(store: str | Path) -> dict[str, Any]:
    """Return how a campaign stands, running or not; JSON-able.

    Name, state, n_trials, budget, counts, waiting (numbers of trials by state), incumbent, goal, metric, seconds and more.

    Raises:
        StoreError: there is no campaign at ``store``.
    """
    opened = CampaignStore.open(store)
    state = opened.state()  # first: it brings the history up to date
    history = opened.history
    best = history.incumbent
    return {
        "name": history.configuration["name"],
        "state": state,
        "n_trials": len(history.trials),
        "budget": history.budget,
        "counts": history.counts(),
        "waiting": history.waiting(),
        "incumbent": None if best is None else {"trial": best.trial, "z": best.z.tolist(), "objective": best.objective},
        "goal": history.goal,
        "metric": history.configuration["objective"]["metric"],
        "seconds": round(history.seconds_until(time.time()) if state in ("running", "paused") else history.seconds, 3),
        "reason": history.reason,
        "prior": prior_summary(history),
        "fallback": fallback_summary(history.trials),
        "model_version": max(history.models, default=None),
    }


def status_table(facts: dict[str, Any]) -> Table:
    """Return the status as a table for a terminal."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    best = facts["incumbent"]
    rows = {
        "campaign": facts["name"],
        "state": facts["state"],
        "trials": f"{facts['n_trials']} of {facts['budget']}",
        "": ", ".join(f"{number} {word}" for word, number in facts["counts"].items()),
        "waits for you": "; ".join(f"{word}: {_some(numbers)}" for word, numbers in facts["waiting"].items() if numbers),
        "settle them": "; ".join(f"latentloop trials STORE {how}" for word, how in _SETTLED_BY.items() if facts["waiting"].get(word)),
        "goal": f"{facts['goal']} {facts['metric']}",
        "incumbent": "none yet"
        if best is None
        else f"{best['objective']:.6g} in trial {best['trial']} at z = ({', '.join(f'{value:.4f}' for value in best['z'])})",
        "earlier": _earlier(facts["prior"]),
        "retrained": f"{facts['model_version']} times" if facts["model_version"] else "",
        "surrogate": _fallback(facts["fallback"]),
        "time": f"{facts['seconds']:.1f} s",
        "reason": facts["reason"],
    }
    for key, value in rows.items():
        if value:
            table.add_row(key, value)
    return table


def fallback_summary(trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Return for how many trials another model than the chosen surrogate answered, and why the last time; None for none."""
    found = [trial for trial in trials if trial.fallback]
    return {"n_trials": len(found), "last": found[-1].number, "reason": found[-1].fallback} if found else None


def _fallback(facts: dict[str, Any] | None) -> str:
    """Return that in words."""
    if facts is None:
        return ""
    return f"{facts['reason']} (trial {facts['last']}; {facts['n_trials']} trials in all)"


def _earlier(prior: dict[str, Any] | None) -> str:
    """Return what earlier measurements the campaign started from, in words."""
    if prior is None:
        return ""
    left_out = f", {prior['n_skipped']} left out" if prior["n_skipped"] else ""
    return f"{prior['n_points']} measurements of {prior['source']}, the best {prior['best']:.6g}{left_out}"


def _some(numbers: list[int]) -> str:
    """Return the first few numbers, and how many more there are."""
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return ", ".join(map(str, numbers[:_SHOWN])) + more
