"""Server-sent events as an ASGI response that notices when its client has gone, and gives up on one that does not read.

An async generator makes the frames; it is shared by nobody, but what it yields is: bytes that were made once for all watchers.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SEND_SECONDS = 20.0
"""A watcher that takes no bytes for so long is dropped; it comes back with Last-Event-ID."""


class EventStream(Response):
    """Sends frames until they end, the client goes, or it is too slow.

    Args:
        frames: what to send, whole events each.
        status_code: FastAPI wants to know it beforehand.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes], status_code: int = 200) -> None:
        super().__init__(status_code=status_code, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the stream."""
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending, gone = asyncio.create_task(self._send_all(send)), asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        try:
            async for chunk in self._frames:
                async with asyncio.timeout(SEND_SECONDS):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # the connection is closed without an end: the client knows that it has missed something
        finally:
            close = getattr(self._frames, "aclose", None)
            if close is not None:
                await close()


async def _disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def last_event_id(header: str | None, query: int | None) -> int | None:
    """Return the number of the last event that a client has seen; None for one that starts afresh or says something else."""
    if header is not None and header.isascii() and header.isdigit() and len(header) <= 18:
        return int(header)
    return query
