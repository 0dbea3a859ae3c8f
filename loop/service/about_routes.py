"""Routes about the server itself: health, who asks, what a new campaign may be made of."""

import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from ... import __version__
from ..config.loading import load_config, preset_names
from ..errors import ConfigError
from ..messages import Choices, LoggedIn, Me, PresetMessage, PreviewMessage, Version
from ..registry import ACQUISITIONS, FAMILIES, LATENT_MODELS, SURROGATES
from .belief import preview
from .desk import Desk, TheDesk
from .metrics import exposition
from .problems import ANSWERS, refuse
from .reduced import SECTIONS, checked_source, reduced_preset
from .roles import Anyone, Viewer
from .schema import reduced_schema
from .sessions import COOKIE
from .tokens import Principal

router = APIRouter(responses=ANSWERS, tags=["server"])


class LoginBody(BaseModel):
    """A token, to be changed for a cookie."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=200)


class PreviewBody(BaseModel):
    """The trajectories' section of a configuration."""

    model_config = ConfigDict(extra="forbid")

    trajectories: dict[str, Any]


@router.get("/healthz", response_class=PlainTextResponse)
async def health() -> str:
    """Say that the server lives."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse)
async def readiness(desk: TheDesk) -> str:
    """Say whether the server takes requests: it can read its root, and is not stopping."""
    if desk.closing.is_set():
        raise refuse(503, "the server is stopping")
    desk.catalogue.scan(now=True)
    return "ready"


@router.get("/api/v1/version")
async def version(_: Anyone) -> Version:
    """Return the server's release."""
    return Version(version=__version__)


@router.get("/api/v1/login")
async def logged_in(request: Request, desk: TheDesk) -> LoggedIn:
    """Say who is logged in, to anybody: null for nobody. A page asks this first, where `/api/v1/me` would refuse."""
    who: Principal | None = request.state.principal
    return LoggedIn(me=None if who is None else _me(who, desk))


@router.post("/api/v1/login", status_code=204)
async def login(body: LoginBody, request: Request, desk: TheDesk) -> Response:
    """Change a token for a cookie that scripts cannot read and other sites cannot use."""
    response = Response(status_code=204)
    if desk.tokens is None:
        return response
    token = desk.tokens.check(body.token.strip())
    if token is None:
        desk.gate.note_failed_login(request.state.address)
        raise refuse(401, "the token is wrong, revoked or expired; ask whoever runs this server for a new one")
    response.set_cookie(
        COOKIE,
        desk.sessions.open(token.id),
        max_age=int(desk.sessions.seconds),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/api/v1/logout", status_code=204)
async def logout(_: Anyone, request: Request, desk: TheDesk) -> Response:
    """End the browser's session."""
    session = request.cookies.get(COOKIE)
    if session:
        desk.sessions.close(session)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.get("/api/v1/me")
async def me(who: Anyone, desk: TheDesk) -> Me:
    """Say who asks, and what that one may do."""
    return _me(who, desk)


def _me(who: Principal, desk: Desk) -> Me:
    campaigns = None if who.campaigns is None else list(who.campaigns)
    return Me(name=who.name, role=who.role, campaigns=campaigns, authentication=desk.tokens is not None)


@router.get("/api/v1/presets")
async def presets(_: Viewer, desk: TheDesk) -> list[PresetMessage]:
    """List the campaigns to start from that this server can measure."""
    found = []
    for name in preset_names():
        if name in desk.settings.presets:
            try:
                reduced = reduced_preset(name, desk.settings)
            except ConfigError:
                continue  # its evaluator is not for requests here
            full = load_config(name).model_dump(mode="json")
            executor = {key: value for key, value in full["executor"].items() if key in ("name", "workers", "threads_per_worker", "batch")}
            full = {key: full[key] for key in SECTIONS if key in full}
            shown = {**full, "evaluator": {**full["evaluator"], **reduced["evaluator"]}, "executor": executor}
            found.append(PresetMessage(name=name, description=full["description"], configuration=shown))
    return found


@router.get("/api/v1/schema")
async def schema(_: Viewer, desk: TheDesk) -> dict[str, Any]:
    """Return the JSON Schema of the configurations that requests may bring."""
    return reduced_schema(desk.settings)


@router.get("/api/v1/choices")
async def choices(_: Viewer, desk: TheDesk) -> Choices:
    """List the names that a new campaign may use here."""
    return Choices(
        families=sorted(FAMILIES.built_in),
        latent_models=sorted(LATENT_MODELS.built_in),
        surrogates=sorted(SURROGATES.built_in),
        acquisitions=sorted(ACQUISITIONS.built_in),
        evaluators=sorted(desk.settings.evaluators),
        executors=["local", "ray"],
        files=sorted(desk.settings.files),
    )


@router.post("/api/v1/preview")
async def show_preview(who: Viewer, body: PreviewBody, desk: TheDesk) -> PreviewMessage:
    """Show a few trajectories of a family, or of a file to those who may start campaigns from it."""
    section = checked_source(body.trajectories, desk.settings)
    if section.get("file") is not None and (not who.may("operator") or who.campaigns is not None):
        raise refuse(403, "the server's files are shown to those who may start campaigns from them: operators of all campaigns")
    return PreviewMessage.model_validate(await desk.studio.run(preview, section, patience=15.0))


@router.get("/metrics", response_class=PlainTextResponse, responses={200: {"content": {"text/plain": {}}}})
async def metrics(who: Viewer, desk: TheDesk) -> Response:
    """Return the campaigns' figures for Prometheus."""
    watches = [watch for name, watch in desk.catalogue.watched().items() if who.sees(name)]
    for watch in watches:
        await watch.ready(1.0)
    text, kind = exposition(watches, desk.n_streams, time.time())
    return Response(text, media_type=kind)


def add_document(app: FastAPI) -> None:
    """Add the route of the OpenAPI document, for those who may look."""

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def document(_: Viewer) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return app.openapi()
