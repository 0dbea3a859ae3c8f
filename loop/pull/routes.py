"""What an instrument asks for over HTTP: claim, start, heartbeat, result. One router, for the service and for a campaign's own server.

    POST .../campaigns/NAME/instrument/claim      {instrument, wait_seconds?}   200 {token, expires_seconds, trial, key, trajectory, times,
                                                                                units, channels, envelope}, or 204: nothing to do
    POST .../campaigns/NAME/instrument/start      {token}                       200, or 409: it must not be fired
    POST .../campaigns/NAME/instrument/heartbeat  {token}                       200 {state, stop, expires_seconds}, or 409
    POST .../campaigns/NAME/instrument/result     {token, metrics, errors?, arrays?} or {token, failure, is_unknown?}
                                                                                200, the same for the same result, or 409 for another one

What each of them means is in `queue`. A refusal is ``{"error": {"code": ..., "message": ...}}``.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.params import Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import StoreError
from .queue import PullQueue, PullRefusedError

LONGEST_WAIT = 60.0
"""Most seconds for which a claim may be kept waiting."""
_POLL_SECONDS = 0.1
_STATUS = {"not_found": 404, "forbidden": 403, "conflict": 409, "invalid": 422}

FindQueue = Callable[[str], PullQueue | None]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClaimBody(_Body):
    """Who asks, and how long it is ready to wait."""

    instrument: str = Field(min_length=1, max_length=100, description="Name of the instrument, as people will read it.")
    wait_seconds: float = Field(0.0, ge=0, le=LONGEST_WAIT, description="How long to wait for a trial before 204 is answered.")


class TokenBody(_Body):
    """A claim."""

    token: str = Field(min_length=1, max_length=250, description="As the claim answered it.")


class ResultBody(TokenBody):
    """What was measured, or why nothing was."""

    metrics: dict[str, float | None] | None = Field(None, description="Named numbers; null for one that is not a number.")
    errors: dict[str, float | None] = Field(default_factory=dict, description="Standard errors of metrics.")
    arrays: dict[str, Any] = Field(default_factory=dict, description='Named arrays, as lists or {"npy": base64 of a .npy file}.')
    failure: str | None = Field(None, min_length=1, max_length=2000, description="Why there is no measurement.")
    is_unknown: bool = Field(False, description="With failure: the instrument cannot say whether it fired.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "ResultBody":
        if (self.metrics is None) == (self.failure is None):
            raise ValueError("give either metrics or failure")
        return self


class Claimed(BaseModel):
    """A trial for an instrument."""

    token: str
    expires_seconds: float
    trial: int
    key: str
    trajectory: list[Any]
    times: list[float] | None = None
    units: dict[str, str] | None = None
    channels: list[str] | None = None
    envelope: dict[str, Any] | None = None


class Standing(BaseModel):
    """How a claim stands."""

    state: str
    stop: bool = False
    expires_seconds: float


class Accepted(BaseModel):
    """A result that was taken."""

    state: str
    trial: int
    key: str


def pull_router(find: FindQueue, authorisation: Sequence[Depends] = (), is_closing: Callable[[], bool] = lambda: False) -> APIRouter:
    """Return the routes, to be included under a prefix such as ``/api/v1``.

    Args:
        find: returns the queue of a campaign by name, None where there is no such campaign or it has no `pull` instrument.
        authorisation: dependencies that refuse whoever may not act as an instrument of the campaign in the path parameter ``campaign``.
        is_closing: whether the server is about to end, so that no claim waits any longer.
    """
    router = APIRouter(
        prefix="/campaigns/{campaign}/instrument",
        dependencies=list(authorisation),
        tags=["instruments"],
        responses={status: {"description": "refused", "content": {"application/json": {}}} for status in (401, 403, 404, 409, 422)},
    )
    name = Annotated[str, Path(max_length=200)]

    def queue_of(campaign: str) -> PullQueue:
        queue = find(campaign)
        if queue is None:
            raise PullRefusedError("not_found", f"there is no campaign {campaign!r} with an instrument that pulls its trials")
        return queue

    @router.post("/claim", response_model=Claimed, responses={204: {"description": "nothing to do"}})
    async def claim(campaign: name, body: ClaimBody) -> Response:
        """Claim the next trial; waits for one for up to ``wait_seconds``."""
        deadline = time.monotonic() + body.wait_seconds

        def attempt() -> Response | None:
            found = queue_of(campaign).claim(body.instrument)
            if found is None:
                return None
            return JSONResponse({**found.document, "token": found.token, "expires_seconds": found.expires_seconds})

        while True:
            answer = await run_in_threadpool(_answered, attempt)
            if answer is not None:
                return answer
            if time.monotonic() >= deadline or is_closing():
                return Response(status_code=204)
            await asyncio.sleep(_POLL_SECONDS)

    @router.post("/start", response_model=Standing)
    def start(campaign: name, body: TokenBody) -> Response | None:
        """Say that the trial fires now; on any answer but 200 it must not."""
        return _answered(lambda: JSONResponse(queue_of(campaign).start(body.token)))

    @router.post("/heartbeat", response_model=Standing)
    def heartbeat(campaign: name, body: TokenBody) -> Response | None:
        """Say that the instrument is alive, and hear whether it shall stop."""
        return _answered(lambda: JSONResponse(queue_of(campaign).heartbeat(body.token)))

    @router.post("/result", response_model=Accepted)
    def result(campaign: name, body: ResultBody) -> Response | None:
        """Post what was measured, or why nothing was."""
        document = body.model_dump(exclude={"token"})
        return _answered(lambda: JSONResponse(queue_of(campaign).finish(body.token, document)))

    return router


def refusal(status: int, code: str, message: str) -> JSONResponse:
    """Return an error's answer."""
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def _answered(action: Callable[[], Response | None]) -> Response | None:
    """Return what an action answers; a refusal as such."""
    try:
        return action()
    except PullRefusedError as error:
        return refusal(_STATUS[error.code], error.code, error.message)
    except StoreError as error:
        return refusal(503, "unavailable", str(error))
