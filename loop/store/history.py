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
from ..records import REPEAT, Goal, Incumbent, Trial, TrialState
from . import decisions
from .inbox import Note, Wanted
from .journal import Event
from .plain import jsonable as jsonable
from .plain import nested_tuple
from .plain import number as number

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
    prior: Mapping[str, Any] = field(default_factory=dict)
    """Measurements from before the campaign that it started from; empty for none. `standing_of` reads them."""
    last_session: str = ""
    """How the last session ended: finished, interrupted, paused or failed; ``open`` while none has said so; empty before the first."""
    forked_at: int = 0
    """Number of the first trial that is this campaign's own; the others are those of the campaign that it was forked from."""
    epoch: int = 0
    """Number of sessions so far, the open one included."""
    workers: list[Mapping[str, Any]] = field(default_factory=list)
    """Processes of the last session that measured with an instrument, which may be measuring still."""
    asked: tuple[int, int, int] = (0, 0, 0)
    """The last trials that were asked for together: number of the first, how many, and the first event about them."""
    reason: str = ""
    wanted: list[Wanted] = field(default_factory=list)
    """Trials that operators asked for, in the order of asking."""
    notes: list[Note] = field(default_factory=list)
    measured: list[int] = field(default_factory=list)
    """Numbers of the trials whose reading was judged, in the order of judging."""
    controls: list[int] = field(default_factory=list)
    """Numbers of the control trials, repeats of unknown ones included."""
    held: set[int] = field(default_factory=set)
    """Numbers of the trials that are held."""
    is_paused: bool = False
    stop_reason: str | None = None
    """Who asked this session to stop, and why; None for nobody."""
    seconds: float = 0.0
    """Time spent in sessions so far."""
    n_events: int = 0
    _since: float = math.nan
    _workers_epoch: int = 0
    _best: int | None = None
    _counts: dict[TrialState, int] = field(default_factory=dict)

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
                self.forked_at = data.get("parent", {}).get("at_trial", 0)
            case "started":
                self.last_session, self.budget, self._since = "open", data["budget"], event.time
                self.epoch += 1
                self.stop_reason = None
            case "ended":
                self.last_session, self.reason = data["state"], data.get("reason", "")
                if not self._counts.get(TrialState.ARMED) and self._workers_epoch == self.epoch:
                    self.workers = []  # nothing was under way
            case "workers":
                is_same = self._workers_epoch == self.epoch  # those of earlier sessions have been waited for
                self.workers = [*(self.workers if is_same else []), *data["workers"]]
                self._workers_epoch = self.epoch
            case "model":
                self.models[data["version"]] = data
            case "prior":
                self.prior = data
            case "armed":
                self._arm(event)
            case "held":
                self._add(event, TrialState.HELD)
            case "approved":
                self._put(replace(self._in(event, TrialState.HELD), who=data["who"]))
                self.approved.add(data["trial"])
            case "vetoed":
                self._veto(event)
            case "edited":
                self._put(decisions.edited(self._in(event, TrialState.HELD), data))
                self.approved.discard(data["trial"])  # what was approved before was not this
            case "resolved":
                self._resolve(event)
            case "accepted":
                self._accept(event)
            case "proposed":
                self.wanted.append(
                    Wanted(event.number, data["who"], data["reason"], nested_tuple(data.get("z")), nested_tuple(data.get("trajectory")))
                )
            case "noted":
                self.notes.append(Note(event.time, data["who"], data["reason"], data.get("trial")))
            case "paused" | "resumed":
                self.is_paused = event.kind == "paused"
            case "stopped":
                self.stop_reason = f"{data['who']} asked for it{': ' if data['reason'] else ''}{data['reason']}"
            case "retried":
                armed = self._in(event, TrialState.ARMED)
                self._put(replace(armed, n_attempts=armed.n_attempts + 1))
            case "outlier":
                armed = self._in(event, TrialState.ARMED)
                self._put(replace(armed, is_outlier=True, readings=(*armed.readings, number(data["objective"]))))
            case "refused" if data["trial"] == len(self.trials):  # before it was armed; one that the worker refused is finished below
                self._avoid(self._add(event, TrialState.REFUSED))
            case "completed":
                self._tell(self._finish(event, TrialState.COMPLETED))
            case kind if kind in _FINISHING:
                self._finish(event, _FINISHING[kind])
            case "ignored" if "wanted" in data:
                self._forget(data["wanted"])
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
        if self._best is None:
            return None
        best = self.trials[self._best]
        return Incumbent(best.number, best.z, best.objective)

    @property
    def identity(self) -> str:
        """Names the campaign among all others."""
        mark = f"{self.configuration['name']} {self.created_at!r}"
        return hashlib.sha256(mark.encode()).hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state that occurs, by the state's word."""
        return {state.word: self._counts[state] for state in TrialState if self._counts.get(state)}

    def waiting(self) -> dict[str, list[int]]:
        """Return the numbers of the trials that wait for a person: held, unknown or quarantined, by the state's word."""
        asked_for = {wanted.refers_to for wanted in self.wanted}
        found: dict[str, list[int]] = {"held": sorted(self.held - self.approved), "unknown": [], "quarantined": []}
        for state in (TrialState.UNKNOWN, TrialState.QUARANTINED):
            if self._counts.get(state):
                trials = [trial for trial in self.trials if trial.state is state and trial.number not in asked_for]
                found[state.word] = [trial.number for trial in trials if not self._is_repeated(trial)]
        return found

    def _is_repeated(self, trial: Trial) -> bool:
        """Whether a trial's repetition has been, or is to be, measured."""
        kept_back = (TrialState.VETOED, TrialState.REFUSED)
        return trial.repeated_as is not None and self.trials[trial.repeated_as].state not in kept_back

    def seconds_until(self, now: float) -> float:
        """Return the time spent in sessions until ``now`` (POSIX), the open one included; for a campaign that is being driven."""
        return self.seconds + (0.0 if math.isnan(self._since) else max(0.0, now - self._since))

    def state(self, is_driven: bool) -> str:
        """Return running, paused (driven, and told to wait), interrupted, finished or failed.

        Args:
            is_driven: whether a process holds the campaign's lock now.
        """
        if is_driven:
            return "paused" if self.is_paused else "running"
        return "interrupted" if self.last_session in ("", "open") else self.last_session

    def _arm(self, event: Event) -> None:
        """Take a trial as armed: a new one, or one that was held."""
        wanted = event.data["trial"]
        if wanted == len(self.trials):
            self._add(event, TrialState.ARMED)
            return
        held = self._in(event, TrialState.HELD)
        self.approved.discard(wanted)
        self._put(replace(held, state=TrialState.ARMED, armed_at=event.time, envelope=event.data.get("envelope", "")))

    def _veto(self, event: Event) -> None:
        vetoed = decisions.vetoed(self._in(event, TrialState.HELD), event.data, event.time)
        self._put(vetoed)
        self.approved.discard(vetoed.number)
        self._avoid(vetoed)

    def _resolve(self, event: Event) -> None:
        """Take an operator's word for what became of an unknown trial."""
        resolved = decisions.resolved(self._in(event, TrialState.UNKNOWN), event.data, event.time)
        self._put(resolved)
        if resolved.state is TrialState.UNKNOWN:
            self.wanted.append(Wanted(event.number, resolved.who, event.data["reason"], refers_to=resolved.number))
        elif resolved.state is TrialState.FAILED:
            self._avoid(resolved)
        else:
            self._tell(resolved)

    def _accept(self, event: Event) -> None:
        """Believe a quarantined reading."""
        accepted = decisions.accepted(self._in(event, TrialState.QUARANTINED), event.data)
        self._put(accepted)
        if accepted.number in self.avoided:
            self.avoided.remove(accepted.number)
        self._tell(accepted)

    def _in(self, event: Event, state: TrialState) -> Trial:
        """Return the trial that an event is about, which must be in a state."""
        wanted = int(event.data["trial"])
        if not 0 <= wanted < len(self.trials) or self.trials[wanted].state is not state:
            raise JournalError(f"event {event.number} says trial {wanted} is {event.kind}, but that trial was not {state.word}")
        return self.trials[wanted]

    def _put(self, trial: Trial) -> None:
        """Take up a trial, new or changed."""
        if trial.number == len(self.trials):
            self.trials.append(trial)
        else:
            self._counts[self.trials[trial.number].state] -= 1
            self.trials[trial.number] = trial
        self._counts[trial.state] = self._counts.get(trial.state, 0) + 1
        (self.held.add if trial.state is TrialState.HELD else self.held.discard)(trial.number)

    def _tell(self, trial: Trial) -> None:
        """Take a completed trial as told to the optimizer; a control is not."""
        if trial.is_control:
            return
        self.told.append(trial.number)
        sign = 1.0 if self.goal == "maximize" else -1.0
        best = None if self._best is None else self.trials[self._best]
        if best is None or (sign * trial.objective, -trial.number) > (sign * best.objective, -best.number):
            self._best = trial.number

    def _avoid(self, trial: Trial) -> None:
        """Take a trial as one that gave nothing to learn from, which the optimizer was told; of a control it hears nothing."""
        if not trial.is_control:
            self.avoided.append(trial.number)

    def _add(self, event: Event, state: TrialState) -> Trial:
        """Take up a new trial."""
        data = event.data
        if data["trial"] != len(self.trials):
            raise JournalError(f"event {event.number} is about trial {data['trial']}, but trial {len(self.trials)} is next")
        first, size = data.get("asked", (data["trial"], 1))
        if first == data["trial"]:
            self.asked = (first, size, event.number)
        refers_to = data.get("refers_to")
        added = Trial(
            number=data["trial"],
            state=state,
            z=np.array(data["z"], dtype=np.float64),
            acquisition=data["acquisition"],
            acquisition_value=number(data["acquisition_value"]),
            predicted_objective=number(data.get("predicted_objective")),
            predicted_error=number(data.get("predicted_error")),
            distance=number(data["distance"]),
            consistency=number(data["consistency"]),
            model_version=data["model_version"],
            armed_at=event.time if state is TrialState.ARMED else math.nan,
            reason=data.get("reason", ""),
            finished_at=event.time if state is TrialState.REFUSED else math.nan,
            envelope=data.get("envelope", ""),
            is_projected=data.get("is_projected", False),
            fallback=data.get("fallback", ""),
            refers_to=refers_to,
            repeats_control=data["acquisition"] == REPEAT and refers_to is not None and self.trials[refers_to].is_control,
            batch=data["asked"][0] if "asked" in data else None,
            who=data.get("who", ""),
        )
        self._put(added)
        if added.is_control:
            self.controls.append(added.number)
        if added.acquisition == REPEAT and added.refers_to is not None:
            self._put(replace(self.trials[added.refers_to], repeated_as=added.number))
        if "wanted" in data:
            self._forget(data["wanted"])
        return added

    def _forget(self, event: int) -> None:
        """Take what an operator asked for, in the event with this number, off the list."""
        self.wanted = [wanted for wanted in self.wanted if wanted.event != event]

    def _finish(self, event: Event, state: TrialState) -> Trial:
        data, armed = event.data, self._in(event, TrialState.ARMED)
        objective = number(data["objective"])
        finished = replace(
            armed,
            state=state,
            objective=objective,
            objective_error=number(data["objective_error"]),
            metrics={name: number(value) for name, value in data["metrics"].items()},
            reason=data["reason"],
            finished_at=event.time,
            seconds=number(data["seconds"]),
            worker=data["worker"],
            readings=(*armed.readings, objective) if armed.readings else (),
            is_outlier=armed.is_outlier or data.get("is_outlier", False),
        )
        self._put(finished)
        if state in (TrialState.COMPLETED, TrialState.QUARANTINED):
            self.measured.append(finished.number)
        if state in _AVOIDED:
            self._avoid(finished)
        return finished


def fold(events: Iterable[Event]) -> History:
    """Return what the events add up to."""
    history = History()
    for event in events:
        history.apply(event)
    return history
