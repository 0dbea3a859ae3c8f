"""Routes of figures and downloads."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from ..messages import FigureEntry, FigureList
from .desk import Campaign, TheDesk
from .downloads import csv_lines, zip_chunks
from .drawing import draw, report
from .problems import ANSWERS, refuse
from .roles import Viewer
from .snapshots import newest_completed
from .views import array_names
from .watch import CampaignWatch

router = APIRouter(prefix="/api/v1/campaigns/{campaign}", responses=ANSWERS, tags=["figures and downloads"])
_PLOTLY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "a figure of Plotly",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["data", "layout"],
                    "properties": {"data": {"type": "array"}, "layout": {"type": "object"}},
                }
            }
        },
    }
}
TITLES = {
    "incumbent_trace": "Objective by trial",
    "latent_space": "Latent space",
    "trajectories": "Best trajectory",
    "polarization": "Polarization and its curl",
    "latent_grid": "Decoded trajectories across the latent space",
    "training_curve": "Training of the latent model",
    "calibration": "Calibration of the surrogate",
    "length_scales": "Length scales over the campaign",
    "acquisition_surface": "Where to measure next",
    "dimensions": "Latent dimensions",
    "drift": "Drift of the control trials",
}
_PER_TRIAL = frozenset({"polarization"})
_OF_THE_METHOD = frozenset({"calibration", "length_scales", "acquisition_surface", "dimensions"})
"""Figures that take up to some seconds and change slowly: made anew for every twentieth of the measurements."""
_OF_A_MODEL = frozenset({"latent_space", "latent_grid", "training_curve", *_OF_THE_METHOD})


@router.get("/figures")
async def list_figures(campaign: Campaign, _: Viewer, desk: TheDesk) -> FigureList:
    """List the figures that a campaign has."""
    watch = await desk.catalogue.ready(campaign)
    return FigureList(figures=[FigureEntry(name=name, title=TITLES[name], per_trial=name in _PER_TRIAL) for name in _names(watch)])


@router.get("/figures/{name}", response_class=Response, responses=_PLOTLY)
async def show_figure(
    campaign: Campaign,
    name: Annotated[str, Path(max_length=40)],
    _: Viewer,
    desk: TheDesk,
    trial: Annotated[int | None, Query(ge=0, le=2**31)] = None,
    theme: Literal["light", "dark"] | None = None,  # noqa: ARG001 - figures come in a neutral template, which pages replace
) -> Response:
    """Return a figure as Plotly's JSON; ``layout.meta`` says how it wants to be shaped."""
    watch = await desk.catalogue.ready(campaign)
    if name not in _names(watch):
        raise refuse(404, f"campaign {campaign!r} has no figure {name!r}; it has {', '.join(_names(watch))}")
    history = watch.history
    if name in _PER_TRIAL:
        trial = newest_completed(history) if trial is None else trial
        if trial is None or trial >= len(history.trials):
            raise refuse(404, f"campaign {campaign!r} has no such trial to draw")
        if history.trials[trial].state.word not in ("completed", "quarantined", "failed"):
            raise refuse(409, f"trial {trial} is {history.trials[trial].state.word}: there is no {name} of it")
    marks = tuple(sorted(history.counts().items()))
    if name in _OF_THE_METHOD:
        marks = (("told", _mark(len(history.told))),)
    state = (trial, history.n_events if name == "latent_space" else marks) if name in _PER_TRIAL or name == "latent_space" else marks
    key = (history.identity, name, max(history.models, default=-1), state)

    async def make() -> bytes:
        return await desk.studio.run(draw, await desk.snapshots.take(watch, trial), name, trial)

    return Response(await desk.studio.kept(key, make), media_type="application/json")


@router.get("/download/trials.csv", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
async def download_csv(campaign: Campaign, _: Viewer, desk: TheDesk) -> StreamingResponse:
    """Download the trials as a table."""
    watch = await desk.catalogue.ready(campaign)
    return _attachment(iterate_in_threadpool(csv_lines(watch.history)), f"{watch.name}-trials.csv", "text/csv; charset=utf-8")


@router.get("/download/store.zip", response_class=StreamingResponse, responses={200: {"content": {"application/zip": {}}}})
async def download_zip(campaign: Campaign, _: Viewer, desk: TheDesk) -> StreamingResponse:
    """Download the whole store, journal, arrays and models, as one archive that opens as a Zarr group."""
    watch = await desk.catalogue.ready(campaign)
    return _attachment(_streamed(zip_chunks(watch.path, watch.name)), f"{watch.name}.zip", "application/zip")


@router.get("/download/report.html", response_class=Response, responses={200: {"content": {"text/html": {}}}})
async def download_report(campaign: Campaign, _: Viewer, desk: TheDesk) -> Response:
    """Download the report: one page with figures, configuration and trials."""
    watch = await desk.catalogue.ready(campaign)
    page = await desk.studio.run(report, watch.path, patience=300.0)
    return Response(page, media_type="text/html; charset=utf-8", headers=_as_file(f"{watch.name}.html"))


def _mark(n: int) -> int:
    """Return a number that changes whenever ``n`` has grown by a twentieth; ``n`` itself up to 20."""
    return n if n <= 20 else 20 + int(np.log(n / 20) / np.log(1.05))


async def _streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in iterate_in_threadpool(chunks):
        yield chunk


def _attachment(body: AsyncIterator[Any], name: str, kind: str) -> StreamingResponse:
    return StreamingResponse(body, media_type=kind, headers=_as_file(name))


def _as_file(name: str) -> dict[str, str]:
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
    return {"Content-Disposition": f'attachment; filename="{plain}"'}


def _names(watch: CampaignWatch) -> list[str]:
    """Return the figures that a campaign has now."""
    history = watch.history
    absent: set[str] = set()
    if not history.models:
        absent |= _OF_A_MODEL
    elif history.models[max(history.models)].get("final_loss") is None:
        absent.add("training_curve")
    if history.configuration["trajectories"].get("box") is not None:
        absent |= {"latent_grid", "trajectories", "dimensions"}
    if history.configuration["latent"]["model"]["name"] == "pool":
        absent |= {"dimensions", "length_scales", "acquisition_surface"}
    if history.configuration["objective"].get("control") is None:
        absent.add("drift")
    if "polarization" not in array_names(watch):
        absent.add("polarization")
    return [name for name in TITLES if name not in absent]
