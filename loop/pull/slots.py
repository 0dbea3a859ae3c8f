"""A slot is a file that is filled once: of all who try, one succeeds, and the others read what stands there.

The content is written to a temporary file, brought to disk and then hard-linked to the slot's name. The link fails where the name exists,
which makes the filling atomic among threads, processes and machines that share the folder, and no reader ever sees half a slot. A checksum
stands before the content, so that a damaged slot is an error and never another answer.
"""

import json
import os
import zlib
from pathlib import Path
from secrets import token_hex
from typing import Any

from ..errors import StoreError

_SEPARATOR = b"\n"


def fill_slot(path: Path, content: dict[str, Any]) -> bool:
    """Fill a slot; return False, and leave it as it is, where it is filled already.

    Raises:
        StoreError: the disk refused.
    """
    temporary = _written(path, content)
    try:
        os.link(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return True


def replace_slot(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is no slot but is renewed now and then, such as a heartbeat; whole at every moment.

    Raises:
        StoreError: the disk refused.
    """
    temporary = _written(path, content, is_durable=False)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def read_slot(path: Path) -> dict[str, Any] | None:
    """Return a slot's content; None where it is not filled.

    Raises:
        StoreError: it is damaged.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    head, _, body = raw.partition(_SEPARATOR)
    if head != b"%08x" % zlib.crc32(body):
        raise StoreError(f"{path} is damaged: its checksum does not match; copy it back from a backup")
    found: dict[str, Any] = json.loads(body)
    return found


def _written(path: Path, content: dict[str, Any], is_durable: bool = True) -> Path:
    """Write the content beside the slot, and return where."""
    body = json.dumps(content).encode()
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(b"%08x" % zlib.crc32(body) + _SEPARATOR + body)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}; is the disk full, or the store gone?") from error
    return temporary


def _sync_folder(folder: Path) -> None:
    """Bring a new name to disk, where folders can be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
