"""The arrays that people watch: group ``trials`` of a store, streamed live.

Scalar columns live in memory and reach the disk in whole chunks at most `FLUSH_SECONDS` after a change, from a thread of their own:
writing a dozen of them per trial would cost more than the whole rest of the loop. Payload (a trajectory, a field) is written at once, a
trial a chunk, before the journal's event that refers to it. All arrays are as long as the budget from the start, because a reader that
opens them between two resizes would see sizes that contradict each other. State 0 means "no trial here": readers drop those.
"""

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from ..errors import ShapeMismatchError, StoreError, StoreLockedError
from ..records import FloatArray, Trial
from .faults import reach
from .layout import CHUNK, COLUMNS, GROUP, LATER, SCALARS, metric_column, payload

FLUSH_SECONDS = 0.1


class Projection:
    """Writes the group ``trials`` while a campaign runs.

    Args:
        root: the store's root group, open for writing; its metadata are sound and long enough.
        trials: what the journal knows: the columns are rebuilt from it.
        others: names of the arrays that evaluators gave in earlier sessions.
    """

    def __init__(self, root: zarr.Group, trials: list[Trial], others: Iterable[str] = ()) -> None:
        group = root[GROUP]
        assert isinstance(group, zarr.Group)
        self._group = group
        self._loose: set[str] = group.store.loose  # type: ignore[attr-defined]  # both kinds of store have it
        self._arrays: dict[str, Any] = {name: group[name] for name in (*COLUMNS, "trajectory") if name in group or name not in LATER}
        self._scalars = [name for name in SCALARS if name in self._arrays]
        metrics = {metric for trial in trials for metric in trial.metrics}
        self._arrays |= {name: group[name] for name in (f"metric_{metric}" for metric in sorted(metrics)) if name in group}
        for name in others:
            self._open(name)
        self._length = int(self._arrays["state"].shape[0])
        self._columns: dict[str, npt.NDArray[Any]] = {}
        for name, array in self._arrays.items():
            if name in COLUMNS or name.startswith("metric_"):
                self._column(name, array)
        self._names = {name: list(self._arrays[name].attrs.get("names", [""])) for name in ("acquisition", "worker")}
        self._dirty: set[tuple[str, int]] = set()
        self._mutex = threading.Lock()
        self._wake = threading.Event()
        self._is_closing = False
        self._error: Exception | None = None
        for trial in trials:
            self.show(trial)
        self.flush()
        self._thread = threading.Thread(target=self._flush_often, name="projection", daemon=True)
        self._thread.start()

    def show(self, trial: Trial) -> None:
        """Put one trial's scalars into the columns; they reach the disk within `FLUSH_SECONDS`."""
        for metric in trial.metrics:
            self._metric_column(metric)
        with self._mutex:
            self._set("state", trial.number, int(trial.state))
            self._set("model_version", trial.number, trial.model_version)
            self._set("acquisition", trial.number, self._code("acquisition", trial.acquisition))
            self._set("worker", trial.number, self._code("worker", trial.worker))
            self._set("z", trial.number, trial.z)
            for name in self._scalars:
                self._set(name, trial.number, getattr(trial, name))
            for metric, value in trial.metrics.items():
                self._set(f"metric_{metric}", trial.number, value)
        self._wake.set()
        self._complain()

    def write_payload(self, trial: int, name: str, values: FloatArray) -> None:
        """Write one array of a trial at once; a new name makes a new array with the shape of ``values``.

        Raises:
            ShapeMismatchError: the array's shape differs from that of earlier trials.
            StoreError: the disk refused.
        """
        array = self._arrays.get(name)
        try:
            if array is None and (array := self._open(name)) is None:
                dimensions = tuple(f"{name}_{axis}" for axis in range(values.ndim))
                array = self._arrays[name] = payload(self._group, name, self._length, values.shape, dimensions, 1, {})
            if array.shape[1:] != values.shape:
                raise ShapeMismatchError(  # noqa: TRY301 - a caller may mend it
                    f"array {name!r} of trial {trial} has shape {values.shape}, that of earlier trials {array.shape[1:]}"
                )
            array[trial] = values
        except (ShapeMismatchError, StoreLockedError):
            raise
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(
                f"cannot write {name} of trial {trial}: {getattr(error, 'strerror', None) or error}; what was committed before is intact"
            ) from error

    def flush(self) -> None:
        """Write every changed chunk of the columns."""
        with self._mutex:
            work = [(name, chunk, self._columns[name][chunk * CHUNK : (chunk + 1) * CHUNK].copy()) for name, chunk in sorted(self._dirty)]
            self._dirty.clear()
        if work:
            reach("flush.before")
        # `state` last: whoever sees a trial's state sees its numbers too.
        for name, chunk, values in sorted(work, key=lambda item: item[0] == "state"):
            if name == "state":
                reach("flush.midway")
            self._arrays[name][chunk * CHUNK : chunk * CHUNK + len(values)] = values
        if work:
            reach("flush.after")

    def abandon(self) -> None:
        """Stop the thread, and leave the arrays as they are."""
        self._is_closing = True
        self._wake.set()
        self._thread.join()

    def close(self, is_all: bool = False) -> None:
        """Stop the thread and write what is left.

        Args:
            is_all: write everything once more, over whatever another process may have put there.

        Raises:
            StoreError: the disk refused, now or before.
        """
        self.abandon()
        if self._error is None:
            try:
                if is_all:
                    self._dirty |= {(name, chunk) for name in self._columns for chunk in range(-(-self._length // CHUNK))}
                    for column, names in self._names.items():
                        self._arrays[column].attrs["names"] = names
                self.flush()
            except Exception as error:  # noqa: BLE001 - raised below, as a sentence
                self._error = error
        self._complain()

    def _complain(self) -> None:
        if isinstance(self._error, StoreLockedError):
            raise self._error
        if self._error is not None:
            raise StoreError(f"cannot write the arrays of {self._group.store_path}: {self._error}; the journal is intact") from self._error

    def _flush_often(self) -> None:
        while not self._is_closing:
            self._wake.wait()
            self._wake.clear()
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - handed to the driver, which stops the campaign with a sentence
                self._error = error
                return
            threading.Event().wait(FLUSH_SECONDS if not self._is_closing else 0)

    def _set(self, name: str, trial: int, value: Any) -> None:
        self._columns[name][trial] = value
        self._dirty.add((name, trial // CHUNK))

    def _code(self, column: str, word: str) -> int:
        """Return the number that stands for a word in a column, adding it to the column's names when it is new."""
        names = self._names[column]
        if word not in names:
            names.append(word)
            self._arrays[column].attrs["names"] = names
        return names.index(word)

    def _metric_column(self, metric: str) -> None:
        name = f"metric_{metric}"
        if name not in self._columns:
            array = self._open(name) or metric_column(self._group, metric, self._length)
            with self._mutex:
                self._arrays[name] = array
                self._column(name, array)

    def _column(self, name: str, array: Any) -> None:
        """Take an array as a column that lives in memory."""
        self._columns[name] = np.full(array.shape, array.fill_value, dtype=array.dtype)
        self._loose.add(f"{GROUP}/{name}")

    def _open(self, name: str) -> Any:
        """Return an array that the group has already, or None."""
        try:
            self._arrays[name] = self._group[name]
        except (KeyError, ValueError):
            return None
        return self._arrays[name]
