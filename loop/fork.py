"""Fork: a new campaign that takes over the first trials of another, and goes on with another method.

What was measured is carried over as it stands, events and arrays; so is the latent model. The new journal's first event says whose trials
these are, and under which configuration they were proposed, so that `replay` can derive them again. What these trials *are* cannot change
in a fork (trajectories, latent model, instrument, metric): with anything of that changed they would be no observations of the new campaign.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .config import CampaignConfig, apply_override, config_from_mapping
from .environment import environment
from .errors import ConfigError, StoreError
from .preparation import require_choices
from .records import TrialState
from .store.campaign_store import CampaignStore
from .store.creation import build, require_free
from .store.history import History, fold
from .store.journal import Event, encode, name_of
from .store.layout import metadata_name
from .store.objects import LocalObjects, open_objects
from .store.reader import FORMAT, FORMAT_VERSION
from .trajectory_source import load_trajectories

_FIXED = {
    "seed": "the trajectories and the latent model follow from it",
    "trajectories": "they are what the latent model was trained on",
    "latent.model": "the trials are points of its latent space",
    "latent.box": "the trials were proposed in it",
    "latent.quantile": "the box follows from it",
    "latent.margin": "the box follows from it",
    "evaluator.name": "another instrument measures something else",
    "evaluator.parameters": "another instrument measures something else",
    "objective.metric": "the trials' values are readings of this one",
    "objective.goal": "the trials were chosen for this one",
    "prior": "its measurements were told before the first trial",
}
_BEGINNINGS = ("armed", "held", "refused")
_OF_SESSIONS = ("created", "workers", "repaired", "paused", "resumed", "stopped", "ignored")
"""Events that say something of the parent's sessions alone."""
_CHUNK_OF_TRIAL = re.compile(r"trials/([^/]+)/c/(\d+)(/|$)")


def fork_campaign(store: str | Path, at_trial: int, overrides: Iterable[str], new: str | Path) -> History:
    """Make a new campaign of the first trials of another; `open_campaign` goes on with it.

    Args:
        store: the other campaign's folder or URL; it stays as it is.
        at_trial: number of the first trial that the new campaign proposes itself.
        overrides: ``key=value`` changes of the configuration.
        new: folder or URL of the new store; must not exist.

    Returns:
        What the new journal says.

    Raises:
        ConfigError: a change that a fork cannot make.
        StoreError: there are fewer trials, one of them is being measured, or there is something at ``new``.
    """
    parent = CampaignStore.open(store)
    before = config_from_mapping(parent.history.configuration, str(store))
    changes = list(overrides)
    config = _changed(before, changes, parent.history.budget)
    n_trials = len(parent.history.trials)
    if not 0 < at_trial <= n_trials:
        raise StoreError(f"{store} has {n_trials} trials; --at-trial must be between 1 and {n_trials}")
    if config.budget.trials < at_trial:
        raise ConfigError(f"budget.trials is {config.budget.trials}, and the fork begins with {at_trial} trials; say --set trials=MORE")
    carried = list(_carried(parent, at_trial, config.budget.trials))
    if parent.is_driven():
        running = [trial.number for trial in fold([_created(parent), *_numbered(carried)]).trials if trial.state is TrialState.ARMED]
        if running:
            raise StoreError(f"trial {running[0]} of {store} is being measured; fork at trial {running[0]}, or wait for its result")
    objects = open_objects(new)
    require_free(objects)
    trajectories = parent.trajectories() or load_trajectories(before)
    require_choices(config, trajectories)
    created = {
        "configuration": config.model_dump(mode="json"),
        "environment": environment(),
        "parent": {
            "identity": parent.history.identity,
            "store": str(store) if "://" in str(store) else str(Path(store).absolute()),
            "at_trial": at_trial,
            "overrides": changes,
            "configuration": dict(parent.history.configuration),
            **({"parent": _created(parent).data["parent"]} if "parent" in _created(parent).data else {}),
        },
    }
    objects.is_durable |= created["configuration"].get("durability") == "power"

    def fill(building: Path) -> None:
        parts = LocalObjects(building)
        for event in _numbered(carried):
            parts.create(name_of(event.number), encode(event))
        for name, data in _objects(parent, at_trial, config.budget.trials):
            parts.put(name, data)

    mark = {"latentloop": {"format": FORMAT, "version": FORMAT_VERSION, "name": config.name}}
    build(objects, mark, created, len(parent.history.trials[0].z), trajectories, fill)
    made = CampaignStore.open(new)
    made.drive()
    try:
        made.project(config.budget.trials)  # with the columns of what was measured
    finally:
        made.release()
    return made.history


def _changed(before: CampaignConfig, overrides: list[str], budget: int) -> CampaignConfig:
    """Return the configuration of a fork."""
    data = before.model_dump(mode="json")
    data["budget"]["trials"] = budget
    for override in overrides:
        apply_override(data, override)
    config = config_from_mapping(data)
    old, new = before.model_dump(mode="json"), config.model_dump(mode="json")
    for key, reason in _FIXED.items():
        if _at(old, key) != _at(new, key):
            raise ConfigError(f"a fork cannot change {key}: {reason}; start a new campaign, with `--prior` to learn from this one")
    return config


def _at(data: Mapping[str, Any], key: str) -> Any:
    found: Any = data
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _created(parent: CampaignStore) -> Event:
    return next(parent.journal.read())


def _carried(parent: CampaignStore, at_trial: int, budget: int) -> Iterator[Event]:
    """Yield the events of the first trials, and those that came before the next was proposed; what became of them later comes after."""
    here = {"budget": budget}
    is_after = False
    n_trials = 0
    last: Event | None = None
    numbers: dict[int, int] = {}
    repeats: list[int] = []
    for event in CampaignStore.open(parent.path).journal.read():
        trial = event.data.get("trial")
        if event.kind in _BEGINNINGS and trial == n_trials:
            is_after = is_after or trial == at_trial
            n_trials += 1
        is_own = isinstance(trial, int) and 0 <= trial < at_trial
        is_of_sessions = event.kind in _OF_SESSIONS and "wanted" not in event.data
        if is_of_sessions or (is_after and (not is_own or event.kind == "noted")):
            continue
        last = event
        numbers[event.number] = len(numbers) + 1
        data = {key: value for key, value in event.data.items() if key != "manifest"}
        if "wanted" in data:  # the number of the event in which an operator asked for this
            data["wanted"] = numbers[data["wanted"]]
            repeats = [number for number in repeats if number != data["wanted"]]
        if event.kind == "resolved" and data["outcome"] == "repeat":
            repeats.append(numbers[event.number])
        yield Event(event.number, event.time, event.kind, {**data, **(here if event.kind == "started" else {})})
    assert last is not None
    for wanted in repeats:
        reason = "the campaign that this one was forked from repeats it itself"
        yield Event(0, last.time, "ignored", {"wanted": wanted, "who": "latentloop", "action": "resolve", "reason": reason})
    yield Event(0, last.time, "ended", {"state": "interrupted", "reason": f"forked at trial {at_trial}"})


def _numbered(events: Iterable[Event]) -> Iterator[Event]:
    """Give the carried events the numbers that follow the new campaign's first event."""
    for number, event in enumerate(events, 1):
        yield Event(number, event.time, event.kind, event.data)


def _objects(parent: CampaignStore, at_trial: int, budget: int) -> Iterator[tuple[str, bytes]]:
    """Yield the objects that the carried events refer to: latent models, kept trajectories, the trials' own arrays."""
    for folder in ("latent", "trajectories", "prior"):
        for name in parent.objects.walk(folder):
            yield name, parent.objects.get(name)
    arrays = {"trajectory", *parent.payload_names()}
    for name in parent.objects.walk("trials"):
        found = _CHUNK_OF_TRIAL.match(name)
        if found and found[1] in arrays and int(found[2]) < at_trial:
            yield name, parent.objects.get(name)
    for array in arrays - {"trajectory"}:  # the new store has the others already
        metadata = json.loads(parent.objects.get(metadata_name(array)))
        metadata["shape"][0] = budget
        yield metadata_name(array), json.dumps(metadata).encode()
