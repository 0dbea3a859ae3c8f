"""Numbers of a hysteresis loop: polarization against field over one closed cycle, for one loop or a batch.

Loops are given as field (..., T) and polarization (..., T) along one axis; the last point is joined to the first.

Source: M. E. Lines, A. M. Glass, Principles and Applications of Ferroelectrics and Related Materials, Oxford 1977, chapter 4.
"""

import numpy as np
import numpy.typing as npt

from ..errors import SimulationError

FloatArray = npt.NDArray[np.float64]


def loop_area(field: npt.ArrayLike, polarization: npt.ArrayLike) -> FloatArray:
    """Area enclosed by the loop, |closed integral of P dE|, by the trapezoidal rule: the energy lost per cycle.

    Args:
        field: (..., T).
        polarization: (..., T).

    Returns:
        Array (...), never negative.
    """
    e, p = _loops(field, polarization)
    integral = 0.5 * (p + np.roll(p, -1, axis=-1)) * (np.roll(e, -1, axis=-1) - e)
    return np.asarray(np.abs(integral.sum(axis=-1)))


def coercive_field(field: npt.ArrayLike, polarization: npt.ArrayLike) -> FloatArray:
    """Mean |E| where the polarization changes sign, with the crossing interpolated linearly; NaN if it never does.

    Args:
        field: (..., T).
        polarization: (..., T).

    Returns:
        Array (...), in the units of `field`.
    """
    e, p = _loops(field, polarization)
    return _mean_at_zero(of=e, zero=p)


def remnant_polarization(field: npt.ArrayLike, polarization: npt.ArrayLike) -> FloatArray:
    """Mean |P| where the field changes sign, with the crossing interpolated linearly; NaN if it never does.

    Args:
        field: (..., T).
        polarization: (..., T).

    Returns:
        Array (...), in the units of `polarization`.
    """
    e, p = _loops(field, polarization)
    return _mean_at_zero(of=p, zero=e)


def _mean_at_zero(of: FloatArray, zero: FloatArray) -> FloatArray:
    before, after = zero[..., :-1], zero[..., 1:]
    # A zero that is hit exactly belongs to the interval that it ends, so that it counts once.
    crosses = (before != 0.0) & (np.sign(before) != np.sign(after))
    span = np.where(crosses, before - after, 1.0)
    weight = before / span
    values = np.abs(of[..., :-1] + weight * (of[..., 1:] - of[..., :-1]))
    count = crosses.sum(axis=-1)
    total = np.where(crosses, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))


def _loops(field: npt.ArrayLike, polarization: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    e, p = np.asarray(field, dtype=np.float64), np.asarray(polarization, dtype=np.float64)
    if e.ndim == 0 or p.ndim == 0 or e.shape[-1] != p.shape[-1] or e.shape[-1] < 3:
        raise SimulationError(f"field has shape {e.shape} and polarization {p.shape}; expected (..., T) alike, with at least 3 points")
    e, p = np.broadcast_arrays(e, p)
    return e, p
