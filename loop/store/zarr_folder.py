"""A campaign's folder as a Zarr store: Zarr reads as it always does, and writes through the same few verbs as the journal.

Zarr's own folder store replaces a chunk in one step, but never asks the disk to confirm it, and knows no fault points. So every write is
`LocalObjects.put`. The columns that the journal can rebuild need no confirmation of the disk, and asking for it ten times a second would
cost more than all the rest: whoever writes them lists their arrays in `loose`.
"""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

if TYPE_CHECKING:
    from .objects import LocalObjects


class ZarrFolder(LocalStore):
    """The objects of one folder, for Zarr.

    Args:
        objects: the folder.
        is_read_only: whether Zarr may write.
    """

    def __init__(self, objects: "LocalObjects", *, is_read_only: bool = False) -> None:
        assert objects.folder is not None
        super().__init__(objects.folder, read_only=is_read_only)
        self.objects = objects
        self.loose: set[str] = set()
        """Names of arrays (``trials/state``) whose chunks need not survive a loss of power."""

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return the same folder, writable or not."""
        other = type(self)(self.objects, is_read_only=read_only)
        other.loose = self.loose
        return other

    async def _open(self, *, mode: Any = None) -> None:  # noqa: ARG002 - Zarr's signature
        """Look whether the folder is there; unlike Zarr's own store, never make it: a campaign that was deleted stays deleted."""
        if not self.root.exists():
            raise FileNotFoundError(2, "the folder of the campaign is gone", str(self.root))
        self._is_open = True

    def _ensure_open_sync(self) -> None:
        self._is_open = True

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a chunk or metadata."""
        self._check_writable()
        self._write(key, value, is_new=False)

    async def _set(self, key: str, value: Buffer, exclusive: bool = False) -> None:
        """Write a chunk or metadata; here, and not in a thread of its own, which would take longer than the write."""
        self._check_writable()
        self._write(key, value, is_new=exclusive)

    def _write(self, key: str, value: Buffer, is_new: bool) -> None:
        is_durable = self.objects.is_durable and key.partition("/c/")[0] not in self.loose
        self.objects.write(str(PurePosixPath(key)), value.as_buffer_like(), is_new=is_new, is_durable=is_durable)
