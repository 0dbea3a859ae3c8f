"""The page's files, which are open to everybody: they hold nothing of any campaign."""

import gzip
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from .desk import TheDesk
from .drawing import themes
from .problems import refuse

router = APIRouter(include_in_schema=False)

FOLDER = FilePath(__file__).resolve().parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
_FRESH = {"Cache-Control": "no-cache"}
_LONG = {"Cache-Control": "public, max-age=86400"}
"""Plotly's bundle changes with a release of Plotly only; its ETag tells."""

Encodings = Annotated[str, Header(alias="Accept-Encoding")]
Match = Annotated[str, Header(alias="If-None-Match")]


@router.get("/")
@router.get("/login")
async def page() -> Response:
    """Return the page."""
    return _file("index.html")


@router.get("/favicon.ico")
async def icon() -> Response:
    """Return the page's icon."""
    return _file("icon.svg")


@router.get("/static/plotly.js")
async def plotly(accept: Encodings = "", match: Match = "") -> Response:
    """Return Plotly's bundle, from the plotly package."""
    packed, mark = await run_in_threadpool(_bundle)
    headers = {**_LONG, "ETag": mark, "Vary": "Accept-Encoding"}
    if mark in match:
        return Response(status_code=304, headers=headers)
    if "gzip" in accept:
        return Response(packed, media_type=_KINDS[".js"], headers={**headers, "Content-Encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type=_KINDS[".js"], headers=headers)


@router.get("/static/themes.json")
async def show_themes(desk: TheDesk) -> Response:
    """Return the templates of figures for light and dark pages."""

    async def make() -> bytes:
        return await desk.studio.run(themes)

    return Response(await desk.studio.kept("themes", make), media_type="application/json", headers=_FRESH)


@router.get("/static/{path:path}")
async def static(path: Annotated[str, Path(max_length=200)]) -> Response:
    """Return a file of the page."""
    return _file(path)


def _file(path: str) -> Response:
    """Return a file by its name among the files that are there; no path is made of what was asked for."""
    found = _files().get(path)
    if found is None or not found.is_file():
        raise refuse(404, f"there is no file {path[:80]!r}")
    return FileResponse(found, media_type=_KINDS[found.suffix], headers=_FRESH)


def _files() -> dict[str, FilePath]:
    return {entry.relative_to(FOLDER).as_posix(): entry for entry in FOLDER.rglob("*") if entry.suffix in _KINDS}


@cache
def _bundle() -> tuple[bytes, str]:
    """Return Plotly's bundle, packed, and its mark; Plotly itself is not imported for that."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise refuse(503, "the plotly package is not installed; install latentloop with its dependencies")
    raw = (FilePath(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return gzip.compress(raw, 6, mtime=0), f'"{hashlib.sha256(raw).hexdigest()[:32]}"'
