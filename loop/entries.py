"""What the journal says of candidates, violations and readings."""

from typing import Any

from .campaign import Judgement
from .records import Candidate, Violation
from .store.history import jsonable


def of_candidate(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as its trial's first event holds it."""
    data = {
        "z": candidate.z.tolist(),
        "acquisition": candidate.acquisition,
        "acquisition_value": jsonable(candidate.acquisition_value),
        "predicted_objective": jsonable(candidate.predicted_objective),
        "predicted_error": jsonable(candidate.predicted_error),
        "distance": jsonable(candidate.distance),
        "consistency": jsonable(candidate.consistency),
        "model_version": candidate.model_version,
    }
    if candidate.fallback:
        data["fallback"] = candidate.fallback
    return {**data, "is_projected": True} if candidate.is_projected else data


def of_violation(violation: Violation) -> dict[str, Any]:
    """Return what a refused trial breaks, with the sentence as its reason."""
    return {
        "reason": violation.sentence,
        "figure": violation.figure,
        "value": jsonable(violation.value),
        "bound": jsonable(violation.bound),
        "unit": violation.unit,
        "step": violation.step,
        "channel": violation.channel,
    }


def of_readings(judgement: Judgement) -> dict[str, Any]:
    """Return what was read."""
    return {
        "objective": jsonable(judgement.objective),
        "objective_error": jsonable(judgement.objective_error),
        "metrics": {name: jsonable(value) for name, value in judgement.metrics.items()},
    }
