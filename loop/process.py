"""Which process this is, in words that another process, also on another host, can judge: does it still live?

A process number alone proves nothing: numbers are used again, and each host and container counts its own. So a process is named by host,
boot of the machine with its process namespace, number, and the tick of the machine's clock at which it began. Only a process of the same
host and boot can be proven dead; of any other nobody here can say.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_HOST_VARIABLE = "LATENTLOOP_HOST"


@dataclass(frozen=True, slots=True)
class Process:
    """One process, named so that it is never taken for another."""

    host: str
    boot: str
    """Boot of the machine and process namespace; empty where the system tells neither."""
    number: int
    born: int
    """Tick of the machine's clock at which it began; 0 where the system does not tell."""
    since: float = field(compare=False)
    """POSIX time at which it said all this."""

    @classmethod
    def of_this(cls) -> "Process":
        """Return this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, number: int) -> "Process":
        """Return a process of this host by its number."""
        return cls(host_name(), _boot(), number, _born(number) or 0, time.time())

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> "Process":
        """Return the process that `as_mapping` wrote."""
        return cls(str(data["host"]), str(data["boot"]), int(data["number"]), int(data["born"]), float(data["since"]))

    def as_mapping(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """Which process, where and since when."""
        return f"process {self.number} on {self.host} since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}"

    def is_alive(self) -> bool | None:
        """Return whether it lives; None where that cannot be known from here (another host, another boot, another namespace)."""
        if (self.host, self.boot) != (host_name(), _boot()):
            return None
        born = _born(self.number)
        if born is None:
            return False
        return not self.born or not born or born == self.born


def host_name() -> str:
    """Return the name of this host; ``LATENTLOOP_HOST`` gives one where several share theirs."""
    return os.environ.get(_HOST_VARIABLE) or socket.gethostname()


def _boot() -> str:
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - no path
    except OSError:  # not Linux
        return ""


def _born(number: int) -> int | None:
    """Return the tick at which a process of this host began; None when there is none, 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()  # the name before it may hold anything
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError, ValueError):
        return None
    with suppress(PermissionError):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return None
    return 0
