"""Starts the processes that drive campaigns, and knows what became of them before their journal does.

A campaign is driven by `latentloop run` or `resume` in a process of its own, in a session of its own, with its log under the root:
it outlives this server, and one that was started by hand is nothing else. What was started is written to
``ROOT/.latentloop/launches/NAME.json``, so that a server started anew knows of a campaign that has no folder yet, or never got one.
"""

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ..config import CampaignConfig
from ..errors import StoreError
from .tokens import FOLDER, write_private

log = logging.getLogger("latentloop.service")

_TAIL_BYTES = 4000
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Launch:
    """A process that was started to drive a campaign."""

    name: str
    process: int
    born: str
    """The process' start as the system knows it: numbers of processes are used again."""
    started_at: float
    kind: str
    """``run`` or ``resume``."""


class Launcher(Protocol):
    """Starts drivers of campaigns."""

    def run(self, name: str, config: CampaignConfig) -> None:
        """Start a new campaign in the folder ``name`` under the root."""

    def resume(self, name: str) -> None:
        """Continue the campaign in the folder ``name``."""

    def is_alive(self, name: str) -> bool:
        """Return whether the driver that was last started for a campaign still runs."""

    def names(self) -> list[str]:
        """Return the campaigns for which a driver was started."""

    def last_words(self, name: str) -> str:
        """Return what the driver said last, on one line."""

    def forget(self, name: str) -> None:
        """Remove what is known of a campaign's drivers."""


class LocalLauncher:
    """Starts drivers as processes of this machine.

    Args:
        root: the server's root folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, config: CampaignConfig) -> None:
        """Start a new campaign; its configuration is kept beside the launch."""
        written = self.folder / "configurations" / f"{name}.yaml"
        write_private(written, config.to_yaml())
        self._start(name, "run", str(written), "--store", str(self.root / name))

    def resume(self, name: str) -> None:
        """Continue a campaign."""
        self._start(name, "resume", str(self.root / name))

    def is_alive(self, name: str) -> bool:
        """Return whether the process that was last started for a campaign still runs."""
        child = self._children.get(name)
        if child is not None:
            if child.poll() is None:
                return True
            del self._children[name]
            log.log(
                logging.INFO if child.returncode == 0 else logging.WARNING, "the driver of %s ended with code %d", name, child.returncode
            )
            return False
        launch = self._launch(name)
        return launch is not None and bool(launch.born) and _born(launch.process) == launch.born

    def names(self) -> list[str]:
        """Return the campaigns for which a process was started."""
        try:
            return sorted(path.stem for path in (self.folder / "launches").glob("*.json") if not path.name.startswith("."))
        except OSError:
            return []

    def last_words(self, name: str) -> str:
        """Return the last line of a campaign's log."""
        try:
            with self._log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        said = [line.rsplit("\r", 1)[-1].strip() for line in lines if line.strip()]
        errors = [line for line in said if line.startswith("error:")]
        return (errors or said or [""])[-1][:_LONGEST_REASON]

    def forget(self, name: str) -> None:
        """Remove launch, configuration and log of a campaign."""
        for path in (self._record(name), self._log(name), self.folder / "configurations" / f"{name}.yaml"):
            path.unlink(missing_ok=True)

    def reap(self) -> None:
        """Take note of processes that have ended."""
        for name in list(self._children):
            self.is_alive(name)

    def _start(self, name: str, command: str, *arguments: str) -> None:
        if self.is_alive(name):
            raise StoreError(f"campaign {name} has a driver already; stop that one first, or wait for it")
        path = self._log(name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} latentloop {command}\n".encode())
                file.flush()
                child = subprocess.Popen(
                    [sys.executable, "-m", "latentloop.loop.cli", command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # neither the server's end nor its terminal's Ctrl-C reaches it
                    cwd=self.root,
                    env={**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            raise StoreError(f"cannot start a driver for {name}: {error.strerror}") from error
        self._children[name] = child
        launch = Launch(name, child.pid, _born(child.pid), time.time(), command)
        write_private(self._record(name), json.dumps(asdict(launch)))
        log.info("started process %d to %s %s", child.pid, command, name)

    def _launch(self, name: str) -> Launch | None:
        try:
            data: Any = json.loads(self._record(name).read_text(encoding="utf-8"))
            return Launch(**data)
        except (OSError, ValueError, TypeError):
            return None

    def _record(self, name: str) -> Path:
        return self.folder / "launches" / f"{name}.json"

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def _born(process: int) -> str:
    """Return what tells a process from later ones of the same number; empty where there is none, or no way to know."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() or not _exists(process) else "alive"
    return "" if fields[0] in "ZX" else fields[19]


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (OSError, OverflowError):
        return False
    return True
