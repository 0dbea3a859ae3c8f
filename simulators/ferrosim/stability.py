"""How large a time step an explicit integrator may take, judged before the run.

A site cannot move further out than where on-site force and coupling balance the largest field that it will see; within
that box the curvature of the energy is bounded by Gershgorin's circles: on-site Hessian, plus coupling to the neighbours,
plus depolarization. Explicit Euler is stable while step * gamma * curvature <= 2, Runge-Kutta 4 while it is <= 2.785.
A quick bound takes the worst site and the worst field at once; only where that one refuses is the envelope of the lattice
worked out, site by site. It falls monotonically from the quick bound, so it may be stopped anywhere and still holds.

Source: Hairer, Wanner, Solving Ordinary Differential Equations II, section IV.2, https://doi.org/10.1007/978-3-642-05221-7
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import InstabilityError
from .lanes import compiled
from .lattice import PaddedLattice
from .parameters import FerroSimParameters, as_array

FloatArray = npt.NDArray[np.float64]

STABILITY_LIMIT: Final = {"euler": 2.0, "rk4": 2.785}
"""Largest step * curvature on the negative real axis, per integrator."""

_NEWTON_STEPS: Final = 40
_NEWTON_TOLERANCE: Final = 1e-9
_ANGLES: Final = 33
_FAR: Final = 1e6  # stands for an unbounded polarization, whose square must stay finite
_ENVELOPE_SWEEPS: Final = 40


def largest_stable_step(parameters: FerroSimParameters, lattice: PaddedLattice, field: FloatArray) -> float:
    """The largest time step that is stable for one trajectory.

    Args:
        parameters: the model.
        lattice: its padded lattice.
        field: (T, 2) in units of Ec.

    Returns:
        The step, in units of `times`.
    """
    forces, initial = _largest_forces(parameters, lattice, field[None])
    return _stable_step(parameters, _envelope_curvature(parameters, lattice, forces[0], initial.max(axis=0)))


def check_stability(parameters: FerroSimParameters, lattice: PaddedLattice, fields: FloatArray) -> None:
    """Refuse a run that would diverge.

    Args:
        parameters: the model.
        lattice: its padded lattice.
        fields: (S, T, 2) in units of Ec.

    Raises:
        InstabilityError: names the trajectory, the step and the largest stable one.
    """
    step = float(np.diff(as_array(parameters.times)).max())
    forces, initial = _largest_forces(parameters, lattice, fields)
    curvature = _quick_curvature(parameters, lattice, forces, initial)
    limit = STABILITY_LIMIT[parameters.integrator] / parameters.kinetic_coefficient / step
    if curvature.max() <= limit:
        return
    initial = np.broadcast_to(initial, forces.shape)
    doubtful = np.flatnonzero(curvature > limit)
    everything = _envelope_curvature(parameters, lattice, forces[doubtful].max(axis=0), initial[doubtful].max(axis=0))
    if everything <= limit:
        return
    for trajectory in doubtful[np.argsort(-curvature[doubtful])]:
        exact = _envelope_curvature(parameters, lattice, forces[trajectory], initial[trajectory])
        if exact > limit:
            raise instability(parameters, step, _stable_step(parameters, exact), int(trajectory))


def instability(parameters: FerroSimParameters, step: float, stable: float, trajectory: int) -> InstabilityError:
    """The error that names the largest stable step."""
    return InstabilityError(
        f"unstable: the time step {step:.4g} is too large for trajectory {trajectory} on this lattice; the largest stable step of "
        f"integrator '{parameters.integrator}' is {stable:.4g}. Give `times` with smaller steps (and the field resampled to them), "
        "a weaker field or a weaker coupling",
        stable,
    )


def _stable_step(parameters: FerroSimParameters, curvature: float) -> float:
    limit = STABILITY_LIMIT[parameters.integrator] / parameters.kinetic_coefficient
    return limit / max(curvature, float(np.finfo(np.float64).tiny))


def _largest_forces(parameters: FerroSimParameters, lattice: PaddedLattice, fields: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Largest applied field (S, 3), absolute units, and largest initial state (S or 1, 3): x, y, and length."""
    first_row = 0 if parameters.integrator == "rk4" else 1
    initial = as_array(parameters.initial_polarization).reshape(-1, len(lattice.interior), 2)
    return _largest(fields, first_row) * abs(parameters.coercive_field), _largest(initial)


def _largest(vectors: FloatArray, first_row: int = 0) -> FloatArray:
    """Largest |x|, |y| and length of vectors (S, T, 2) from a row on, each (S, 3)."""
    result = np.empty((len(vectors), 3))
    _find_largest(np.require(vectors, requirements=["C", "W"]), first_row, result)  # one type of array, one compilation
    return result


@compiled
def _find_largest(vectors: Any, first_row: int, result: Any) -> None:
    # One pass: the temporary arrays of the obvious NumPy form took a fifth as long as the simulations.
    for s in range(vectors.shape[0]):
        x = y = square = 0.0
        for t in range(first_row, vectors.shape[1]):
            x2, y2 = vectors[s, t, 0] ** 2, vectors[s, t, 1] ** 2
            x, y, square = max(x, x2), max(y, y2), max(square, x2 + y2)
        result[s, 0], result[s, 1], result[s, 2] = np.sqrt(x), np.sqrt(y), np.sqrt(square)


def _confinement(lattice: PaddedLattice) -> FloatArray:
    """Coefficients of the cubic force that hold back x, y, and the length of p, whatever the other component does."""
    c3, c12 = lattice.on_site
    alone = c3 + min(c12, 0.0)
    return np.array([alone, alone, min(c3, 0.5 * (c3 + c12))])


def _total_force(lattice: PaddedLattice, applied: FloatArray, disorder: FloatArray) -> FloatArray:
    """Sum of the bounds (..., 3); where c12 < 0 both components grow together, driven by the stronger field."""
    force = applied + disorder
    if lattice.on_site[1] < 0.0:
        force[..., :2] = force[..., :2].max(axis=-1, keepdims=True)
    return force


def _quick_curvature(parameters: FerroSimParameters, lattice: PaddedLattice, forces: FloatArray, initial: FloatArray) -> FloatArray:
    """Bound on the curvature for each trajectory (S,)."""
    site, weight = lattice.site[lattice.interior], lattice.weight[lattice.interior].sum(axis=1)
    depolarization = float(site[:, 3].max()) * (1.0 + lattice.mean_weight)
    linear = float((site[:, 2] - weight).min()) - depolarization
    force = _total_force(lattice, forces, _largest(site[None, :, :2])[0])
    reach = np.maximum(_amplitude(force, linear, _confinement(lattice)), initial)
    c1 = parameters.on_site_coefficients[0]
    return _on_site_curvature(parameters, reach) + float((site[:, 2] - c1 + weight).max()) + depolarization


def _envelope_curvature(parameters: FerroSimParameters, lattice: PaddedLattice, force: FloatArray, initial: FloatArray) -> float:
    """Sharper bound for the force (3,) of one trajectory, from the largest state that every site can reach."""
    inside, cubic = lattice.interior, _confinement(lattice)
    site, weight = lattice.site[inside], lattice.weight[inside]
    depolarization = float(site[:, 3].max()) * (1.0 + lattice.mean_weight)
    linear = float((site[:, 2] - weight.sum(axis=1)).min()) - depolarization
    forces = _total_force(lattice, force, _largest(site[:, None, :2]))
    reach = np.zeros((len(lattice.site), 3))
    reach[inside] = np.maximum(_amplitude(forces.max(axis=0), linear, cubic), initial)
    for _ in range(_ENVELOPE_SWEEPS if np.isfinite(reach).all() else 0):
        reach[lattice.wrap[:, 0]] = reach[lattice.wrap[:, 1]]
        pull = sum(weight[:, k, None] * reach[inside + offset] for k, offset in enumerate(lattice.offsets))
        pull = pull + forces + depolarization * reach[inside].mean(axis=0)
        reach[inside] = np.minimum(reach[inside], np.maximum(_amplitude(pull, site[:, 2, None], cubic), initial))
    on_site = _on_site_curvature(parameters, reach[inside])
    c1 = parameters.on_site_coefficients[0]
    return float((on_site + site[:, 2] - c1 + weight.sum(axis=1)).max()) + depolarization


def _on_site_curvature(parameters: FerroSimParameters, reach: FloatArray) -> FloatArray:
    """Largest eigenvalue of the on-site Hessian where |x|, |y| and the length of p stay below reach (..., 3)."""
    c1, c3, c12 = parameters.on_site_coefficients
    if parameters.mode == "uniaxial":
        return np.asarray(c1 + 3.0 * c3 * reach[..., 1] ** 2)
    angle = np.linspace(0.0, 0.5 * np.pi, _ANGLES)
    finite = np.minimum(reach, _FAR)
    # The eigenvalue grows with |x| and |y|, so its maximum lies on the outer rim.
    x = np.minimum(finite[..., 2, None] * np.cos(angle), finite[..., 0, None])
    y = np.minimum(finite[..., 2, None] * np.sin(angle), finite[..., 1, None])
    xx, yy = 3.0 * c3 * x**2 + c12 * y**2, 3.0 * c3 * y**2 + c12 * x**2
    largest = 0.5 * (xx + yy) + np.sqrt((0.5 * (xx - yy)) ** 2 + (2.0 * c12 * x * y) ** 2)
    return np.asarray(c1 + largest.max(axis=-1))


def _amplitude(force: FloatArray, linear: FloatArray | float, cubic: FloatArray) -> FloatArray:
    """The largest root m of linear * m + cubic * m^3 = force, by Newton from above (the cubic is convex there).

    Infinite where the cubic term does not hold the polarization back.
    """
    holds = cubic > 0.0
    cubic = np.where(holds, cubic, 1.0)
    m = np.maximum(np.sqrt(2.0 * np.maximum(-np.asarray(linear), 0.0) / cubic), np.cbrt(2.0 * force / cubic))
    m = np.maximum(m, np.finfo(np.float64).eps)
    for _ in range(_NEWTON_STEPS):
        slope = linear + 3.0 * cubic * m**2
        change = np.where(slope > 0.0, (linear * m + cubic * m**3 - force) / np.where(slope > 0.0, slope, 1.0), 0.0)
        m = m - change
        if float(np.abs(change).max()) <= _NEWTON_TOLERANCE * float(m.max()):
            break
    return np.where(holds, np.maximum(m, 0.0) * (1.0 + _NEWTON_TOLERANCE), np.inf)
