"""What an operator says to a campaign: `latentloop trials`, `pause` and `stop`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .errors import ConfigError

if TYPE_CHECKING:
    from .store.inbox import Command

_out = Console(highlight=False, soft_wrap=True)
WIDEST = 10_000
"""Columns of a table that no terminal shows."""

Store = Annotated[str, typer.Argument(help="Folder or URL of the campaign.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; needed for a veto, and kept with the decision.")]
Numbers = Annotated[list[str] | None, typer.Option("--approve", metavar="N|all", help="Let held trial N be measured; repeatable.")]


def trials(
    store: Store,
    approve: Numbers = None,
    veto: Annotated[list[int] | None, typer.Option("--veto", metavar="N", help="Never measure held trial N; repeatable.")] = None,
    edit: Annotated[int | None, typer.Option("--edit", metavar="N", help="Measure --z or --trajectory in held trial N.")] = None,
    resolve: Annotated[
        tuple[int, str] | None, typer.Option("--resolve", metavar="N completed|failed|repeat", help="What became of unknown trial N.")
    ] = None,
    accept: Annotated[list[int] | None, typer.Option("--accept", metavar="N", help="Learn from quarantined trial N.")] = None,
    propose: Annotated[bool, typer.Option("--propose", help="Have --z or --trajectory measured.")] = False,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Write something down, of --trial or the campaign.")] = None,
    trial: Annotated[int | None, typer.Option("--trial", metavar="N", help="The trial that --note is about.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", metavar="NAME=VALUE", help="Reading of a --resolve N completed.")] = None,
    z: Annotated[str | None, typer.Option("--z", metavar="A,B,...", help="A point of the latent space.")] = None,
    trajectory: Annotated[Path | None, typer.Option("--trajectory", help="A .npy or .csv file of one trajectory.")] = None,
    reason: Reason = "",
    state: Annotated[str | None, typer.Option("--state", help="List only trials in this state, for example held.")] = None,
) -> None:
    """List the trials, and decide about those that wait for a person, also while the campaign runs."""
    from .operator import act, trial_table
    from .store.inbox import Command

    where: dict[str, Any] = {"z": _point(z), "trajectory": _trajectory(trajectory)}
    commands = [Command("edit", trial=edit, reason=reason, **where)] if edit is not None else []
    commands += [Command("approve", trial=number, reason=reason) for number in _held(store, approve or [])]
    commands += [Command("veto", trial=number, reason=reason) for number in veto or []]
    commands += [Command("accept", trial=number, reason=reason) for number in accept or []]
    if resolve is not None:
        commands.append(_resolution(resolve, metric or [], reason))
    if propose:
        commands.append(Command("propose", reason=reason, **where))
    if note is not None:
        commands.append(Command("note", trial=trial, reason=note))
    if commands:
        for answer in act(store, *commands):
            _out.print(answer.sentence, markup=False)
    elif not approve:
        # A terminal wraps remarks within their column; other programs get a line for each trial.
        out = _out if _out.is_terminal else Console(highlight=False, width=WIDEST)
        out.print(trial_table(store, state), soft_wrap=False)


def pause(store: Store, reason: Reason = "") -> None:
    """Dispatch nothing new until `latentloop resume`; what is being measured is awaited and recorded."""
    _say(store, "pause", reason)


def stop(store: Store, reason: Reason = "") -> None:
    """Stop a running campaign as Ctrl-C in its terminal would; `latentloop resume` continues it."""
    _say(store, "stop", reason)


def go_on(store: str | Path) -> bool:
    """Take back a pause; return whether a process drives the campaign, so that there is nothing left to do here."""
    from .operator import act
    from .store.campaign_store import CampaignStore
    from .store.inbox import Command

    opened = CampaignStore.open(store)
    if not opened.history.is_paused:
        return False
    (answer,) = act(store, Command("resume"))
    _out.print(answer.sentence, markup=False)
    return answer.is_obeyed is None


def _say(store: str, action: Any, reason: str) -> None:
    from .operator import act
    from .store.inbox import Command

    for answer in act(store, Command(action, reason=reason)):
        _out.print(answer.sentence, markup=False)


def _held(store: str, said: list[str]) -> list[int]:
    """Return the numbers of trials to approve."""
    if "all" in said:
        from .store.campaign_store import CampaignStore

        held = CampaignStore.open(store).history.waiting()["held"]
        if not held:
            _out.print("no trial waits for approval")
        return held
    if not all(text.isdecimal() for text in said):
        raise ConfigError(f"--approve takes the number of a trial, or all, not {', '.join(said)}")
    return [int(text) for text in said]


def _resolution(said: tuple[int, str], metrics: list[str], reason: str) -> "Command":
    from .store.inbox import RESOLUTIONS, Command

    number, outcome = said
    if outcome not in RESOLUTIONS:
        raise ConfigError(f"--resolve {number} {outcome}: a trial is resolved as {', '.join(RESOLUTIONS)}")
    found = {}
    for text in metrics:
        name, equals, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name or not abs(found[name]) < float("inf"):
            raise ConfigError(f"--metric {text} must read name=value with a finite number, for example curl=9.8")
    return Command("resolve", trial=number, reason=reason, outcome=outcome, metrics=found)  # type: ignore[arg-type]


def _point(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--z {text} must read as numbers with commas between them, for example 0.1,-0.2") from error


def _trajectory(file: Path | None) -> list[Any] | None:
    """Return the trajectory of a file, shape (T,) or (T, channels), as nested lists."""
    if file is None:
        return None
    import numpy as np

    try:
        values = np.load(file, allow_pickle=False) if file.suffix == ".npy" else np.loadtxt(file, delimiter=",")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {file} as a trajectory: {error}; give a .npy file, or a .csv of one step per line") from error
    found: list[Any] = np.asarray(values, dtype=np.float64).tolist()
    return found
