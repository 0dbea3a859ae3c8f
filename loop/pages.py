"""HTML pages that commands write: refused before the work where they cannot be written, not after it."""

from pathlib import Path

from .errors import StoreError


def writable(output: Path) -> Path:
    """Return a path that can be written, its folder made; an existing file stays as it is.

    Raises:
        StoreError: it is a folder, or the disk refuses.
    """
    is_new = not output.exists()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab"):
            pass
        if is_new:
            output.unlink()
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror}") from error
    return output


def write_page(page: str, output: Path) -> None:
    """Write a page, UTF-8; an existing file is replaced.

    Raises:
        StoreError: the disk refuses.
    """
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror}") from error
