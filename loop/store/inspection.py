"""Checks every object of a store: what `latentloop verify` says.

The journal's events by their checksums, their numbers and whether they add up; the epochs of its drivers by theirs; everything that an
event refers to by the digest that the event holds; metadata by what they must be; and, in a campaign that has ended, every object by the
manifest, whose hash the last event holds, and every number in the live arrays by what the journal says. What no manifest knows, and no
driver or operator writes, is foreign: it is no damage.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import JournalError, StoreError
from ..records import TrajectorySet, Trial
from .campaign_store import CampaignStore
from .evidence import MANIFEST, is_lasting, read_manifest
from .history import History
from .journal import ASIDE, FOLDER, Damage, name_of
from .layout import CHUNK, COLUMNS, GROUP, LATER, damaged_metadata, metadata_name
from .lease import epoch_of
from .objects import digest
from .reader import FORMAT, FORMAT_VERSION

_BATCH = 256
"""Objects that are fetched at a time."""


def inspect_journal(store: CampaignStore) -> Iterator[Damage]:
    """Yield what is wrong with the journal; afterwards the store's history is that of the good events before the first damaged one."""
    is_good = True
    for number in range(store.journal.n_last()):
        found = store.journal.event(number)
        if isinstance(found, Damage):
            is_good = False
            yield found
        elif is_good:
            try:
                store.history.apply(found)
                store.evidence.apply(found)
            except (JournalError, KeyError, TypeError, ValueError) as error:
                is_good = False
                yield Damage(name_of(number), f"does not follow from what is before it: {error}")


def inspect_manifest(store: CampaignStore) -> Iterator[Damage]:
    """Yield the objects that are not what they were when the campaign ended; nothing where none of its sessions ended well."""
    objects, evidence = store.objects, store.evidence
    if evidence.manifest is None:
        if evidence.n_at_end is None and objects.exists(MANIFEST) and not store.is_driven():
            n_events = store.history.n_events
            try:
                listed = json.loads(objects.get(MANIFEST))["sha256"]
                is_next = name_of(n_events - 1) in listed and name_of(n_events) not in listed
            except (ValueError, KeyError, TypeError):
                is_next = True
            if is_next:
                yield Damage(
                    name_of(n_events),
                    "is missing: the manifest is that of a session whose end the journal does not hold; resume the campaign",
                )
        return
    hashes = read_manifest(objects, evidence.manifest)
    if hashes is None:
        yield Damage(MANIFEST, "is missing, or not the one that the journal names")
        return
    present = set(objects.walk())
    for name in sorted(hashes.keys() - present):
        yield Damage(name, "is missing")
    kept = hashes.keys() & present
    if _has_been_steered(store):  # its arrays say so too; they are compared with the journal, and with the digests that it holds
        kept = {name for name in kept if not name.startswith(f"{GROUP}/")}
    for names in _batches(sorted(kept)):
        for name, raw in zip(names, objects.get_many(names), strict=True):
            if digest(raw) != hashes[name]:
                yield Damage(name, "is not what it was when the campaign ended")


def inspect_epochs(store: CampaignStore) -> Iterator[Damage]:
    """Yield the objects of sessions that are not what their drivers wrote; that of a living driver is whole at any moment."""
    for epoch, fault in damaged_epochs(store).items():
        yield Damage(store.lease.name(epoch), fault)
    for epoch in store.lease.announced():
        if epoch > store.history.epoch and not store.is_driven():  # a driver may have begun since the journal was read
            yield Damage(store.lease.name(epoch), "is of a session that the journal does not know of; resume the campaign")


def damaged_epochs(store: CampaignStore) -> dict[int, str]:
    """Return what is wrong with the objects of the sessions that the journal knows; empty where a copy or a fork came without any."""
    announced, n_epochs = store.lease.announced(), store.history.epoch
    if not announced:
        return {}
    # A driver announces every epoch before its own as well; one that was killed between its first event and that has no object yet.
    last = n_epochs if store.evidence.manifest is not None else min(n_epochs, announced[-1])
    return {epoch: fault for epoch in range(1, last + 1) if (fault := store.lease.fault(epoch))}


def foreign_objects(store: CampaignStore) -> list[str]:
    """Return the names of the objects that are not the campaign's, once a session has ended well; nobody can say before."""
    evidence = store.evidence
    known = None if evidence.manifest is None else read_manifest(store.objects, evidence.manifest)
    if known is None:
        return []
    # Operators' decisions may have come since, with metrics and arrays of an instrument's late result; the queue of instruments lives on.
    arrays = (*store.payload_names(), *(f"metric_{metric}" for metric in store.metrics()))
    own = (f"{ASIDE}/", f"{FOLDER}/pull/", f"{FOLDER}/inbox/", *(f"{GROUP}/{name}/" for name in arrays))
    events = {name_of(number) for number in range(store.history.n_events)}
    return [
        name
        for name in store.objects.walk()
        if name not in known
        and name not in events
        and not name.startswith(own)
        and (is_lasting(name) or (name.startswith(f"{FOLDER}/epoch/") and epoch_of(name) is None))
    ]


def inspect_metadata(store: CampaignStore) -> Iterator[Damage]:
    """Yield the groups and arrays whose metadata are not what they must be."""
    for name, expected in group_metadata(store).items():
        if _document(store, name) != expected:
            yield Damage(name, "does not say what it must")
    if not store.history.models:
        return
    try:
        signal = store.signal()
        n_latent = len(store.history.trials[0].z) if store.history.trials else int(store.reading_root()[f"{GROUP}/z"].shape[1])
        shape = tuple(store.reading_root()[f"{GROUP}/trajectory"].shape[1:])
        like = TrajectorySet(np.zeros((2, *shape)), signal.times, signal.unit, signal.time_unit, signal.channels)
    except Exception as error:  # noqa: BLE001 - codecs and metadata complain in many ways
        found = [name for name in ("trajectory", "time", "z") if not isinstance(_document(store, metadata_name(name)), dict)]
        yield Damage(metadata_name(found[0]) if found else f"{GROUP}/time/c/0", f"cannot be read: {error}")
        return
    metrics, others = store.metrics(), store.payload_names()
    older = {metadata_name(column) for column in LATER if _is_older(store, column, store.history)}
    for name in damaged_metadata(store.objects, store.history.budget, n_latent, like, metrics, others):
        if name not in older:
            yield Damage(name, "does not say what it must")


def inspect_payload(store: CampaignStore) -> Iterator[Damage]:
    """Yield the arrays of trials, the models and the training data that the journal refers to and that are not what they were."""
    for trial in store.history.trials:
        for name in {"trajectory", *store.evidence.payloads.get(trial.number, {})}:
            try:
                store.trajectory(trial) if name == "trajectory" else store.field(trial, name)
            except StoreError as error:
                yield Damage(f"{GROUP}/{name}/c/{trial.number}/0", str(error))
    for version in store.history.models:
        try:
            store.model(version)
        except StoreError as error:
            yield Damage(f"latent/{version:03d}", str(error))
    try:
        store.trajectories()
    except StoreError as error:
        yield Damage("trajectories", str(error))


def inspect_columns(store: CampaignStore) -> Iterator[Damage]:
    """Yield the chunks of the live arrays that cannot be read or, once a session has ended well, that disagree with the journal."""
    evidence = store.evidence
    is_whole = evidence.manifest is not None and evidence.n_at_end is not None
    history = History()
    if is_whole and evidence.n_at_end is not None:
        history = store.history if _has_been_steered(store) else store.history_before(evidence.n_at_end)
    metrics = store.metrics()
    for name in (*COLUMNS, *(f"metric_{metric}" for metric in metrics)):
        if _is_older(store, name, history):
            continue
        try:
            array = store.reading_root()[f"{GROUP}/{name}"]
            found = np.asarray(array[:])
        except Exception as error:  # noqa: BLE001 - codecs and metadata complain in many ways
            yield Damage(f"{GROUP}/{name}", f"cannot be read: {error}")
            continue
        names = list(array.attrs.get("names", ()))
        for first in range(0, len(history.trials), CHUNK):
            trials = history.trials[first : first + CHUNK]
            expected = [_value(name, trial) for trial in trials]
            got = found[first : first + CHUNK][: len(trials)]
            if not _equal([_named(names, code) for code in got] if names else got, expected):
                yield Damage(f"{GROUP}/{name}/c/{first // CHUNK}{'/0' if name == 'z' else ''}", "disagrees with the journal")


def group_metadata(store: CampaignStore) -> dict[str, Any]:
    """Return what the metadata of the store's own groups must be, by name."""
    mark = {"latentloop": {"format": FORMAT, "version": FORMAT_VERSION, "name": store.history.configuration["name"]}}
    groups = {"zarr.json": mark, "latent/zarr.json": {}}
    return {name: {"attributes": attributes, "zarr_format": 3, "node_type": "group"} for name, attributes in groups.items()}


def write_group_metadata(store: CampaignStore, wanted: dict[str, Any]) -> None:
    """Write those of the groups' metadata that are not what they must be."""
    for name, expected in wanted.items():
        if _document(store, name) != expected:
            store.objects.put(name, json.dumps(expected).encode())


def _has_been_steered(store: CampaignStore) -> bool:
    """Whether operators have said something, and changed trials perhaps, since the last session ended."""
    return store.evidence.n_at_end is not None and store.history.n_events > store.evidence.n_at_end


def _document(store: CampaignStore, name: str) -> Any:
    try:
        return json.loads(store.objects.get(name))
    except (FileNotFoundError, ValueError):
        return None


def _is_older(store: CampaignStore, column: str, history: History) -> bool:
    """Return whether a column is missing because the store was made by an earlier release."""
    if column not in LATER or store.objects.exists(metadata_name(column)):
        return False
    return not any(np.isfinite(getattr(trial, column)) for trial in history.trials)


def _value(column: str, trial: Trial) -> Any:
    """Return what a column must say of a trial."""
    if column.startswith("metric_"):
        return trial.metrics.get(column.removeprefix("metric_"), np.nan)
    if column == "state":
        return int(trial.state)
    return getattr(trial, column)


def _named(names: list[str], code: int) -> str | None:
    return names[code] if 0 <= code < len(names) else None


def _equal(found: Any, expected: Any) -> bool:
    if expected and isinstance(expected[0], str):
        return bool(list(found) == expected)
    return bool(np.array_equal(np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64), equal_nan=True))


def _batches(names: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), _BATCH):
        yield names[first : first + _BATCH]
