"""The energy of a polarization state, and what its negative gradient has to do with the published rule.

    F = sum_i [ c1/2 (x^2 + y^2) + c3/4 (x^4 + y^4) + c12/2 x^2 y^2 - (E + e_i - alpha_dep_i <p>) . p_i ]
        + sum_<ij> K_ij |p_i - p_j|^2,     K_ij = (K_i + K_j) / 2, every pair of neighbours once

which for tetragonal and rhombohedral sites is a1 (x^2 + y^2) + a2 (x^4 + y^4) + a3 x^2 y^2, as in the lecture. Rule `clean`
is dp/dt = -gamma dF/dp exactly. Two relations tie it to rule `published`: four neighbours pull by 2 K (4 p - S), so the
published K is eight of these; and <p> itself depends on p, so the gradient holds twice the mean field of the published
rule. On a periodic lattice of four neighbours the two rules are then one; on an open one the published rule pulls each
edge site towards zero by K/4 p for every neighbour that it lacks.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import ParameterError, SimulationError
from .parameters import FerroSimParameters, as_array

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """The parts of the energy of one state, or of a batch of states (arrays of one shape)."""

    on_site: FloatArray
    """Landau energy of the sites."""
    applied: FloatArray
    """- E . p with the applied field."""
    disorder: FloatArray
    """- e_i . p_i with the random field."""
    depolarization: FloatArray
    """+ alpha_dep_i <p> . p_i."""
    coupling: FloatArray
    """K_ij |p_i - p_j|^2 over the pairs of neighbours."""

    @property
    def total(self) -> FloatArray:
        """The sum of the parts."""
        return self.on_site + self.applied + self.disorder + self.depolarization + self.coupling


def energy(parameters: FerroSimParameters, polarization: npt.ArrayLike, field: npt.ArrayLike = (0.0, 0.0)) -> Energy:
    """Energy of states under rule `clean`.

    Args:
        parameters: the model, with rule 'clean'.
        polarization: states (..., n, n, 2).
        field: applied field (2,) or (..., 2), in units of Ec.

    Returns:
        The parts, arrays (...).

    Raises:
        ParameterError: the model's rule is 'published'.
        SimulationError: the states do not fit the lattice.
    """
    if parameters.rule != "clean":
        raise ParameterError("the published rule is no gradient of an energy; pass clean_equivalent(parameters)")
    n = parameters.lattice_size
    p = np.asarray(polarization, dtype=np.float64)
    if p.ndim < 3 or p.shape[-3:] != (n, n, 2):
        raise SimulationError(f"polarization has shape {p.shape}; expected (..., {n}, {n}, 2)")
    c1, c3, c12 = parameters.on_site_coefficients
    x2, y2 = p[..., 0] ** 2, p[..., 1] ** 2
    landau = 0.5 * c1 * (x2 + y2) + 0.25 * c3 * (x2**2 + y2**2) + 0.5 * c12 * x2 * y2
    applied = np.asarray(field, dtype=np.float64) * parameters.coercive_field
    random = as_array(parameters.random_field) * parameters.coercive_field
    depolarization = np.broadcast_to(as_array(parameters.depolarization), (n, n))[..., None]
    return Energy(
        on_site=np.asarray(landau.sum(axis=(-2, -1))),
        applied=np.asarray(-(applied * p.sum(axis=(-3, -2))).sum(axis=-1)),
        disorder=np.asarray(-(random * p).sum(axis=(-3, -2, -1))),
        depolarization=np.asarray(((depolarization * p).sum(axis=(-3, -2)) * p.mean(axis=(-3, -2))).sum(axis=-1)),
        coupling=_coupling_energy(parameters, p),
    )


def clean_equivalent(parameters: FerroSimParameters) -> FerroSimParameters:
    """The clean model that a published one comes closest to: K/8 and alpha_dep/2.

    The two agree exactly on a periodic lattice of four neighbours with one coupling and one depolarization, where
    |x|, |y| <= 10 and gamma = 1.

    Args:
        parameters: a model with rule 'published'; drawn sites become synchronous ones.

    Returns:
        The model with rule 'clean'.
    """
    if parameters.rule == "clean":
        return parameters
    return replace(
        parameters,
        rule="clean",
        coupling=as_array(parameters.coupling) / 8.0,
        depolarization=as_array(parameters.depolarization) / 2.0,
        update="synchronous",
        update_seed=None,
    )


def landau_at_temperature(
    temperature: float, *, alpha0: float, curie_temperature: float, alpha2: float, alpha3: float = 0.0
) -> tuple[float, float, float]:
    """Landau coefficients at a temperature: alpha1 = alpha0 (T - T0), the others constant.

    Args:
        temperature: T, in the units of `curie_temperature`.
        alpha0: slope of alpha1, positive: the lattice is ferroelectric below T0.
        curie_temperature: T0.
        alpha2: fourth-order coefficient, positive.
        alpha3: mixed coefficient.

    Returns:
        (alpha1, alpha2, alpha3), for `FerroSimParameters.landau`.

    Raises:
        ParameterError: alpha0 is not positive.
    """
    if not alpha0 > 0.0:
        raise ParameterError(f"alpha0 is {alpha0}; it must be positive, so that the lattice is ferroelectric below {curie_temperature}")
    return alpha0 * (temperature - curie_temperature), alpha2, alpha3


def _coupling_energy(parameters: FerroSimParameters, p: FloatArray) -> FloatArray:
    n, radius = parameters.lattice_size, parameters.neighbour_radius
    coupling = np.broadcast_to(as_array(parameters.coupling), (n, n))
    total = np.zeros(p.shape[:-3])
    reach = int(radius)
    for i in range(reach + 1):
        for j in range(-reach, reach + 1):
            # Half of the neighbours, so that every pair counts once.
            if (i, j) <= (0, 0) or i * i + j * j > radius**2:
                continue
            there = np.roll(p, (-i, -j), axis=(-3, -2))
            bond = 0.5 * (coupling + np.roll(coupling, (-i, -j), axis=(0, 1)))
            if parameters.boundary == "open":
                bond[n - i :] = 0.0
                bond[:, n - max(0, j) :] = 0.0
                bond[:, : max(0, -j)] = 0.0
            total += (bond * ((p - there) ** 2).sum(axis=-1)).sum(axis=(-2, -1))
    return np.asarray(total)
