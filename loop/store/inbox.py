"""Where operators leave their commands for the driver of a campaign: ``STORE/journal/inbox``, one file per command.

Only the driver writes the journal. An operator at another terminal, or at the page, drops a file here; the driver takes the files in the
order of their names (the time of dropping), journals what it makes of each, and then removes it. A command that was journalled and not
removed, because the driver was killed in between, is told apart by its name.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from secrets import token_hex
from typing import Any, Literal, get_args

from ..errors import StoreError
from .objects import Objects

Action = Literal["approve", "veto", "edit", "resolve", "accept", "propose", "note", "pause", "resume", "stop"]
Resolution = Literal["", "completed", "failed", "repeat"]
ACTIONS: tuple[str, ...] = get_args(Action)
RESOLUTIONS: tuple[str, ...] = tuple(filter(None, get_args(Resolution)))
_FOLDER = "journal/inbox"
LARGEST_BYTES = 16_000_000
"""A command that is longer is not read: even a trajectory of many channels has less."""


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator wants done."""

    action: Action
    who: str = ""
    trial: int | None = None
    """The trial that it is about; None for the campaign."""
    reason: str = ""
    """Why; of a note, its text."""
    outcome: Resolution = ""
    """Of `resolve`: what became of the trial."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of `resolve`: the readings of a trial that completed."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Of `resolve`: their standard errors, where they are known."""
    z: Sequence[float] | None = None
    """Of `edit` and `propose`: the latent point, shape (d,)."""
    trajectory: Sequence[Any] | None = None
    """Of `edit` and `propose`: the trajectory instead, as nested lists of shape (T,) or (T, channels)."""
    time: float = 0.0
    """When it was said, POSIX time in seconds."""
    is_reading: bool = False
    """Of `resolve`: an instrument says so, whose result came late, and no person: it is judged like every reading."""
    arrays: Mapping[str, str] = field(default_factory=dict)
    """Of `resolve`: its arrays, each a .npy file in base64."""


@dataclass(frozen=True, slots=True)
class Note:
    """What an operator wrote down."""

    time: float
    """POSIX time in seconds."""
    who: str
    text: str
    trial: int | None
    """The trial that it is about; None for the campaign."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A trial that an operator asked for and that the driver has not taken up yet."""

    event: int
    """Number of the event that says so."""
    who: str
    reason: str
    z: tuple[float, ...] | None = None
    trajectory: tuple[Any, ...] | None = None
    refers_to: int | None = None
    """The trial that is to be repeated; None where a point or a trajectory is given."""


class Inbox:
    """The commands that wait for the driver.

    Args:
        objects: where the store lies.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def drop(self, command: Command) -> str:
        """Leave a command; it is there, whole, when this returns. Returns its name.

        Raises:
            StoreError: the disk refused.
        """
        name = f"{time.time_ns():020d}-{token_hex(4)}.json"  # sorts by the time of dropping
        try:
            self._objects.create(f"{_FOLDER}/{name}", command_bytes(command))
        except OSError as error:
            raise StoreError(f"cannot leave a command in {self._objects.where}/{_FOLDER}: {error.strerror}") from error
        return name

    def waiting(self) -> list[tuple[str, Command | None]]:
        """Return the commands in the order of dropping, by name; None for an object that is no command."""
        found = []
        try:
            for name in self._objects.names(_FOLDER):
                if name.endswith(".json"):
                    with suppress(FileNotFoundError):  # the driver has removed it meanwhile
                        found.append((name, command_from_bytes(self._objects.get(f"{_FOLDER}/{name}"))))
        except OSError as error:
            raise StoreError(f"cannot read {self._objects.where}/{_FOLDER}: {error.strerror}") from error
        return found

    def remove(self, name: str) -> None:
        """Take away a command that has been journalled."""
        self._objects.delete(f"{_FOLDER}/{name}")


def command_bytes(command: Command) -> bytes:
    """Return a command as it lies in an inbox."""
    said = {key: value for key, value in asdict(command).items() if value is not False and value not in (None, "", {})}
    return json.dumps(said, allow_nan=False).encode()


def command_from_bytes(raw: bytes) -> Command | None:
    """Return the command that lies in an inbox, or None for what is no command."""
    try:
        if len(raw) > LARGEST_BYTES:
            return None
        command = Command(**json.loads(raw))
    except (ValueError, TypeError, RecursionError):
        return None
    return command if _is_sound(command) else None


def _is_sound(command: Command) -> bool:
    """Whether each field is of its type; anybody may write a file into a folder."""
    numbers = [command.metrics, command.errors]
    return (
        command.action in ACTIONS
        and (command.trial is None or type(command.trial) is int)
        and isinstance(command.who, str)
        and isinstance(command.reason, str)
        and command.outcome in ("", *RESOLUTIONS)
        and all(isinstance(each, dict) and all(_is_number(value) for value in each.values()) for each in numbers)
        and isinstance(command.is_reading, bool)
        and isinstance(command.arrays, dict)
        and all(isinstance(value, str) for value in command.arrays.values())
        and (command.z is None or (isinstance(command.z, list) and all(_is_number(value) for value in command.z)))
        and (command.trajectory is None or isinstance(command.trajectory, list))
        and _is_number(command.time)
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
