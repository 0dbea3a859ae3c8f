"""The application: routes behind the gate, and what has to run beside them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from ... import __version__
from ..pull.queue import PullQueue
from ..pull.routes import pull_router
from . import about_routes, campaign_routes, figure_routes, static_routes, trial_routes
from .catalogue import Catalogue
from .desk import Desk
from .drawing import themes
from .gate import Gate
from .launcher import Launcher, LocalLauncher
from .problems import ANSWERS, install
from .roles import needs_instrument
from .sessions import SessionFile
from .settings import ServerSettings
from .snapshots import Snapshots
from .studio import Studio
from .tokens import TokenFile, prepare_root

log = logging.getLogger("latentloop.service")


def make_app(root: Path, settings: ServerSettings, *, has_authentication: bool = True, launcher: Launcher | None = None) -> FastAPI:
    """Return the application of a server.

    Args:
        root: the folder that holds the campaigns.
        settings: what the server allows.
        has_authentication: False lets everybody do everything; only for loopback addresses.
        launcher: starts drivers; None starts processes of this machine.

    Raises:
        StoreError: the root cannot be made or written.
    """
    root = prepare_root(root)
    tokens = TokenFile(root) if has_authentication else None
    desk = Desk(
        settings=settings,
        catalogue=Catalogue(root, settings, launcher or LocalLauncher(root)),
        studio=Studio(),
        snapshots=Snapshots(),
        tokens=tokens,
        sessions=SessionFile(root, settings.limits.session_hours),
    )
    app = FastAPI(
        title="latentloop",
        version=__version__,
        summary="Campaigns that find the best process trajectory: start, watch, steer.",
        openapi_url=None,  # the document is behind the gate, see below
        docs_url=None,
        redoc_url=None,
        lifespan=_beside(desk),
    )
    app.state.desk = desk
    install(app)
    for routes in (about_routes, campaign_routes, trial_routes, figure_routes):
        app.include_router(routes.router)
    find = _pull_queues(desk)
    app.include_router(pull_router(find, [Depends(needs_instrument)]), prefix="/api/v1", responses=ANSWERS)
    app.include_router(static_routes.router)
    about_routes.add_document(app)

    class Standing(Gate):
        """The gate of this application, known to its desk."""

        def __init__(self, inner: ASGIApp) -> None:
            super().__init__(inner, settings, tokens, desk.sessions)
            desk.gate = self

    app.add_middleware(Standing)
    return app


def _beside(desk: Desk):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def make_themes() -> bytes:
            return await desk.studio.run(themes)

        tasks = [
            asyncio.create_task(desk.catalogue.supervise()),
            asyncio.create_task(desk.studio.kept("themes", make_themes)),  # the studio is warm before the first figure
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
            desk.catalogue.close()
            desk.studio.close()

    return lifespan


def _pull_queues(desk: Desk):  # type: ignore[no-untyped-def]
    def find(campaign: str) -> PullQueue | None:
        watch = desk.catalogue.watched().get(campaign)
        if watch is None:
            return None
        folder = watch.path / "journal" / "pull"
        is_meant = (watch.history.configuration.get("evaluator") or {}).get("name") == "pull"  # also before the first trial is offered
        return PullQueue(folder) if is_meant or folder.is_dir() else None

    return find
