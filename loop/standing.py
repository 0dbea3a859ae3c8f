"""Where points stand in the latent space of the current model, when it was not this model that proposed them.

Every point is labelled with the value of its own decoded trajectory: f(decode(z)). Earlier measurements, and the trials of a campaign whose
latent model has been retrained, are trajectories x with values f(x) first of all; their codes z = encode(x) decode to something close to x
only. The share of a trajectory's variance that is lost on the way,

    lost = |x - decode(encode(x))|^2 / mean |x' - mean x'|^2    (x' the training trajectories),

says how close. For an objective that takes the directions of trajectory space as they come, this is also the share of the objective's
variance that the label may be wrong by, so the label's variance grows by ``lost Var(y)``; beyond `MOST_LOST` the point is left out. The
growth comes on top of the noise of a measurement, be that configured, given by the evaluator, or inferred.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .outliers import LARGEST
from .records import FloatArray, Trial
from .store.history import History, number

if TYPE_CHECKING:
    from ..models.latent import LatentModel

MOST_LOST = 0.25
"""Share of its variance that a trajectory may lose on the way through the latent space and still be learned from."""
_NOTHING_LOST = 1e-12
"""Rounding of a decoded trajectory that is encoded and decoded again."""


@dataclass(frozen=True, slots=True)
class Place:
    """A point as the current latent model has it."""

    z: FloatArray
    """Its code, shape (d,)."""
    extra: float = 0.0
    """Variance of its label because it decodes to another trajectory than was measured, in squared units of the objective."""


@dataclass(frozen=True, slots=True)
class EarlierPoint:
    """A measurement from before the campaign."""

    place: Place | None
    """None where it is not learned from any more."""
    objective: float
    error: float
    """Standard error of the objective; NaN where unknown."""
    label: str
    """Where it comes from: a trial or a row."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that did not come from the current latent model."""

    earlier: tuple[EarlierPoint, ...] = ()
    """Measurements from before the campaign, in the order of telling: before all trials."""
    places: Mapping[int, Place | None] = field(default_factory=dict)
    """Trials of earlier model versions by number; None for those that are not learned from any more."""

    def place(self, trial: Trial) -> Place | None:
        """Return where a trial stands; None where nothing can be learned from it."""
        return self.places[trial.number] if trial.number in self.places else Place(trial.z)

    def points(self, trials: Iterable[Trial]) -> list[FloatArray]:
        """Return the codes of those of the trials that have one."""
        return [place.z for trial in trials if (place := self.place(trial)) is not None]

    def observations(self, told: Sequence[Trial]) -> tuple[list[FloatArray], list[float], list[float | None], list[float]]:
        """Return points, values, variances and what the places add to these, as the optimizer is told them; earlier measurements first.

        Args:
            told: completed trials in the order of telling.
        """
        found = [(point.place, point.objective, point.error) for point in self.earlier]
        found += [(self.place(trial), trial.objective, trial.objective_error) for trial in told]
        kept = [(place, value, error) for place, value, error in found if place is not None]
        return (
            [place.z for place, _, _ in kept],
            [value for _, value, _ in kept],
            [squared_error(error) for _, _, error in kept],
            [place.extra for place, _, _ in kept],
        )


def squared_error(error: float) -> float | None:
    """Return the variance of a value of which the standard error is known; None where it is not (NaN)."""
    return min(error, LARGEST) ** 2 if math.isfinite(error) else None


def places_of(model: "LatentModel", trajectories: FloatArray, training: FloatArray, spread: float) -> tuple[list[Place | None], FloatArray]:
    """Return where trajectories (n, T[, channels]) stand, None for those that lose too much, and the shares lost (n,).

    Args:
        model: latent model.
        trajectories: measured ones.
        training: those that the model was trained on; the yardstick.
        spread: variance of the objective.
    """
    if not len(trajectories):
        return [], np.empty(0)
    codes = np.asarray(model.encode(trajectories), dtype=np.float64)
    gaps = (trajectories - np.asarray(model.decode(codes))).reshape(len(codes), -1)
    usual = float(training.reshape(len(training), -1).var(axis=0).sum())
    lost = (gaps**2).sum(axis=1) / usual
    lost[lost < _NOTHING_LOST] = 0.0
    return [Place(code, share * spread) if share <= MOST_LOST else None for code, share in zip(codes, lost, strict=True)], lost


def standing_of(history: History) -> Standing:
    """Return the standing that a journal tells: the newest model's codes, of trials and of earlier measurements."""
    points = history.prior.get("points", [])
    facts = history.models[max(history.models)] if history.models else {}
    codes = facts.get("earlier_codes", [point["code"] for point in points])
    earlier = tuple(
        EarlierPoint(place_from(code), float(point["objective"]), number(point["error"]), point["label"])
        for point, code in zip(points, codes, strict=True)
    )
    return Standing(earlier, {int(name): place_from(code) for name, code in facts.get("codes", {}).items()})


def facts_of(history: History) -> tuple[list[Trial], list[int], list[int], Standing]:
    """Return what `Campaign.restore` takes: all that a journal tells the optimizer."""
    return history.trials, history.told, history.avoided, standing_of(history)


def place_from(code: Mapping[str, Any] | None) -> Place | None:
    """Return a place as the journal writes it."""
    return None if code is None else Place(np.array(code["z"], dtype=np.float64), float(code["extra"]))


def place_to(place: Place | None) -> dict[str, Any] | None:
    """Return a place as the journal writes it; the inverse of `place_from`."""
    return None if place is None else {"z": place.z.tolist(), "extra": place.extra}
