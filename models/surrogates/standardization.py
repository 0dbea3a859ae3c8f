"""Observations as surrogates need them: checked, and with mean 0 and standard deviation 1.

    standardized = (y - centre) / unit,    centre = mean(y),    unit = std(y),

safe for one value, for equal values, and for magnitudes whose squares do not fit into a float.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DomainError, NonFiniteError, ObservationError, ParameterError
from .base import Array

LARGEST_VALUE: Final = 1e140
"""Larger values cannot be squared with digits to spare."""
NOISE_FLOOR: Final = 1e-6
"""Smallest noise variance that can be given, as a share of the variance of y."""
LARGEST_NOISE: Final = 1e8
"""Largest noise variance, as a share of the variance of y: such a value says nothing."""


@dataclass(frozen=True, slots=True)
class Standardization:
    """Where values lie, and how far they spread."""

    centre: float
    """Their mean, in units of y."""
    unit: float
    """Their standard deviation, in units of y; positive."""

    @classmethod
    def of(cls, values: Array) -> Self:
        """Mean and standard deviation of values (n,)."""
        size = float(np.abs(values).max())
        if size < 1.0 / LARGEST_VALUE:
            return cls(float(values.mean()), 1.0)  # all zero, for every purpose
        relative = values / size  # so that no square over- or underflows
        spread = float(relative.std(ddof=1)) if len(values) > 1 else 0.0
        # A spread within rounding of the values is no spread: blowing it up would turn rounding errors into an objective.
        unit = spread * size if spread > len(values) * np.finfo(np.float64).eps else size
        return cls(float(relative.mean()) * size, unit)

    def apply(self, values: Array) -> Array:
        """Values (n,) in units of y as standardized values."""
        standardized: Array = (values - self.centre) / self.unit
        return standardized

    def variances(self, given: Array, floor: float = NOISE_FLOOR) -> Array:
        """Variances (n,) in squared units of y as those of standardized values, at least `floor`."""
        # Divided twice: the square of a tiny unit would underflow.
        return np.clip(given / self.unit / self.unit, floor, LARGEST_NOISE)


def known_variances(
    n: int, noise: float | None, y_var: ArrayLike | None, extra: ArrayLike | None = None
) -> tuple[Array, NDArray[np.bool_]]:
    """What is known of the noise of n values.

    Args:
        n: Number of values.
        noise: Variance of those that have none of their own; None to infer it.
        y_var: Variances (n,) of their own, NaN where unknown.
        extra: Variances (n,) to be added.

    Returns:
        Known parts (n,) of the variances, and to which of them (n,) a common part that is to be inferred comes on top.

    Raises:
        ObservationError: `y_var` or `extra` has another length, or holds negative values.
    """
    own = np.full(n, np.nan) if y_var is None else np.array(y_var, dtype=np.float64).reshape(-1)
    added = np.zeros(n) if extra is None else checked_column(extra, "extra variances")
    for given, name in ((own, "y_var"), (added, "extra")):
        if len(given) != n or (given < 0).any() or np.isinf(given).any():
            raise ObservationError(
                f"{name} needs {n} variances of at least 0, got {len(given)} with smallest {np.nanmin(given, initial=0):g}"
            )
    unknown = np.isnan(own)
    own[unknown] = 0.0 if noise is None else noise
    return own + added, unknown & (noise is None)


def checked_box(bounds: ArrayLike) -> Array:
    """A box (d, 2) with rows [low, high] as a float64 array.

    Raises:
        DomainError: It is not one.
    """
    box = np.array(bounds, dtype=np.float64)
    if box.ndim != 2 or box.shape[1] != 2 or len(box) == 0 or not np.isfinite(box).all() or not (box[:, 1] > box[:, 0]).all():
        raise DomainError(f"bounds of a surrogate must be finite rows [low, high] with low < high, got an array of shape {box.shape}")
    return box


def checked_noise(noise: float | None) -> float | None:
    """A variance of at least 0, or None.

    Raises:
        ParameterError: It is not one.
    """
    if noise is not None and not 0 <= noise < np.inf:
        raise ParameterError(f"noise is {noise}; it is a variance: give a number of at least 0, or None to infer it")
    return noise


def checked_points(x: ArrayLike, d: int) -> Array:
    """Points (n, d) as a float64 array.

    Raises:
        ObservationError: Another shape.
        NonFiniteError: NaN or infinity among them.
    """
    points = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != d:
        raise ObservationError(f"points have shape {points.shape}, the surrogate needs (n, {d})")
    if not np.isfinite(points).all():
        raise NonFiniteError(f"points hold NaN or infinity, first in row {int(np.argwhere(~np.isfinite(points))[0][0])}")
    return points


def checked_column(values: ArrayLike, what: str) -> Array:
    """Values (n,) or (n, 1) as (n,).

    Raises:
        ObservationError: Another shape.
        NonFiniteError: NaN or infinity among them.
    """
    array: Array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ObservationError(f"{what} have shape {array.shape}; give (n,) or (n, 1)")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{what} hold NaN or infinity, first at {int(np.argwhere(~np.isfinite(array))[0][0])}; leave those out")
    return array


def checked_values(y: ArrayLike, n: int) -> Array:
    """Values (n,) for n points, at least one and none too large.

    Raises:
        ObservationError: There are none, not as many as points, or one is too large to be squared.
        NonFiniteError: NaN or infinity among them.
    """
    values = checked_column(y, "values")
    if n == 0 or n != len(values):
        raise ObservationError(f"{n} points and {len(values)} values; give as many values as points, at least one")
    if np.abs(values).max() > LARGEST_VALUE:
        raise ObservationError(f"a value of {np.abs(values).max():.3g} cannot be learned from; quarantine it, or rescale the objective")
    return values
