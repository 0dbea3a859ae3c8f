"""Streams that begin before, or reach beyond, one journal: all campaigns' summaries, and a campaign that is only starting."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

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
        await _pause(closing, _LOOK_SECONDS)


async def follow_one(catalogue: Catalogue, name: str, after: int | None, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the frames of a campaign's event stream, also of one that is only starting: then from its first event on.

    Args:
        catalogue: has the campaign.
        name: of the campaign.
        after: number of the last event seen; None for those from now on.
        closing: ends the stream.
    """
    watch = catalogue.get_or_starting(name)
    if watch is None:
        hello = {"campaign": name, "last_event": -1, "summary": json.loads(await catalogue.summary_json(name))}
        yield b"retry: 1000\nevent: hello\ndata: " + json.dumps(hello).encode() + b"\n\n"
        sent, after = b"", -1 if after is None else after
        while name not in catalogue.watched() and not closing.is_set() and name in catalogue.names():
            body = await catalogue.summary_json(name)
            if body != sent:
                sent = body
                yield b"event: summary\ndata: " + body + b"\n\n"
            await _pause(closing, _LOOK_SECONDS)
        yield b": it has a folder\n\n"
        watch = catalogue.watched().get(name)
    if watch is not None and not closing.is_set():
        async for frame in watch.follow(after, closing):
            yield frame


async def _pause(closing: asyncio.Event, seconds: float) -> None:
    """Wait a while, or until the server stops."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closing.wait()
