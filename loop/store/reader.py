"""Reads one store, running or not: what its journal says, and the arrays that the journal refers to.

No number that is read here is taken on trust: an event has its checksum, a chunk has one too, and an array of a trial has its digest in the
event that refers to it. What does not agree is a StoreError that names the object.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ..errors import JournalError, StoreError
from ..records import FloatArray, Signal, TrajectorySet, Trial
from .evidence import Evidence, array_digest
from .history import History, fold
from .journal import Damage, Journal, name_of
from .objects import Objects, open_objects

FORMAT = "latentloop-campaign"
FORMAT_VERSION = 1


class StoreReader:
    """One campaign's store. Use `open`.

    Args:
        objects: where it lies.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.path: Path | str = objects.folder or objects.where
        """The folder, or the URL."""
        self.journal = Journal(objects)
        self.evidence = Evidence()
        self._history = History()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open an existing store for reading; `damaged` says what is wrong at the journal's end.

        Args:
            path: a folder, or a URL of object storage.

        Raises:
            StoreError: there is none at ``path``, or it is of another format version.
            JournalError: its journal is damaged before its end.
        """
        store = cls(open_objects(path))
        store._check_format()
        if not store.refresh().n_events:
            first = store.damaged[0] if store.damaged else Damage(name_of(0), "is missing")
            raise JournalError(f"{store.path}/{first.name} {first.reason}; copy the journal back from a backup")
        return store

    @property
    def history(self) -> History:
        """What the journal says, as of the last `refresh` or append."""
        return self._history

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """Damaged events at the journal's end: the history stops before them, and `latentloop resume` moves them aside."""
        return self.journal.damaged

    def refresh(self) -> History:
        """Read the events that have come since, and return the history."""
        for event in self.journal.read(self._history.n_events):
            self._history.apply(event)
            self.evidence.apply(event)
        return self._history

    def history_before(self, number: int) -> History:
        """Return what the journal said before an event, given by its number."""
        return fold(islice(Journal(self.objects).read(), number))

    def model(self, version: int) -> tuple[bytes, FloatArray, FloatArray | None]:
        """Return a latent model's bytes, the encoded training data (n, d) and the training curve (epochs,) or None.

        Raises:
            StoreError: there is no such version, or its arrays are not those that were committed.
        """
        facts = self._history.models.get(version)
        if facts is None:
            raise StoreError(f"{self.path} has no latent model of version {version}; known are {sorted(self._history.models)}")
        with self._reading(f"latent model {version}") as root:
            group = root[f"latent/{version:03d}"]
            data = np.asarray(group["weights"][:]).tobytes()
            if hashlib.sha256(data).hexdigest() != facts["sha256"]:
                raise StoreError(f"latent model {version} in {self.path} is damaged: its hash does not match the journal's")
            found = {name: np.asarray(group[name][:]) for name in ("encoded", "training_curve") if name in group}
            for name, expected in facts.get("digests", {}).items():
                if name not in found or array_digest(found[name]) != expected:
                    raise StoreError(f"latent/{version:03d}/{name} in {self.path} is damaged: it does not match the journal's digest")
            return data, found["encoded"], found.get("training_curve")

    def trajectories(self) -> TrajectorySet | None:
        """Return the kept training trajectories, or None where a family draws them anew."""
        with self._reading("training trajectories") as root:
            is_kept = self._history.configuration["trajectories"].get("file") is not None
            if not self._history.models or not (is_kept or "trajectories" in root):
                return None
            group = root["trajectories"]
            attributes = group.attrs
            found = TrajectorySet(
                np.asarray(group["values"][:]),
                np.asarray(group["time"][:]),
                attributes["unit"],
                attributes["time_unit"],
                tuple(attributes["channels"]),
            )
        expected = self._history.models[min(self._history.models)].get("trajectories_sha256")
        if expected is not None and found.digest() != expected:
            raise StoreError(f"the training trajectories in {self.path} are damaged: their hash does not match the journal's")
        return found

    def times(self) -> FloatArray:
        """Return the time of each step of a trajectory, shape (T,)."""
        with self._reading("times") as root:
            found = np.asarray(root["trials/time"][:], dtype=np.float64)
        if self.evidence.times not in (None, array_digest(found)):
            raise StoreError(f"trials/time in {self.path} is damaged: it does not match the journal's digest; copy it back from a backup")
        return found

    def signal(self) -> Signal:
        """Return what the trajectories' numbers mean."""
        times = self.times()
        with self._reading("units") as root:
            attributes, unit = root["trials/trajectory"].attrs, root["trials/time"].attrs["unit"]
            return Signal(times, attributes["unit"], unit, tuple(attributes["channels"]))

    def trajectory(self, trial: Trial) -> FloatArray:
        """Return a trial's trajectory, shape (T,) or (T, channels).

        Raises:
            StoreError: it is damaged or missing.
        """
        found = self.payload(trial.number, "trajectory")
        self._require(trial.number, "trajectory", found)
        return found

    def payload(self, trial: int, name: str) -> FloatArray:
        """Return an array of a trial that the journal need not know of.

        Raises:
            StoreError: it is damaged or missing.
        """
        with self._reading(f"{name} of trial {trial}") as root:
            found = np.asarray(root[f"trials/{name}"][trial], dtype=np.float64)
            if not np.isfinite(found).all():  # what Zarr answers for a chunk that is not there
                raise StoreError(f"{name} of trial {trial} in {self.path} is missing; copy it back from a backup")
            return found

    def field(self, trial: Trial, name: str) -> FloatArray | None:
        """Return a named array of a trial, or None where its evaluator gave none.

        Raises:
            StoreError: it is damaged or missing.
        """
        with self._reading(f"{name} of trial {trial.number}") as root:
            group = root["trials"]
            found = np.asarray(group[name][trial.number], dtype=np.float64) if name in group else None
        if found is not None or name in self.evidence.payloads.get(trial.number, {}):
            self._require(trial.number, name, found)
        return found

    def reading_root(self) -> Any:
        """Return the root group, to read from; it complains as Zarr does."""
        return self._root("r")

    def _require(self, trial: int, name: str, found: FloatArray | None) -> None:
        """Refuse an array that is not the one that the journal refers to."""
        expected = self.evidence.payloads.get(trial, {}).get(name)
        if expected is not None and (found is None or array_digest(found) != expected):
            raise StoreError(
                f"{name} of trial {trial} in {self.path} is damaged: it does not match the journal's digest; copy it back from a backup"
            )

    @contextmanager
    def _reading(self, what: str) -> Iterator[Any]:
        """Give the root group, and turn what its codecs and files complain of into a sentence."""
        try:
            yield self._root("r")
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"{what} in {self.path} cannot be read: {error}; copy it back from a backup") from error

    def _root(self, mode: Literal["r", "r+"]) -> Any:
        import zarr

        try:
            return zarr.open_group(self.objects.zarr(is_read_only=mode == "r"), mode=mode, zarr_format=3)
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(f"cannot open {self.path}: {error}") from error

    def _check_format(self) -> None:
        where = self.path
        try:
            raw = self.objects.get("zarr.json")
        except FileNotFoundError as error:
            if not (isinstance(where, Path) and where.is_dir()):
                raise StoreError(f"there is no campaign at {where}; `latentloop run quick --store {where}` makes one") from error
            raise StoreError(f"{where} is not a campaign of latentloop: {where}/zarr.json is missing or not its own") from error
        except NotADirectoryError as error:
            raise StoreError(
                f"there is no campaign at {where}: it is a file, or below one; a campaign is a folder, the one that --store named"
            ) from error
        except OSError as error:
            raise StoreError(f"cannot read {where}/zarr.json: {error.strerror}") from error
        try:
            mark = json.loads(raw)["attributes"]["latentloop"]
            found = mark["format"], mark["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{where} is not a campaign of latentloop: {where}/zarr.json is missing or not its own") from error
        if found != (FORMAT, FORMAT_VERSION):
            raise StoreError(
                f"{where} is of format {found[0]} version {found[1]}, this latentloop reads {FORMAT} version {FORMAT_VERSION}; "
                "open it with the release that wrote it"
            )
