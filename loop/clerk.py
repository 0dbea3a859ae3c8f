"""Takes operators' commands from a store's inbox, one by one, and makes an event of each.

Whoever holds the store's lock has a clerk: the controller of a running campaign, or the command line where nobody drives it. A command that
cannot be obeyed (no such trial, not in that state any more, a trajectory outside the safety envelope) is journalled as ``ignored``, with
why; an instrument's late result that is not believable as a note to its trial, which stays unknown. The latent space is needed for edits
alone, so it is asked for when one comes.
"""

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

from .belief import doubt
from .campaign import Campaign
from .config import ObjectiveConfig
from .errors import ConfigError, ShapeMismatchError
from .records import OPERATOR, FloatArray, Measurement, TrialState, as_array, require_free_name, require_storable
from .store.campaign_store import CampaignStore
from .store.history import History, jsonable
from .store.inbox import Command

_LOOK_SECONDS = 0.1
"""The inbox is looked into no more often ..."""
_LOOK_FAR_SECONDS = 1.0
"""... and on object storage, where every look is a request, no more often than this."""
_STATES = {
    "approve": TrialState.HELD,
    "veto": TrialState.HELD,
    "edit": TrialState.HELD,
    "resolve": TrialState.UNKNOWN,
    "accept": TrialState.QUARANTINED,
}
_EVENTS = {
    "approve": "approved",
    "veto": "vetoed",
    "edit": "edited",
    "resolve": "resolved",
    "accept": "accepted",
    "propose": "proposed",
    "note": "noted",
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped",
}
_CHANGES_BELIEF = ("edit", "resolve", "accept")


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What became of one command."""

    name: str
    """Of the object in the inbox."""
    command: Command | None
    """None for what was no command."""
    ignored: str = ""
    """Why nothing was done; empty when it was."""

    @property
    def changes_belief(self) -> bool:
        """Whether the optimizer has to learn anew what is known and what is pending."""
        return not self.ignored and self.command is not None and self.command.action in _CHANGES_BELIEF


class Clerk:
    """Obeys operators.

    Args:
        store: driven by this process, with its arrays open for writing.
        campaign: gives the campaign when its latent space is needed.
    """

    def __init__(self, store: CampaignStore, campaign: Callable[[], Campaign]) -> None:
        self._store = store
        self._campaign = campaign
        self._looked = -math.inf

    def obey(self, at_once: bool = False) -> list[Obeyed]:
        """Journal what waits in the inbox and return what became of it; between two looks a moment passes, unless ``at_once``."""
        pause = _LOOK_SECONDS if self._store.objects.folder is not None else _LOOK_FAR_SECONDS
        if not at_once and monotonic() - self._looked < pause:
            return []
        self._looked = monotonic()
        done = []
        for name, command in self._store.inbox.waiting():
            if name not in self._store.history.commands:
                done.append(Obeyed(name, command, self._take(name, command)))
            self._store.inbox.remove(name)
        return done

    def _take(self, name: str, command: Command | None) -> str:
        """Journal one command; return why it was ignored, empty when it was not."""
        if command is None:
            reason = "the file is not a command"
            self._store.append("ignored", {"command": name, "reason": reason})
            return reason
        facts = {"command": name, "who": command.who, "reason": command.reason, "said_at": command.time}
        if command.trial is not None:
            facts["trial"] = command.trial
        reason = objection(self._store.history, command)
        try:
            if not reason:
                facts.update(self._effect(command))
        except _DoubtError as error:
            self._store.append("noted", {**facts, "reason": f"{command.reason}, and is not believed: {error}"})
            return str(error)
        except ConfigError as error:
            reason = str(error)
        if reason:
            self._store.append("ignored", {**facts, "action": command.action, "reason": reason})
            return reason
        self._store.append(_EVENTS[command.action], facts)
        if command.trial is not None:
            self._store.publish(command.trial)
        return ""

    def _effect(self, command: Command) -> dict[str, Any]:
        """Return what the event of a command says besides who and why; raises ConfigError where it cannot be done."""
        match command.action:
            case "edit":
                return self._edit(command)
            case "propose":
                return {key: value for key, value in (("z", command.z), ("trajectory", command.trajectory)) if value is not None}
            case "resolve":
                if command.is_reading and command.outcome == "completed":
                    self._keep_arrays(command)
                metric = self._store.history.configuration["objective"]["metric"]
                return {
                    "outcome": command.outcome,
                    "objective": command.metrics.get(metric),
                    "objective_error": command.errors.get(metric),
                    "metrics": dict(command.metrics),
                }
            case _:
                return {}

    def _edit(self, command: Command) -> dict[str, Any]:
        """Put another trajectory in the place of a held trial's, and return its point."""
        campaign, number = self._campaign(), command.trial
        candidate = campaign.candidate(OPERATOR, z=command.z, trajectory=command.trajectory)
        violation = campaign.violation(candidate.trajectory)
        if violation is not None:
            raise ConfigError(f"outside the safety envelope: {violation.sentence}")
        assert number is not None
        self._store.write_payload(number, {"trajectory": candidate.trajectory})  # before the event that makes it count
        return {
            "z": candidate.z.tolist(),
            "distance": jsonable(candidate.distance),
            "consistency": jsonable(candidate.consistency),
            "model_version": candidate.model_version,
        }

    def _keep_arrays(self, command: Command) -> None:
        """Judge an instrument's late result, and keep its arrays, before the event that makes it count."""
        arrays = _arrays_of(command)
        objective = ObjectiveConfig.model_validate(self._store.history.configuration["objective"])
        reason = doubt(Measurement(command.metrics, command.errors, arrays), objective, "physical")
        if reason:
            raise _DoubtError(reason)
        assert command.trial is not None
        try:
            self._store.write_payload(command.trial, arrays)
        except ShapeMismatchError as error:
            raise _DoubtError(str(error)) from error


class _DoubtError(Exception):
    """A reading that came late is not believable."""


def _arrays_of(command: Command) -> dict[str, FloatArray]:
    """Return the arrays of a command; raises ConfigError for what is none."""
    try:
        read = {
            name: np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False) for name, text in command.arrays.items()
        }
        for name in read:
            require_free_name(name)
        return {name: as_array(values, f"array {name!r}") for name, values in read.items()}
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise ConfigError(f"an array of a late result cannot be read: {error}") from error


def objection(history: History, command: Command) -> str:
    """Return why a command cannot be obeyed as the campaign stands; empty when it can."""
    number, trials = command.trial, history.trials
    state = _STATES.get(command.action)
    if number is not None and not 0 <= number < len(trials):
        return f"there is no trial {number}; there are {len(trials)}, the first is 0"
    if state is not None:
        if number is None:
            return f"{command.action} needs the number of a trial"
        if trials[number].state is not state:
            return f"trial {number} is {trials[number].state.word}, not {state.word}"
    match command.action:
        case "veto" if not command.reason.strip():
            return "a veto needs a reason: --reason 'the film would break'"
        case "note" if not command.reason.strip():
            return "a note needs a text"
        case "edit" | "propose" if (command.z is None) == (command.trajectory is None):
            return f"{command.action} needs either a point of the latent space or a trajectory"
        case "accept" if number is not None and not math.isfinite(trials[number].objective):
            return f"the reading of trial {number} is {trials[number].objective}: there is nothing to learn from it"
        case "resolve" if number is not None:
            return _objection_to_resolution(history, command, number)
    return ""


def _objection_to_resolution(history: History, command: Command, number: int) -> str:
    if number not in history.waiting()["unknown"]:
        return f"trial {number} is being repeated already"
    metric = history.configuration["objective"]["metric"]
    if command.outcome == "completed" and metric not in command.metrics:
        return f"a completed trial needs the reading of {metric!r}: --metric {metric}=1.23"
    try:
        for name in command.metrics:
            require_storable(name)
    except ValueError as error:
        return str(error)
    return "" if command.outcome else "say what became of it: completed, failed or repeat"
