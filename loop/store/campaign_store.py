"""A campaign on disk: creates, opens, drives and reads one store.

    STORE/zarr.json          the root group, with format and version
    STORE/journal/           the events (the truth), and the lock of the driver
    STORE/trials/            the live arrays (see projection)
    STORE/trajectories/      the training trajectories, when they came from a file
    STORE/latent/000/        one group per version of the latent model: safetensors bytes, encoded training data, training curve

Only one process drives a store; any number read it at the same time.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import StoreError
from ..records import FloatArray, Signal, TrajectorySet, Trial, TrialState
from .history import History
from .inbox import Command, Inbox
from .journal import Event, Journal, Lock

if TYPE_CHECKING:
    from .projection import Projection

FORMAT = "latentloop-campaign"
FORMAT_VERSION = 1


class CampaignStore:
    """One campaign's folder. Use `create` or `open`; `drive` before writing.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path / "journal")
        self.lock = Lock(path / "journal" / "lock")
        self.inbox = Inbox(path / "journal" / "inbox")
        self._history = History()
        self._projection: Projection | None = None

    @staticmethod
    def require_free(path: str | Path) -> None:
        """Raise StoreError when something is at ``path`` already, or when nothing can be made there."""
        final = Path(path)
        if os.path.lexists(final):
            if (final / "journal").is_dir():
                raise StoreError(f"{final} holds a campaign already; continue it with `latentloop resume {final}`, or choose another path")
            raise StoreError(f"{final} exists already and is not a campaign; choose another path, or move it away")
        parent = next(folder for folder in final.absolute().parents if os.path.lexists(folder))
        if not parent.is_dir():
            raise StoreError(f"cannot create {final}: {parent} is not a folder; choose another path")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise StoreError(f"cannot create {final}: {parent} is not writable; choose another path, or change its permissions")

    @classmethod
    def create(
        cls, path: str | Path, configuration: Mapping[str, Any], environment: Mapping[str, str], n_latent: int, like: TrajectorySet
    ) -> "CampaignStore":
        """Make a new store and take its lock; it appears under its name only when it is whole, live arrays included.

        Args:
            path: where; must not exist.
            configuration: the whole configuration as JSON-able values.
            environment: versions that the campaign runs with.
            n_latent: dimensions of the latent space, for the live arrays.
            like: trajectories of the same shape, times, units and channels as those to come.

        Raises:
            StoreError: something is at ``path`` already, or the disk refused.
        """
        final = Path(path)
        cls.require_free(final)
        import zarr

        from .projection import create_trials

        building = final.with_name(f".{final.name}.{os.getpid()}.new")
        try:
            building.parent.mkdir(parents=True, exist_ok=True)
            attributes: dict[str, Any] = {"latentloop": {"format": FORMAT, "version": FORMAT_VERSION, "name": configuration["name"]}}
            root = zarr.open_group(building, mode="w-", zarr_format=3, attributes=attributes)
            root.create_array(
                "journal",
                shape=(0,),
                dtype="uint8",
                dimension_names=("event",),
                attributes={"description": "the campaign's events, one JSON object each: 00000000.json, 00000001.json, ..."},
            )
            root.create_group("latent")
            create_trials(root, configuration["budget"]["trials"], n_latent, like)
            Journal(building / "journal").append("created", {"configuration": dict(configuration), "environment": dict(environment)})
            lock = Lock(building / "journal" / "lock").take()  # before anyone can see it: a campaign under way is never seen without driver
            building.rename(final)
        except BaseException as error:
            shutil.rmtree(building, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, StoreError):
                raise StoreError(f"cannot create {final}: {error.strerror or error}") from error
            raise
        store = cls.open(final)
        lock.path = store.lock.path
        store.lock = lock
        return store

    @classmethod
    def open(cls, path: str | Path) -> "CampaignStore":
        """Open an existing store for reading.

        Raises:
            StoreError: there is none at ``path``, or it is of another format version.
            JournalError: its journal is damaged.
        """
        store = cls(Path(path))
        store._check_format()
        store.refresh()
        return store

    @property
    def history(self) -> History:
        """What the journal says, as of the last `refresh` or append."""
        return self._history

    def refresh(self) -> History:
        """Read the events that have come since, and return the history."""
        for event in self.journal.read(self._history.n_events):
            self._history.apply(event)
        return self._history

    def state(self) -> str:
        """Return running, paused, interrupted, finished or failed, as it is now; the history is that of the same moment."""
        is_driven = self.lock.is_held()
        if not is_driven:  # its driver may have written its last events just before it let go
            self.refresh()
        return self._history.state(is_driven)

    # writing, by the driver only

    def drive(self) -> None:
        """Take the lock and catch up with the journal; `release` gives it back.

        Raises:
            StoreLockedError: another process drives this campaign.
        """
        self.lock.take()
        self.refresh()

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Commit one event: it is there when this returns, and the history knows it."""
        event = self.journal.append(kind, data)
        self._history.apply(event)
        return event

    def obey(self) -> list[int]:
        """Journal what operators have left in the inbox; return the numbers of the trials that it vetoes.

        A command that cannot be obeyed (no such trial, not held any more) is journalled as ``ignored``, with why.
        """
        vetoed: list[int] = []
        for name, command in self.inbox.waiting():
            if name not in self._history.commands:
                vetoed += self.decide(command, name)
            self.inbox.remove(name)
        return vetoed

    def decide(self, command: Command | None, name: str = "") -> list[int]:
        """Journal one command; return the numbers of the trials that it vetoes."""
        if command is None:
            self.append("ignored", {"command": name, "reason": "the file is not a command"})
            return []
        trials, number = self._history.trials, command.trial
        facts = {"command": name, "trial": number, "who": command.who, "reason": command.reason}
        if not 0 <= number < len(trials) or trials[number].state is not TrialState.HELD:
            found = trials[number].state.word if 0 <= number < len(trials) else "not there"
            self.append("ignored", {**facts, "decision": command.decision, "reason": f"trial {number} is {found}, not held"})
            return []
        self.append("approved" if command.decision == "approve" else "vetoed", facts)
        return [number] if command.decision == "veto" else []

    def publish(self, trial: int) -> None:
        """Show a trial, as the history knows it, in the live arrays."""
        if self._projection is not None:
            self._projection.show(self._history.trials[trial])

    def require_arrays(self, n_trials: int, n_latent: int, like: TrajectorySet) -> None:
        """Make the live arrays anew when the trained model has other dimensions than were announced; else they stay."""
        from .projection import create_trials, fits

        root = self._root("r+")
        if not self._history.trials and not fits(root, n_latent, like):
            create_trials(root, n_trials, n_latent, like)

    def project(self, n_trials: int) -> None:
        """Begin to stream the trials into the live arrays."""
        from .projection import Projection

        self._projection = Projection(self._root("r+"), n_trials, self._history.trials)

    def write_payload(self, trial: int, arrays: Mapping[str, FloatArray]) -> None:
        """Write a trial's arrays (its trajectory, its fields) before the event that refers to them."""
        assert self._projection is not None, "project() first"
        for name, values in arrays.items():
            self._projection.write_payload(trial, name, np.asarray(values, dtype=np.float64))

    def write_model(self, version: int, data: bytes, encoded: FloatArray, curve: FloatArray | None, facts: Mapping[str, Any]) -> None:
        """Write a version of the latent model, then the event that makes it count."""
        root = self._root("r+")
        group = root.create_group(f"latent/{version:03d}", overwrite=True, attributes=dict(facts))
        arrays: dict[str, npt.NDArray[Any]] = {"weights": np.frombuffer(data, dtype=np.uint8), "encoded": encoded}
        if curve is not None:
            arrays["training_curve"] = np.asarray(curve, dtype=np.float64)
        for name, values in arrays.items():
            group.create_array(name, data=values, chunks=values.shape)
        self.append("model", {"version": version, "sha256": hashlib.sha256(data).hexdigest(), **facts})

    def write_trajectories(self, kept: TrajectorySet) -> None:
        """Keep a copy of training trajectories that came from a file."""
        attributes = {"unit": kept.unit, "time_unit": kept.time_unit, "channels": list(kept.channels)}
        group = self._root("r+").create_group("trajectories", overwrite=True, attributes=attributes)
        group.create_array("time", data=kept.times)
        group.create_array("values", data=kept.values)

    def settle(self) -> None:
        """Write what is left to the live arrays, and stream no more.

        Raises:
            StoreError: the disk refused; the journal is intact.
        """
        projection, self._projection = self._projection, None
        if projection is not None:
            projection.close()

    def release(self) -> None:
        """Write what is left and give the lock back."""
        try:
            self.settle()
        finally:
            self.lock.release()

    # reading

    def model(self, version: int) -> tuple[bytes, FloatArray, FloatArray | None]:
        """Return a latent model's bytes, the encoded training data (n, d) and the training curve (epochs,) or None.

        Raises:
            StoreError: there is no such version, or its bytes are not those that were committed.
        """
        facts = self._history.models.get(version)
        if facts is None:
            raise StoreError(f"{self.path} has no latent model of version {version}; known are {sorted(self._history.models)}")
        with self._reading(f"latent model {version}") as root:
            group = root[f"latent/{version:03d}"]
            data = np.asarray(group["weights"][:]).tobytes()
            if hashlib.sha256(data).hexdigest() != facts["sha256"]:
                raise StoreError(f"latent model {version} in {self.path} is damaged: its hash does not match the journal's")
            curve = np.asarray(group["training_curve"][:]) if "training_curve" in group else None
            return data, np.asarray(group["encoded"][:]), curve

    def trajectories(self) -> TrajectorySet | None:
        """Return the kept training trajectories, or None where a family draws them anew."""
        with self._reading("training trajectories") as root:
            if not self._history.models or "trajectories" not in root:
                return None
            group = root["trajectories"]
            attributes = group.attrs
            return TrajectorySet(
                np.asarray(group["values"][:]),
                np.asarray(group["time"][:]),
                attributes["unit"],
                attributes["time_unit"],
                tuple(attributes["channels"]),
            )

    def times(self) -> FloatArray:
        """Return the time of each step of a trajectory, shape (T,)."""
        with self._reading("times") as root:
            return np.asarray(root["trials/time"][:], dtype=np.float64)

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
        with self._reading(f"trajectory of trial {trial.number}") as root:
            found = np.asarray(root["trials/trajectory"][trial.number], dtype=np.float64)
            if not np.isfinite(found).all():  # what Zarr answers for a chunk that is not there
                raise StoreError(f"trajectory of trial {trial.number} in {self.path} is missing; copy it back from a backup")
            return found

    def field(self, trial: Trial, name: str) -> FloatArray | None:
        """Return a named array of a trial, or None where its evaluator gave none."""
        with self._reading(f"{name} of trial {trial.number}") as root:
            group = root["trials"]
            return np.asarray(group[name][trial.number], dtype=np.float64) if name in group else None

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
            return zarr.open_group(self.path, mode=mode, zarr_format=3)
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(f"cannot open {self.path}: {error}") from error

    def _check_format(self) -> None:
        metadata = self.path / "zarr.json"
        if not self.path.is_dir():
            raise StoreError(f"there is no campaign at {self.path}; `latentloop run quick --store {self.path}` makes one")
        try:
            mark = json.loads(metadata.read_bytes())["attributes"]["latentloop"]
            found = mark["format"], mark["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path} is not a campaign of latentloop: {metadata} is missing or not its own") from error
        if found != (FORMAT, FORMAT_VERSION):
            raise StoreError(
                f"{self.path} is of format {found[0]} version {found[1]}, this latentloop reads {FORMAT} version {FORMAT_VERSION}; "
                "open it with the release that wrote it"
            )
