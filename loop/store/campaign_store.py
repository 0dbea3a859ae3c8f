"""A campaign's store as its driver sees it: creates one, takes the right to drive, commits events, streams the arrays.

    STORE/zarr.json          the root group, with format and version
    STORE/journal/           the events (the truth), lock, epochs and inbox of the driver, the manifest of a campaign that has ended
    STORE/trials/            the live arrays (see projection)
    STORE/trajectories/      the training trajectories, when they came from a file
    STORE/latent/000/        one group per version of the latent model: safetensors bytes, encoded training data, training curve

Only one process drives a store; any number read it at the same time (see reader).
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import JournalError, StoreError, StoreLockedError
from ..records import FloatArray, TrajectorySet, TrialState
from .creation import build, require_free
from .evidence import MANIFEST, array_digest, read_manifest, write_manifest
from .faults import reach
from .inbox import Inbox
from .journal import Event
from .lease import LEASE_SECONDS, Lease, Patience
from .lock import Lock
from .objects import Objects, open_objects
from .reader import FORMAT, FORMAT_VERSION, StoreReader

if TYPE_CHECKING:
    from .projection import Projection


class CampaignStore(StoreReader):
    """One campaign's store. Use `create` or `open`; `drive` before writing.

    Args:
        objects: where it lies.
    """

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self.lock = None if objects.folder is None else Lock.of(objects.folder)
        """The driver's lock on this host; None on object storage, where the lease alone decides."""
        self.lease = Lease(objects, objects.where)
        self.inbox = Inbox(objects)
        self._projection: Projection | None = None
        self._written: dict[int, dict[str, str]] = {}
        self._meant: dict[int, dict[str, FloatArray]] = {}
        self._taken_over: set[int] = set()
        self._is_lost = False

    @staticmethod
    def require_free(path: str | Path) -> None:
        """Raise StoreError when something is at ``path`` already, or when nothing can be made there."""
        require_free(open_objects(path))

    @classmethod
    def create(
        cls, path: str | Path, configuration: Mapping[str, Any], environment: Mapping[str, str], n_latent: int, like: TrajectorySet
    ) -> "CampaignStore":
        """Make a new store and take its lock; it appears under its name only when it is whole, live arrays included.

        Args:
            path: a folder or URL where nothing is yet.
            configuration: the whole configuration as JSON-able values.
            environment: versions that the campaign runs with.
            n_latent: dimensions of the latent space, for the live arrays.
            like: trajectories of the same shape, times, units and channels as those to come.

        Raises:
            StoreError: something is at ``path`` already, or the disk refused.
        """
        objects = open_objects(path)
        require_free(objects)
        objects.is_durable |= _is_durable(configuration)
        mark = {"latentloop": {"format": FORMAT, "version": FORMAT_VERSION, "name": configuration["name"]}}
        created = {"configuration": dict(configuration), "environment": dict(environment), "times": array_digest(like.times)}
        taken: list[Lock] = []

        def lock(building: Path) -> None:  # before anyone can see it: a campaign under way is never seen without driver
            if objects.folder is not None:
                taken.append(Lock.of(building).take())

        build(objects, mark, created, n_latent, like, lock)
        store = cls.open(path)
        if store.lock is not None:
            taken[0].path = store.lock.path
            store.lock = taken[0]
        return store

    def state(self) -> str:
        """Return running, paused, interrupted, finished or failed, as it is now; the history is that of the same moment."""
        is_driven = self.is_driven()
        if not is_driven:  # its driver may have written its last events just before it let go
            self.refresh()
        return self._history.state(is_driven)

    def is_driven(self) -> bool:
        """Return whether a process, here or elsewhere, drives the campaign now."""
        return (self.lock is not None and self.lock.is_held()) or (
            self._history.last_session == "open" and self.lease.looks_alive(self._history.epoch)
        )

    # writing, by the driver only

    def drive(self, patience: Patience | None = None) -> None:
        """Take the lock, catch up with the journal, and move damaged events at its end aside; `release` gives the lock back.

        Args:
            patience: asked while it is not known whether a driver on another host still lives; None does not wait to find out.

        Raises:
            StoreLockedError: another process drives this campaign.
        """
        if self.lock is not None:
            self.lock.take()
        try:
            self._is_lost = False
            announced = self.lease.announced()  # before the journal is read, which is ahead of it
            if self.refresh().last_session == "open":
                self.lease.require_free(self._history.epoch, patience)
            for epoch in announced:
                if epoch > self._history.epoch:  # the event of this epoch is lost
                    self.lease.require_free(epoch, patience)
                    self.objects.delete(Lease.name(epoch))
            self.objects.guard = self.require_right
            self.objects.is_durable |= _is_durable(self._history.configuration)
            if self.damaged or set(self.journal.aside()) - self.evidence.aside:
                self.repair("damaged events at the journal's end")
        except BaseException:
            self._unlock()
            raise

    def repair(self, reason: str) -> list[str]:
        """Move the events from the first damaged one on aside, and journal that; return their new names.

        An event that cannot be read may have armed a trial, and a physical one may have fired. Its trajectory was written before: every
        trial after the last known one whose trajectory is there is `doubtful`, which the controller settles before anything else.
        """
        if not self._history.n_events:
            raise JournalError(f"{self.path} has no good event left; copy its journal back from a backup")
        self.journal.set_aside()
        moved = sorted(set(self.journal.aside()) - self.evidence.aside)  # with what a repair that was killed has left
        first = len(self._history.trials)
        doubtful = [number for number in range(first, first + len(moved)) if self.objects.walk(f"trials/trajectory/c/{number}")]
        self.append("repaired", {"aside": moved, "doubtful": doubtful, "reason": reason})
        return moved

    def begin(self, facts: Mapping[str, Any], seconds: float = LEASE_SECONDS) -> None:
        """Begin a session after `drive`: a new epoch, kept alive by heartbeats until `release`.

        Args:
            facts: what the ``started`` event says.
            seconds: time without a heartbeat after which another host may take over.

        Raises:
            StoreLockedError: another driver was faster.
        """
        epoch = self._history.epoch + 1
        self._taken_over = {trial.number for trial in self._history.trials if trial.state is TrialState.ARMED}
        self.objects.digests = self._known_digests()
        self.append("started", {"epoch": epoch, **facts})  # of two drivers one loses the race for this event, and has announced nothing
        reach("epoch.started")
        self.lease.begin(epoch, seconds)
        reach("epoch.announced")
        self.objects.delete(MANIFEST)

    @property
    def fence(self) -> str:
        """The object whose presence says that another driver has taken over; a path or URL that every worker understands."""
        where = self.objects.where if self.objects.folder is None else self.objects.folder.absolute()
        return f"{where}/{self.lease.next_name}" if self.lease.epoch else ""

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Commit one event: it is there when this returns, and the history knows it.

        The event of a trial also gets the digests of the arrays that were written for that trial since its last one.
        """
        if self._is_lost:
            raise self._lost()
        written = self._written.get(data.get("trial", -1))
        try:
            event = self.journal.append(kind, {**data, "payload": written} if written else data)
        except StoreLockedError:
            self._is_lost = True
            raise
        if written:
            del self._written[data["trial"]]
        self._history.apply(event)
        self.evidence.apply(event)
        return event

    def require_right(self) -> None:
        """Ask the fence: raise StoreLockedError once another driver has taken over. Nothing is replaced or removed without asking."""
        if not self._is_lost:
            self._is_lost = self.objects.exists(Lease.name((self.lease.epoch or self._history.epoch) + 1))
        if self._is_lost:
            raise self._lost()

    def _lost(self) -> StoreLockedError:
        return StoreLockedError(f"{self.path} was taken over by another driver; this one stops, and what was committed before is intact")

    def publish(self, trial: int) -> None:
        """Show a trial, as the history knows it, in the live arrays."""
        if self._projection is not None:
            shown = self._history.trials[trial]
            self._projection.show(shown)
            if self.evidence.is_contested and shown.state not in (TrialState.ARMED, TrialState.HELD):
                self._heal(self._projection, [trial])

    def _heal(self, projection: "Projection", trials: Iterable[int]) -> None:
        """Write those arrays of this session anew that a driver has overwritten that slept between asking the fence and writing."""
        for trial in trials:
            for name, meant in self._meant.get(trial, {}).items():
                if array_digest(meant) != self.evidence.payloads.get(trial, {}).get(name):
                    continue  # it is not what counts
                try:
                    self.field(self._history.trials[trial], name)
                except StoreError:
                    projection.write_payload(trial, name, meant)

    def require_arrays(self, n_trials: int, n_latent: int, like: TrajectorySet) -> None:
        """Make the live arrays anew when the trained model has other dimensions than were announced, and mend damaged metadata."""
        from .layout import GROUP, create_trials, damaged_metadata, fits

        try:
            if not self._history.trials and not fits(self._root("r+"), n_latent, like):
                create_trials(self._root("r+"), n_trials, n_latent, like)
                return
            others = self.payload_names()
            for name, data in damaged_metadata(self.objects, n_trials, n_latent, like, self.metrics(), others).items():
                self.objects.put(name, data) if data else self.objects.delete(name)
            time = self._root("r+")[f"{GROUP}/time"]
            if not np.array_equal(time[:], like.times):
                time[:] = like.times
        except StoreLockedError:
            raise
        except OSError as error:
            raise StoreError(f"cannot mend the arrays of {self.path}: {error.strerror or error}; the journal is intact") from error

    def project(self, n_trials: int) -> None:
        """Begin to stream the trials into the live arrays, which are made long enough."""
        from .layout import COLUMNS, lengthened
        from .projection import Projection

        others = self.payload_names()
        arrays = [*COLUMNS, "trajectory", *(f"metric_{metric}" for metric in self.metrics()), *others]
        # All are prepared before the first is written: a reader that opens them in between sees two lengths.
        for name, data in lengthened(self.objects, arrays, n_trials).items():
            self.objects.put(name, data)
        self._projection = Projection(self._root("r+"), self._history.trials, others)

    def metrics(self) -> list[str]:
        """Return the names of the metrics that have columns."""
        return sorted({metric for trial in self._history.trials for metric in trial.metrics})

    def payload_names(self) -> list[str]:
        """Return the names of the arrays that evaluators gave."""
        return sorted({name for digests in self.evidence.payloads.values() for name in digests} - {"trajectory"})

    def write_payload(self, trial: int, arrays: Mapping[str, FloatArray]) -> None:
        """Write a trial's arrays (its trajectory, its fields) before the event that refers to them."""
        assert self._projection is not None, "project() first"
        for name, values in arrays.items():
            exact = np.asarray(values, dtype=np.float64)
            self._projection.write_payload(trial, name, exact)
            self._written.setdefault(trial, {})[name] = array_digest(exact)
            # A sleeper may have had any trial's trajectory in its hands, and measurements of the trials that it had armed.
            if self.evidence.is_contested and (name == "trajectory" or trial in self._taken_over):
                self._meant.setdefault(trial, {})[name] = exact.copy()

    def write_model(self, version: int, data: bytes, encoded: FloatArray, curve: FloatArray | None, facts: Mapping[str, Any]) -> None:
        """Write a version of the latent model, then the event that makes it count."""
        self.require_right()
        numbers = {"encoded": np.asarray(encoded, dtype=np.float64)}
        if curve is not None:
            numbers["training_curve"] = np.asarray(curve, dtype=np.float64)
        arrays: dict[str, npt.NDArray[Any]] = {"weights": np.frombuffer(data, dtype=np.uint8), **numbers}
        try:
            group = self._root("r+").create_group(f"latent/{version:03d}", overwrite=True, attributes=dict(facts))
            for name, values in arrays.items():
                group.create_array(name, data=values, chunks=values.shape)
        except Exception:
            self.require_right()  # what Zarr stumbles over may be what another driver has written meanwhile
            raise
        reach("model.written")
        digests = {name: array_digest(values) for name, values in numbers.items()}
        self.append("model", {"version": version, "sha256": hashlib.sha256(data).hexdigest(), "digests": digests, **facts})
        reach("model.counted")

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
        if projection is None:
            return
        if self._is_lost:  # the arrays are another driver's
            projection.abandon()
            return
        is_contested = self.evidence.is_contested
        if is_contested:
            self._heal(projection, self._meant)
        projection.close(is_all=is_contested)

    def end(self, state: str, reason: str) -> None:
        """End the session: the arrays are whole, and the manifest is there, before the journal says how it ended."""
        self.settle()
        try:
            manifest = write_manifest(self.objects)
        except StoreLockedError:
            raise
        except OSError as error:
            raise StoreError(f"cannot write the manifest of {self.path}: {error.strerror}; what was committed is intact") from error
        self.append("ended", {"state": state, "reason": reason, "manifest": manifest})

    def release(self) -> None:
        """Write what is left and give the lock back."""
        try:
            self.settle()
        finally:
            self.lease.end()
            self._unlock()

    def _unlock(self) -> None:
        self.objects.guard = None
        if self.lock is not None:
            self.lock.release()

    def _known_digests(self) -> dict[str, str]:
        """Return the hashes that the last session's manifest knew: what was meant, even where it is damaged by now."""
        known = None if self.evidence.manifest is None else read_manifest(self.objects, self.evidence.manifest)
        return dict(known or {})


def _is_durable(configuration: Mapping[str, Any]) -> bool:
    return configuration.get("durability") == "power"
