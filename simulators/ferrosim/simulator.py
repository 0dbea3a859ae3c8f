"""The simulator: fields in, polarization histories out, many at a time.

Trajectories are packed into registers (see `lanes`), one block of eight per kernel pass; blocks are shared out among
threads, which run free of Python's lock. What a trajectory yields does not depend on its neighbours in the batch, not
even in the last bit.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import ParameterError, SimulationError, TrajectoryError
from .kernel import sweep_blocks
from .kernel_random_sites import random_sites_blocks
from .kernel_runge_kutta import runge_kutta_blocks
from .kernel_sites import site_blocks
from .lanes import aligned_zeros, lane_count
from .lattice import PaddedLattice, padded_lattice
from .parameters import FerroSimParameters, as_array
from .reference import CLIP
from .schedule import Schedule, band_bounds, drawn_sites, everything_moves
from .stability import check_stability, instability, largest_stable_step

FloatArray = npt.NDArray[np.float64]

UNIFORM_STEP_TOLERANCE: Final = 1e-9
"""Relative spread of the time steps up to which they count as equal (linspace rounds in the sixteenth digit)."""


@dataclass(frozen=True, slots=True, eq=False)
class PolarizationHistory:
    """What a batch of S runs yields."""

    polarization: FloatArray
    """Stored state at the last time (S, n, n, 2)."""
    total_polarization: FloatArray
    """Sum over sites at every time (S, T, 2); of the accumulated state under `random_sites`."""
    frames: FloatArray | None
    """Stored states at times 0, k, 2k, ... (S, ceil(T / k), n, n, 2), or None."""
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
        if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ParameterError(f"dtype is {np.dtype(dtype)}; known are float64 and float32")
        self._parameters = parameters
        self._n_threads = n_threads
        self._dtype = np.dtype(dtype)
        self._lattice = padded_lattice(parameters)
        self._run_blocks = _kernel_for(parameters, self._lattice, self._dtype)

    @property
    def parameters(self) -> FerroSimParameters:
        """The model."""
        return self._parameters

    def prepare(self) -> "FerroSim":
        """Compile, or load from disk, all that a run needs; a worker calls this once before its first run."""
        calm = np.zeros((2, 2))
        FerroSim(replace(self._parameters, times=as_array(self._parameters.times)[:2]), dtype=self._dtype)._simulate(calm[None], None)
        return self

    def simulate(self, field: npt.ArrayLike, *, frames_every: int | None = None) -> PolarizationHistory:
        """Run one trajectory or a batch of them.

        Args:
            field: applied field (T, 2) or (S, T, 2), x and y, in units of Ec; T is the number of `parameters.times`.
                Row t drives the step from t-1 to t (Euler: row 0 is not used).
            frames_every: keep every so-manieth state; None: only the last.

        Returns:
            The history, with S = 1 for a single trajectory.

        Raises:
            TrajectoryError: wrong shape, wrong number of steps, a value that is not finite.
            InstabilityError: the time step is too large; `largest_stable_step` says how large it may be.
            SimulationError: frames_every below 1, or initial states for another number of trajectories.
        """
        fields = self._checked_field(field)
        if frames_every is not None and frames_every < 1:
            raise SimulationError(f"frames_every is {frames_every}; it must be at least 1, or None for no frames")
        n_initial = len(self._initial())
        if n_initial not in (1, len(fields)):
            raise SimulationError(f"initial_polarization holds {n_initial} states for {len(fields)} trajectories; give one, or as many")
        check_stability(self._parameters, self._lattice, fields)
        return self._simulate(fields, frames_every)

    def largest_stable_step(self, field: npt.ArrayLike) -> float:
        """The largest time step that is safe for all these trajectories, (T, 2) or (S, T, 2) in units of Ec."""
        fields = self._checked_field(field)
        return min(largest_stable_step(self._parameters, self._lattice, one) for one in fields)

    def _simulate(self, fields: FloatArray, frames_every: int | None) -> PolarizationHistory:
        n, (n_runs, n_steps, _) = self._parameters.lattice_size, fields.shape
        totals, last = np.empty((n_runs, n_steps, 2)), np.empty((n_runs, n * n, 2))
        n_frames = 0 if frames_every is None else -(-n_steps // frames_every)
        frames = np.empty((n_runs, n_frames, n * n, 2))
        n_blocks = -(-n_runs // lane_count(self._dtype))
        n_shares = min(self._n_threads, n_blocks)
        bounds = np.linspace(0, n_blocks, n_shares + 1).astype(np.int64)
        shares = [bounds[k : k + 2].copy() for k in range(n_shares)]

        def run(share: npt.NDArray[np.int64]) -> None:
            self._run_blocks(fields, self._initial(), share, frames_every or 0, totals, last, frames)

        if n_shares == 1:
            run(shares[0])
        else:
            with ThreadPoolExecutor(n_shares, thread_name_prefix="ferrosim") as pool:
                list(pool.map(run, shares))
        self._check_finite(fields, last, totals)
        return PolarizationHistory(
            polarization=last.reshape(n_runs, n, n, 2),
            total_polarization=totals,
            frames=None if frames_every is None else frames.reshape(n_runs, n_frames, n, n, 2),
            times=as_array(self._parameters.times),
            frames_every=frames_every,
        )

    def _initial(self) -> FloatArray:
        return as_array(self._parameters.initial_polarization).reshape(-1, self._parameters.lattice_size**2, 2)

    def _checked_field(self, field: npt.ArrayLike) -> FloatArray:
        try:
            fields = np.ascontiguousarray(field, dtype=np.float64)
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


BlockRunner = Callable[[FloatArray, FloatArray, npt.NDArray[np.int64], int, FloatArray, FloatArray, FloatArray], None]


def _kernel_for(parameters: FerroSimParameters, lattice: PaddedLattice, dtype: np.dtype[Any]) -> BlockRunner:
    """The fastest kernel that can do this model, with all that does not depend on the field worked out."""
    single_state = parameters.rule == "clean" or parameters.kinetic_coefficient == 1.0
    if parameters.integrator == "rk4":
        return _runge_kutta_runner(parameters, lattice, dtype)
    if parameters.update == "synchronous" and single_state and lattice.is_uniform:
        return _sweep_runner(parameters, lattice, dtype)
    if parameters.update == "random_sites" and single_state and lattice.is_uniform and _has_equal_steps(parameters):
        return _random_sites_runner(parameters, lattice, dtype)
    return _site_runner(parameters, lattice, dtype)


def _steps(parameters: FerroSimParameters) -> FloatArray:
    return np.diff(as_array(parameters.times), prepend=0.0)


def _has_equal_steps(parameters: FerroSimParameters) -> bool:
    steps = _steps(parameters)[1:]
    return bool(np.ptp(steps) <= UNIFORM_STEP_TOLERANCE * steps.mean())


def _mobility(parameters: FerroSimParameters) -> float:
    return 0.0 if parameters.mode == "uniaxial" else 1.0


def _bound(parameters: FerroSimParameters) -> float:
    return CLIP if parameters.rule == "published" else np.inf


def _sweep_runner(parameters: FerroSimParameters, lattice: PaddedLattice, dtype: np.dtype[Any]) -> BlockRunner:
    n, n_steps = parameters.lattice_size, parameters.n_steps
    steps = (_steps(parameters) * parameters.kinetic_coefficient).astype(dtype)
    site = lattice.site[lattice.interior].copy()
    depolarization = site[0, 3] * (1.0 + lattice.mean_weight) / n**2
    site[:, 3] = lattice.weight[lattice.interior, 0]
    flat = site.ravel().astype(dtype)
    constants = np.array([*lattice.on_site, _bound(parameters), depolarization, _mobility(parameters)], dtype=dtype)

    def run(
        fields: FloatArray,
        initial: FloatArray,
        share: npt.NDArray[np.int64],
        every: int,
        totals: FloatArray,
        last: FloatArray,
        frames: FloatArray,
    ) -> None:
        workspace = tuple(aligned_zeros(2 * size, dtype) for size in (lattice.width**2, n, n_steps, n_steps))
        sweep_blocks(
            fields, initial, parameters.coercive_field, share, steps, constants, flat, lattice.wrap, lattice.interior, workspace, every,
            totals, last, frames,
        )  # fmt: skip

    return run


def _random_sites_runner(parameters: FerroSimParameters, lattice: PaddedLattice, dtype: np.dtype[Any]) -> BlockRunner:
    steps = _steps(parameters).astype(dtype)
    schedule = _schedule(parameters, lattice)
    site = lattice.site.copy()
    depolarization = site[lattice.interior[0], 3] / len(lattice.interior)
    site[:, 3] = lattice.weight[:, 0]
    flat = site.ravel().astype(dtype)
    constants = np.array([*lattice.on_site, _bound(parameters), depolarization, _mobility(parameters)], dtype=dtype)
    import os
    bounds = band_bounds(schedule, lattice.interior, lattice.width, int(os.environ.get('BAND',5)))
    n_sites = len(lattice.interior)
    sizes = (lattice.width**2, lattice.width**2, n_sites, n_sites, parameters.n_steps, parameters.n_steps)

    def run(
        fields: FloatArray,
        initial: FloatArray,
        share: npt.NDArray[np.int64],
        every: int,
        totals: FloatArray,
        last: FloatArray,
        frames: FloatArray,
    ) -> None:
        workspace = tuple(aligned_zeros(2 * size, dtype) for size in sizes)
        random_sites_blocks(
            fields, initial, parameters.coercive_field, share, steps, constants, flat, lattice.wrap, lattice.interior, schedule.drawn,
            schedule.stale, schedule.stale_rank, bounds, workspace, every, totals, last, frames,
        )  # fmt: skip

    return run


def _site_runner(parameters: FerroSimParameters, lattice: PaddedLattice, dtype: np.dtype[Any]) -> BlockRunner:
    steps = _steps(parameters)
    gamma = parameters.kinetic_coefficient
    quirk = gamma if parameters.rule == "published" else 1.0
    schedule = _schedule(parameters, lattice)
    inverse = 1.0 / parameters.lattice_size**2
    numbers = (*lattice.on_site, _bound(parameters), inverse, _mobility(parameters), gamma, quirk, lattice.mean_weight)
    constants = np.array(numbers, dtype=dtype)
    site, weight = lattice.site.ravel().astype(dtype), lattice.weight.ravel().astype(dtype)
    n_steps, n_positions = parameters.n_steps, lattice.width**2

    def run(
        fields: FloatArray,
        initial: FloatArray,
        share: npt.NDArray[np.int64],
        every: int,
        totals: FloatArray,
        last: FloatArray,
        frames: FloatArray,
    ) -> None:
        workspace = tuple(aligned_zeros(2 * size, dtype) for size in (n_positions, n_positions, n_positions, n_steps, n_steps))
        site_blocks(
            fields, initial, parameters.coercive_field, share, steps.astype(dtype), constants, site, weight, lattice.offsets, lattice.wrap,
            lattice.interior, schedule.drawn, schedule.stale, schedule.stale_start, workspace, every, totals, last, frames,
        )  # fmt: skip

    return run


def _schedule(parameters: FerroSimParameters, lattice: PaddedLattice) -> Schedule:
    if parameters.update == "synchronous" or parameters.update_seed is None:
        return everything_moves(lattice.interior, parameters.n_steps)
    return drawn_sites(lattice.interior, parameters.n_steps, parameters.update_seed, is_uniform=_has_equal_steps(parameters))


def _runge_kutta_runner(parameters: FerroSimParameters, lattice: PaddedLattice, dtype: np.dtype[Any]) -> BlockRunner:
    n_steps, n_positions = parameters.n_steps, lattice.width**2
    steps = _steps(parameters).astype(dtype)
    inverse = 1.0 / parameters.lattice_size**2
    numbers = (*lattice.on_site, _bound(parameters), inverse, _mobility(parameters), parameters.kinetic_coefficient, lattice.mean_weight)
    constants = np.array(numbers, dtype=dtype)
    site, weight = lattice.site.ravel().astype(dtype), lattice.weight.ravel().astype(dtype)

    def run(
        fields: FloatArray,
        initial: FloatArray,
        share: npt.NDArray[np.int64],
        every: int,
        totals: FloatArray,
        last: FloatArray,
        frames: FloatArray,
    ) -> None:
        workspace = tuple(aligned_zeros(2 * size, dtype) for size in (n_positions, n_positions, n_positions, n_positions, n_steps, n_steps))
        runge_kutta_blocks(
            fields, initial, parameters.coercive_field, share, steps, constants, site, weight, lattice.offsets, lattice.wrap,
            lattice.interior, workspace, every, totals, last, frames,
        )  # fmt: skip

    return run
