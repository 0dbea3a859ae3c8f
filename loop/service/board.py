"""The stream of all campaigns: their summaries, sent when they change; made once however many watch."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from .catalogue import Catalogue
from .tokens import Principal

_LOOK_SECONDS = 0.5
_HEARTBEAT_SECONDS = 10.0


async def follow_all(catalogue: Catalogue, who: Principal, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield frames with the summaries that somebody may see: first all of them, then each that has changed."""
    sent: dict[str, bytes] = {}
    yield b"retry: 1000\nevent: hello\ndata: {}\n\n"
    quiet_since = time.monotonic()
    while not closing.is_set():
        chunk = b""
        names = [name for name in catalogue.names() if who.sees(name)]
        for name in sorted(set(sent) - set(names)):
            del sent[name]
            chunk += b"event: removed\ndata: " + json.dumps({"name": name}).encode() + b"\n\n"
        for name in names:
            body = await catalogue.summary_json(name)
            if sent.get(name) != body:
                sent[name] = body
                chunk += b"event: summary\ndata: " + body + b"\n\n"
        if chunk:
            quiet_since = time.monotonic()
            yield chunk
        elif time.monotonic() - quiet_since > _HEARTBEAT_SECONDS:
            quiet_since = time.monotonic()
            yield b": alive\n\n"
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await closing.wait()
        except TimeoutError:
            continue
