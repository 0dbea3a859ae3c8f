"""Where others leave their commands for the driver of a campaign: ``STORE/journal/inbox``, one file per command.

Only the driver writes the journal. An operator who approves or vetoes a trial while it runs drops a file here; the driver takes the files
in the order of their names (the time of dropping), journals what it makes of each, and then removes it. A command that was journalled and
not removed, because the driver was killed in between, is told apart by its name.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Literal

from ..errors import StoreError

Decision = Literal["approve", "veto"]


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator wants done with a held trial."""

    decision: Decision
    trial: int
    who: str
    reason: str = ""


class Inbox:
    """The commands that wait for the driver.

    Args:
        folder: the ``journal/inbox`` folder of a store; made when the first command is dropped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def drop(self, command: Command) -> str:
        """Leave a command; it is there, whole, when this returns. Returns its name.

        Raises:
            StoreError: the disk refused.
        """
        name = f"{time.time_ns():020d}-{token_hex(4)}.json"
        temporary = self.folder / f".{name}.tmp"
        try:
            self.folder.mkdir(exist_ok=True)
            temporary.write_text(json.dumps(asdict(command)), encoding="utf-8")
            temporary.rename(self.folder / name)
        except OSError as error:
            raise StoreError(f"cannot leave a command in {self.folder}: {error.strerror}") from error
        return name

    def waiting(self) -> list[tuple[str, Command | None]]:
        """Return the commands in the order of dropping, by name; None for a file that is no command."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if name.endswith(".json") and name[0] != ".")  # noqa: PTH208 - 3x faster
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.folder}: {error.strerror}") from error
        return [(name, _read(self.folder / name)) for name in names]

    def remove(self, name: str) -> None:
        """Take away a command that has been journalled."""
        (self.folder / name).unlink(missing_ok=True)


def _read(path: Path) -> Command | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        command = Command(data["decision"], data["trial"], data["who"], data.get("reason", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    is_sound = command.decision in ("approve", "veto") and type(command.trial) is int
    return command if is_sound and isinstance(command.who, str) and isinstance(command.reason, str) else None
