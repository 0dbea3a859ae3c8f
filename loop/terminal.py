"""Consoles that may fail: what is shown must never stop what is measured.

A terminal is closed, nobody reads the pipe any more, the disk under the log is full: a campaign goes on, and its journal has everything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from rich.console import Console


class _Forgiving:
    """A stream that writes as long as it can, and then to nowhere."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Have it written."""
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self) -> None:
        """Lead the stream to nowhere, with what it still holds: the interpreter flushes it once more at its end."""
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def forgiving(*consoles: Console) -> Iterator[None]:
    """Let consoles fail to write without anybody hearing of it."""
    for console in consoles:
        console.file = _Forgiving(console.file)  # type: ignore[assignment]  # all of a stream that a console uses
    try:
        yield
    finally:
        for console in consoles:
            console._file = None  # as it was: whatever the standard stream is
