"""A process beside the server that computes what takes long or needs much memory: figures, decoded points, reports.

The server itself loads neither torch nor Plotly, and no figure holds up an event. The process starts with the first figure, ends with the
server however that ends, and is replaced when it dies or takes too long. The same figure asked for by many is made once.
"""

import asyncio
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from starlette.exceptions import HTTPException

from ..threads import limit_threads

log = logging.getLogger("latentloop.service")
Made = TypeVar("Made")

_PATIENCE = 60.0
"""Seconds after which a figure is given up."""
_KEPT_BYTES = 24_000_000
_PARENT_SECONDS = 1.0


class Studio:
    """Runs functions in a process of its own and keeps what they made."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[bytes]] = {}
        self._is_closed = False

    async def run(self, function: Callable[..., Made], *arguments: Any, patience: float = _PATIENCE) -> Made:
        """Return what a function returns that runs in the studio.

        Raises:
            HTTPException: the studio died, or took too long.
        """
        pool = self._start()
        try:
            async with asyncio.timeout(patience):
                return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        except TimeoutError as error:
            self._replace(pool)
            raise HTTPException(503, f"this took longer than {patience:g} s and was given up") from error
        except BrokenExecutor as error:
            self._replace(pool)
            said = "the server is stopping" if self._is_closed else "the process that makes figures has died; it is started anew, try again"
            raise HTTPException(503, said) from error

    async def kept(self, key: Hashable, make: Callable[[], Any]) -> bytes:
        """Return what was made under a key, or make it; those who ask meanwhile wait for the same.

        Args:
            key: says what it is and of which state; a new state is a new key.
            make: returns an awaitable of the bytes.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._making:
            made: asyncio.Future[bytes] = asyncio.ensure_future(make())
            self._making[key] = made
            made.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(self._making[key])

    def close(self) -> None:
        """End the process at once and make nothing more: whoever waits is refused.

        It holds nothing that has to be brought to an end (what it writes to a store survives a kill at any point), and its interpreter
        would take seconds to let go of torch.
        """
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            _kill(pool)
            pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        if self._is_closed:
            raise HTTPException(503, "the server is stopping")
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_settle_in, initargs=(os.getpid(),))
        return self._pool

    def _replace(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is not pool:
            return
        self._pool = None
        _kill(pool)
        pool.shutdown(wait=False, cancel_futures=True)

    def _keep(self, key: Hashable, done: "asyncio.Future[bytes]") -> None:
        self._making.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[key] = done.result()
        size = sum(map(len, self._kept.values()))
        while size > _KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            size -= len(oldest)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()  # it may be deep in a computation that looks at nothing else


def _settle_in(server: int) -> None:
    """Prepare the studio's process: one thread, and an end when the server ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the server, which ends this process
    limit_threads(1)

    def watch() -> None:
        while os.getppid() == server:
            time.sleep(_PARENT_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
