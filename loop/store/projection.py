"""The arrays that people watch: group ``trials`` of a store, streamed live.

Scalar columns live in memory and reach the disk in whole chunks at most `FLUSH_SECONDS` after a change, from a thread of their own:
writing a dozen of them per trial would cost more than the whole rest of the loop. Payload (a trajectory, a field) is written at once, a
trial a chunk, before the journal's event that refers to it. All arrays are as long as the budget from the start, because a reader that
opens them between two resizes would see sizes that contradict each other. State 0 means "no trial here": readers drop those.
"""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from ..errors import ShapeMismatchError, StoreError
from ..records import FloatArray, TrajectorySet, Trial, TrialState

FLUSH_SECONDS = 0.1
_CHUNK = 1024
_SCALARS: Mapping[str, tuple[str, str]] = {
    "objective": ("", "the metric that is optimized"),
    "objective_error": ("", "standard error of the objective"),
    "acquisition_value": ("", "value of the acquisition function where it was maximal"),
    "distance": ("", "distance of z from the encoded training data, in units of their spacing"),
    "consistency": ("", "|encode(decode(z)) - z|"),
    "armed_at": ("s", "POSIX time at which the trial was armed"),
    "finished_at": ("s", "POSIX time at which its result was committed"),
    "seconds": ("s", "time the measurement took on its worker"),
}
_CODECS = (ZstdCodec(level=1), Crc32cCodec())


def create_trials(root: zarr.Group, n_trials: int, n_latent: int, like: TrajectorySet) -> None:
    """Make the group ``trials`` with all its arrays, long enough for ``n_trials`` trials with trajectories like the given ones."""
    times, channels = like.times, like.channels
    group = root.create_group("trials", overwrite=True, attributes={"description": "one row per trial; drop the rows whose state is 0"})
    states = {"flag_values": [int(state) for state in TrialState], "flag_meanings": " ".join(state.word for state in TrialState)}
    _column(group, "state", n_trials, "uint8", 0, states)
    _column(group, "model_version", n_trials, "int32", -1, {"description": "version of the latent model"})
    _column(
        group, "acquisition", n_trials, "uint8", 0, {"names": ["", "initial"], "description": "index into names: what proposed the trial"}
    )
    _column(group, "worker", n_trials, "uint8", 0, {"names": [""], "description": "index into names: what measured the trial"})
    for name, (scalar_unit, description) in _SCALARS.items():
        _column(group, name, n_trials, "float64", np.nan, {"unit": scalar_unit, "description": description})
    _payload(group, "z", n_trials, (n_latent,), ("latent",), _CHUNK, {"description": "latent vector"})
    shape, dimensions = like.values.shape[1:], ("time", "channel")[: like.values.ndim - 1]
    _payload(group, "trajectory", n_trials, shape, dimensions, 1, {"unit": like.unit, "channels": list(channels)})
    time = group.create_array("time", shape=times.shape, dtype="float64", dimension_names=("time",), attributes={"unit": like.time_unit})
    time[:] = times


def fits(root: zarr.Group, n_latent: int, like: TrajectorySet) -> bool:
    """Return whether the group ``trials`` is there, whole, for such latent vectors and trajectories."""
    try:
        group: Any = root["trials"]
        found = group["z"].shape[1:], group["trajectory"].shape[1:], group["time"].shape  # `time` is made last
    except KeyError:
        return False
    return bool(found == ((n_latent,), like.values.shape[1:], like.times.shape))


class Projection:
    """Writes the group ``trials`` while a campaign runs.

    Args:
        root: the store's root group, open for writing.
        n_trials: the budget; shorter arrays of an earlier session are lengthened.
        trials: what the journal knows: the columns are rebuilt from it.
    """

    def __init__(self, root: zarr.Group, n_trials: int, trials: list[Trial]) -> None:
        group = root["trials"]
        assert isinstance(group, zarr.Group)
        self._group = group
        self._arrays: dict[str, Any] = {name: array for name, array in group.arrays() if name != "time"}
        for array in self._arrays.values():
            if array.shape[0] < n_trials:
                array.resize((n_trials, *array.shape[1:]))
        self._length = int(self._arrays["state"].shape[0])
        self._columns: dict[str, npt.NDArray[Any]] = {}
        for name, array in self._arrays.items():
            if array.ndim == 1 or name == "z":
                self._columns[name] = np.full(array.shape, array.fill_value, dtype=array.dtype)
        self._names = {name: list(self._arrays[name].attrs["names"]) for name in ("acquisition", "worker")}
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
            for name in _SCALARS:
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
            if array is None:
                dimensions = tuple(f"{name}_{axis}" for axis in range(values.ndim))
                array = self._arrays[name] = _payload(self._group, name, self._length, values.shape, dimensions, 1, {})
            if array.shape[1:] != values.shape:
                raise ShapeMismatchError(  # noqa: TRY301 - a caller may mend it
                    f"array {name!r} of trial {trial} has shape {values.shape}, that of earlier trials {array.shape[1:]}"
                )
            array[trial] = values
        except ShapeMismatchError:
            raise
        except OSError as error:
            raise StoreError(
                f"cannot write {name} of trial {trial}: {error.strerror or error}; what was committed before is intact"
            ) from error

    def flush(self) -> None:
        """Write every changed chunk of the columns."""
        with self._mutex:
            work = [(name, chunk, self._columns[name][chunk * _CHUNK : (chunk + 1) * _CHUNK].copy()) for name, chunk in sorted(self._dirty)]
            self._dirty.clear()
        # `state` last: whoever sees a trial's state sees its numbers too.
        for name, chunk, values in sorted(work, key=lambda item: item[0] == "state"):
            self._arrays[name][chunk * _CHUNK : chunk * _CHUNK + len(values)] = values

    def close(self) -> None:
        """Stop the thread and write what is left.

        Raises:
            StoreError: the disk refused, now or before.
        """
        self._is_closing = True
        self._wake.set()
        self._thread.join()
        if self._error is None:
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - raised below, as a sentence
                self._error = error
        self._complain()

    def _complain(self) -> None:
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
        self._dirty.add((name, trial // _CHUNK))

    def _code(self, column: str, word: str) -> int:
        """Return the number that stands for a word in a column, adding it to the column's names when it is new."""
        names = self._names[column]
        if word not in names:
            names.append(word)
            self._arrays[column].attrs["names"] = names
        return names.index(word)

    def _metric_column(self, metric: str) -> None:
        name = f"metric_{metric}"
        if name not in self._arrays:
            array = _column(self._group, name, self._length, "float64", np.nan, {"description": f"metric {metric}"})
            with self._mutex:
                self._arrays[name] = array
                self._columns[name] = np.full(array.shape, np.nan)


def _column(group: zarr.Group, name: str, length: int, dtype: str, fill: float, attributes: dict[str, Any]) -> Any:
    return group.create_array(
        name,
        shape=(length,),
        chunks=(_CHUNK,),
        dtype=dtype,
        fill_value=fill,
        compressors=_CODECS,
        dimension_names=("trial",),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )


def _payload(
    group: zarr.Group, name: str, length: int, shape: tuple[int, ...], dimensions: tuple[str, ...], chunk: int, attributes: dict[str, Any]
) -> Any:
    return group.create_array(
        name,
        shape=(length, *shape),
        chunks=(chunk, *(max(1, size) for size in shape)),
        dtype="float64",
        fill_value=np.nan,
        compressors=_CODECS,
        dimension_names=("trial", *dimensions),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
