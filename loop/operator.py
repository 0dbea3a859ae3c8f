"""What an operator has to say about held trials: approve, or veto with a reason.

While a campaign is driven, the decision is left in the store's inbox, and its driver journals and obeys it within a second. Where nobody
drives it, this process takes the lock and journals the decision itself; an approved trial is measured by the next session.
"""

import getpass
import socket
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from .errors import ConfigError, StoreError, StoreLockedError, UnknownNameError
from .records import TrialState
from .store.campaign_store import CampaignStore
from .store.inbox import Command


def decide(store: str | Path, *, approve: Sequence[int] = (), veto: Sequence[int] = (), reason: str = "", who: str = "") -> list[str]:
    """Approve and veto held trials; return a sentence for each.

    Args:
        store: the campaign's folder.
        approve: numbers of trials that may be measured.
        veto: numbers of trials that must not be measured.
        reason: why; needed for a veto.
        who: name of the operator; empty for the user of this process.

    Raises:
        ConfigError: a veto without a reason, or one trial both approved and vetoed.
        StoreError: there is no campaign, or a trial is not held.
    """
    if veto and not reason.strip():
        raise ConfigError("a veto needs a reason: --reason 'the film would break'")
    both = sorted(set(approve) & set(veto))
    if both:
        raise ConfigError(f"trial {both[0]} is both approved and vetoed; choose one")
    opened = CampaignStore.open(store)
    name = who or f"{getpass.getuser()}@{socket.gethostname()}"
    commands = [Command("approve", number, name, reason) for number in approve] + [Command("veto", number, name, reason) for number in veto]
    for command in commands:
        _require_held(opened, command.trial)
    if not commands:
        return []
    try:
        opened.drive()
    except StoreLockedError:
        for command in commands:
            opened.inbox.drop(command)
        return [f"trial {command.trial}: {command.decision} sent to the running campaign" for command in commands]
    try:
        opened.project(opened.history.budget)
        for number in opened.obey():
            opened.publish(number)
        for command in commands:
            for number in opened.decide(command):
                opened.publish(number)
    finally:
        opened.release()
    return [
        f"trial {command.trial}: approved; `latentloop resume {store}` measures it"
        if command.decision == "approve"
        else f"trial {command.trial}: vetoed"
        for command in commands
    ]


def trial_table(store: str | Path, state: str | None = None) -> Table:
    """Return the trials as a table for a terminal.

    Raises:
        UnknownNameError: no such state.
    """
    words = [known.word for known in TrialState]
    if state is not None and state not in words:
        raise UnknownNameError(f"unknown state {state!r}; known are {', '.join(words)}")
    history = CampaignStore.open(store).history
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("trial", "state", "proposed by", "objective", "z", "reason"):
        table.add_column(column)
    for trial in history.trials:
        if state is None or trial.state.word == state:
            word = "approved" if trial.number in history.approved else trial.state.word
            table.add_row(
                str(trial.number),
                word,
                trial.acquisition,
                f"{trial.objective:.6g}" if trial.objective == trial.objective else "",
                ", ".join(f"{value:.4f}" for value in trial.z),
                escape(("projected; " if trial.is_projected else "") + trial.reason),
            )
    return table


def _require_held(store: CampaignStore, number: int) -> None:
    trials = store.history.trials
    if not 0 <= number < len(trials):
        raise StoreError(f"{store.path} has no trial {number}; it has {len(trials)}, the first is 0")
    if trials[number].state is not TrialState.HELD:
        raise StoreError(f"trial {number} is {trials[number].state.word}, not held; only held trials are approved or vetoed")
