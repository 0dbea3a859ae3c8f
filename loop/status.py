"""How a campaign stands, from its journal alone."""

import time
from pathlib import Path
from typing import Any

from rich.table import Table

from .prior import prior_summary
from .store.campaign_store import CampaignStore


def campaign_status(store: str | Path) -> dict[str, Any]:
    """Return name, state, n_trials, budget, counts, incumbent, goal, metric and seconds of a campaign, running or not; JSON-able.

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
        "incumbent": None if best is None else {"trial": best.trial, "z": best.z.tolist(), "objective": best.objective},
        "goal": history.goal,
        "metric": history.configuration["objective"]["metric"],
        "seconds": round(history.seconds_until(time.time()) if state == "running" else history.seconds, 3),
        "reason": history.reason,
        "prior": prior_summary(history),
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
        "goal": f"{facts['goal']} {facts['metric']}",
        "incumbent": "none yet"
        if best is None
        else f"{best['objective']:.6g} in trial {best['trial']} at z = ({', '.join(f'{value:.4f}' for value in best['z'])})",
        "earlier": _earlier(facts["prior"]),
        "retrained": f"{facts['model_version']} times" if facts["model_version"] else "",
        "time": f"{facts['seconds']:.1f} s",
        "reason": facts["reason"],
    }
    for key, value in rows.items():
        if value:
            table.add_row(key, value)
    return table


def _earlier(prior: dict[str, Any] | None) -> str:
    """Return what earlier measurements the campaign started from, in words."""
    if prior is None:
        return ""
    left_out = f", {prior['n_skipped']} left out" if prior["n_skipped"] else ""
    return f"{prior['n_points']} measurements of {prior['source']}, the best {prior['best']:.6g}{left_out}"
