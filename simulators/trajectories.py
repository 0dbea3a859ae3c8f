"""Families of process trajectories: what a process variable may do over time.

A family is a frozen record of a few plain numbers with two duties: `times`, the grid (T,) it lives on, and
`draw(n, generator)`, n members (n, T). Optimization needs such families because the space of all histories is hopeless
while the histories that make sense in a laboratory are few and simple: they are what a latent model learns.

The published family is x(t) = A exp(alpha t) cos(omega t) + B, scaled to [-1, 1] by its own extremes, plus white noise.
A and B cancel in the scaling, so it has two true factors, alpha and omega.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from .errors import ParameterError, TrajectoryError

FloatArray = npt.NDArray[np.float64]
Range = tuple[float, float]

PUBLISHED_SEED: Final = 171
"""Seed of NumPy's legacy generator behind the published set of trajectories."""

PUBLISHED_COUNT: Final = 7_500
"""Number of trajectories in the published set."""


class TrajectoryFamily(Protocol):
    """What every family can do."""

    @property
    def times(self) -> FloatArray:
        """Time grid (T,)."""
        ...

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Draw members of the family, (n, T)."""
        ...


@dataclass(frozen=True, slots=True)
class DampedSinusoid:
    """The published family: A exp(alpha t) cos(omega t) + B, scaled to [-1, 1], with noise.

    Scaling uses all `n_times` points of the grid; of these the first `n_steps` are kept.

    Source: https://doi.org/10.1039/D2DD00065B
    """

    amplitude: Range = (0.0, 0.75)
    """Range of A (uniform)."""
    alpha: Range = (-2.75, 2.75)
    """Range of the growth rate, per unit of time (uniform)."""
    omega: Range = (2.0 * math.pi, 8.0 * math.pi / 3.0)
    """Range of the angular frequency, radians per unit of time (uniform)."""
    offset: Range = (-0.5, 0.5)
    """Range of B (uniform)."""
    n_steps: int = 900
    """Steps kept of the grid."""
    n_times: int = 1_200
    """Points of the whole grid, on which the scaling is done."""
    duration: float = 4.0
    """Length of the whole grid, in units of time."""
    noise: float = 0.02
    """Standard deviation of the white noise added after scaling."""

    def __post_init__(self) -> None:
        _check_ranges(self, ("amplitude", "alpha", "omega", "offset"))
        _check_grid(self.n_steps, self.n_times, self.duration)
        if self.amplitude[0] <= 0.0 >= self.amplitude[1]:
            raise ParameterError(f"amplitude is {self.amplitude}; without a positive amplitude there is nothing to scale")
        if not self.noise >= 0.0:
            raise ParameterError(f"noise is {self.noise}; a standard deviation is 0 or larger")

    @property
    def times(self) -> FloatArray:
        """The first `n_steps` points of linspace(0, duration, n_times)."""
        return np.linspace(0.0, self.duration, self.n_times)[: self.n_steps]

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Draw n trajectories.

        Args:
            n: how many, at least 1.
            generator: source of all randomness.

        Returns:
            Array (n, n_steps), within [-1, 1] up to the noise.
        """
        _check_count(n)
        return self._draw(n, generator)

    def _draw(self, n: int, generator: np.random.Generator | np.random.RandomState) -> FloatArray:
        amplitude, alpha, omega, offset = (
            generator.uniform(low, high, n)[:, None] for low, high in (self.amplitude, self.alpha, self.omega, self.offset)
        )
        t = np.linspace(0.0, self.duration, self.n_times)
        x = amplitude * np.exp(alpha * t) * np.cos(omega * t) + offset
        low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
        scaled = 2.0 * (x - low) / (high - low) - 1.0
        noisy: FloatArray = scaled + generator.normal(0.0, self.noise, (n, self.n_times))
        return noisy[:, : self.n_steps].copy()


@dataclass(frozen=True, slots=True)
class LectureSine:
    """The lecture's form: A exp(alpha t) sin(omega t) + B, neither scaled nor noisy."""

    amplitude: Range = (0.0, 0.75)
    """Range of A (uniform)."""
    alpha: Range = (-2.75, 2.75)
    """Range of the growth rate, per unit of time (uniform)."""
    omega: Range = (2.0 * math.pi, 8.0 * math.pi / 3.0)
    """Range of the angular frequency, radians per unit of time (uniform)."""
    offset: Range = (-0.5, 0.5)
    """Range of B (uniform)."""
    n_steps: int = 900
    """Steps kept of the grid."""
    n_times: int = 1_200
    """Points of the whole grid."""
    duration: float = 4.0
    """Length of the whole grid, in units of time."""

    def __post_init__(self) -> None:
        _check_ranges(self, ("amplitude", "alpha", "omega", "offset"))
        _check_grid(self.n_steps, self.n_times, self.duration)

    @property
    def times(self) -> FloatArray:
        """The first `n_steps` points of linspace(0, duration, n_times)."""
        return np.linspace(0.0, self.duration, self.n_times)[: self.n_steps]

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Draw n trajectories (n, n_steps) with the given generator."""
        _check_count(n)
        amplitude, alpha, omega, offset = (
            generator.uniform(low, high, n)[:, None] for low, high in (self.amplitude, self.alpha, self.omega, self.offset)
        )
        t = self.times
        x: FloatArray = amplitude * np.exp(alpha * t) * np.sin(omega * t) + offset
        return x


@dataclass(frozen=True, slots=True)
class LegendreSeries:
    """Smooth curves sum_k c_k P_k(u) over u in [-1, 1], with c_k normal and shrinking as (k + 1)^-decay."""

    degree: int = 15
    """Highest Legendre polynomial."""
    n_steps: int = 100
    """Points of the curve."""
    scale: float = 1.0
    """Standard deviation of the first coefficient."""
    decay: float = 1.0
    """Exponent by which the coefficients' standard deviation falls with k; 0: all alike."""
    duration: float = 1.0
    """Length of the grid, in units of time."""

    def __post_init__(self) -> None:
        if self.degree < 0:
            raise ParameterError(f"degree is {self.degree}; a Legendre series needs degree 0 or more")
        if not self.scale > 0.0 or not math.isfinite(self.scale) or not math.isfinite(self.decay):
            raise ParameterError(f"scale is {self.scale} and decay is {self.decay}; scale must be positive and both finite")
        _check_grid(self.n_steps, self.n_steps, self.duration)

    @property
    def times(self) -> FloatArray:
        """linspace(0, duration, n_steps)."""
        return np.linspace(0.0, self.duration, self.n_steps)

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Draw n curves (n, n_steps) with the given generator."""
        _check_count(n)
        deviations = self.scale * (1.0 + np.arange(self.degree + 1)) ** -self.decay
        coefficients = generator.normal(size=(n, self.degree + 1)) * deviations
        curves: FloatArray = coefficients @ np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, self.n_steps), self.degree).T
        return curves


def published_trajectories(n: int = PUBLISHED_COUNT, seed: int = PUBLISHED_SEED) -> FloatArray:
    """The published set of trajectories, number for number.

    The parameters A, alpha, omega, B are drawn n at a time in this order from NumPy's legacy generator (a private one: the
    global one is left alone), so a smaller n gives another set, not the beginning of this one.

    Args:
        n: how many trajectories; the publication has 7,500.
        seed: seed of the legacy generator; the publication has 171.

    Returns:
        Array (n, 900) on times linspace(0, 4, 1200)[:900].

    Source: https://doi.org/10.1039/D2DD00065B
    """
    _check_count(n)
    return DampedSinusoid()._draw(n, np.random.RandomState(seed))  # the published stream is a legacy one


def resample(trajectories: npt.ArrayLike, n_steps: int, *, axis: int = -1) -> FloatArray:
    """Bring trajectories to another number of steps by linear interpolation; first and last value stay.

    Args:
        trajectories: array with time along `axis`: (T,), (n, T), or (n, T, channels) with axis=-2.
        n_steps: wanted number of steps, at least 2.
        axis: which axis is time.

    Returns:
        The same array with `n_steps` along `axis`.

    Raises:
        TrajectoryError: fewer than two steps given or asked for, or a value that is not finite.
    """
    x = np.asarray(trajectories, dtype=np.float64)
    if x.ndim == 0 or x.shape[axis] < 2 or n_steps < 2:
        raise TrajectoryError(f"resampling from shape {x.shape} to {n_steps} steps: two steps are needed on both sides")
    if not np.isfinite(x).all():
        raise TrajectoryError("the trajectories hold values that are not finite; mend them before resampling")
    moved = np.moveaxis(x, axis, -1)
    position = np.linspace(0.0, moved.shape[-1] - 1.0, n_steps)
    left = np.minimum(position.astype(np.intp), moved.shape[-1] - 2)
    weight = position - left
    # This form is exact at both ends and for constant curves, which a + w (b - a) is not.
    result = (1.0 - weight) * moved[..., left] + weight * moved[..., left + 1]
    return np.ascontiguousarray(np.moveaxis(result, -1, axis))


def check_trajectory(
    x: npt.ArrayLike, n_steps: int | None = None, n_channels: int | None = None, *, name: str = "trajectory"
) -> FloatArray:
    """Refuse what is not a trajectory.

    Args:
        x: (T,), or (T, channels).
        n_steps: required T.
        n_channels: required channels; 1 also admits (T,).
        name: what the error calls it.

    Returns:
        x as float64, unchanged in shape.

    Raises:
        TrajectoryError: wrong number of axes, steps or channels, values that are no numbers or not finite.
    """
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(f"{name} is no array of numbers: {error}") from None
    if values.ndim not in (1, 2) or values.size == 0:
        raise TrajectoryError(f"{name} has shape {values.shape}; expected (steps,) or (steps, channels)")
    if n_steps is not None and len(values) != n_steps:
        raise TrajectoryError(f"{name} has {len(values)} steps, {n_steps} are needed; resample with trajectories.resample(x, {n_steps})")
    channels = 1 if values.ndim == 1 else values.shape[1]
    if n_channels is not None and channels != n_channels:
        raise TrajectoryError(f"{name} has {channels} channels, {n_channels} are needed")
    if not np.isfinite(values).all():
        step = int(np.argwhere(~np.isfinite(values))[0][0])
        raise TrajectoryError(f"{name} is not finite at step {step} (value {values[step]}); a trajectory holds finite numbers only")
    return values


def _check_ranges(family: object, names: tuple[str, ...]) -> None:
    for name in names:
        low, high = getattr(family, name)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ParameterError(f"{name} is ({low}, {high}); a range is two finite numbers, the smaller first")


def _check_grid(n_steps: int, n_times: int, duration: float) -> None:
    if not 2 <= n_steps <= n_times:
        raise ParameterError(f"n_steps is {n_steps} of {n_times} points; at least 2 and at most all of them can be kept")
    if not (duration > 0.0 and math.isfinite(duration)):
        raise ParameterError(f"duration is {duration}; it must be positive and finite")


def _check_count(n: int) -> None:
    if n < 1:
        raise ParameterError(f"{n} trajectories were asked for; draw at least 1")
