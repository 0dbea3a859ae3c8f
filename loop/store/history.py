"""What the journal's events add up to: the campaign's trials, its state, its incumbent.

A fold over events, without Zarr: `latentloop status` needs nothing else, and a resumed campaign starts from it.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import JournalError
from ..records import Goal, Incumbent, Trial, TrialState
from .journal import Event

_FINISHING = {state.word: state for state in (TrialState.FAILED, TrialState.QUARANTINED, TrialState.UNKNOWN, TrialState.REFUSED)}
_AVOIDED = (TrialState.FAILED, TrialState.QUARANTINED, TrialState.REFUSED, TrialState.VETOED)


@dataclass(slots=True)
class History:
    """A campaign as its journal tells it."""

    configuration: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    created_at: float = math.nan
    budget: int = 0
    """Trials in all, initial ones included."""
    trials: list[Trial] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    """Numbers of the completed trials in the order in which they were told to the optimizer."""
    avoided: list[int] = field(default_factory=list)
    """Numbers of the trials that gave nothing to learn from, in the order in which the optimizer was told so."""
    approved: set[int] = field(default_factory=set)
    """Numbers of the held trials that an operator has approved and that are not armed yet."""
    commands: set[str] = field(default_factory=set)
    """Names of the operators' commands that have been journalled."""
    models: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Latent-model versions, with what the journal knows of each."""
    last_session: str = ""
    """How the last session ended: finished, interrupted, paused or failed; ``open`` while none has said so; empty before the first."""
    reason: str = ""
    seconds: float = 0.0
    """Time spent in sessions so far."""
    n_events: int = 0
    _since: float = math.nan

    def apply(self, event: Event) -> None:
        """Take one more event into account."""
        if event.number != self.n_events:
            raise JournalError(f"event {event.number} follows event {self.n_events - 1}")
        self.n_events += 1
        data = event.data
        if data.get("command"):
            self.commands.add(data["command"])
        match event.kind:
            case "created":
                self.configuration, self.environment, self.created_at = data["configuration"], data["environment"], event.time
                self.budget = data["configuration"]["budget"]["trials"]
            case "started":
                self.last_session, self.budget, self._since = "open", data["budget"], event.time
            case "ended":
                self.last_session, self.reason = data["state"], data.get("reason", "")
            case "model":
                self.models[data["version"]] = data
            case "armed":
                self._arm(event)
            case "held":
                self._add(event, TrialState.HELD)
            case "approved":
                self._held(event)
                self.approved.add(data["trial"])
            case "vetoed":
                self._veto(event)
            case "refused" if data["trial"] == len(self.trials):  # before it was armed; one that the worker refused is finished below
                self._add(event, TrialState.REFUSED)
                self.avoided.append(data["trial"])
            case "completed":
                self._finish(event, TrialState.COMPLETED)
                self.told.append(data["trial"])
            case kind if kind in _FINISHING:
                self._finish(event, _FINISHING[kind])
            case _:
                pass  # events of later versions that do not change a trial
        if not math.isnan(self._since):
            self.seconds += max(0.0, event.time - self._since)
            self._since = math.nan if event.kind == "ended" else event.time

    @property
    def goal(self) -> Goal:
        """Whether the objective is maximized or minimized."""
        goal: Goal = self.configuration["objective"]["goal"]
        return goal

    @property
    def incumbent(self) -> Incumbent | None:
        """The best completed trial; None before the first."""
        completed = [trial for trial in self.trials if trial.state is TrialState.COMPLETED]
        if not completed:
            return None
        best = (max if self.goal == "maximize" else min)(completed, key=lambda trial: trial.objective)
        return Incumbent(best.number, best.z, best.objective)

    @property
    def identity(self) -> str:
        """Names the campaign among all others."""
        mark = f"{self.configuration['name']} {self.created_at!r}"
        return hashlib.sha256(mark.encode()).hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state that occurs, by the state's word."""
        counts: dict[str, int] = {}
        for trial in self.trials:
            counts[trial.state.word] = counts.get(trial.state.word, 0) + 1
        return counts

    def seconds_until(self, now: float) -> float:
        """Return the time spent in sessions until ``now`` (POSIX), the open one included; for a campaign that is being driven."""
        return self.seconds + (0.0 if math.isnan(self._since) else max(0.0, now - self._since))

    def state(self, is_driven: bool) -> str:
        """Return running, paused, interrupted, finished or failed.

        Args:
            is_driven: whether a process holds the campaign's lock now.
        """
        if is_driven:
            return "running"
        return "interrupted" if self.last_session in ("", "open") else self.last_session

    def _arm(self, event: Event) -> None:
        """Take a trial as armed: a new one, or one that was held."""
        wanted = event.data["trial"]
        if wanted == len(self.trials):
            self._add(event, TrialState.ARMED)
            return
        held = self._held(event)
        self.approved.discard(wanted)
        self.trials[wanted] = replace(held, state=TrialState.ARMED, armed_at=event.time, envelope=event.data.get("envelope", ""))

    def _veto(self, event: Event) -> None:
        wanted = event.data["trial"]
        self.trials[wanted] = replace(self._held(event), state=TrialState.VETOED, reason=event.data["reason"], finished_at=event.time)
        self.approved.discard(wanted)
        self.avoided.append(wanted)

    def _held(self, event: Event) -> Trial:
        """Return the held trial that an event is about."""
        wanted = int(event.data["trial"])
        if not 0 <= wanted < len(self.trials) or self.trials[wanted].state is not TrialState.HELD:
            raise JournalError(f"event {event.number} says trial {wanted} is {event.kind}, but that trial was not held")
        return self.trials[wanted]

    def _add(self, event: Event, state: TrialState) -> None:
        """Take up a new trial."""
        data = event.data
        if data["trial"] != len(self.trials):
            raise JournalError(f"event {event.number} is about trial {data['trial']}, but trial {len(self.trials)} is next")
        self.trials.append(
            Trial(
                number=data["trial"],
                state=state,
                z=np.array(data["z"], dtype=np.float64),
                acquisition=data["acquisition"],
                acquisition_value=number(data["acquisition_value"]),
                distance=number(data["distance"]),
                consistency=number(data["consistency"]),
                model_version=data["model_version"],
                armed_at=event.time if state is TrialState.ARMED else math.nan,
                reason=data.get("reason", ""),
                finished_at=event.time if state is TrialState.REFUSED else math.nan,
                envelope=data.get("envelope", ""),
                is_projected=data.get("is_projected", False),
            )
        )

    def _finish(self, event: Event, state: TrialState) -> None:
        data = event.data
        if not 0 <= data["trial"] < len(self.trials) or self.trials[data["trial"]].state is not TrialState.ARMED:
            raise JournalError(f"event {event.number} says trial {data['trial']} is {state.word}, but that trial was not armed")
        self.trials[data["trial"]] = replace(
            self.trials[data["trial"]],
            state=state,
            objective=number(data["objective"]),
            objective_error=number(data["objective_error"]),
            metrics={name: number(value) for name, value in data["metrics"].items()},
            reason=data["reason"],
            finished_at=event.time,
            seconds=number(data["seconds"]),
            worker=data["worker"],
        )
        if state in _AVOIDED:
            self.avoided.append(data["trial"])


def fold(events: Iterable[Event]) -> History:
    """Return what the events add up to."""
    history = History()
    for event in events:
        history.apply(event)
    return history


def number(value: float | str | None) -> float:
    """Return a journal's number: JSON knows neither NaN nor infinity, so they are written as null and as text."""
    return math.nan if value is None else float(value)


def jsonable(value: float) -> float | str | None:
    """Return a number as the journal writes it; the inverse of `number`."""
    if math.isfinite(value):
        return float(value)
    return None if math.isnan(value) else str(value)
