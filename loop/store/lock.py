"""The lock of a store's driver on this host: the system frees it when the process ends, however it ends.

Between hosts a lock of the file system proves nothing (some network file systems grant it to each of them), so each host has a file of its
own, and the lease decides between hosts.
"""

import time
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import StoreError, StoreLockedError
from ..process import Process, host_name

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 5
_PAUSE = 0.05  # seconds between attempts at the lock


class Lock:
    """The right to drive a campaign from this host: held by one process, freed by the system when that process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    @classmethod
    def of(cls, store: Path) -> "Lock":
        """Return the lock of this host's driver of a store."""
        return cls(store / "journal" / f".lock.{host_name()}")

    def take(self) -> "Lock":
        """Take the lock, unless this object holds it already.

        Raises:
            StoreLockedError: another process holds it; the message says which, where and since when.
        """
        if self._file is not None:
            return self
        try:
            file = self.path.open("a+")
        except OSError as error:
            raise StoreError(f"cannot open {self.path} for writing: {error.strerror}") from error
        if fcntl is not None:
            for attempt in range(_ATTEMPTS):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if attempt + 1 < _ATTEMPTS:  # someone who only asks for the status holds it for an instant
                        time.sleep(_PAUSE)
                        continue
                    file.seek(0)
                    owner = file.read().strip() or "another process"
                    file.close()
                    campaign = self.path.parent.parent
                    raise StoreLockedError(f"{campaign} is being driven by {owner}; stop that one first, or wait for it") from error
        file.truncate(0)
        file.write(f"{Process.of_this().sentence}\n")
        file.flush()
        self._file = file
        return self

    def is_held(self) -> bool:
        """Return whether a process (this one or another) holds the lock now."""
        if self._file is not None:
            return True
        if fcntl is None or not self.path.exists():
            return False
        try:
            file = self.path.open()
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "Lock":
        return self.take()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
