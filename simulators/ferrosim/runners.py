"""Which kernel runs a model, and all that it is handed: worked out once per model, before the first run.

Four kernels share the work. `kernel` is the fast path of the synchronous rule, `kernel_random_sites` that of the published
random_sites rule; `kernel_sites` does Euler for every other model, `kernel_runge_kutta` Runge-Kutta 4. A runner is a
function of the fields and the arrays to fill, and brings its own workspace, so that threads may share it.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .kernel import sweep_blocks
from .kernel_random_sites import random_sites_blocks
from .kernel_runge_kutta import runge_kutta_blocks
from .kernel_sites import site_blocks
from .lanes import LANE_BYTES, aligned_zeros
from .lattice import PaddedLattice
from .parameters import FerroSimParameters, as_array
from .reference import CLIP
from .schedule import Schedule, bands, drawn_sites, everything_moves

FloatArray = npt.NDArray[np.float64]

UNIFORM_STEP_TOLERANCE: Final = 1e-9
"""Relative spread of the time steps up to which they count as equal (linspace rounds in the sixteenth digit)."""

_SITE_BYTES: Final = 2 * LANE_BYTES
_BAND_BYTES: Final = 16_384  # stored states of a band, a third of a first-level cache

BlockRunner = Callable[[FloatArray, FloatArray, npt.NDArray[np.int64], int, FloatArray, FloatArray, FloatArray], None]
"""(fields, initial, blocks from and to, frames every, totals, last, frames) -> None; see `kernel.sweep_blocks`."""


def block_runner(parameters: FerroSimParameters, lattice: PaddedLattice, dtype: np.dtype[Any]) -> BlockRunner:
    """The fastest kernel that can do this model, with all that does not depend on the field worked out.

    Args:
        parameters: the model.
        lattice: its padded lattice.
        dtype: precision of the kernel.

    Returns:
        A function that runs blocks of trajectories; safe to call from several threads at once.
    """
    single_state = parameters.rule == "clean" or parameters.kinetic_coefficient == 1.0
    if parameters.integrator == "rk4":
        return _runge_kutta_runner(parameters, lattice, dtype)
    if parameters.update == "synchronous" and single_state and lattice.is_uniform:
        return _sweep_runner(parameters, lattice, dtype)
    has_one_coupling = np.ndim(parameters.coupling) == 0
    if parameters.update == "random_sites" and single_state and lattice.is_uniform and has_one_coupling and _has_equal_steps(parameters):
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
    site[:, 3] = lattice.weight[lattice.interior].max(axis=1)  # at an open edge the halo's zeros stand for the missing neighbours
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
    n_bands = max(1, round(lattice.size * lattice.width * _SITE_BYTES / _BAND_BYTES))
    cuts = bands(schedule, lattice.width, n_bands)
    *_, linear, depolarization = lattice.site[lattice.interior[0]]
    weight = lattice.weight[lattice.interior[0], 0]
    field = lattice.site[:, :2].ravel().astype(dtype)
    shared = depolarization / len(lattice.interior)
    constants = np.array([*lattice.on_site, _bound(parameters), shared, _mobility(parameters), linear, weight], dtype=dtype)
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
            fields, initial, parameters.coercive_field, share, steps, constants, field, lattice.wrap, lattice.interior, schedule.drawn,
            schedule.stale, schedule.stale_rank, schedule.stale_start, cuts, workspace, every, totals, last, frames,
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
