"""Routes of campaigns: list, create, show, steer, delete, follow."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..messages import CampaignDetail, CampaignList, CampaignSummary, Comparison, Difference, EventPage, Said
from ..store.inbox import Command
from ..surrogate_choice import require_choice
from .actions import carry_out
from .board import follow_all, follow_one
from .desk import Campaign, Desk, TheDesk
from .drawing import compare
from .problems import ANSWERS, refuse
from .reduced import configuration_from_preset, configuration_from_reduced
from .roles import Admin, Operator, Viewer
from .stream import EventStream, last_event_id
from .views import detail_of, event_message
from .wording import without_paths

router = APIRouter(prefix="/api/v1", responses=ANSWERS, tags=["campaigns"])
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "server-sent events"}}
_MOST_COMPARED = 8

LastEventID = Annotated[str | None, Header(alias="Last-Event-ID", description="Number of the last event seen.")]
Reason = Annotated[str, Field(max_length=2000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCampaign(_Body):
    """A campaign to start: from a preset with changes, or a reduced configuration."""

    name: str = Field(min_length=1, max_length=64, description="Name of its folder.")
    preset: str | None = Field(None, max_length=100)
    overrides: dict[str, Any] = Field(default_factory=dict, description="Dotted key -> new value, with `preset`.")
    configuration: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "NewCampaign":
        if (self.preset is None) == (self.configuration is None):
            raise ValueError("give either preset or configuration")
        return self


class ReasonBody(_Body):
    """Why."""

    reason: Reason = ""


class ForkBody(_Body):
    """Where a fork begins, and what is different in it."""

    at_trial: int = Field(ge=0, le=2**31, description="The fork has the trials before this one.")
    name: str = Field(min_length=1, max_length=64)
    overrides: dict[str, Any] = Field(default_factory=dict)


class NoteBody(_Body):
    """A note."""

    text: str = Field(min_length=1, max_length=4000)


@router.get("/campaigns")
async def list_campaigns(who: Viewer, desk: TheDesk) -> CampaignList:
    """List the campaigns under the root that the caller may see."""
    return CampaignList(campaigns=await desk.catalogue.summaries(who))


@router.post("/campaigns", status_code=201)
async def create_campaign(who: Operator, body: NewCampaign, desk: TheDesk) -> CampaignSummary:
    """Start a new campaign."""
    _require_unscoped(who.campaigns)
    if body.preset is not None:
        config = configuration_from_preset(body.name, body.preset, body.overrides, desk.settings)
    else:
        config = configuration_from_reduced(body.name, body.configuration or {}, desk.settings)
    chosen = config.optimizer
    await asyncio.to_thread(require_choice, chosen.surrogate, chosen.acquisition, is_pool=config.latent.is_pool)
    return await desk.catalogue.create(body.name, config)


@router.get("/campaigns/{campaign}")
async def show_campaign(campaign: Campaign, _: Viewer, desk: TheDesk) -> CampaignDetail:
    """Return a campaign with its configuration, units, envelope, workers and queue."""
    if desk.catalogue.get_or_starting(campaign) is None:
        return CampaignDetail(**desk.catalogue.early(campaign).model_dump())
    watch = await desk.catalogue.ready(campaign)
    return detail_of(watch, await desk.snapshots.signal(watch), await desk.snapshots.limits(watch))


@router.delete("/campaigns/{campaign}", status_code=204)
async def delete_campaign(campaign: Campaign, _: Admin, desk: TheDesk, confirm: Annotated[str, Query(max_length=200)] = "") -> None:
    """Remove a campaign that nobody drives, with all its data; ``confirm`` must repeat its name."""
    if confirm != campaign:
        raise refuse(422, f"this removes {campaign!r} with all its data; confirm by ?confirm={campaign}")
    await desk.catalogue.delete(campaign)


@router.post("/campaigns/{campaign}/pause")
async def pause(campaign: Campaign, who: Operator, desk: TheDesk, body: ReasonBody | None = None) -> Said:
    """Have no new trial begun until the campaign is resumed; what is being measured is awaited."""
    return await carry_out(desk, campaign, Command("pause", who.name, reason=_reason(body)))


@router.post("/campaigns/{campaign}/resume")
async def resume(campaign: Campaign, who: Operator, desk: TheDesk, body: ReasonBody | None = None) -> Said:
    """Go on: with the driver that waits, or with a new one where there is none."""
    if await desk.catalogue.is_starting(campaign):
        return await carry_out(desk, campaign, Command("resume", who.name, reason=_reason(body)))
    watch = await desk.catalogue.ready(campaign)
    if watch.store.is_driven():
        return await carry_out(desk, campaign, Command("resume", who.name, reason=_reason(body)))
    if watch.history.is_paused:
        await carry_out(desk, campaign, Command("resume", who.name, reason=_reason(body)))
    await desk.catalogue.resume(campaign)
    return Said(message="a driver has been started")


@router.post("/campaigns/{campaign}/stop")
async def stop(campaign: Campaign, who: Operator, desk: TheDesk, body: ReasonBody | None = None) -> Said:
    """End the session after the measurements under way."""
    return await carry_out(desk, campaign, Command("stop", who.name, reason=_reason(body)))


@router.post("/campaigns/{campaign}/fork", status_code=201)
async def fork(campaign: Campaign, who: Operator, body: ForkBody, desk: TheDesk) -> CampaignSummary:
    """Make a new campaign from the trials of another one before a trial, with other settings from there on."""
    _require_unscoped(who.campaigns)
    await desk.catalogue.ready(campaign)
    return await desk.catalogue.fork(campaign, body.name, body.at_trial, body.overrides)


@router.post("/campaigns/{campaign}/notes")
async def add_note(campaign: Campaign, who: Operator, body: NoteBody, desk: TheDesk) -> Said:
    """Write something down in the campaign's journal."""
    return await carry_out(desk, campaign, Command("note", who.name, reason=body.text))


@router.get("/campaigns/{campaign}/events")
async def list_events(
    campaign: Campaign,
    _: Viewer,
    desk: TheDesk,
    after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> EventPage:
    """Return the events of the journal after a number."""
    if desk.catalogue.get_or_starting(campaign) is None:
        return EventPage(events=[])
    watch = await desk.catalogue.ready(campaign)
    return EventPage(events=[event_message(event) for event in watch.events(after, limit)])


@router.get("/campaigns/{campaign}/stream", response_class=EventStream, responses=_STREAM)
async def stream(
    campaign: Campaign,
    _: Viewer,
    desk: TheDesk,
    seen: LastEventID = None,
    after: Annotated[int | None, Query(ge=-1, le=2**31)] = None,
) -> EventStream:
    """Follow a campaign: the events of its journal as they are committed, and its summary when it changes."""
    desk.catalogue.get_or_starting(campaign)
    _require_stream(desk)
    return EventStream(_counted(desk, follow_one(desk.catalogue, campaign, last_event_id(seen, after), desk.closing)))


@router.get("/stream", response_class=EventStream, responses=_STREAM)
async def stream_all(who: Viewer, desk: TheDesk) -> EventStream:
    """Follow the summaries of all campaigns."""
    _require_stream(desk)
    return EventStream(_counted(desk, follow_all(desk.catalogue, who, desk.closing)))


@router.get("/compare")
async def compare_campaigns(who: Viewer, desk: TheDesk, campaigns: Annotated[str, Query(min_length=1, max_length=2000)]) -> Comparison:
    """Compare campaigns: best value by trial, and where their configurations differ."""
    names = list(dict.fromkeys(campaigns.split(",")))
    if len(names) > _MOST_COMPARED:
        raise refuse(422, f"up to {_MOST_COMPARED} campaigns can be compared")
    for name in names:
        if not who.sees(name):
            raise refuse(403, f"token {who.name!r} is for other campaigns")
    watches = [await desk.catalogue.ready(name) for name in names]
    traces = {
        watch.name: (watch.best_values(), watch.history.configuration["objective"]["metric"], watch.history.goal) for watch in watches
    }
    flat = {watch.name: _flat(without_paths(watch.history.configuration)) for watch in watches}
    keys = sorted({key for each in flat.values() for key in each})
    return Comparison(
        figures=await desk.studio.run(compare, traces),
        differences=[
            Difference(key=key, values={name: each.get(key) for name, each in flat.items()})
            for key in keys
            if len({repr(each.get(key)) for each in flat.values()}) > 1
        ],
    )


async def _counted(desk: Desk, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield frames, and count the stream while it is open."""
    desk.n_streams += 1
    try:
        async for frame in frames:
            yield frame
    finally:
        desk.n_streams -= 1
        await frames.aclose()  # type: ignore[attr-defined]


def _require_stream(desk: Desk) -> None:
    if desk.n_streams >= desk.settings.limits.watchers:
        raise refuse(503, f"{desk.n_streams} streams are open, this server's limit; try again later")


def _require_unscoped(campaigns: tuple[str, ...] | None) -> None:
    if campaigns is not None:
        raise refuse(403, "a token for certain campaigns makes no new ones")


def _reason(body: ReasonBody | None) -> str:
    return "" if body is None else body.reason


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Return a nested mapping by dotted keys."""
    if not isinstance(value, dict):
        return {key: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{key}.{name}" if key else name)
    return found
