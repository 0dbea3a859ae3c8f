"""The journal: numbered, checksummed events, each an object of its own that is created exclusively.

``STORE/journal/00000042.json`` holds one line of JSON: number, time, kind, data, and the CRC-32C of all that. Creation fails when the name
is taken, so of two writers one loses the race for event N and knows that it is fenced off, and no reader ever sees half an event. To Zarr
the folder is an array (of the journal's description), whose further objects Zarr leaves alone.

Damage at the end is what a failing disk leaves behind: the campaign still reads up to its last good event, and `set_aside` moves the rest
to ``journal/damaged/``. An event that is damaged while good ones follow is refused by name.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c

from ..errors import JournalError, StoreError, StoreLockedError
from .objects import Objects

FOLDER = "journal"
ASIDE = "journal/damaged"
_DIGITS = 8
_BATCH = 1024
"""Events that are fetched at a time."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a campaign."""

    number: int
    time: float
    """POSIX time in seconds."""
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """An object that is not what it was when it was written."""

    name: str
    """The object's name in the store."""
    reason: str


class Journal:
    """Reads and appends the events of one campaign.

    Args:
        objects: those of the campaign.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._next = 0
        self.damaged: tuple[Damage, ...] = ()
        """Events at the end, as of the last `read`, that are damaged, or that only damaged ones lead to."""
        self.is_forgiving = False
        """Whether good events that follow a damaged one are given up with it, instead of being refused."""

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Write the next event; it is there, whole, when this returns.

        Raises:
            StoreLockedError: another writer has taken this event's number.
            StoreError: the disk refused.
        """
        event = Event(number=self._next, time=time.time(), kind=kind, data=data)
        where = self._objects.where
        try:
            self._objects.create(name_of(event.number), encode(event))
        except FileExistsError as error:
            raise StoreLockedError(f"event {event.number} of {where} was written by another driver; this one stops") from error
        except OSError as error:
            raise StoreError(
                f"cannot write event {event.number} to {where}/{FOLDER}: {error.strerror}; what was committed before is intact"
            ) from error
        self._next += 1
        return event

    def read(self, start: int = 0) -> Iterator[Event]:
        """Yield the good events from number ``start`` on, in order; remember where the next one goes, and what is `damaged` at the end.

        Raises:
            JournalError: an event is damaged or missing and good ones follow it; the message names the object.
        """
        numbers = self._numbers(start)
        self._next, self.damaged = start, ()
        found = 0
        for first in range(0, len(numbers), _BATCH):
            batch = numbers[first : first + _BATCH]
            for number, raw in zip(batch, self._fetch(batch), strict=True):
                event = decode(number, raw) if number == self._next else "is missing"
                if isinstance(event, str):
                    self._stop_at(event, numbers[found:])
                    return
                self._next += 1
                found += 1
                yield event

    def n_last(self) -> int:
        """Return the highest number of an event that is there, good or not, plus one."""
        return max(self._numbers(0, is_gap_fine=True), default=-1) + 1

    def event(self, number: int) -> Event | Damage:
        """Return one event, or what is wrong with it."""
        try:
            found = decode(number, self._objects.get(name_of(number)))
        except FileNotFoundError:
            return Damage(name_of(number), "is missing")
        return Damage(name_of(number), found) if isinstance(found, str) else found

    def set_aside(self) -> list[str]:
        """Move every event from the first damaged one on to ``journal/damaged``, good ones among them too; return their new names.

        The last goes first: a process that is killed in between leaves a shorter tail of the same kind.
        """
        moved = []
        for number in reversed(self._numbers(self._next, is_gap_fine=True)):
            raw = self._objects.get(name_of(number))
            name = f"{ASIDE}/{number:0{_DIGITS}d}.{google_crc32c.value(raw):08x}.json"
            self._objects.put(name, raw)
            self._objects.delete(name_of(number))
            moved.append(name)
        self.damaged = ()
        return sorted(moved)

    def aside(self) -> list[str]:
        """Return the names of all events that were moved aside, now or earlier."""
        return [f"{ASIDE}/{name}" for name in self._objects.names(ASIDE)]

    def _stop_at(self, reason: str, rest: list[int]) -> None:
        """Note a damaged end; or refuse, when good events follow the damaged one."""
        first = Damage(name_of(self._next), reason)
        later = [self.event(number) for number in rest if number > self._next]
        if any(isinstance(each, Event) for each in later) and not self.is_forgiving:
            where = self._objects.where
            raise JournalError(
                f"{where}/{first.name} {first.reason}, though good events follow it; copy it back from a backup, "
                f"or give up what follows: `latentloop verify {where} --repair`"
            )
        self.damaged = (first, *(each for each in later if isinstance(each, Damage)))

    def _fetch(self, numbers: list[int]) -> list[bytes]:
        try:
            return self._objects.get_many([name_of(number) for number in numbers])
        except OSError as error:
            raise JournalError(f"cannot read {error.filename}: {error.strerror}") from error

    def _numbers(self, start: int, is_gap_fine: bool = False) -> list[int]:
        """Return the numbers of the events that are there, from ``start`` on."""
        where = f"{self._objects.where}/{FOLDER}"
        while True:
            try:
                names = self._objects.names(FOLDER, after=_base(start - 1) if start else "")
            except OSError as error:
                raise JournalError(f"cannot read {where}: {error.strerror}; copy the journal back from a backup") from error
            numbers = [int(name[:_DIGITS]) for name in names if is_event(name)]
            gap = next((number for number, found in enumerate(numbers, start) if number != found), None)
            if start and not numbers and not self._objects.exists(name_of(start - 1)):
                raise JournalError(f"{where}/{_base(start - 1)} is missing, though it has been read before; copy it back from a backup")
            # A listing is no snapshot: of two events written while it runs it may show the second alone. Then the first is there by now.
            if gap is None or is_gap_fine or not self._objects.exists(name_of(gap)):
                return numbers


def name_of(number: int) -> str:
    """Return the name of an event's object."""
    return f"{FOLDER}/{_base(number)}"


def is_event(base: str) -> bool:
    """Return whether an object in the journal's folder is an event."""
    return len(base) == _DIGITS + 5 and base.endswith(".json") and base[:_DIGITS].isdigit()


def encode(event: Event) -> bytes:
    """Return an event as it is stored."""
    body = json.dumps(
        {"number": event.number, "time": event.time, "kind": event.kind, "data": event.data}, allow_nan=False, separators=(",", ":")
    ).encode()
    # The checksum stands first, so that a line cut anywhere does not parse, and one altered anywhere does not match.
    return b'{"crc32c":"%08x","event":%s}\n' % (google_crc32c.value(body), body)


def decode(number: int, raw: bytes) -> Event | str:
    """Return a stored event, or what is wrong with it."""
    head, separator, rest = raw.partition(b',"event":')
    body = rest.removesuffix(b"}\n")
    if not separator or body == rest or head != b'{"crc32c":"%08x"' % google_crc32c.value(body):
        return "is damaged: its checksum does not match"
    data = json.loads(body.decode())  # told apart by hand: json takes longer to find out the encoding
    if data["number"] != number:
        return f"holds event {data['number']}"
    return Event(number=data["number"], time=data["time"], kind=data["kind"], data=data["data"])


def _base(number: int) -> str:
    return f"{number:0{_DIGITS}d}.json"
