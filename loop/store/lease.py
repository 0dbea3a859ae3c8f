"""The right to drive a campaign: who has it, whether the owner still lives, and when another may take over.

Every session of a driver is an *epoch*: the number of its ``started`` event among all of them. What fences is the journal: its events are
created exclusively, so of two drivers one loses the race for the next event and stops. This file is about not getting so far:

    journal/.lock.HOST       locked by the driver of this host; the system frees it when that process ends, however it ends
    journal/epoch/0007.json  who drives epoch 7, made by who won the race for its event, overwritten at every heartbeat by that driver
                             alone; with a checksum, or ``{}`` for an epoch whose driver was killed before it came to this

A second driver is refused while the owner lives. On the owner's host its death can be proven, and the campaign is taken over at once. From
elsewhere it counts as dead when its heartbeat has not changed for the time that it promised, by the clock of the one who watches: no two
clocks are ever compared. The object of epoch 8 says that epoch 7 is over: that is what a worker looks for right before it fires, and a
driver right before it replaces anything.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from secrets import token_hex
from typing import Any, Protocol

import google_crc32c

from ..errors import StoreError, StoreLockedError
from ..process import Process

LEASE_SECONDS = 30.0
"""Time without a heartbeat after which a driver on another host counts as dead, where the configuration says nothing else."""
_BEATS = 5
"""Heartbeats in that time."""
_LOOK_SECONDS = 0.2
_UNSAID = b"{}"
"""The object of an epoch that nobody announced."""
_NAME = re.compile(r"journal/epoch/(\d{4,})\.json")
_FACTS = frozenset({"epoch", "owner", "token", "seconds", "beat", "is_released", "time"})

Patience = Callable[[str], bool]
"""Told why and until when one waits, again and again; returns False to wait no longer."""


def is_overtaken(fence: str) -> bool:
    """Return whether another driver has announced a later epoch than that of a job (``Job.fence``: a path, or a URL).

    Raises:
        OSError: the object storage does not answer.
    """
    if "://" not in fence:
        return os.path.exists(fence)  # noqa: PTH110 - 2 us instead of 5, and this stands before every shot
    store, _, name = fence.rpartition("/journal/")
    return _opened(store).exists(f"journal/{name}")


class Objects(Protocol):
    """Where the epochs' objects are: a folder, or object storage."""

    def create(self, name: str, data: bytes) -> None:
        """Write an object that must not be there yet; FileExistsError when it is."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whole, over what is there."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects that lie directly in a folder."""

    def get(self, name: str) -> bytes:
        """Return an object; raises FileNotFoundError when there is none."""

    def exists(self, name: str) -> bool:
        """Return whether an object is there."""


class Lease:
    """The epochs of one campaign, and this process's own.

    Args:
        objects: where they are.
        campaign: what the campaign is called in sentences.
    """

    def __init__(self, objects: Objects, campaign: str) -> None:
        self._objects = objects
        self._campaign = campaign
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._facts: dict[str, Any] = {}
        self.epoch = 0
        """The epoch that this process drives; 0 for none."""

    @staticmethod
    def name(epoch: int) -> str:
        """Return the name of an epoch's object in the store."""
        return f"journal/epoch/{epoch:04d}.json"

    def announced(self) -> list[int]:
        """Return the epochs that have an object, in order."""
        return sorted(int(name[:-5]) for name in self._objects.names("journal/epoch") if name.endswith(".json") and name[:-5].isdigit())

    def fault(self, epoch: int) -> str:
        """Return what is wrong with an epoch's object; empty where nothing is. Those of earlier releases have no checksum."""
        try:
            raw = self._objects.get(self.name(epoch))
        except FileNotFoundError:
            return "is missing"
        if raw == _UNSAID:
            return ""
        head, separator, rest = raw.partition(b",")
        is_checked = head.startswith(b'{"crc32c":')
        if is_checked and (not separator or head != b'{"crc32c":"%08x"' % google_crc32c.value(b"{" + rest)):
            return "is damaged: its checksum does not match"
        try:
            facts = json.loads(raw)
        except ValueError:
            return "is damaged: it cannot be read"
        if not isinstance(facts, dict) or facts.keys() - ({"crc32c"} if is_checked else set()) != _FACTS:
            return "is damaged: it does not say what it must"
        return "" if facts["epoch"] == epoch else f"holds epoch {facts['epoch']}"

    def renounce(self, epoch: int) -> None:
        """Say of an epoch that is over that nothing is known of it, in the place of an object that is damaged."""
        self._objects.put(self.name(epoch), _UNSAID)

    # the one who wants to drive

    def require_free(self, epoch: int, patience: Patience | None = None) -> None:
        """Return once nobody drives the campaign any more.

        Args:
            epoch: the last one, which the journal does not say has ended; 0 for none.
            patience: asked while the owner's fate is not known; None waits for nothing.

        Raises:
            StoreLockedError: its owner lives, or nobody wanted to wait until that is known. The message says who, where and since when.
        """
        seen = self._read(epoch)
        if seen is None or seen["is_released"]:
            return
        owner = Process.from_mapping(seen["owner"])
        is_alive = owner.is_alive()
        if is_alive is False:
            return
        refusal = f"{self._campaign} is being driven by {owner.sentence}; stop that one first, or wait for it"
        if is_alive or patience is None:
            raise StoreLockedError(refusal)
        seconds = float(seen["seconds"])
        begun = time.monotonic()
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
        while time.monotonic() - begun < seconds:
            sentence = f"{owner.sentence} has not ended its session; taking over at {until} unless it shows a sign of life"
            if not patience(sentence):
                raise StoreLockedError(refusal)
            time.sleep(min(_LOOK_SECONDS, seconds / _BEATS))
            found = self._read(epoch)
            if found is None or found["is_released"]:
                return
            if (found["token"], found["beat"]) != (seen["token"], seen["beat"]):
                raise StoreLockedError(refusal)

    def looks_alive(self, epoch: int) -> bool:
        """Return at once whether an epoch's owner seems to live: by proof on its host, by the age of its last heartbeat elsewhere."""
        seen = self._read(epoch)
        if seen is None or seen["is_released"]:
            return False
        is_alive = Process.from_mapping(seen["owner"]).is_alive()
        return time.time() - float(seen["time"]) < float(seen["seconds"]) if is_alive is None else is_alive

    # the one who drives

    def begin(self, epoch: int, seconds: float = LEASE_SECONDS) -> None:
        """Announce an epoch and keep it alive until `end`: from here on workers of earlier epochs do not fire.

        Its ``started`` event is won before: the object of an epoch is that of one driver alone.
        """
        for earlier in range(epoch - 1, 0, -1):  # of a driver that was killed before it came to this
            if self._objects.exists(self.name(earlier)):
                break
            with suppress(FileExistsError):
                self._objects.create(self.name(earlier), _UNSAID)
        self.epoch = epoch
        self._facts = {
            "epoch": epoch,
            "owner": Process.of_this().as_mapping(),
            "token": token_hex(8),
            "seconds": seconds,
            "beat": 0,
            "is_released": False,
        }
        self._write()
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, args=(seconds / _BEATS,), name="heartbeat", daemon=True)
        self._thread.start()

    def end(self, is_released: bool = True) -> None:
        """Beat no more; with ``is_released`` say that this was the last."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set()
        thread.join()
        if is_released:
            self._facts["is_released"] = True
            with suppress(StoreError, OSError):  # then it is found out by its silence
                if not self.is_over:
                    self._write()
        self.epoch = 0

    @property
    def next_name(self) -> str:
        """The object that says that this epoch is over."""
        return self.name(self.epoch + 1)

    @property
    def is_over(self) -> bool:
        """Whether another driver has announced a later epoch."""
        return bool(self.epoch) and self._objects.exists(self.next_name)

    def _keep(self, pause: float) -> None:
        while not self._stop.wait(pause):
            with suppress(StoreError, OSError):  # a disk that is full stops the campaign at its next event, with a sentence
                if self.is_over:
                    return
                self._write()

    def _write(self) -> None:
        with self._mutex:
            self._facts["beat"] += 1
            self._facts["time"] = time.time()
            self._objects.put(self.name(self.epoch), _encode(self._facts))

    def _read(self, epoch: int) -> Mapping[str, Any] | None:
        """Return what an epoch's object says; None where there is none, or one that says nothing."""
        if not epoch:
            return None
        try:
            facts = json.loads(self._objects.get(self.name(epoch)))
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read who drives {self._campaign}: {error.strerror or error}") from error
        return facts if isinstance(facts, dict) and {"owner", "token", "beat", "seconds", "time", "is_released"} <= facts.keys() else None


def epoch_of(name: str) -> int | None:
    """Return which epoch's object a name is; None for another object's."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found and Lease.name(int(found[1])) == name else None


def _encode(facts: Mapping[str, Any]) -> bytes:
    """Return an epoch's object. The checksum is of all that follows it, and stands beside the facts for earlier releases to read them."""
    body = json.dumps(facts).encode()
    return b'{"crc32c":"%08x",%s' % (google_crc32c.value(body), body[1:])


@lru_cache(maxsize=4)
def _opened(store: str) -> Objects:
    from .objects import open_objects

    return open_objects(store)
