"""What operators' decisions make of a trial; see `History` for when they may be made."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..records import Trial, TrialState
from .plain import number


def edited(held: Trial, data: Mapping[str, Any]) -> Trial:
    """Return a held trial with another point."""
    return replace(
        held,
        z=np.array(data["z"], dtype=np.float64),
        acquisition_value=math.nan,  # these are those of the point asked for
        predicted_objective=math.nan,
        predicted_error=math.nan,
        distance=number(data["distance"]),
        consistency=number(data["consistency"]),
        model_version=data["model_version"],
        is_edited=True,
        who=data["who"],
    )


def vetoed(held: Trial, data: Mapping[str, Any], time: float) -> Trial:
    """Return a held trial that must not be measured."""
    return replace(held, state=TrialState.VETOED, reason=data["reason"], finished_at=time, who=data["who"])


def accepted(quarantined: Trial, data: Mapping[str, Any]) -> Trial:
    """Return a trial whose reading is believed after all; why it was doubted stays with it."""
    return replace(quarantined, state=TrialState.COMPLETED, who=data["who"])


def resolved(unknown: Trial, data: Mapping[str, Any], time: float) -> Trial:
    """Return an unknown trial of which an operator knows what became of it; one that is to be repeated stays unknown."""
    who = data["who"]
    if data["outcome"] == "repeat":
        return replace(unknown, who=who)
    if data["outcome"] == "failed":
        reason = f"{unknown.reason}; {who} says that it failed{': ' if data['reason'] else ''}{data['reason']}"
        return replace(unknown, state=TrialState.FAILED, reason=reason, who=who)
    return replace(
        unknown,
        state=TrialState.COMPLETED,
        objective=number(data["objective"]),
        objective_error=number(data["objective_error"]),
        metrics={name: number(value) for name, value in data["metrics"].items()},
        finished_at=time,
        who=who,
    )
