"""The simulator: fields in, polarization histories out, many at a time.

Trajectories are packed into registers (see `lanes`), one block of eight per kernel pass; blocks are shared out among
threads, which run free of Python's lock. What a trajectory yields does not depend on its neighbours in the batch, not
even in the last bit.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ParameterError, SimulationError, TrajectoryError
from .frame_memory import FrameMemory
from .lanes import lane_count
from .lattice import padded_lattice
from .parameters import FerroSimParameters, as_array
from .runners import block_runner
from .stability import check_stability, instability, largest_stable_step

FloatArray = npt.NDArray[np.float64]

_PRECISIONS = (np.dtype(np.float64), np.dtype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class PolarizationHistory:
    """What a batch of S runs yields."""

    polarization: FloatArray
    """Stored state at the last time (S, n, n, 2)."""
    total_polarization: FloatArray
    """Sum over sites at every time (S, T, 2); of the accumulated state under `random_sites`."""
    frames: FloatArray | npt.NDArray[np.float32] | None
    """Stored states at times 0, k, 2k, ... (S, ceil(T / k), n, n, 2), or None; float64 unless asked for otherwise."""
    times: FloatArray
    """Time points (T,)."""
    frames_every: int | None = None
    """The k of `frames`."""

    @property
    def n_trajectories(self) -> int:
        """S."""
        return len(self.polarization)

    @property
    def frame_times(self) -> FloatArray:
        """Time points of the frames; empty without frames."""
        return self.times[:0] if self.frames_every is None else self.times[:: self.frames_every]


class FerroSim:
    """A FerroSIM model ready to run.

    Args:
        parameters: the model.
        n_threads: threads that share a batch; 1 by default, so that workers beside each other do not compete.
        dtype: precision of the kernel, float64 or float32; results are float64 arrays either way.

    Raises:
        ParameterError: n_threads below 1, or another dtype.
    """

    def __init__(self, parameters: FerroSimParameters, n_threads: int = 1, dtype: npt.DTypeLike = np.float64) -> None:
        if n_threads < 1:
            raise ParameterError(f"n_threads is {n_threads}; at least one thread is needed")
        if np.dtype(dtype) not in _PRECISIONS:
            raise ParameterError(f"dtype is {np.dtype(dtype)}; known are float64 and float32")
        self._parameters = parameters
        self._n_threads = n_threads
        self._dtype = np.dtype(dtype)
        self._lattice = padded_lattice(parameters)
        self._initial = as_array(parameters.initial_polarization).reshape(-1, parameters.lattice_size**2, 2).copy()
        self._run_blocks = block_runner(parameters, self._lattice, self._dtype)
        self._frame_memory = FrameMemory()

    def __reduce__(self) -> tuple[type["FerroSim"], tuple[FerroSimParameters, int, str]]:
        return type(self), (self._parameters, self._n_threads, self._dtype.name)

    @property
    def parameters(self) -> FerroSimParameters:
        """The model."""
        return self._parameters

    def prepare(self) -> "FerroSim":
        """Compile, or load from disk, all that a run needs; a worker calls this once before its first run."""
        shortened = replace(self._parameters, times=as_array(self._parameters.times)[:2])
        no_frames = np.empty((1, 0, 1, 2))
        FerroSim(shortened, dtype=self._dtype)._simulate(np.zeros((1, 2, 2)), None, no_frames)
        return self

    def simulate(
        self,
        field: npt.ArrayLike,
        *,
        frames_every: int | None = None,
        frames_dtype: npt.DTypeLike = np.float64,
        frames_out: npt.NDArray[Any] | None = None,
    ) -> PolarizationHistory:
        """Run one trajectory or a batch of them.

        Args:
            field: applied field (T, 2) or (S, T, 2), x and y, in units of Ec; T is the number of `parameters.times`.
                Row t drives the step from t-1 to t (Euler: row 0 is not used).
            frames_every: keep every so-manieth state; None: only the last.
            frames_dtype: float64, or float32 for half the memory.
            frames_out: array (S, ceil(T / frames_every), n, n, 2) to write the frames to; None for new ones, in the memory of a
                history of this simulator that nobody holds any more if there is one. `frames_dtype` is then its own.

        Returns:
            The history, with S = 1 for a single trajectory.

        Raises:
            TrajectoryError: wrong shape, wrong number of steps, a value that is not finite.
            InstabilityError: the time step is too large; `largest_stable_step` says how large it may be.
            SimulationError: frames_every below 1, a wrong dtype or frames_out, or initial states for another number of trajectories.
        """
        fields = self._checked_field(field)
        if frames_every is not None and frames_every < 1:
            raise SimulationError(f"frames_every is {frames_every}; it must be at least 1, or None for no frames")
        if np.dtype(frames_dtype) not in _PRECISIONS:
            raise SimulationError(f"frames_dtype is {np.dtype(frames_dtype)}; known are float64 and float32")
        n_initial = len(self._initial)
        if n_initial not in (1, len(fields)):
            raise SimulationError(f"initial_polarization holds {n_initial} states for {len(fields)} trajectories; give one, or as many")
        check_stability(self._parameters, self._lattice, fields)
        return self._simulate(fields, frames_every, self._frames(len(fields), frames_every, np.dtype(frames_dtype), frames_out))

    def largest_stable_step(self, field: npt.ArrayLike) -> float:
        """The largest time step that is safe for all these trajectories, (T, 2) or (S, T, 2) in units of Ec."""
        fields = self._checked_field(field)
        return min(largest_stable_step(self._parameters, self._lattice, one) for one in fields)

    def _simulate(self, fields: FloatArray, frames_every: int | None, frames: npt.NDArray[Any]) -> PolarizationHistory:
        n, (n_runs, n_steps, _) = self._parameters.lattice_size, fields.shape
        totals, last = np.empty((n_runs, n_steps, 2)), np.empty((n_runs, n * n, 2))
        n_blocks = -(-n_runs // lane_count(self._dtype))
        n_shares = min(self._n_threads, n_blocks)
        bounds = np.linspace(0, n_blocks, n_shares + 1).astype(np.int64)
        shares = [bounds[k : k + 2].copy() for k in range(n_shares)]

        def run(share: npt.NDArray[np.int64]) -> None:
            self._run_blocks(fields, self._initial, share, frames_every or 0, totals, last, frames)

        if n_shares == 1:
            run(shares[0])
        else:
            with ThreadPoolExecutor(n_shares, thread_name_prefix="ferrosim") as pool:
                list(pool.map(run, shares))
        self._check_finite(fields, last, totals)
        return PolarizationHistory(
            polarization=last.reshape(n_runs, n, n, 2),
            total_polarization=totals,
            frames=None if frames_every is None else frames.reshape(n_runs, -1, n, n, 2),
            times=as_array(self._parameters.times),
            frames_every=frames_every,
        )

    def _frames(self, n_runs: int, every: int | None, dtype: np.dtype[Any], out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        """Where the frames go, (S, F, n * n, 2)."""
        n = self._parameters.lattice_size
        n_frames = 0 if every is None else -(-self._parameters.n_steps // every)
        if out is None or every is None:
            return self._frame_memory.empty((n_runs, n_frames, n * n, 2), dtype)
        is_usable = out.dtype in _PRECISIONS and out.flags.c_contiguous and out.flags.writeable
        expected = (n_runs, n_frames, n, n, 2)
        if out.shape != expected or not is_usable:
            raise SimulationError(
                f"frames_out has shape {out.shape} and dtype {out.dtype}; expected {expected}, float64 or float32, contiguous, writable"
            )
        return out.reshape(n_runs, n_frames, n * n, 2)

    def _checked_field(self, field: npt.ArrayLike) -> FloatArray:
        try:
            # Writable, because Numba compiles once more for read-only arrays, such as those that Ray hands out.
            fields = np.require(field, dtype=np.float64, requirements=["C", "W"])
        except (TypeError, ValueError) as error:
            raise TrajectoryError(f"field is no array of numbers: {error}") from None
        n_steps = self._parameters.n_steps
        fields = fields[None] if fields.ndim == 2 else fields
        if fields.ndim != 3 or fields.shape[2] != 2 or len(fields) == 0:
            raise TrajectoryError(
                f"field has shape {np.shape(field)}; expected ({n_steps}, 2) or (runs, {n_steps}, 2), x and y in units of Ec"
            )
        if fields.shape[1] != n_steps:
            raise TrajectoryError(
                f"field has {fields.shape[1]} steps, parameters.times has {n_steps}; resample with trajectories.resample(field, {n_steps}, "
                "axis=-2), or give other times"
            )
        if not np.isfinite(fields).all():
            run, step, channel = np.argwhere(~np.isfinite(fields))[0]
            raise TrajectoryError(f"field is not finite in trajectory {run} at step {step}, {'xy'[channel]} = {fields[run, step, channel]}")
        return fields

    def _check_finite(self, fields: FloatArray, last: FloatArray, totals: FloatArray) -> None:
        finite = np.isfinite(last).all(axis=(1, 2)) & np.isfinite(totals).all(axis=(1, 2))
        if not finite.all():
            run = int(np.argmin(finite))
            step = float(np.diff(as_array(self._parameters.times)).max())
            stable = largest_stable_step(self._parameters, self._lattice, fields[run])
            raise instability(self._parameters, step, stable, run)
