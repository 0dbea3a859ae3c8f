"""Where a store's objects lie: a local folder, or a prefix on S3-compatible storage. Journal, inbox, lease and arrays all go through it.

A handful of verbs, the smallest set that a crash-proof store needs: an object is created exclusively or replaced whole, never written in
part; a reader sees the old one, the new one or none. On a folder that is a temporary file that gets its name by a hard link (which fails
when the name is taken) or by a rename; with `is_durable` the file and every folder whose entries changed are synchronized before the call
returns, so that it survives a loss of power. While `digests` is a dictionary, the SHA-256 of whatever is written is noted there, under the
object's name, for the manifest.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

from ..errors import StoreError
from .faults import reach

Data = bytes | bytearray | memoryview
_TEMPORARY = ".tmp"


class Objects(Protocol):
    """Named objects of bytes. Names have slashes (``journal/00000001.json``); all failures are OSErrors with a `strerror`."""

    where: str
    """What the user calls the place: a path, or ``s3://bucket/prefix``."""
    folder: Path | None
    """The local folder; None on object storage."""
    is_durable: bool
    """Whether what is written survives a loss of power once the call has returned. Object storage always does."""
    digests: dict[str, str] | None
    """SHA-256 of each object written, by name; None where nobody wants them."""
    guard: Callable[[], None] | None
    """Asked right before an object is replaced or taken away; it raises where another driver has taken over. None asks nobody."""

    def create(self, name: str, data: Data) -> None:
        """Write an object that must not be there yet; FileExistsError when it is."""

    def put(self, name: str, data: Data) -> None:
        """Write or replace an object."""

    def get(self, name: str) -> bytes:
        """Return an object; FileNotFoundError when there is none."""

    def get_many(self, names: list[str]) -> list[bytes]:
        """Return several objects, in this order."""

    def names(self, folder: str, after: str = "") -> list[str]:
        """Return the sorted names, without the folder's, of the objects that lie directly in it; with ``after``, only later ones."""

    def walk(self, folder: str = "") -> list[str]:
        """Return the sorted full names of all objects in a folder and below."""

    def exists(self, name: str) -> bool:
        """Return whether an object is there."""

    def delete(self, name: str) -> None:
        """Take an object away; one that is not there is fine."""

    def adopt(self, folder: Path, first: str, last: str) -> None:
        """Make the files of a local folder, which ceases to be, the objects of this place, which must be free.

        Args:
            folder: on the same disk where this is a folder.
            first: the object that decides who wins a race for the place.
            last: the object whose presence says that the place is whole.

        Raises:
            FileExistsError: another was faster.
        """

    def zarr(self, is_read_only: bool) -> Any:
        """Return these objects as a Zarr store."""


def open_objects(where: str | Path) -> Objects:
    """Return the objects at a path or URL; nothing is looked up or made.

    Raises:
        StoreError: a URL of a kind that latentloop does not know, or object storage without the extra ``s3``.
    """
    text = str(where)
    if text.startswith("file://"):
        return LocalObjects(Path(text.removeprefix("file://")))
    if "://" not in text:
        return LocalObjects(Path(where))
    if not text.startswith("s3://"):
        raise StoreError(f"{text}: campaigns lie in a folder or on S3-compatible storage; write a path or s3://bucket/prefix")
    try:
        from .bucket import BucketObjects
    except ImportError as error:
        raise StoreError(f"{text} needs the extra for object storage: pip install 'latentloop[s3]' ({error})") from error
    return BucketObjects(text)


class LocalObjects:
    """A folder of files.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self.folder: Path | None = folder
        self.is_durable = False
        self.digests: dict[str, str] | None = None
        self.guard: Callable[[], None] | None = None
        self._root = folder

    def create(self, name: str, data: Data) -> None:
        """Write a file that must not be there yet, whole when it is seen."""
        self.write(name, data, is_new=True, is_durable=self.is_durable)

    def put(self, name: str, data: Data) -> None:
        """Write or replace a file."""
        self.write(name, data, is_new=False, is_durable=self.is_durable)

    def write(self, name: str, data: Data, *, is_new: bool, is_durable: bool) -> None:
        """Write a file: the one way in which anything comes into the folder."""
        reach("object.before")
        final = f"{self._root}/{name}"
        folder, _, base = final.rpartition("/")
        temporary = f"{folder}/.{base}.{token_hex(8)}{_TEMPORARY}"  # two hosts may have the same process number
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:
            self._make_folders(Path(folder))
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                _write_all(handle, data)
                if is_durable:
                    os.fsync(handle)
            finally:
                os.close(handle)
            reach("object.written")
            if is_new:
                os.link(temporary, final)
            else:
                if self.guard is not None:  # as late as can be: this process may have slept until now
                    self.guard()
                os.replace(temporary, final)  # noqa: PTH105 - text is faster than a Path here
        except BaseException:
            _remove_quietly(temporary)
            raise
        if is_new:
            _remove_quietly(temporary)
        if is_durable:
            _synchronize(Path(folder))
        if self.digests is not None:
            self.digests[name] = digest(data)
        reach("object.after")

    def get(self, name: str) -> bytes:
        """Return a file's bytes."""
        with open(f"{self._root}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path.read_bytes
            return file.read()

    def get_many(self, names: list[str]) -> list[bytes]:
        """Return several files' bytes."""
        return [self.get(name) for name in names]

    def names(self, folder: str, after: str = "") -> list[str]:
        """Return the names of what lies in a folder, temporary files and folders left out."""
        try:
            found = os.listdir(self._root / folder)  # noqa: PTH208 - 3x faster
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name > after and name[0] != "." and "." in name)  # every object has a suffix; folders none

    def walk(self, folder: str = "") -> list[str]:
        """Return the names of all files below a folder, temporary ones left out."""
        found: list[str] = []
        start = len(str(self._root)) + 1
        for path, folders, files in os.walk(self._root / folder):
            folders[:] = [each for each in folders if each[0] != "."]
            found += [f"{path}/{name}"[start:] for name in files if name[0] != "." and not name.endswith(".partial")]
        return sorted(found)

    def exists(self, name: str) -> bool:
        """Return whether a file is there."""
        return (self._root / name).is_file()

    def delete(self, name: str) -> None:
        """Remove a file."""
        if self.guard is not None:
            self.guard()
        path = self._root / name
        path.unlink(missing_ok=True)
        if self.digests is not None:
            self.digests.pop(name, None)
        if self.is_durable and path.parent.is_dir():
            _synchronize(path.parent)

    def adopt(self, folder: Path, first: str, last: str) -> None:  # noqa: ARG002 - a rename is one step
        """Give a folder this one's name."""
        if self.is_durable:
            for path, _, files in os.walk(folder):
                for name in files:
                    _synchronize(Path(path) / name)
                _synchronize(Path(path))
        if os.path.lexists(self._root):  # rename would replace an empty folder
            raise FileExistsError(17, "File exists", str(self._root))
        folder.rename(self._root)
        if self.is_durable:
            _synchronize(self._root.absolute().parent)

    def zarr(self, is_read_only: bool) -> Any:
        """Return the folder as a Zarr store whose every write goes through `put`."""
        from .zarr_folder import ZarrFolder

        return ZarrFolder(self, is_read_only=is_read_only)

    def _make_folders(self, folder: Path) -> None:
        """Make a folder below the root, with those on the way; the root itself, once gone, is never made anew."""
        if not self._root.is_dir():
            raise FileNotFoundError(2, "the folder of the campaign is gone", str(self._root))
        missing = [each for each in (folder, *folder.parents) if each != self._root and self._root in each.parents and not each.is_dir()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            if self.is_durable:
                _synchronize(each.parent)


def digest(data: Data) -> str:
    """Return the SHA-256 of an object, as the manifest writes it."""
    return hashlib.sha256(data).hexdigest()


def _write_all(handle: int, data: Data) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(handle, view) :]  # a disk that fills up may take a part first


def _synchronize(path: Path) -> None:
    """Have the disk confirm a file's bytes, or a folder's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_quietly(path: str) -> None:
    with suppress(OSError):  # a temporary file that stays is ignored by every reader
        os.unlink(path)  # noqa: PTH108 - text is faster than a Path here
