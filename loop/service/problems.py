"""Errors on their way to whoever asked: an HTTP status and ``{"error": {"code", "message"}}``, whatever went wrong."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ...models.errors import ModelError
from ...simulators.errors import SimulatorError
from ..errors import LatentloopError, StoreError, StoreLockedError
from ..messages import ErrorAnswer
from .wording import for_others

log = logging.getLogger("latentloop.service")

_CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "not_allowed",
    408: "too_slow",
    409: "conflict",
    410: "gone",
    413: "too_large",
    415: "invalid",
    421: "misdirected",
    422: "invalid",
    429: "too_many",
    503: "unavailable",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": _CODES[status].replace("_", " ")}
    for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
}
"""What every route may answer besides its own, for the OpenAPI document."""


def problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as an answer."""
    body = {"error": {"code": _CODES.get(status, "error"), "message": for_others(message)}}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def refuse(status: int, message: str) -> HTTPException:
    """Return an error to raise from a route."""
    return HTTPException(status, message)


def install(app: FastAPI) -> None:
    """Make an application answer all errors in the same way."""

    async def said(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, str(error.detail), error.headers)

    async def unreadable(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        complaints = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()[:8]]
        return problem(422, "; ".join(complaints))

    async def mendable(request: Request, error: Exception) -> JSONResponse:
        log.info("%s %s: %s", request.method, request.url.path, error)  # whole, with its paths
        if isinstance(error, (StoreLockedError, StoreError)):
            return problem(409, str(error))
        return problem(422, str(error))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "the server failed at this; its log says why")

    app.add_exception_handler(HTTPException, said)
    app.add_exception_handler(RequestValidationError, unreadable)
    for kind in (LatentloopError, ModelError, SimulatorError):
        app.add_exception_handler(kind, mendable)
    app.add_exception_handler(Exception, unexpected)
