"""Writes the live arrays of a campaign that has ended anew, where they do not say what the journal says.

A driver that slept for the whole rest of a campaign may wake between asking whether it was taken over and writing. What it puts into the
columns then is nobody's: the journal has all their numbers, and its last event is written once more, for the manifest that fits.
"""

from .campaign_store import CampaignStore
from .evidence import read_manifest
from .inspection import inspect_columns
from .layout import GROUP
from .objects import digest


def has_wrong_columns(store: CampaignStore) -> bool:
    """Return whether the live arrays of a campaign whose last session ended well disagree with its journal."""
    return any(True for _ in inspect_columns(store))


def rewrite_columns(store: CampaignStore) -> None:
    """Rebuild the live arrays from the journal; for the driver, between two sessions."""
    history, evidence = store.history, store.evidence
    known = None if evidence.manifest is None else read_manifest(store.objects, evidence.manifest)
    store.objects.digests = dict(known or {})
    store.project(history.budget)
    store.settle()
    for name in store.objects.walk(GROUP):
        if name.endswith("zarr.json"):  # the words that columns stand for may have come in another order
            found = store.objects.get(name)
            if store.objects.digests.get(name) != digest(found):
                store.objects.put(name, found)
    if evidence.manifest is not None:
        store.end(history.last_session, history.reason)
