"""A campaign to take away: its trials as a table, its store as an archive; made while they are sent, so that no copy is needed."""

import csv
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..store.history import History

_CHUNK = 1 << 18
_ROWS = 500
_LIVE = ("inbox", "epoch", "pull")
"""Folders of the journal that belong to whoever drives the campaign now."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Text that begins so is run by spreadsheets."""


def csv_lines(history: History) -> Iterator[str]:
    """Yield the trials as comma-separated values, in pieces, the names of the columns first."""
    trials = list(history.trials)
    metrics = sorted({name for trial in trials for name in trial.metrics})
    n_latent = max((len(trial.z) for trial in trials), default=0)
    buffer = io.StringIO()
    table = csv.writer(buffer)
    table.writerow(
        ["trial", "state", "proposed_by", *(f"z{k + 1}" for k in range(n_latent)), "objective", "objective_error"]
        + [_text(f"metric {name}") for name in metrics]
        + ["acquisition_value", "predicted_objective", "predicted_error", "distance", "consistency", "model_version"]
        + ["armed_at", "finished_at", "seconds", "worker", "reason"]
    )
    for index, trial in enumerate(trials):
        point = [*trial.z.tolist(), *[""] * (n_latent - len(trial.z))]
        table.writerow(
            [trial.number, trial.state.word, trial.acquisition, *point, trial.objective, trial.objective_error]
            + [trial.metrics.get(name, "") for name in metrics]
            + [trial.acquisition_value, trial.predicted_objective, trial.predicted_error, trial.distance, trial.consistency]
            + [trial.model_version, trial.armed_at, trial.finished_at, trial.seconds, _text(trial.worker), _text(trial.reason)]
        )
        if index % _ROWS == _ROWS - 1:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def zip_chunks(store: Path, name: str) -> Iterator[bytes]:
    """Yield a store as a zip archive, in pieces; events come last, so that whatever they refer to is in it, also of a running campaign."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # chunks are compressed already
        for path in _files(store):
            relative = path.relative_to(store)
            try:
                with path.open("rb") as source:
                    entry = zipfile.ZipInfo.from_file(path, f"{name}/{relative.as_posix()}", strict_timestamps=False)
                    with archive.open(entry, "w", force_zip64=entry.file_size > (1 << 31) - 1) as target:
                        while piece := source.read(_CHUNK):
                            target.write(piece)
                            if sink.size >= _CHUNK:
                                yield sink.take()
            except FileNotFoundError:
                continue  # replaced while we looked
            if sink.size >= _CHUNK:
                yield sink.take()
    yield sink.take()


def _files(store: Path) -> Iterator[Path]:
    """Yield the store's files, those of the journal last and its events in order."""
    events: list[Path] = []
    for folder, folders, names in os.walk(store, followlinks=False):
        here = Path(folder)
        is_journal = here == store / "journal"
        folders[:] = sorted(inner for inner in folders if not (is_journal and inner in _LIVE) and not inner.startswith("."))
        for name in sorted(names):
            path = here / name
            if name.startswith(".") or path.is_symlink():
                continue  # temporaries and locks
            if is_journal:
                events.append(path)
            else:
                yield path
    yield from events


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


class _Sink(io.RawIOBase):
    """A file that cannot be read or rewound, from which what was written is taken away."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        piece = bytes(data)
        self._pieces.append(piece)
        self.size += len(piece)
        return len(piece)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return taken
