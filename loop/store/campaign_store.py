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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StoreError
from ..records import FloatArray, TrajectorySet, Trial
from .history import History
from .journal import Event, Journal, Lock

if TYPE_CHECKING:
    import zarr

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
        self._history = History()
        self._projection: Projection | None = None

    @classmethod
    def create(cls, path: str | Path, configuration: Mapping[str, Any], environment: Mapping[str, str]) -> "CampaignStore":
        """Make a new store; it appears under its name only when it is whole.

        Raises:
            StoreError: something is at ``path`` already, or the disk refused.
        """
        final = Path(path)
        if final.exists():
            if (final / "journal").is_dir():
                raise StoreError(f"{final} holds a campaign already; continue it with `latentloop resume {final}`, or choose another path")
            raise StoreError(f"{final} exists already and is not a campaign; choose another path, or move it away")
        import zarr

        building = final.with_name(f".{final.name}.{os.getpid()}.new")
        try:
            building.parent.mkdir(parents=True, exist_ok=True)
            attributes = {"latentloop": {"format": FORMAT, "version": FORMAT_VERSION, "name": configuration["name"]}}
            root = zarr.open_group(building, mode="w-", zarr_format=3, attributes=attributes)
            root.create_array(
                "journal",
                shape=(0,),
                dtype="uint8",
                dimension_names=("event",),
                attributes={"description": "the campaign's events, one JSON object each: 00000000.json, 00000001.json, ..."},
            )
            root.create_group("latent")
            Journal(building / "journal").append("created", {"configuration": dict(configuration), "environment": dict(environment)})
            building.rename(final)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            raise StoreError(f"cannot create {final}: {error.strerror or error}") from error
        return cls.open(final)

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
        """Return running, paused, interrupted, finished or failed, as it is now."""
        return self._history.state(self.lock.is_held())

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

    def publish(self, trial: int) -> None:
        """Show a trial, as the history knows it, in the live arrays."""
        if self._projection is not None:
            self._projection.show(self._history.trials[trial])

    def create_trials(self, n_trials: int, n_latent: int, like: TrajectorySet) -> None:
        """Make the live arrays, once the shape of a trajectory and the latent dimension are known; existing ones stay."""
        from .projection import create_trials

        root = self._root("a")
        # Without a trial there is nothing to keep, and a driver killed right here may have left half of the arrays.
        if "trials" not in root or not self._history.trials:
            create_trials(root, n_trials, n_latent, like)

    def project(self, n_trials: int) -> None:
        """Begin to stream the trials into the live arrays."""
        from .projection import Projection

        self._projection = Projection(self._root("a"), n_trials, self._history.trials)

    def write_payload(self, trial: int, arrays: Mapping[str, FloatArray]) -> None:
        """Write a trial's arrays (its trajectory, its fields) before the event that refers to them."""
        assert self._projection is not None, "project() first"
        for name, values in arrays.items():
            self._projection.write_payload(trial, name, np.asarray(values, dtype=np.float64))

    def write_model(self, version: int, data: bytes, encoded: FloatArray, curve: FloatArray | None, facts: Mapping[str, Any]) -> None:
        """Write a version of the latent model, then the event that makes it count."""
        root = self._root("a")
        group = root.create_group(f"latent/{version:03d}", overwrite=True, attributes=dict(facts))
        arrays = {"weights": np.frombuffer(data, dtype=np.uint8), "encoded": encoded}
        if curve is not None:
            arrays["training_curve"] = np.asarray(curve, dtype=np.float64)
        for name, values in arrays.items():
            group.create_array(name, data=values, chunks=values.shape)
        self.append("model", {"version": version, "sha256": hashlib.sha256(data).hexdigest(), **facts})

    def write_trajectories(self, kept: TrajectorySet) -> None:
        """Keep a copy of training trajectories that came from a file."""
        attributes = {"unit": kept.unit, "time_unit": kept.time_unit, "channels": list(kept.channels)}
        group = self._root("a").create_group("trajectories", overwrite=True, attributes=attributes)
        group.create_array("time", data=kept.times)
        group.create_array("values", data=kept.values)

    def release(self) -> None:
        """Write what is left and give the lock back."""
        try:
            if self._projection is not None:
                self._projection.close()
        finally:
            self._projection = None
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
        group = self._root("r")[f"latent/{version:03d}"]
        data = np.asarray(group["weights"][:]).tobytes()
        if hashlib.sha256(data).hexdigest() != facts["sha256"]:
            raise StoreError(f"latent model {version} in {self.path} is damaged: its hash does not match the journal's")
        curve = np.asarray(group["training_curve"][:]) if "training_curve" in group else None
        return data, np.asarray(group["encoded"][:]), curve

    def trajectories(self) -> TrajectorySet | None:
        """Return the kept training trajectories, or None where a family draws them anew."""
        root: Any = self._root("r")
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
        return np.asarray(self._root("r")["trials/time"][:], dtype=np.float64)

    def trajectory(self, trial: Trial) -> FloatArray:
        """Return a trial's trajectory, shape (T,) or (T, channels)."""
        return np.asarray(self._root("r")["trials/trajectory"][trial.number], dtype=np.float64)

    def field(self, trial: Trial, name: str) -> FloatArray | None:
        """Return a named array of a trial, or None where its evaluator gave none."""
        group: Any = self._root("r")["trials"]
        return np.asarray(group[name][trial.number], dtype=np.float64) if name in group else None

    def _root(self, mode: Any) -> "zarr.Group":
        import zarr

        try:
            return zarr.open_group(self.path, mode="r" if mode == "r" else "r+", zarr_format=3)
        except (OSError, KeyError) as error:
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
