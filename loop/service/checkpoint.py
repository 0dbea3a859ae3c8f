"""What a campaign's journal adds up to, kept beside the server's own files, so that a restarted server need not read it all again.

It is nothing but a shortcut: it stands under the root's own folder, never in a store, and holds only where the first and the last event
that it has seen are still the same bytes, every block has its checksum, and this release folds journals as the one that wrote it did.
Otherwise it is passed over and written anew. It is read and written in blocks of some milliseconds, between which other requests are
served, and may hold plain values and the few records named here, nothing else.
"""

import asyncio
import gc
import io
import json
import logging
import os
import pickle
from array import array
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from ..errors import LatentloopError
from ..records import Trial, TrialState
from ..store.history import History
from ..store.inbox import Note, Wanted
from ..store.journal import name_of
from .tokens import FOLDER

if TYPE_CHECKING:
    from .watch import CampaignWatch

log = logging.getLogger("latentloop.service")

FEWEST_EVENTS = 2_000
"""Events that are read again without ado."""
_BLOCK = 500
"""Trials of one block: some 3 ms."""
_FORMAT = 1
_RECORDS = {(kind.__module__, kind.__qualname__): kind for kind in (TrialState, Note, Wanted)}
_HISTORY = [each.name for each in fields(History) if each.name != "trials"]
_TRIAL = [each.name for each in fields(Trial) if each.name != "z"]
_row_of = attrgetter(*_TRIAL)
_COUNTED = ("seconds_measured", "n_measured", "seconds_asked", "n_asked", "workers", "measuring", "kind_said")


class Checkpoint:
    """The kept fold of one campaign.

    Args:
        root: of the server.
        name: of the campaign's folder.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / FOLDER / "folds" / f"{name}.fold"
        self.n_events = 0
        """Events that it holds."""

    async def restore(self, watch: "CampaignWatch") -> int:
        """Fill a watch that has read nothing yet; return the number of events that need not be read, zero where it does not fit."""
        gc.disable()  # a third of the time went into looking for garbage among what is only being made
        try:
            with self.path.open("rb") as file:
                blocks = _read(file)
                head = next(blocks)
                if head["mark"] != _mark(watch, head["n_events"]):
                    return 0
                trials: list[Trial] = []
                numbers: dict[int, array[int]] = {}
                payloads: dict[int, dict[str, str]] = {}
                for rows, points, events, digests in blocks:
                    for row, z in zip(rows, points, strict=True):
                        trials.append(Trial(z=np.array(z, dtype=np.float64), **dict(zip(_TRIAL, row, strict=True))))
                    for number, event in events.items():
                        numbers[number] = array("q", event)
                    payloads.update(digests)
                    await asyncio.sleep(0)
            if len(trials) != head["n_trials"]:
                return 0
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, TypeError, KeyError, EOFError, StopIteration, AttributeError, pickle.UnpicklingError, LatentloopError):
            log.warning("%s does not fit; the journal of %s is read anew", self.path, watch.name, exc_info=True)
            return 0
        finally:
            gc.enable()
        for name, value in head["history"].items():
            setattr(watch.history, name, value)
        watch.history.trials = trials
        vars(watch.store.evidence).update(head["evidence"], payloads=payloads)
        watch.events_of = numbers
        watch.best_so_far = array("d", head["best"])
        for name, value in head["counted"].items():
            setattr(watch, name, value)
        self.n_events = int(head["n_events"])
        return self.n_events

    async def keep(self, watch: "CampaignWatch") -> bool:
        """Write what a watch knows, where much has come since; return whether it was written."""
        history = watch.history
        if watch.problem or history.n_events - self.n_events < FEWEST_EVENTS:
            return False
        n_events, trials = history.n_events, list(history.trials)  # trials are frozen: these are as they are now
        evidence = {name: value for name, value in vars(watch.store.evidence).items() if name != "payloads"}
        head = {
            "mark": _mark(watch, n_events),
            "n_events": n_events,
            "n_trials": len(trials),
            "history": {name: getattr(history, name) for name in _HISTORY},
            "evidence": evidence,
            "best": watch.best_so_far.tolist(),
            "counted": {name: getattr(watch, name) for name in _COUNTED},
        }
        aside = self.path.with_name(f".{token_hex(6)}.tmp")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_block(head))
                for first in range(0, len(trials), _BLOCK):
                    some = trials[first : first + _BLOCK]
                    numbers = [trial.number for trial in some]
                    events = {number: [each for each in watch.events_of.get(number, ()) if each < n_events] for number in numbers}
                    payloads = {number: found for number in numbers if (found := watch.store.evidence.payloads.get(number))}
                    file.write(_block((list(map(_row_of, some)), [trial.z.tolist() for trial in some], events, payloads)))
                    await asyncio.sleep(0)
            aside.replace(self.path)
        except OSError as error:
            log.warning("cannot keep what the journal of %s says in %s: %s", watch.name, self.path, error.strerror)
            return False
        finally:
            aside.unlink(missing_ok=True)
            self.n_events = n_events  # also after a failure: not tried again at once
        return True

    def forget(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)


class _Plain(pickle.Unpickler):
    """Reads plain values and the records of a history; refuses to make anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few classes that may stand in a checkpoint."""
        try:
            return _RECORDS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"a checkpoint holds no {module}.{name}") from None


def _block(value: Any) -> bytes:
    body = pickle.dumps(value, protocol=5)
    return len(body).to_bytes(8, "big") + int(google_crc32c.value(body)).to_bytes(4, "big") + body


def _read(file: io.BufferedReader) -> Iterator[Any]:
    """Yield the values of a file's blocks.

    Raises:
        ValueError: a block is cut off or damaged.
    """
    while frame := file.read(12):
        size = int.from_bytes(frame[:8], "big")
        body = file.read(min(size, 1 << 30))
        if len(body) != size or google_crc32c.value(body) != int.from_bytes(frame[8:], "big"):
            raise ValueError("a block is damaged")
        yield _Plain(io.BytesIO(body)).load()


def _mark(watch: "CampaignWatch", n_events: int) -> str:
    """Return what a checkpoint must agree with: the layout of records, and the bytes of the first and the last event."""
    first, last = (google_crc32c.value(watch.store.objects.get(name_of(number))) for number in (0, n_events - 1))
    layout = [_FORMAT, _HISTORY, _TRIAL, [each.name for kind in (Note, Wanted) for each in fields(kind)], _COUNTED]
    return json.dumps([layout, first, last, n_events])
