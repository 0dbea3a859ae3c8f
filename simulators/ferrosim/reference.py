"""FerroSIM in plain NumPy, one step after the other: the oracle that the fast kernel is held against.

Published rule, per site with polarization (x, y), neighbour sums S and local field E:

    d(x)/dt = -gamma [ x (c1 + c3 x^2 + c12 y^2) + K (x - Sx / 4) - Ex ],   E = E_applied + E_random - alpha_dep <p>

with x and y clipped to [-10, 10] on the right-hand side. Quirks kept on purpose: the sum is divided by 4 however many
neighbours there are; the first step multiplies by gamma once more; two states are kept, an accumulated one (on-site term,
mean, total) and a stored one (neighbours, output), which under `random_sites` moves stale sites a step too far.

Clean rule: d(p)/dt = -gamma dF/dp, F = sum_i [on-site(p_i) - (E_i - alpha_dep_i <p>) p_i] + sum_<ij> K_ij |p_i - p_j|^2,
each pair once, K_ij = (K_i + K_j) / 2. It has neither clipping nor quirks.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from .parameters import FerroSimParameters, as_array

FloatArray = npt.NDArray[np.float64]

CLIP: Final = 10.0
"""The published rule holds x and y in [-CLIP, CLIP] inside the right-hand side."""


def simulate(parameters: FerroSimParameters, field: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Run one trajectory.

    Args:
        parameters: the model; initial_polarization must be that of a single run, (n, n, 2).
        field: applied field (T, 2) in units of Ec; row t drives the step from t-1 to t.

    Returns:
        The stored states (T, n, n, 2), and the total polarization (T, 2) of the accumulated states.
    """
    applied = np.asarray(field, dtype=np.float64) * parameters.coercive_field
    steps = np.diff(as_array(parameters.times))
    states = _runge_kutta(parameters, applied, steps) if parameters.integrator == "rk4" else _euler(parameters, applied, steps)
    stored, totals = zip(*states)
    return np.array(stored), np.array(totals)


def rate(parameters: FerroSimParameters, applied: FloatArray, accumulated: FloatArray, stored: FloatArray) -> FloatArray:
    """The right-hand side dp/dt.

    Args:
        parameters: the model.
        applied: applied field (2,), in absolute units.
        accumulated: state (n, n, 2) of the on-site term and the mean.
        stored: state (n, n, 2) of the neighbours.

    Returns:
        Array (n, n, 2).
    """
    n = parameters.lattice_size
    c1, c3, c12 = parameters.on_site_coefficients
    coupling = np.broadcast_to(as_array(parameters.coupling), (n, n))[..., None]
    depolarization = np.broadcast_to(as_array(parameters.depolarization), (n, n))[..., None]
    local = applied + as_array(parameters.random_field) * parameters.coercive_field
    if parameters.rule == "published":
        local = local - depolarization * accumulated.mean(axis=(0, 1))
        p = np.clip(accumulated, -CLIP, CLIP)
        interaction = coupling * (p - neighbour_sum(stored, parameters) / 4.0)
    else:
        local = local - depolarization * accumulated.mean(axis=(0, 1)) - (depolarization * accumulated).mean(axis=(0, 1))
        p = accumulated
        count, total = neighbour_sum(np.ones_like(p), parameters), neighbour_sum(p, parameters)
        weights, weighted = neighbour_sum(coupling * np.ones_like(p), parameters), neighbour_sum(coupling * p, parameters)
        interaction = coupling * (count * p - total) + weights * p - weighted
    other = p[..., ::-1]
    result: FloatArray = -parameters.kinetic_coefficient * (p * (c1 + c3 * p**2 + c12 * other**2) + interaction - local)
    if parameters.mode == "uniaxial":
        result[..., 0] = 0.0
    return result


def neighbour_sum(values: FloatArray, parameters: FerroSimParameters) -> FloatArray:
    """Sum over each site's neighbours within the radius; values (n, n, 2) to (n, n, 2)."""
    n = parameters.lattice_size
    reach = int(parameters.neighbour_radius)
    total = np.zeros_like(values)
    mode = "wrap" if parameters.boundary == "periodic" else "constant"
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), mode=mode)  # type: ignore[call-overload]
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            if 0 < i * i + j * j <= parameters.neighbour_radius**2:
                total += padded[reach + i : reach + i + n, reach + j : reach + j + n]
    return total


def _euler(parameters: FerroSimParameters, applied: FloatArray, steps: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    n = parameters.lattice_size
    published = parameters.rule == "published"
    gamma = parameters.kinetic_coefficient if published else 1.0
    accumulated = as_array(parameters.initial_polarization).copy()
    stored = accumulated
    slope = np.zeros_like(accumulated)
    generator = np.random.RandomState(parameters.update_seed) if parameters.update == "random_sites" else None
    yield stored, accumulated.sum(axis=(0, 1))
    for t, step in enumerate(steps, start=1):
        moves = np.ones(n * n, dtype=bool)
        if generator is not None and t > 1:
            moves[:] = False
            moves[generator.choice(np.arange(n * n), n * n // 4, replace=False)] = True
        moving = moves.reshape(n, n, 1)
        slope = np.where(moving, rate(parameters, applied[t], accumulated, stored), slope)
        stored = accumulated + gamma * slope * step
        accumulated = np.where(moving, accumulated + (gamma if t == 1 else 1.0) * slope * step, accumulated)
        yield stored, accumulated.sum(axis=(0, 1))


def _runge_kutta(parameters: FerroSimParameters, applied: FloatArray, steps: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    p = as_array(parameters.initial_polarization).copy()
    yield p, p.sum(axis=(0, 1))
    for t, h in enumerate(steps, start=1):
        before, after = applied[t - 1], applied[t]
        middle = 0.5 * (before + after)
        k1 = rate(parameters, before, p, p)
        k2 = rate(parameters, middle, p + 0.5 * h * k1, p + 0.5 * h * k1)
        k3 = rate(parameters, middle, p + 0.5 * h * k2, p + 0.5 * h * k2)
        k4 = rate(parameters, after, p + h * k3, p + h * k3)
        p = p + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        yield p, p.sum(axis=(0, 1))
