"""What is read off a polarization state: numbers and maps, for one state or any batch of states.

States are arrays (..., n, n, 2); the first lattice axis i runs along rows, the second j along columns.
"""

import numpy as np
import numpy.typing as npt

from ..errors import SimulationError

FloatArray = npt.NDArray[np.float64]


def curl_map(polarization: npt.ArrayLike) -> FloatArray:
    """Discrete curl at every site, wrapped around the edges whatever the lattice (the published form).

    curl[i, j] = 0.5 [(y[i+1, j] - y[i-1, j]) - (x[i, j+1] - x[i, j-1])]

    Args:
        polarization: (..., n, n, 2).

    Returns:
        Array (..., n, n).

    Source: https://doi.org/10.1039/D2DD00065B
    """
    p = _states(polarization)
    x, y = p[..., 0], p[..., 1]
    along_rows = np.roll(y, -1, axis=-2) - np.roll(y, 1, axis=-2)
    along_columns = np.roll(x, -1, axis=-1) - np.roll(x, 1, axis=-1)
    result: FloatArray = 0.5 * (along_rows - along_columns)
    return result


def curl(polarization: npt.ArrayLike) -> FloatArray:
    """The published target: the sum over all sites of |curl|.

    Args:
        polarization: (..., n, n, 2).

    Returns:
        Array (...); a number without axes for a single state.

    Source: https://doi.org/10.1039/D2DD00065B
    """
    return np.asarray(np.abs(curl_map(polarization)).sum(axis=(-2, -1)))


def normalized_curl(polarization: npt.ArrayLike) -> FloatArray:
    """`curl` divided by the sum over sites of |p|: how vortical a state is, whatever its strength; 0 for a zero state.

    Args:
        polarization: (..., n, n, 2).

    Returns:
        Array (...).
    """
    p = _states(polarization)
    strength = np.sqrt((p**2).sum(axis=-1)).sum(axis=(-2, -1))
    return np.asarray(np.divide(curl(p), strength, out=np.zeros_like(strength), where=strength > 0.0))


def total_polarization(polarization: npt.ArrayLike) -> FloatArray:
    """Sum over sites; (..., n, n, 2) to (..., 2)."""
    return np.asarray(_states(polarization).sum(axis=(-3, -2)))


def mean_polarization(polarization: npt.ArrayLike) -> FloatArray:
    """Mean over sites; (..., n, n, 2) to (..., 2)."""
    return np.asarray(_states(polarization).mean(axis=(-3, -2)))


def _states(polarization: npt.ArrayLike) -> FloatArray:
    p = np.asarray(polarization, dtype=np.float64)
    if p.ndim < 3 or p.shape[-1] != 2 or p.shape[-2] != p.shape[-3]:
        raise SimulationError(f"polarization has shape {p.shape}; expected (..., n, n, 2)")
    return p
