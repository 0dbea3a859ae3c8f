"""Routes of trials: page, show, decide, propose."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from ..errors import StoreError
from ..messages import ArrayMessage, DecodedPoint, Said, TrialDetail, TrialPage
from ..numbers import finite_list
from ..records import Trial, TrialState
from ..store.inbox import Command
from .actions import carry_out
from .belief import decode
from .desk import Campaign, Desk, Number, TheDesk
from .problems import ANSWERS, refuse
from .roles import Operator, Viewer
from .views import array_names, event_message, thinned_values, trial_json, trial_message
from .watch import CampaignWatch

router = APIRouter(prefix="/api/v1/campaigns/{campaign}", responses=ANSWERS, tags=["trials"])

Reason = Annotated[str, Field(max_length=2000)]
Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = Annotated[list[Coordinate], Field(min_length=1, max_length=64)]
Steps = list[Coordinate] | list[list[Coordinate]]
_MOST_EVENTS = 1000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReasonBody(_Body):
    """Why."""

    reason: Reason = ""


class VetoBody(_Body):
    """Why not."""

    reason: str = Field(min_length=1, max_length=2000)


class NoteBody(_Body):
    """A note."""

    text: str = Field(min_length=1, max_length=4000)


class PointBody(_Body):
    """A latent point, or a trajectory, to be measured."""

    z: Point | None = None
    trajectory: Annotated[Steps, Field(max_length=100_000)] | None = None
    reason: Reason = ""


class ResolveBody(_Body):
    """What became of an unknown trial."""

    outcome: Literal["completed", "failed", "repeat"]
    metrics: dict[Annotated[str, Field(max_length=100)], Coordinate] = Field(default_factory=dict, max_length=1000)
    errors: dict[Annotated[str, Field(max_length=100)], Coordinate] = Field(default_factory=dict, max_length=1000)
    reason: Reason = ""


class DecodeBody(_Body):
    """A latent point."""

    z: Point


@router.get("/trials")
async def list_trials(
    campaign: Campaign,
    _: Viewer,
    desk: TheDesk,
    state: Annotated[str | None, Query(max_length=20)] = None,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    newest: bool = False,
) -> TrialPage:
    """Return some of the trials, by number, the newest first where asked for."""
    if desk.catalogue.get_or_starting(campaign) is None:
        return TrialPage(total=0, trials=[])
    watch = await desk.catalogue.ready(campaign)
    trials: list[Trial] = watch.history.trials
    if state:
        words = [known.word for known in TrialState]
        if state not in words:
            raise refuse(422, f"unknown state {state!r}; known are {', '.join(words)}")
        wanted = TrialState.from_word(state)
        trials = [trial for trial in trials if trial.state is wanted]
    total = len(trials)
    stop = max(0, total - offset) if newest else min(total, offset + limit)
    start = max(0, stop - limit) if newest else min(offset, total)
    page = trials[start:stop]
    return TrialPage(total=total, trials=[trial_message(trial, watch.history) for trial in (reversed(page) if newest else page)])


@router.get("/trials/{number}")
async def show_trial(campaign: Campaign, number: Number, _: Viewer, desk: TheDesk) -> TrialDetail:
    """Return a trial with its trajectory, the shapes of its arrays and its events."""
    watch, trial = await _find(desk, campaign, number)
    signal = await desk.snapshots.signal(watch)
    trajectory, shapes = await run_in_threadpool(_payload, watch, trial)
    numbers = list(watch.events_of.get(number, ()))[-_MOST_EVENTS:]
    events = [event for each in numbers for event in watch.events(each - 1, 1)]
    return TrialDetail(
        **trial_json(trial, watch.history),
        times=[] if signal is None else finite_list(signal.times),
        trajectory=trajectory,
        arrays=shapes,
        events=[event_message(event) for event in events],
    )


@router.get("/trials/{number}/arrays/{name}")
async def show_array(
    campaign: Campaign, number: Number, name: Annotated[str, Path(max_length=100)], _: Viewer, desk: TheDesk
) -> ArrayMessage:
    """Return an array of a trial, thinned where it is too large for a page."""
    watch, trial = await _find(desk, campaign, number)
    if name not in array_names(watch):
        raise refuse(404, f"the trials of {campaign!r} have no array {name!r}; they have {', '.join(array_names(watch)) or 'none'}")
    found = await run_in_threadpool(watch.store.field, trial, name)
    if found is None or np.isnan(found).all():
        raise refuse(404, f"trial {number} has no array {name!r}")
    return ArrayMessage(name=name, shape=list(found.shape), values=await run_in_threadpool(thinned_values, np.atleast_1d(found)))


@router.post("/trials/{number}/approve")
async def approve(campaign: Campaign, number: Number, who: Operator, desk: TheDesk, body: ReasonBody | None = None) -> Said:
    """Let a held trial be measured."""
    return await carry_out(desk, campaign, Command("approve", who.name, number, "" if body is None else body.reason))


@router.post("/trials/{number}/veto")
async def veto(campaign: Campaign, number: Number, who: Operator, desk: TheDesk, body: VetoBody) -> Said:
    """Never measure a held trial."""
    return await carry_out(desk, campaign, Command("veto", who.name, number, body.reason))


@router.post("/trials/{number}/edit")
async def edit(campaign: Campaign, number: Number, who: Operator, desk: TheDesk, body: PointBody) -> Said:
    """Have another point or trajectory measured in a held trial; it stays held until it is approved."""
    return await carry_out(desk, campaign, Command("edit", who.name, number, body.reason, z=body.z, trajectory=body.trajectory))


@router.post("/trials/{number}/resolve")
async def resolve(campaign: Campaign, number: Number, who: Operator, desk: TheDesk, body: ResolveBody) -> Said:
    """Say what became of an unknown trial."""
    command = Command("resolve", who.name, number, body.reason, body.outcome, body.metrics, body.errors)
    return await carry_out(desk, campaign, command)


@router.post("/trials/{number}/accept")
async def accept(campaign: Campaign, number: Number, who: Operator, desk: TheDesk, body: ReasonBody | None = None) -> Said:
    """Learn from a quarantined trial after all."""
    return await carry_out(desk, campaign, Command("accept", who.name, number, "" if body is None else body.reason))


@router.post("/trials/{number}/note")
async def note(campaign: Campaign, number: Number, who: Operator, desk: TheDesk, body: NoteBody) -> Said:
    """Write something down about a trial."""
    return await carry_out(desk, campaign, Command("note", who.name, number, body.text))


@router.post("/proposals", status_code=202)
async def propose(campaign: Campaign, who: Operator, desk: TheDesk, body: PointBody) -> Said:
    """Have a point or a trajectory of one's own measured."""
    return await carry_out(desk, campaign, Command("propose", who.name, None, body.reason, z=body.z, trajectory=body.trajectory))


@router.post("/decode")
async def decode_point(campaign: Campaign, _: Viewer, desk: TheDesk, body: DecodeBody) -> DecodedPoint:
    """Return what a latent point decodes to, whether it may be measured, and what the surrogate expects there."""
    watch = await desk.catalogue.ready(campaign)
    snapshot = await desk.snapshots.take(watch)
    return DecodedPoint.model_validate(await desk.studio.run(decode, snapshot, body.z))


async def _find(desk: Desk, campaign: str, number: int) -> tuple[CampaignWatch, Trial]:
    watch = await desk.catalogue.ready(campaign)
    trials = watch.history.trials
    if number >= len(trials):
        raise refuse(404, f"campaign {campaign!r} has no trial {number}; it has {len(trials)}, the first is 0")
    return watch, trials[number]


def _payload(watch: CampaignWatch, trial: Trial) -> tuple[list[Any] | None, dict[str, list[int]]]:
    """Return a trial's trajectory, and the shapes of its other arrays."""
    try:
        trajectory = finite_list(watch.store.trajectory(trial))
    except StoreError:
        trajectory = None  # it may be damaged, and is said to be by `verify`; the rest of the trial can be shown
    digests = watch.store.evidence.payloads.get(trial.number, {})
    shapes: dict[str, list[int]] = {}
    for name in array_names(watch):
        if digests and name not in digests:
            continue
        try:
            found = watch.store.field(trial, name)
        except StoreError:
            continue
        if found is not None and not np.isnan(found).all():
            shapes[name] = list(found.shape)
    return trajectory, shapes
