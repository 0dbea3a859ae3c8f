"""Replay: derive every proposal of a campaign again from its journal, and find the first that differs.

A proposal follows from what the journal said right before it and from nothing else. So each is derived from the recorded history, not from
derived ones: differences do not add up, and any part of a campaign can be judged, running, resumed or forked. Processor type, library
versions and number of threads decide the last bits; where they are those that the session recorded, every bit must be the same, elsewhere
proposals are compared to a tolerance.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .campaign import Campaign
from .config import CampaignConfig, config_from_mapping
from .environment import environment
from .errors import StoreError
from .records import Candidate, TrajectorySet
from .restoration import restored_campaign
from .store.campaign_store import CampaignStore
from .store.history import History, number
from .store.journal import Event
from .threads import set_model_threads
from .trajectory_source import load_trajectories

TOLERANCE = 1e-9
"""Largest difference that passes where the last bits may differ, in widths of the latent box."""
_BEGINNINGS = ("armed", "held", "refused")
_SHOWN = 3

_Derived = tuple[Event, Candidate | None, Campaign | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A proposal that is not the one that the journal holds."""

    trial: int
    what: str
    """``z[1]`` or ``acquisition``."""
    recorded: str
    derived: str
    size: float
    """In widths of the latent box; infinite where it is no number."""

    @property
    def sentence(self) -> str:
        """Which, and how much."""
        size = "" if math.isinf(self.size) else f", {self.size:.3g} of the box's width"
        return f"trial {self.trial}: {self.what} is {self.recorded} in the journal and {self.derived} derived again{size}"


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it."""

    n_proposals: int
    """Proposals derived again."""
    n_others: int
    """Trials that no optimizer proposed: controls, repeats, an operator's own."""
    n_exact: int
    """Proposals that are the same to the last bit."""
    largest: float
    """Largest difference that passed, in widths of the latent box."""
    first: Difference | None
    """The first that did not pass; nothing after it was looked at."""
    other_environment: tuple[str, ...]
    """How this environment differs from a recorded one; empty where every bit had to be the same."""
    tolerance: float

    @property
    def sentence(self) -> str:
        """What a user reads."""
        if self.first is not None:
            return f"differs: {self.first.sentence}"
        if not self.other_environment:
            return f"the same: {self.n_proposals} proposals, to the last bit"
        shown = "; ".join(self.other_environment[:_SHOWN])
        return (
            f"the same to {self.tolerance:g} of the box's width: {self.n_proposals} proposals, {self.n_exact} to the last bit, "
            f"the largest difference {self.largest:.3g}; not all bits can be expected, because here are {shown}"
        )


def replay(store: str | Path, tolerance: float = TOLERANCE) -> Replay:
    """Derive all proposals of a campaign again, up to the first that differs.

    Args:
        store: the campaign's folder or URL; it may be running.
        tolerance: what passes where the recorded environment is not this one, in widths of the latent box.

    Raises:
        StoreError: there is no campaign, it is damaged, or its training trajectories have changed.
    """
    opened = CampaignStore.open(store)
    trajectories = opened.trajectories() or load_trajectories(config_from_mapping(opened.history.configuration, str(store)))
    told = {facts["trajectories_sha256"] for facts in opened.history.models.values() if "trajectories_sha256" in facts}
    if told and trajectories.digest() not in told:
        raise StoreError(f"the training trajectories of {store} are not those that its latent model was trained on; bring those back")
    n_exact = n_proposals = n_others = 0
    largest, others = 0.0, {}
    first: Difference | None = None
    for event, candidate, campaign, gaps in _derived(opened, trajectories):
        others.update(dict.fromkeys(gaps))
        if candidate is None or campaign is None:
            n_others += 1
            continue
        n_proposals += 1
        difference = _difference(event, candidate, campaign)
        if difference is None:
            n_exact += 1
        elif not gaps or difference.size > tolerance:
            first = difference
            break
        else:
            largest = max(largest, difference.size)
    return Replay(n_proposals, n_others, n_exact, largest, first, tuple(others), tolerance)


def _derived(store: CampaignStore, trajectories: TrajectorySet) -> Iterator[_Derived]:
    """Yield the events that begin a trial, each with its candidate derived again and how this environment differs from the recorded one."""
    history = History()
    configurations: list[tuple[int, CampaignConfig]] = []
    campaign: Campaign | None = None
    batch: dict[int, Candidate] = {}
    gaps: tuple[str, ...] = ("no record of the environment",)
    for event in store.journal.read():
        data = event.data
        if event.kind == "created":
            configurations = list(_configurations(data))
        elif event.kind == "started":
            gaps = _gaps(data.get("environment", {}))
            set_model_threads(int(data.get("environment", {}).get("threads", 1)))
        elif event.kind in _BEGINNINGS and data["trial"] == len(history.trials):
            trial = int(data["trial"])
            config = next(config for last, config in configurations if trial < last)
            begin, size = data.get("asked", (trial, 1))
            if data["acquisition"] not in ("initial", config.optimizer.acquisition.name):
                yield event, None, None, gaps
            else:
                if begin == trial:
                    campaign = restored_campaign(store, config, history, "pure", trajectories)
                    batch = dict(enumerate(campaign.propose(size, begin), begin))
                assert campaign is not None
                candidate = batch[trial]
                yield event, campaign.inspect(candidate) if data.get("is_projected") else candidate, campaign, gaps
        history.apply(event)


def _configurations(created: Mapping[str, Any]) -> Iterator[tuple[int, CampaignConfig]]:
    """Yield the configurations that ruled, oldest first, each with the number of the first trial that it did not rule any more."""
    parent = created.get("parent")
    if parent is not None:
        yield from ((min(last, parent["at_trial"]), config) for last, config in _configurations(parent))
    yield 1 << 62, config_from_mapping(created["configuration"])


def _gaps(recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Return how this environment differs from a recorded one."""
    if not recorded:
        return ("no record of the environment",)
    here = environment(int(recorded.get("threads", 1)))
    return tuple(f"{name} {here.get(name)} instead of {value}" for name, value in recorded.items() if here.get(name) != value)


def _difference(event: Event, candidate: Candidate, campaign: Campaign) -> Difference | None:
    """Return how a candidate differs most from the one in the journal; None where no bit does."""
    data, trial = event.data, int(event.data["trial"])
    if candidate.acquisition != data["acquisition"]:
        return Difference(trial, "acquisition", data["acquisition"], candidate.acquisition, math.inf)
    widths = campaign.box[:, 1] - campaign.box[:, 0]
    recorded = [number(value) for value in data["z"]]
    if len(recorded) != len(candidate.z):
        return Difference(trial, "the number of coordinates", str(len(recorded)), str(len(candidate.z)), math.inf)
    worst: Difference | None = None
    for axis, (old, new, width) in enumerate(zip(recorded, candidate.z.tolist(), widths.tolist(), strict=True)):
        if old != new:
            found = Difference(trial, f"z[{axis}]", repr(old), repr(new), abs(new - old) / width)
            worst = found if worst is None or found.size > worst.size else worst
    for name in ("acquisition_value", "predicted_objective", "predicted_error"):
        if worst is None and name in data:  # earlier releases journalled no prediction
            old, new = number(data[name]), float(getattr(candidate, name))
            if old != new and not (math.isnan(old) and math.isnan(new)):
                worst = Difference(trial, name.replace("_", " "), repr(old), repr(new), 0.0)
    return worst
