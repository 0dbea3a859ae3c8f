"""The trajectories of measurements from before a campaign, in its store: ``prior/trajectory``, with their hash in the journal."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import StoreError
from ..records import FloatArray
from .campaign_store import CampaignStore


def write_earlier(store: CampaignStore, trajectories: FloatArray, facts: Mapping[str, Any]) -> None:
    """Write trajectories (n, T[, channels]), then the event ``prior`` that makes the measurements count."""
    kept = np.ascontiguousarray(trajectories, dtype=np.float64)
    group = store._root("r+").create_group("prior", overwrite=True, attributes={"source": facts["source"]})
    group.create_array("trajectory", data=kept)
    store.append("prior", {**facts, "sha256": _hash(kept)})


def read_earlier(store: CampaignStore) -> FloatArray:
    """Return the trajectories (n, T[, channels]) of the measurements that the campaign started from.

    Raises:
        StoreError: they are missing, or not those that were committed.
    """
    with store._reading("earlier trajectories") as root:
        found = np.ascontiguousarray(root["prior/trajectory"][:], dtype=np.float64)
    if _hash(found) != store.history.prior["sha256"]:
        raise StoreError(f"the earlier trajectories in {store.path} are damaged: their hash does not match the journal's")
    return found


def _hash(trajectories: FloatArray) -> str:
    return hashlib.sha256(trajectories.tobytes()).hexdigest()
