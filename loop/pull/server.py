"""The server that a campaign starts itself, so that instruments can pull trials from `latentloop run` alone, without the service.

It has the routes of `pull.routes` under the same paths as the service, for its one campaign and one token, and ``GET /api/v1/me``, which
tells a client the campaign's name.
"""

import hashlib
import hmac
import http.client
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from threading import Thread
from time import monotonic, sleep
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ConfigError, EvaluatorError
from .queue import PullQueue
from .routes import pull_router, refusal

LARGEST_BODY = 256 * 2**20
"""Bytes of the largest result that is taken."""
_START_SECONDS = 10.0
_TOKEN_BYTES = 24


class PullServer:
    """Serves one queue until it is closed.

    Args:
        queue: what it serves.
        campaign: the campaign's name in the paths.
        listen: ``host:port``; port 0 for any that is free.
        token: what instruments must show.

    Raises:
        EvaluatorError: the address cannot be listened at.
    """

    def __init__(self, queue: PullQueue, campaign: str, listen: str, token: str) -> None:
        host, port = address(listen)
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            raise EvaluatorError(
                f"cannot listen at {listen}: {error.strerror or error}; choose another evaluator.parameters.listen"
            ) from error
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        application = _application(queue, campaign, token, lambda: self._server.should_exit)
        self._server = uvicorn.Server(
            uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="off")
        )
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="pull server", daemon=True)
        self._thread.start()
        deadline = monotonic() + _START_SECONDS
        while not self._server.started:
            if monotonic() > deadline or not self._thread.is_alive():
                self.close()
                raise EvaluatorError(f"the server at {listen} did not start within {_START_SECONDS:g} s")
            sleep(0.01)

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(_START_SECONDS)
        self._socket.close()


def address(listen: str) -> tuple[str, int]:
    """Return host and port of ``host:port``.

    Raises:
        ValueError: it does not read so.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"listen must read host:port, for example 127.0.0.1:8766, not {listen!r}")
    return host.strip("[]"), int(port)


def is_served(listen: str, campaign: str, token: str) -> bool:
    """Whether a server for this campaign listens there already."""
    host, port = address(listen)
    connection = http.client.HTTPConnection(host, port, timeout=_START_SECONDS)
    try:
        connection.request("GET", "/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        return bool(json.loads(connection.getresponse().read()).get("campaigns") == [campaign])
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def token_from(variable: str, file: Path) -> str:
    """Return the token that instruments must show: from an environment variable, or from a file that is made where it is absent.

    Raises:
        ConfigError: the variable is empty, or the file cannot be read or made.
    """
    if variable:
        found = os.environ.get(variable, "").strip()
        if not found:
            raise ConfigError(f"evaluator.parameters.token_variable: the environment variable {variable} is not set")
        return found
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # nobody else may read it
    except FileExistsError:  # the usual case: made before
        pass
    except OSError as error:
        raise ConfigError(f"cannot make the token file {file}: {error.strerror}; set evaluator.parameters.token_file") from error
    else:
        with os.fdopen(descriptor, "w") as made:
            made.write(f"{token_urlsafe(_TOKEN_BYTES)}\n")
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the token file {file}: {error}") from error
    if not found:
        raise ConfigError(f"the token file {file} is empty; remove it, and a new one is made")
    return found


def _application(queue: PullQueue, campaign: str, token: str, is_closing: Callable[[], bool]) -> ASGIApp:
    wanted = hashlib.sha256(token.encode()).digest()

    def authorise(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(hashlib.sha256(given.strip().encode()).digest(), wanted):
            raise HTTPException(401, "this token is not the campaign's; send Authorization: Bearer with the one in its token file")

    application = FastAPI(title="latentloop: one campaign's instruments", docs_url=None, redoc_url=None)
    application.include_router(pull_router({campaign: queue}.get, [Depends(authorise)], is_closing), prefix="/api/v1")

    @application.get("/api/v1/me", dependencies=[Depends(authorise)])
    def me() -> dict[str, Any]:
        return {"name": "instrument", "role": "instrument", "campaigns": [campaign], "authentication": True}

    @application.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:  # noqa: ARG001 - the signature that FastAPI wants
        return refusal(error.status_code, "unauthorized" if error.status_code == 401 else "not_found", str(error.detail))

    @application.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:  # noqa: ARG001 - see above
        sentences = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()[:3]]
        return refusal(422, "invalid", "; ".join(sentences))

    return _limited(application)


def _limited(application: ASGIApp) -> ASGIApp:
    """Return the application behind a limit on the size of bodies, however they are sent."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY:
                raise HTTPException(413, f"the result is larger than {LARGEST_BODY} bytes")
            return message

        await application(scope, counted, send)

    return limited
