"""The journal: numbered, checksummed events, each an object of its own that is created exclusively.

``STORE/journal/00000042.json`` holds one line of JSON: number, time, kind, data, and the CRC-32C of all that. A new event is written to a
temporary file and then hard-linked to its name: the link fails when the name exists, so of two writers one loses the race for event N and
knows that it is fenced off, and no reader ever sees half an event. To Zarr the folder is an array (of the journal's description), whose
further objects Zarr leaves alone.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Any

import google_crc32c

from ..errors import JournalError, StoreError, StoreLockedError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_DIGITS = 8
_ATTEMPTS = 5
_PAUSE = 0.05  # seconds between attempts at the lock


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a campaign."""

    number: int
    time: float
    """POSIX time in seconds."""
    kind: str
    data: Mapping[str, Any]


class Journal:
    """Reads and appends the events of one campaign.

    Args:
        folder: the ``journal`` folder of a store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._next = 0

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Write the next event; it is there, whole, when this returns.

        Raises:
            StoreLockedError: another writer has taken this event's number.
            StoreError: the disk refused.
        """
        event = Event(number=self._next, time=time.time(), kind=kind, data=data)
        final = self._path(event.number)
        temporary = self.folder / f".{event.number:0{_DIGITS}d}.{token_hex(8)}.tmp"  # two hosts may have the same process number
        try:
            temporary.write_bytes(_encode(event))
            try:
                os.link(temporary, final)
            finally:
                temporary.unlink()
        except FileExistsError as error:
            raise StoreLockedError(f"event {event.number} of {self.folder.parent} was written by another driver; this one stops") from error
        except OSError as error:
            raise StoreError(
                f"cannot write event {event.number} to {self.folder}: {error.strerror}; what was committed before is intact"
            ) from error
        self._next += 1
        return event

    def read(self, start: int = 0) -> Iterator[Event]:
        """Yield the events from number ``start`` on, in order, and remember where the next one goes.

        Raises:
            JournalError: an event is damaged, or one is missing between others; the message names the file.
        """
        numbers = self._numbers()
        if len(numbers) < start:
            raise JournalError(f"{self._path(len(numbers))} is missing, though it has been read before; copy it back from a backup")
        for number in numbers[start:]:
            yield _decode(self._path(number))
        self._next = len(numbers)

    def _numbers(self) -> list[int]:
        """Return the numbers of the events, 0, 1, ... without a gap."""
        while True:
            try:
                names = os.listdir(self.folder)  # noqa: PTH208 - 3x faster
            except OSError as error:
                raise JournalError(f"cannot read {self.folder}: {error.strerror}; copy the journal back from a backup") from error
            numbers = sorted(int(name.removesuffix(".json")) for name in names if _is_event(name))
            gap = next((number for number, found in enumerate(numbers) if number != found), None)
            if gap is None:
                return numbers
            # A listing is no snapshot: of two events written while it runs it may show the second alone. Then the first is there by now.
            if not self._path(gap).exists():
                raise JournalError(f"{self._path(gap)} is missing, though later events are there; copy it back from a backup")

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:0{_DIGITS}d}.json"


class Lock:
    """The right to drive a campaign: held by one process, freed by the system when that process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def take(self) -> "Lock":
        """Take the lock, unless this object holds it already.

        Raises:
            StoreLockedError: another process holds it; the message says which, where and since when.
        """
        if self._file is not None:
            return self
        try:
            file = self.path.open("a+")
        except OSError as error:
            raise StoreError(f"cannot open {self.path} for writing: {error.strerror}") from error
        if fcntl is not None:
            for attempt in range(_ATTEMPTS):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if attempt + 1 < _ATTEMPTS:  # someone who only asks for the status holds it for an instant
                        time.sleep(_PAUSE)
                        continue
                    file.seek(0)
                    owner = file.read().strip() or "another process"
                    file.close()
                    campaign = self.path.parent.parent
                    raise StoreLockedError(f"{campaign} is being driven by {owner}; stop that one first, or wait for it") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        self._file = file
        return self

    def is_held(self) -> bool:
        """Return whether a process (this one or another) holds the lock now."""
        if self._file is not None:
            return True
        if fcntl is None or not self.path.exists():
            return False
        try:
            file = self.path.open()
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "Lock":
        return self.take()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _is_event(name: str) -> bool:
    return len(name) == _DIGITS + 5 and name.endswith(".json") and name[:_DIGITS].isdigit()


def _encode(event: Event) -> bytes:
    body = json.dumps(
        {"number": event.number, "time": event.time, "kind": event.kind, "data": event.data}, allow_nan=False, separators=(",", ":")
    ).encode()
    # The checksum stands first, so that a line cut anywhere does not parse, and one altered anywhere does not match.
    return b'{"crc32c":"%08x","event":%s}\n' % (google_crc32c.value(body), body)


def _decode(path: Path) -> Event:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error
    head, separator, rest = raw.partition(b',"event":')
    body = rest.removesuffix(b"}\n")
    if not separator or body == rest or head != b'{"crc32c":"%08x"' % google_crc32c.value(body):
        raise JournalError(f"{path} is damaged: its checksum does not match; copy it back from a backup")
    data = json.loads(body)
    if path.stem != f"{data['number']:0{_DIGITS}d}":
        raise JournalError(f"{path} holds event {data['number']}; copy it back from a backup")
    return Event(number=data["number"], time=data["time"], kind=data["kind"], data=data["data"])
