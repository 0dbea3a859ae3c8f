"""What an operator has to say to a campaign: one function for the command line, the service and scripts.

A command is checked against the history, then left in the store's inbox. While the campaign is driven, its driver journals and obeys it
within a second. Where nobody drives it, this process takes the lock and empties the inbox itself; what is to be measured is measured by the
next session.

>>> from latentloop.loop.operator import act
>>> from latentloop.loop.store.inbox import Command
>>> act("campaigns/first", Command("veto", trial=3, reason="the film would break", who="Ada"))
"""

import getpass
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from .campaign import Campaign
from .clerk import Clerk, Obeyed, objection
from .config import config_from_mapping
from .errors import ConfigError, StoreError, StoreLockedError, UnknownNameError
from .records import TrialState
from .restoration import restored_campaign
from .safety import Envelope
from .store.campaign_store import CampaignStore
from .store.history import History
from .store.inbox import Command

_SAID = {
    "approve": "approved; `latentloop resume {store}` measures it",
    "veto": "vetoed",
    "edit": "edited; it is held until it is approved",
    "resolve": "resolved as {outcome}",
    "accept": "accepted, and learned from",
    "propose": "proposed; `latentloop resume {store}` takes it up",
    "note": "noted",
    "pause": "paused; `latentloop resume {store}` goes on",
    "resume": "no longer paused",
}


_ATTEMPTS = 20
_PAUSE = 0.1
"""Seconds between two attempts to have the right to empty the inbox."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command."""

    sentence: str
    command: str
    """Its name in the inbox; the event that obeys it holds the same."""
    is_obeyed: bool | None
    """None while it is on its way to the driver of a running campaign."""


def act(store: str | Path, *commands: Command) -> list[Answer]:
    """Have commands obeyed; return an answer for each.

    In a campaign with ``approval: batch`` the approval of one trial is that of its whole batch.

    Args:
        store: the campaign's folder or URL.
        commands: what to do, in this order; ``who`` may be empty for the user of this process.

    Raises:
        ConfigError: a command that lacks something, or whose trajectory or point does not fit the campaign.
        StoreError: there is no campaign, no such trial, or it is not in the state for this.
    """
    opened = CampaignStore.open(store)
    said = [_complete(command) for command in _whole_batches(opened.history, commands)]
    for index, command in enumerate(said):
        _require_sensible(opened, command, said[:index])
    if not said:
        return []
    if any(command.action == "stop" for command in said) and not opened.is_driven():
        raise StoreError(f"nobody drives {store}: there is nothing to stop")
    names = [opened.inbox.drop(command) for command in said]
    if not _is_ours(opened):
        return [
            Answer(f"{_subject(command)}: {command.action} sent to the running campaign", name, None)
            for command, name in zip(said, names, strict=True)
        ]
    try:
        opened.project(opened.history.budget)
        obeyed = {each.name: each for each in Clerk(opened, lambda: _campaign(opened)).obey(at_once=True)}
    finally:
        opened.release()
    return [_answer(store, command, name, obeyed.get(name)) for command, name in zip(said, names, strict=True)]


def _is_ours(store: CampaignStore) -> bool:
    """Take the right to empty the inbox; False where a driver has it, who will do so."""
    for attempt in range(_ATTEMPTS):
        try:
            store.drive()
        except StoreLockedError:
            # Between sessions it is another operator, for an instant, who may have looked into the inbox before this command came.
            if store.refresh().last_session == "open" or attempt + 1 == _ATTEMPTS:
                return False
            time.sleep(_PAUSE)
        else:
            return True
    return False


def _campaign(store: CampaignStore) -> Campaign:
    """Return the campaign of a store as it stands, with its latent space."""
    history = store.history
    if not history.models:
        raise ConfigError("the latent model has not been trained yet; wait for the first trial")
    config = config_from_mapping(history.configuration, str(store.path))
    campaign = restored_campaign(store, config, history, "pure", None)
    campaign.signal = store.signal()
    campaign.envelope = Envelope.from_config(config.safety, campaign.signal)
    return campaign


def trial_table(store: str | Path, state: str | None = None) -> Table:
    """Return the trials as a table for a terminal.

    Raises:
        UnknownNameError: no such state.
    """
    words = [known.word for known in TrialState]
    if state is not None and state not in words:
        raise UnknownNameError(f"unknown state {state!r}; known are {', '.join(words)}")
    history = CampaignStore.open(store).history
    notes: dict[int | None, list[str]] = {}
    for note in history.notes:
        notes.setdefault(note.trial, []).append(f"{note.who}: {note.text}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("trial", "state", "proposed by", "objective", "z", "remarks"):
        table.add_column(column)
    for trial in history.trials:
        if state is None or trial.state.word == state:
            remarks = [
                "projected" if trial.is_projected else "",
                "edited" if trial.is_edited else "",
                "outlier" if trial.is_outlier else "",
                f"repeats {trial.refers_to}" if trial.refers_to is not None else "",
                f"repeated as {trial.repeated_as}" if trial.repeated_as is not None else "",
                trial.reason,
                *notes.get(trial.number, []),
            ]
            table.add_row(
                str(trial.number),
                "approved" if trial.number in history.approved else trial.state.word,
                trial.acquisition,
                f"{trial.objective:.6g}" if trial.objective == trial.objective else "",
                ", ".join(f"{value:.4f}" for value in trial.z),
                escape("; ".join(filter(None, remarks))),
            )
    return table


def _complete(command: Command) -> Command:
    """Return a command with who said it, and when."""
    who = command.who or f"{getpass.getuser()}@{socket.gethostname()}"
    return replace(command, who=who, time=command.time or time.time())


def _whole_batches(history: History, commands: Sequence[Command]) -> list[Command]:
    """Return the commands, with the approval of one trial standing for its whole batch where batches are approved together."""
    if history.configuration["safety"].get("approval") != "batch":
        return list(commands)
    refused = {command.trial for command in commands if command.action == "veto"}
    found: list[Command] = []
    for command in commands:
        together: list[int | None] = [command.trial]
        number = command.trial
        if command.action == "approve" and number in history.held and number is not None and history.trials[number].batch is not None:
            batch = history.trials[number].batch
            together = [each for each in sorted(history.held) if history.trials[each].batch == batch and each not in refused]
        approved = {each.trial for each in found if each.action == "approve"}
        found += [replace(command, trial=each) for each in together if command.action != "approve" or each not in approved]
    return found


def _require_sensible(store: CampaignStore, command: Command, before: Sequence[Command]) -> None:
    """Raise the error of a command that cannot be obeyed as the campaign stands."""
    decided = [each for each in before if each.trial == command.trial and {each.action, command.action} <= {"approve", "veto"}]
    if command.trial is not None and decided and decided[0].action != command.action:
        raise ConfigError(f"trial {command.trial} is both approved and vetoed; choose one")
    reason = objection(store.history, command)
    if reason:
        is_said_badly = "needs" in reason or "say what" in reason
        raise ConfigError(reason) if is_said_badly else StoreError(f"{store.path}: {reason}")
    if command.action in ("edit", "propose"):
        _require_fitting(store, command)


def _require_fitting(store: CampaignStore, command: Command) -> None:
    """Check a point against the box, and a trajectory against the envelope: what the driver would refuse is refused here already."""
    history = store.history
    if command.z is not None and history.models:
        box = history.models[max(history.models)]["box"]
        if len(box) != len(command.z) or any(not low <= value <= high for value, (low, high) in zip(command.z, box, strict=True)):
            raise ConfigError(f"the point {list(command.z)} does not lie in the box {box}")
    if command.trajectory is not None:
        import numpy as np

        signal = store.signal()
        try:
            steps = np.asarray(command.trajectory, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError("the trajectory must hold numbers, in rows of one length") from error
        shape = (len(signal.times),) if len(signal.channels) == 1 else (len(signal.times), len(signal.channels))
        if steps.shape != shape:
            raise ConfigError(f"the trajectory has shape {steps.shape}, those of this campaign {shape}; resample it")
        envelope = Envelope.from_config(config_from_mapping(history.configuration).safety, signal)
        violation = None if envelope is None else envelope.check(steps, signal.times)
        if violation is not None:
            raise ConfigError(f"the trajectory lies outside the safety envelope: {violation.sentence}")


def _subject(command: Command) -> str:
    return "the campaign" if command.trial is None else f"trial {command.trial}"


def _answer(store: str | Path, command: Command, name: str, obeyed: Obeyed | None) -> Answer:
    if obeyed is None:  # a driver came in between and was faster
        return Answer(f"{_subject(command)}: {command.action} sent to the running campaign", name, None)
    if obeyed.ignored:
        return Answer(f"{_subject(command)}: {command.action} was not done: {obeyed.ignored}", name, False)
    sentence = _SAID.get(command.action, command.action).format(store=store, outcome=command.outcome)
    return Answer(f"{_subject(command)}: {sentence}", name, True)
