"""Frozen disorder: fields and couplings that differ from site to site, drawn from a Generator.

Random-field disorder acts like a charged defect that favours one polarization; the published model has 33 of them on 400
sites, all along +y, with strengths of 15 to 46 Ec. Random-bond disorder changes how strongly a site is coupled.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

import math
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import ParameterError

if TYPE_CHECKING:
    from .simulator import PolarizationHistory

FloatArray = npt.NDArray[np.float64]
Orientation = Literal["+x", "-x", "+y", "-y", "axes", "random"]

_DIRECTIONS = {"+x": (1.0, 0.0), "-x": (-1.0, 0.0), "+y": (0.0, 1.0), "-y": (0.0, -1.0)}


def random_field(
    lattice_size: int,
    generator: np.random.Generator,
    *,
    density: float = 33 / 400,
    strength: tuple[float, float] = (15.0, 46.0),
    orientation: Orientation = "+y",
) -> FloatArray:
    """Random-field defects on a share of the sites; the defaults are those of the published model.

    Args:
        lattice_size: n.
        generator: source of all randomness.
        density: share of the sites that are defects, 0 to 1; their number is rounded.
        strength: range of the defects' field in units of Ec (uniform).
        orientation: one direction for all, one of the four `axes` for each, or any direction (`random`).

    Returns:
        Array (n, n, 2) in units of Ec, for `FerroSimParameters.random_field`.

    Raises:
        ParameterError: a number out of its range, or an unknown orientation.
    """
    _check(lattice_size, density)
    if orientation not in get_args(Orientation):
        raise ParameterError(f"orientation is {orientation!r}; known are {', '.join(get_args(Orientation))}")
    low, high = strength
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ParameterError(f"strength is {strength}; expected two finite numbers, the smaller first")
    sites = _defect_sites(lattice_size, density, generator)
    if orientation == "random":
        angle = generator.uniform(0.0, 2.0 * math.pi, len(sites))
        directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    elif orientation == "axes":
        directions = np.array(list(_DIRECTIONS.values()))[generator.integers(4, size=len(sites))]
    else:
        directions = np.tile(_DIRECTIONS[orientation], (len(sites), 1))
    field = np.zeros((lattice_size**2, 2))
    field[sites] = generator.uniform(low, high, (len(sites), 1)) * directions
    return field.reshape(lattice_size, lattice_size, 2)


def random_bond(
    lattice_size: int,
    generator: np.random.Generator,
    *,
    coupling: float,
    density: float = 0.1,
    factor: tuple[float, float] = (0.0, 1.0),
) -> FloatArray:
    """Random-bond disorder: a share of the sites is coupled more weakly, or more strongly.

    Args:
        lattice_size: n.
        generator: source of all randomness.
        coupling: K of the undisturbed sites, not negative.
        density: share of the sites that are disturbed, 0 to 1; their number is rounded.
        factor: range of K over the undisturbed K (uniform), not negative.

    Returns:
        Array (n, n), for `FerroSimParameters.coupling`.

    Raises:
        ParameterError: a number out of its range.
    """
    _check(lattice_size, density)
    low, high = factor
    if not (0.0 <= low <= high and math.isfinite(high)) or not (coupling >= 0.0 and math.isfinite(coupling)):
        raise ParameterError(f"coupling is {coupling} and factor is {factor}; neither may be negative, and the smaller factor comes first")
    sites = _defect_sites(lattice_size, density, generator)
    values = np.full(lattice_size**2, float(coupling))
    values[sites] *= generator.uniform(low, high, len(sites))
    return values.reshape(lattice_size, lattice_size)


def uniform_polarization(lattice_size: int, polarization: tuple[float, float]) -> FloatArray:
    """An initial state with all sites alike, (n, n, 2)."""
    _check(lattice_size, 0.0)
    return np.tile(np.asarray(polarization, dtype=np.float64), (lattice_size, lattice_size, 1))


def random_polarization(lattice_size: int, generator: np.random.Generator, *, scale: float) -> FloatArray:
    """An initial state with both components of every site normal with standard deviation `scale`, (n, n, 2)."""
    _check(lattice_size, 0.0)
    if not (scale >= 0.0 and math.isfinite(scale)):
        raise ParameterError(f"scale is {scale}; a standard deviation is finite and not negative")
    return generator.normal(0.0, scale, (lattice_size, lattice_size, 2))


def continued_polarization(history: "PolarizationHistory") -> FloatArray:
    """The initial states that go on where a history ended, (S, n, n, 2): one per trajectory, for a batch of as many.

    Exact for the synchronous rule with a kinetic coefficient of 1 (and for RK4), where the last stored state is all there is: a run that is
    split in two equals the whole one. Under random_sites the published rule keeps a second, accumulated state and stale updates, which a
    history does not hold: the continuation starts from the stored state with fresh ones, as a new experiment on the same sample would.
    """
    return history.polarization.copy()


def _defect_sites(lattice_size: int, density: float, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    n_sites = lattice_size**2
    return np.sort(generator.choice(n_sites, round(density * n_sites), replace=False))


def _check(lattice_size: int, density: float) -> None:
    if lattice_size < 2:
        raise ParameterError(f"lattice_size is {lattice_size}; a lattice needs at least 2 sites along each side")
    if not 0.0 <= density <= 1.0:
        raise ParameterError(f"density is {density}; it is a share of the sites, 0 to 1")
