"""Trials that instruments fetch: offer -> claim -> start -> result, on disk, so that no crash of anyone loses or fires one twice.

    QUEUE/open/00000017.KEY       an index: trials that are offered and not decided
    QUEUE/trials/KEY/offer        the trial's document, and for how long a claim holds                         (slot)
    QUEUE/trials/KEY/.waiting     renewed by the campaign as long as it waits for the result
    QUEUE/trials/KEY/claim-000    who claimed it, the hash of the token, until when                            (slot)
    QUEUE/trials/KEY/.beat-000    renewed by that claim's heartbeats
    QUEUE/trials/KEY/decision     started by claim n, or withdrawn by the campaign: whoever comes first        (slot)
    QUEUE/trials/KEY/result       what the instrument posted first                                             (slot)
    QUEUE/trials/KEY/stop         tells the instrument to come to rest;  taken: the campaign has the result
    QUEUE/late/00000017.KEY       an index: results that nobody waited for

A slot is filled once (see `slots`); what has a dot is alive, and no part of the record. `decision` is the one point where it is settled
whether a trial fires: two claims, or a claim and the campaign that withdraws the trial, may race for it, and one wins. A claim that has
expired is as if it had not been; one that has started holds for ever. A campaign that no longer waits (it was killed) has nothing started.
Keys name a trial and its trajectory for all times, so a resumed campaign finds the claim and the result of the first time.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import compare_digest, token_hex
from typing import Any, Literal

from .slots import fill_slot, read_slot, replace_slot

OFFER_SECONDS = 15.0
"""How long after the campaign last said so it counts as waiting."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,150}")
_TOKEN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,150})\.(\d{1,6})\.([0-9a-f]{32})")
_NAME_LENGTH = 100

State = Literal["offered", "claimed", "started", "finished", "withdrawn"]
Code = Literal["not_found", "forbidden", "conflict", "invalid"]


class PullRefusedError(Exception):
    """What an instrument asked for cannot be; nothing was changed.

    Args:
        code: which kind of refusal.
        message: what, where, and how to go on.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial in the hands of an instrument."""

    token: str
    document: dict[str, Any]
    """The trial: number, key, trajectory, times, units, channels, envelope."""
    expires_seconds: float
    """Time within which it must start, or send a heartbeat."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How a trial stands."""

    state: State
    instrument: str = ""
    """Who claimed it last."""
    expires_at: float = 0.0
    """POSIX time until which the claim holds, or was last heard of."""
    started_at: float = 0.0
    result: dict[str, Any] | None = None


class PullQueue:
    """One campaign's queue. Any number of processes may use it at the same time.

    Args:
        folder: where; made with the first offer.
        clock: POSIX time in seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock

    def offer(self, document: dict[str, Any], expires_seconds: float) -> None:
        """Offer a trial; one that was offered before is as it was.

        Args:
            document: holds ``trial`` and ``key`` at least.
            expires_seconds: how long a claim holds without a heartbeat.

        Raises:
            StoreError: the disk refused.
            ValueError: the key cannot name a folder.
        """
        key = str(document["key"])
        if not _KEY.fullmatch(key):
            raise ValueError(f"the key {key!r} cannot name a folder")
        folder = self._trial(key)
        folder.mkdir(parents=True, exist_ok=True)
        self.keep(key)
        fill_slot(folder / "offer", {"document": document, "expires_seconds": expires_seconds})
        if not (folder / "decision").exists():
            self._mark("open", document)
            if (folder / "decision").exists():  # decided meanwhile, by an instrument that knows it from the time before a crash
                self._unmark("open", document)

    def keep(self, key: str) -> None:
        """Say that the campaign still waits for this trial; to be called more often than every `OFFER_SECONDS`."""
        path = self._trial(key) / ".waiting"
        path.touch()
        now = self._clock()
        os.utime(path, (now, now))

    def claim(self, instrument: str) -> Claim | None:
        """Give the first open trial to an instrument; None where there is none."""
        name = " ".join(instrument.split())[:_NAME_LENGTH] or "unnamed"
        for key in self._marked("open"):
            folder = self._trial(key)
            offer = read_slot(folder / "offer")
            if offer is None or not self._is_waiting(folder):
                continue
            if (folder / "decision").exists():  # whoever settled it was killed before it took the mark away
                self._unmark("open", offer["document"])
                continue
            last = self._last_attempt(folder)
            if last >= 0 and self._expires_at(folder, last) > self._clock():
                continue
            secret, seconds = token_hex(16), float(offer["expires_seconds"])
            content = {"instrument": name, "secret": _digest(secret), "claimed_at": self._clock(), "expires_at": self._clock() + seconds}
            if fill_slot(folder / _numbered("claim", last + 1), content):
                return Claim(f"{key}.{last + 1}.{secret}", offer["document"], seconds)
        return None

    def start(self, token: str) -> dict[str, Any]:
        """Settle that a claim fires, now; asked again with the same token, the answer is the same.

        Raises:
            PullRefusedError: the claim has expired, or another one or the campaign came first. The trial must not be fired.
        """
        key, attempt, folder = self._claimed(token)
        decision = read_slot(folder / "decision")
        if decision is None:
            if self._last_attempt(folder) != attempt or self._expires_at(folder, attempt) <= self._clock():
                raise PullRefusedError("conflict", f"this claim of {key} has expired, and the trial is back in the queue; claim anew")
            if not self._is_waiting(folder):
                raise PullRefusedError("conflict", f"the campaign does not wait for {key} at present: it is not running; claim anew later")
            self._beat(folder, attempt)  # before it starts, so that nobody sees a started trial with an old heartbeat
            fill_slot(folder / "decision", {"kind": "started", "attempt": attempt, "at": self._clock()})
            decision = read_slot(folder / "decision") or {}
            self._unmark("open", self._document(folder))
        if decision.get("kind") == "withdrawn":
            raise PullRefusedError("conflict", f"the campaign has withdrawn {key}; claim anew")
        if decision.get("attempt") != attempt:
            raise PullRefusedError("conflict", f"{key} was started by another claim; claim anew")
        return {"state": "started", "expires_seconds": self._seconds(folder)}

    def heartbeat(self, token: str) -> dict[str, Any]:
        """Renew a claim; the answer says whether the instrument shall come to rest (``stop``).

        Raises:
            PullRefusedError: the claim has expired, or the trial was decided otherwise.
        """
        key, attempt, folder = self._claimed(token)
        decision = read_slot(folder / "decision")
        if decision is None:
            if self._last_attempt(folder) != attempt or self._expires_at(folder, attempt) <= self._clock():
                raise PullRefusedError("conflict", f"this claim of {key} has expired, and the trial is back in the queue; claim anew")
        elif decision["kind"] != "started" or decision["attempt"] != attempt:
            raise PullRefusedError("conflict", f"{key} was withdrawn, or started by another claim; claim anew")
        self._beat(folder, attempt)
        state = "claimed" if decision is None else "finished" if (folder / "result").exists() else "started"
        return {"state": state, "stop": (folder / "stop").exists(), "expires_seconds": self._seconds(folder)}

    def finish(self, token: str, document: dict[str, Any]) -> dict[str, Any]:
        """Take a result; a repeat of the same result gets the first answer.

        Raises:
            PullRefusedError: the trial was not started with this token, or has another result already.
        """
        key, attempt, folder = self._claimed(token)
        decision = read_slot(folder / "decision")
        if decision is None or decision["kind"] != "started" or decision["attempt"] != attempt:
            raise PullRefusedError("conflict", f"{key} was not started with this token, so that it can have no result; start before firing")
        offered = self._document(folder)
        content: dict[str, Any] = {
            "digest": _digest(json.dumps(document, sort_keys=True)),
            "document": document,
            "at": self._clock(),
            "answer": {"state": "finished", "trial": offered["trial"], "key": key},
        }
        if not fill_slot(folder / "result", content):
            first = read_slot(folder / "result") or {}
            if first.get("digest") != content["digest"]:
                raise PullRefusedError("conflict", f"{key} has a result already, and this is another one; the first counts")
            content = first
        if not self._is_waiting(folder) and not (folder / "taken").exists():
            self._mark("late", offered)
        answer: dict[str, Any] = content["answer"]
        return answer

    def look(self, key: str) -> Sight:
        """Return how a trial stands.

        Raises:
            PullRefusedError: it was never offered.
        """
        folder = self._trial(key)
        if not (folder / "offer").exists():
            raise PullRefusedError("not_found", f"there is no trial {key} in {self.folder}")
        decision = read_slot(folder / "decision")
        if decision is not None and decision["kind"] == "withdrawn":
            return Sight("withdrawn")
        attempt = self._last_attempt(folder) if decision is None else int(decision["attempt"])
        if attempt < 0:
            return Sight("offered")
        claim = read_slot(folder / _numbered("claim", attempt)) or {}
        expires_at = self._expires_at(folder, attempt)
        if decision is None:
            return Sight("claimed" if expires_at > self._clock() else "offered", claim["instrument"], expires_at)
        result = read_slot(folder / "result")
        state: State = "started" if result is None else "finished"
        return Sight(state, claim["instrument"], expires_at, decision["at"], None if result is None else result["document"])

    def withdraw(self, key: str) -> bool:
        """Settle that a trial is not fired; False where it has been started already."""
        folder = self._trial(key)
        fill_slot(folder / "decision", {"kind": "withdrawn", "at": self._clock()})
        self._unmark("open", self._document(folder))
        return (read_slot(folder / "decision") or {}).get("kind") == "withdrawn"

    def ask_to_stop(self, key: str) -> None:
        """Have the next heartbeat tell the instrument to come to rest."""
        (self._trial(key) / "stop").touch()

    def take(self, document: dict[str, Any]) -> None:
        """Say that a trial's result has been handed on, so that nobody else needs to."""
        folder = self._trial(str(document["key"]))
        (folder / "taken").touch()
        (folder / ".waiting").unlink(missing_ok=True)
        self._unmark("late", document)

    def leave(self, key: str) -> bool:
        """Say that the campaign waits no longer for a started trial; False where its result is there after all."""
        folder = self._trial(key)
        (folder / ".waiting").unlink(missing_ok=True)
        # Whoever fills the result after this finds nobody waiting, and marks it; whoever filled it before is found here.
        return not (folder / "result").exists()

    def late(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield trial and result documents of results that nobody waited for, until `take` takes them off."""
        for key in self._marked("late"):
            folder = self._trial(key)
            result = read_slot(folder / "result")
            if result is not None and not self._is_waiting(folder):
                yield self._document(folder), result["document"]

    def _trial(self, key: str) -> Path:
        return self.folder / "trials" / key

    def _claimed(self, token: str) -> tuple[str, int, Path]:
        """Return key, attempt and folder of a token that is genuine."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise PullRefusedError("invalid", "this is no token of a claim; send the one that the claim answered")
        key, attempt, folder = match[1], int(match[2]), self._trial(match[1])
        claim = read_slot(folder / _numbered("claim", attempt))
        if claim is None or not compare_digest(claim["secret"], _digest(match[3])):
            raise PullRefusedError("forbidden", "this token belongs to no claim of this campaign; the trial is not yours")
        return key, attempt, folder

    def _document(self, folder: Path) -> dict[str, Any]:
        offer = read_slot(folder / "offer")
        if offer is None:
            raise PullRefusedError("not_found", f"there is no trial {folder.name} in {self.folder}")
        document: dict[str, Any] = offer["document"]
        return document

    def _seconds(self, folder: Path) -> float:
        return float((read_slot(folder / "offer") or {"expires_seconds": OFFER_SECONDS})["expires_seconds"])

    def _beat(self, folder: Path, attempt: int) -> None:
        replace_slot(folder / _numbered(".beat", attempt), {"expires_at": self._clock() + self._seconds(folder)})

    def _expires_at(self, folder: Path, attempt: int) -> float:
        found = read_slot(folder / _numbered(".beat", attempt)) or read_slot(folder / _numbered("claim", attempt)) or {}
        return float(found.get("expires_at", 0.0))

    def _is_waiting(self, folder: Path) -> bool:
        try:
            return (folder / ".waiting").stat().st_mtime > self._clock() - OFFER_SECONDS
        except FileNotFoundError:
            return False

    @staticmethod
    def _last_attempt(folder: Path) -> int:
        return max((int(path.name.removeprefix("claim-")) for path in folder.glob("claim-*")), default=-1)

    def _mark(self, index: str, document: dict[str, Any]) -> None:
        folder = self.folder / index
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _marker(document)).touch()

    def _unmark(self, index: str, document: dict[str, Any]) -> None:
        (self.folder / index / _marker(document)).unlink(missing_ok=True)

    def _marked(self, index: str) -> list[str]:
        with suppress(FileNotFoundError):
            return [name.partition(".")[2] for name in sorted(os.listdir(self.folder / index))]  # noqa: PTH208 - many times a second
        return []


def _marker(document: dict[str, Any]) -> str:
    """Return the name of a trial in an index: sorted by its number."""
    return f"{int(document['trial']):08d}.{document['key']}"


def _numbered(name: str, attempt: int) -> str:
    return f"{name}-{attempt:03d}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
