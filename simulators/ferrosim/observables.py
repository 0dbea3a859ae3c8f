"""What is read off a polarization state: numbers and maps, for one state or any batch of states.

States are arrays (..., n, n, 2); the first lattice axis i runs along rows, the second j along columns.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import SimulationError

FloatArray = npt.NDArray[np.float64]
Region = Literal["wrapped", "interior"]


def curl_map(polarization: npt.ArrayLike) -> FloatArray:
    """Discrete curl at every site, wrapped around the edges whatever the lattice (the published form).

    curl[i, j] = 0.5 [(y[i+1, j] - y[i-1, j]) - (x[i, j+1] - x[i, j-1])]

    On a periodic lattice this is the curl everywhere; on an open one the outermost ring of sites compares opposite edges,
    and only `[..., 1:-1, 1:-1]` has the meaning of a curl.

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


def curl(polarization: npt.ArrayLike, region: Region = "wrapped") -> FloatArray:
    """Sum over sites of |curl|; by default the published target, over all sites and wrapped.

    Args:
        polarization: (..., n, n, 2).
        region: `wrapped`: all sites (right for periodic lattices, published for open ones); `interior`: without the
            outermost ring, which on an open lattice contributes a third of the published number and is no curl.

    Returns:
        Array (...); a number without axes for a single state.

    Raises:
        SimulationError: another region, or no polarization.

    Source: https://doi.org/10.1039/D2DD00065B
    """
    if region not in get_args(Region):
        raise SimulationError(f"region is {region!r}; known are {', '.join(get_args(Region))}")
    values = np.abs(curl_map(polarization))
    return np.asarray((values[..., 1:-1, 1:-1] if region == "interior" else values).sum(axis=(-2, -1)))


def normalized_curl(polarization: npt.ArrayLike) -> FloatArray:
    """`curl` divided by the sum over sites of |p|: how vortical a state is, whatever its strength; 0 for a zero state.

    sum |curl| / sum |p|; the published curl without its trivial growth with the polarization.

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


def domain_wall_length(polarization: npt.ArrayLike, *, is_periodic: bool = False) -> FloatArray:
    """Length of the domain walls, in lattice spacings: bonds between nearest neighbours that point against each other.

    A bond belongs to a wall when p_i . p_j < 0, that is, when the two directions differ by more than 90 degrees: the discrete form of the
    walls between domains in A. K. Tagantsev, L. E. Cross, J. Fousek, Domains in Ferroic Crystals and Thin Films, Springer 2010.

    Args:
        polarization: (..., n, n, 2).
        is_periodic: whether opposite edges are neighbours.

    Returns:
        Array (...).
    """
    p = _states(polarization)
    length = np.zeros(p.shape[:-3])
    for axis in (-3, -2):
        here, there = p, np.roll(p, -1, axis=axis)
        opposed = (here * there).sum(axis=-1) < 0.0
        if not is_periodic:
            opposed = opposed[..., :-1, :] if axis == -3 else opposed[..., :-1]
        length += opposed.sum(axis=(-2, -1))
    return np.asarray(length)


def _states(polarization: npt.ArrayLike) -> FloatArray:
    p = np.asarray(polarization, dtype=np.float64)
    if p.ndim < 3 or p.shape[-1] != 2 or p.shape[-2] != p.shape[-3]:
        raise SimulationError(f"polarization has shape {p.shape}; expected (..., n, n, 2)")
    return p
