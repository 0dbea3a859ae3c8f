"""After a driver has died: waiting until none of its workers can still be firing.

A worker may outlive its driver, and an instrument must not get a second trial while it carries out the first. Workers are journalled by
process, so that on this host their death can be proven. Of workers elsewhere nobody here can say; they are waited for as long as a driver
may be silent and a measurement may last together. Nor must a fork use the instrument while the campaign that it was forked from does.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from .errors import StoreError, StoreLockedError
from .process import Process
from .store.campaign_store import CampaignStore
from .store.journal import Event

LONGEST_MEASUREMENT = 600.0
"""Seconds that a measurement is taken to last at most where ``evaluator.timeout`` says nothing."""
_LOOK_SECONDS = 0.1


def await_workers(
    workers: Iterable[Mapping[str, Any]], seconds: float, say: Callable[[str], None], is_told_to_stop: Callable[[], bool]
) -> bool:
    """Wait until every worker of an earlier session is proven dead, or the time has passed in which it could still be measuring.

    Args:
        workers: their processes, as journalled.
        seconds: how long one of them may still be measuring.
        say: told whom one waits for, and until when.
        is_told_to_stop: asked while waiting.

    Returns:
        False when told to stop: then one of them may still be measuring.
    """
    this = Process.of_this()  # a session before this one in the same process has brought its own measurements to rest
    processes = [process for process in map(Process.from_mapping, workers) if process != this]
    begun = time.monotonic()
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
    said = ""
    while time.monotonic() - begun < seconds:
        left = [process for process in processes if process.is_alive() is not False]
        if not left:
            return True
        sentence = f"waiting until {until} at the latest: {left[0].sentence} may still be measuring for the session before"
        if sentence != said:
            say(sentence)
            said = sentence
        if is_told_to_stop():
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def require_idle_parents(store: CampaignStore) -> None:
    """Make sure that no campaign that this physical one was forked from is being driven.

    Raises:
        StoreLockedError: one is.
    """
    created = store.journal.event(0)
    parent = created.data.get("parent") if isinstance(created, Event) else None
    while parent is not None:
        is_driven = False
        with suppress(StoreError):  # it is somewhere else by now, or gone
            is_driven = CampaignStore.open(parent["store"]).is_driven()
        if is_driven:
            raise StoreLockedError(
                f"{store.path} was forked from {parent['store']}, which is being driven with the same instrument; wait for it, or stop it"
            )
        parent = parent.get("parent")
