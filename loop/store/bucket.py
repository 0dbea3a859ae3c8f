"""Objects under a prefix of S3-compatible storage, through obstore.

Creation is a PUT with ``If-None-Match: *``, which the storage refuses when the object is there: that is what fences a second writer, as the
hard link does on a folder. Credentials, region and endpoint come from the usual AWS_* environment variables.
"""

import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store
from zarr.core.buffer import Buffer
from zarr.storage import ObjectStore

from ..errors import StoreError
from .faults import reach
from .objects import Data

_READERS = 16
"""Objects that are fetched at the same time: a journal of thousands of events is thousands of requests."""
_ATTEMPTS = 6
_PATIENCE = timedelta(seconds=60)
"""How long a request is tried again while the storage does not answer; then the campaign stops."""


class BucketObjects:
    """A prefix of a bucket.

    Args:
        url: ``s3://bucket/prefix``.

    Raises:
        StoreError: the URL names no bucket.
    """

    def __init__(self, url: str) -> None:
        self.where = url.rstrip("/")
        self.folder: Path | None = None
        self.is_durable = True
        self.digests: dict[str, str] | None = None
        self.guard: Callable[[], None] | None = None
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        if not bucket or not prefix:
            raise StoreError(f"{url}: write s3://bucket/prefix, the prefix being the campaign's own")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        options: dict[str, Any] = {"client_options": {"allow_http": True}} if endpoint.startswith("http://") else {}
        if endpoint:
            options["endpoint"] = endpoint
        try:
            self._store = S3Store(bucket, prefix=prefix, retry_config={"max_retries": _ATTEMPTS, "retry_timeout": _PATIENCE}, **options)
        except BaseError as error:
            raise StoreError(f"cannot use {url}: {_sentence(error)}") from error

    def create(self, name: str, data: Data) -> None:
        """Write an object that must not be there yet."""
        reach("object.before")
        with _speaking(name):
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                # A request that was sent again after its answer got lost finds its own object there.
                if self.get(name) != bytes(data):
                    raise FileExistsError(17, "the object exists already", name) from error
        self._note(name, data)

    def put(self, name: str, data: Data) -> None:
        """Write or replace an object."""
        reach("object.before")
        self._ask()
        with _speaking(name):
            obstore.put(self._store, name, data)
        self._note(name, data)

    def get(self, name: str) -> bytes:
        """Return an object's bytes."""
        with _speaking(name):
            return bytes(obstore.get(self._store, name).bytes())

    def get_many(self, names: list[str]) -> list[bytes]:
        """Return several objects' bytes, fetched side by side."""
        if len(names) < 2:
            return [self.get(name) for name in names]
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(self.get, names))

    def names(self, folder: str, after: str = "") -> list[str]:
        """Return the names of what lies directly under a prefix."""
        start = f"{folder}/"
        with _speaking(folder):
            if after:  # listed from there on: an open campaign is asked for its newest events again and again
                batches = obstore.list(self._store, prefix=folder, offset=start + after)
                found = [item["path"] for batch in batches for item in batch]
            else:
                found = [item["path"] for item in obstore.list_with_delimiter(self._store, prefix=folder)["objects"]]
        return sorted(path[len(start) :] for path in found if path.startswith(start) and "/" not in path[len(start) :])

    def walk(self, folder: str = "") -> list[str]:
        """Return the names of all objects under a prefix."""
        with _speaking(folder or self.where):
            return sorted(item["path"] for batch in obstore.list(self._store, prefix=folder or None) for item in batch)

    def exists(self, name: str) -> bool:
        """Return whether an object is there."""
        try:
            with _speaking(name):
                obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Take an object away."""
        self._ask()
        try:
            with _speaking(name):
                obstore.delete(self._store, name)
        except FileNotFoundError:
            pass
        if self.digests is not None:
            self.digests.pop(name, None)

    def adopt(self, folder: Path, first: str, last: str) -> None:
        """Upload a local folder: one object decides the race, one says that all are there."""
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self.create(first, (folder / first).read_bytes())
        between = [name for name in names if name not in (first, last)]
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(lambda name: self.put(name, (folder / name).read_bytes()), between))
        self.put(last, (folder / last).read_bytes())
        shutil.rmtree(folder)

    def zarr(self, is_read_only: bool) -> Any:
        """Return the prefix as a Zarr store."""
        return _ZarrBucket(self._store, read_only=is_read_only, note=self._note, ask=self._ask)

    def _ask(self) -> None:
        if self.guard is not None:
            self.guard()

    def _note(self, name: str, data: Data) -> None:
        if self.digests is not None:
            self.digests[name] = hashlib.sha256(data).hexdigest()
        reach("object.after")


class _ZarrBucket(ObjectStore[S3Store]):
    """Zarr's own adapter, with what a campaign's store promises: failures are OSErrors, what is written is noted."""

    def __init__(self, store: S3Store, *, read_only: bool, note: Callable[[str, Data], None], ask: Callable[[], None]) -> None:
        super().__init__(store, read_only=read_only)
        self.ask = ask
        self.note = note
        self.loose: set[str] = set()

    def with_read_only(self, read_only: bool = False) -> Self:
        return type(self)(self.store, read_only=read_only, note=self.note, ask=self.ask)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Buffer | None:
        with _speaking(key):
            return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        reach("object.before")
        self.ask()
        with _speaking(key):
            await super().set(key, value)
        self.note(key, value.as_buffer_like())

    async def delete(self, key: str) -> None:
        with _speaking(key):
            await super().delete(key)

    def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        with _speaking(prefix):
            return super().list_dir(prefix)


@contextmanager
def _speaking(name: str) -> Iterator[None]:
    """Turn what obstore raises into the OSError that callers expect, with a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(2, f"there is no such object, or no such bucket ({_sentence(error)})", name) from error
    except BaseError as error:
        raise OSError(5, f"the object storage refused: {_sentence(error)}", name) from error


def _sentence(error: Exception) -> str:
    """Return the first line of what obstore says; the rest is XML and a stack of causes."""
    return (str(error).splitlines() or [type(error).__name__])[0].partition(": <?xml")[0][:300]
