"""What the journal says of the store's other objects: digests of payload, the manifest, what was moved aside.

An event carries the digest of each array that was written before it, so that a chunk that belongs to another trial, or an array whose
metadata were altered, is told from the right one. A campaign that has ended names the hash of its manifest in its last event, and the
manifest the hash of every object.
"""

import json
from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np

from ..records import FloatArray
from .journal import FOLDER, Event
from .objects import Objects, digest

MANIFEST = f"{FOLDER}/manifest.json"
_LIVE = (f"{FOLDER}/epoch/", f"{FOLDER}/inbox/", f"{FOLDER}/lock", MANIFEST)
"""Objects that come and go without an event; they hold nothing of the campaign's."""


class Evidence:
    """Folds the events, beside the `History`, for what they say of objects."""

    def __init__(self) -> None:
        self.payloads: dict[int, dict[str, str]] = {}
        """Digest of each array of a trial, by the trial's number and the array's name."""
        self.times: str | None = None
        """Digest of the times of a trajectory's steps."""
        self.manifest: str | None = None
        """Hash of the manifest of the last session; None while one is open, or where it left none."""
        self.n_at_end: int | None = None
        """Number of events when the last session had ended; None while one is open."""
        self.is_contested = False
        """Whether a session began while the one before had not ended: its driver may have slept, and wake."""
        self._is_open = False
        self.aside: set[str] = set()
        """Events that were moved aside, and said to be."""
        self.doubtful: list[int] = []
        """Trials that may have been armed by events that are lost: their trajectory is there, no event tells of them."""

    def apply(self, event: Event) -> None:
        """Take one more event into account."""
        data = event.data
        if "payload" in data:
            self.payloads.setdefault(data["trial"], {}).update(data["payload"])
        match event.kind:
            case "created":
                self.times = data.get("times")
            case "started":
                self.is_contested, self._is_open = self.is_contested or self._is_open, True
                self.manifest = self.n_at_end = None
            case "ended":
                self._is_open = False
                self.manifest, self.n_at_end = data.get("manifest"), event.number + 1
            case "repaired":
                self.aside.update(data["aside"])
                self.doubtful = list(data["doubtful"])
                self.manifest = self.n_at_end = None
            case _ if data.get("trial") in self.doubtful:
                self.doubtful.remove(data["trial"])


def array_digest(values: FloatArray) -> str:
    """Return the CRC-32C of an array's bytes (float64, little-endian, C order), eight hexadecimal digits."""
    return f"{google_crc32c.value(np.ascontiguousarray(values, dtype='<f8').data.cast('B').tobytes()):08x}"


def is_lasting(name: str) -> bool:
    """Return whether an object belongs into the manifest."""
    return not name.startswith(_LIVE)


def write_manifest(objects: Objects) -> str:
    """Write the hash of every object, and return the manifest's own.

    What this session wrote, and what the last manifest knew, is not read again: that hash is of what was meant.
    """
    known = objects.digests or {}
    hashes = {}
    for name in objects.walk():
        if is_lasting(name):
            hashes[name] = known.get(name) or digest(objects.get(name))
    raw = json.dumps({"sha256": hashes}, separators=(",", ":")).encode()
    objects.put(MANIFEST, raw)
    return digest(raw)


def read_manifest(objects: Objects, expected: str) -> Mapping[str, str] | None:
    """Return the hash of every object by its name, or None when the manifest is missing or not the one that the journal names."""
    try:
        raw = objects.get(MANIFEST)
    except FileNotFoundError:
        return None
    if digest(raw) != expected:
        return None
    found: Any = json.loads(raw)["sha256"]
    return dict(found)
