"""`latentloop verify`: is every object of a campaign's store what it was when it was written?

With ``repair`` live arrays that disagree with the journal are rebuilt from it, the metadata of the store's own groups are written anew, and
of a session whose object is damaged nothing is known any more. The campaign also loses what cannot be saved: the events from the first
damaged one on are moved to ``journal/damaged``, good ones among them too. A trial whose result was among them is measured again when its
evaluator is pure, and becomes unknown when it is physical.
"""

from dataclasses import dataclass
from pathlib import Path

from .store.campaign_store import CampaignStore
from .store.inspection import (
    damaged_epochs,
    foreign_objects,
    group_metadata,
    inspect_columns,
    inspect_epochs,
    inspect_journal,
    inspect_manifest,
    inspect_metadata,
    inspect_payload,
    write_group_metadata,
)
from .store.journal import Damage
from .store.mending import has_wrong_columns, rewrite_columns
from .store.objects import open_objects


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found."""

    n_events: int
    """Good events."""
    n_trials: int
    n_objects: int
    """Objects of the campaign, damaged ones included, foreign ones not."""
    damages: tuple[Damage, ...]
    """Every damaged object, once."""
    has_manifest: bool
    """Whether every object could be compared with its hash: the last session has ended well."""
    moved: tuple[str, ...] = ()
    """Events that a repair moved aside."""
    foreign: tuple[str, ...] = ()
    """Objects in the store that are not the campaign's; not checked, and no damage."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages


def verify(store: str | Path, repair: bool = False) -> Verification:
    """Check every object of a store.

    Args:
        store: a folder, or a URL of object storage.
        repair: give up what is damaged, as the module says, and check what is left.

    Raises:
        StoreError: there is no campaign, or, for a repair, another process drives it.
    """
    objects = open_objects(store)
    opened = CampaignStore(objects)
    if not opened.journal.n_last():
        CampaignStore.open(store)  # says what is wrong
    moved = _repair(opened) if repair else ()
    opened = CampaignStore(objects)
    damages = list(inspect_journal(opened))
    if opened.history.n_events:
        checks = (inspect_manifest, inspect_epochs, inspect_metadata, inspect_payload, inspect_columns)
        damages += [damage for check in checks for damage in check(opened)]
    foreign = foreign_objects(opened)
    once = {damage.name: damage for damage in reversed(damages)}
    return Verification(
        n_events=opened.history.n_events,
        n_trials=len(opened.history.trials),
        n_objects=len(objects.walk()) - len(foreign),
        damages=tuple(once[name] for name in sorted(once)),
        has_manifest=opened.evidence.manifest is not None,
        moved=moved,
        foreign=tuple(foreign),
    )


def _repair(store: CampaignStore) -> tuple[str, ...]:
    """Move aside what is damaged in the journal, and write the groups' metadata anew; return the names of the events moved."""
    store.journal.is_forgiving = True
    before = set(store.journal.aside())
    store.drive()
    try:
        write_group_metadata(store, group_metadata(store))
        for epoch in damaged_epochs(store):
            store.lease.renounce(epoch)
        if has_wrong_columns(store):
            rewrite_columns(store)
    finally:
        store.release()
    return tuple(sorted(set(store.journal.aside()) - before))
