"""Trials that the optimizer is not asked for: what operators propose, what they want repeated, and the controls that show drift.

A control is one trajectory that is measured again every few trials: the first incumbent's, or that of a point that the configuration names.
What changes in its readings is the instrument, not the trajectory. The optimizer never hears of controls, nor of the repeat of one whose
outcome is unknown: it would take drift for noise at one point, and a lucky reading there for an incumbent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .campaign import Campaign
from .errors import ConfigError
from .records import CONTROL, OPERATOR, REPEAT, Candidate
from .store.campaign_store import CampaignStore
from .store.inbox import Wanted


@dataclass(frozen=True, slots=True)
class ExtraTrial:
    """A candidate that comes before those of the optimizer."""

    candidate: Candidate
    facts: dict[str, Any]
    """What its event says besides."""


class ExtraTrials:
    """Says what is to be measured before the optimizer is asked again.

    Args:
        campaign: gives the campaign, which decodes and encodes.
        store: knows what was asked for, and what was measured.
    """

    def __init__(self, campaign: Callable[[], Campaign], store: CampaignStore) -> None:
        self._campaign = campaign
        self._store = store

    def next(self) -> ExtraTrial | None:
        """Return the next one, operators' wishes first; None when it is the optimizer's turn."""
        history = self._store.history
        while history.wanted:
            wanted = history.wanted[0]
            try:
                return self._wanted(wanted)
            except ConfigError as error:
                facts = {"wanted": wanted.event, "who": wanted.who, "action": "propose", "reason": str(error)}
                self._store.append("ignored", facts)
        return self._control() if self._is_control_due() else None

    def _wanted(self, wanted: Wanted) -> ExtraTrial:
        facts: dict[str, Any] = {"wanted": wanted.event, "who": wanted.who}
        if wanted.refers_to is not None:
            return ExtraTrial(self._again(wanted.refers_to, REPEAT), {**facts, "refers_to": wanted.refers_to})
        return ExtraTrial(self._campaign().candidate(OPERATOR, z=wanted.z, trajectory=wanted.trajectory), facts)

    def _again(self, number: int, acquisition: str) -> Candidate:
        """Return a trial as a candidate."""
        trial = self._store.history.trials[number]
        return Candidate(
            trial.z,
            self._store.trajectory(trial),
            acquisition,
            distance=trial.distance,
            consistency=trial.consistency,
            model_version=trial.model_version,
        )

    def _is_control_due(self) -> bool:
        control, history = self._campaign().config.objective.control, self._store.history
        if control is None:
            return False
        n_due = sum(history.trials[number].acquisition == CONTROL for number in history.controls)  # a repeat is in the place of one of them
        if len(history.trials) - len(history.controls) < control.every * (n_due + 1):
            return False
        return control.z is not None or self._controlled() is not None

    def _controlled(self) -> int | None:
        """Return the trial whose trajectory is the control; None where the configuration names a point, or nothing has completed yet."""
        history = self._store.history
        if history.controls:
            return history.trials[history.controls[0]].refers_to
        best = history.incumbent
        return None if best is None else best.trial

    def _control(self) -> ExtraTrial:
        control, number = self._campaign().config.objective.control, self._controlled()
        if control is not None and control.z is not None:
            return ExtraTrial(self._campaign().candidate(CONTROL, z=control.z), {})
        assert number is not None
        return ExtraTrial(self._again(number, CONTROL), {"refers_to": number})
