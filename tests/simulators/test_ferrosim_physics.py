"""The clean rule: gradient of an energy, and integrators of the order that they promise."""

from dataclasses import replace

import numpy as np
import pytest
from latentloop.simulators.errors import ParameterError, SimulationError
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters, reference
from latentloop.simulators.ferrosim.energy import clean_equivalent, energy, landau_at_temperature
from scipy.integrate import solve_ivp

LANDAU = {
    "tetragonal": (-1.6, 12.2, 40.0),
    "rhombohedral": (-10.6, 10.2, -10.0),
    "uniaxial": (-1.85, 1.25, 0.0),
    "squareelectric": (-1.85, 1.25, 0.0),
}


def clean_model(seed=0, mode="tetragonal", n=4, **change):
    """A disordered model under the clean rule."""
    rng = np.random.default_rng(seed)
    defaults = {
        "lattice_size": n,
        "mode": mode,
        "landau": LANDAU[mode],
        "coupling": rng.uniform(0, 2, (n, n)),
        "depolarization": rng.uniform(0, 0.5, (n, n)),
        "kinetic_coefficient": 1.3,
        "random_field": rng.normal(size=(n, n, 2)),
        "initial_polarization": rng.normal(0, 0.3, (n, n, 2)),
        "times": np.linspace(0, 0.2, 101),
        "rule": "clean",
    }
    return FerroSimParameters(**{**defaults, **change})


@pytest.mark.parametrize("boundary", ["open", "periodic"])
@pytest.mark.parametrize("radius", [1.1, 1.5, 2.0])
@pytest.mark.parametrize("mode", LANDAU)
def test_the_clean_rate_is_the_exact_negative_gradient_of_the_energy(mode, radius, boundary):
    parameters = clean_model(mode=mode, neighbour_radius=radius, boundary=boundary, n=5)
    p, field = parameters.initial_polarization.copy(), np.array([2.0, -3.0])
    gradient, h = np.zeros_like(p), 1e-4
    for index in np.ndindex(p.shape):
        ahead, behind = p.copy(), p.copy()
        ahead[index] += h
        behind[index] -= h
        gradient[index] = (energy(parameters, ahead, field).total - energy(parameters, behind, field).total) / (2 * h)
    if mode == "uniaxial":
        gradient[..., 0] = 0.0
    rate = reference.rate(parameters, field * parameters.coercive_field, p, p)
    np.testing.assert_allclose(rate, -1.3 * gradient, rtol=0, atol=2e-6)


def test_the_on_site_energy_is_the_lectures():
    parameters = clean_model(coupling=0.0, depolarization=0.0, random_field=None)
    x, y = np.moveaxis(parameters.initial_polarization, -1, 0)
    expected = (-1.6 * (x**2 + y**2) + 12.2 * (x**4 + y**4) + 40 * x**2 * y**2).sum()
    assert energy(parameters, parameters.initial_polarization).total == pytest.approx(expected, rel=1e-12)


def test_the_energy_of_a_batch_is_that_of_its_states_and_its_parts_add_up():
    parameters = clean_model()
    states = np.random.default_rng(3).normal(size=(2, 3, 4, 4, 2))
    batch = energy(parameters, states, (1.0, 2.0))
    assert batch.total.shape == (2, 3)
    single = energy(parameters, states[1, 2], (1.0, 2.0))
    for part in ("on_site", "applied", "disorder", "depolarization", "coupling", "total"):
        assert float(getattr(single, part)) == pytest.approx(getattr(batch, part)[1, 2], rel=1e-12)


@pytest.mark.parametrize("mode", LANDAU)
def test_the_energy_never_rises_in_a_constant_field_with_small_steps(mode):
    parameters = clean_model(mode=mode, times=np.linspace(0, 0.5, 1001))
    field = np.tile([3.0, -1.0], (1001, 1))
    frames = FerroSim(parameters).simulate(field, frames_every=1).frames[0]
    total = energy(parameters, frames, (3.0, -1.0)).total
    assert (np.diff(total) <= 1e-12 * np.abs(total).max()).all()
    assert total[-1] < total[0] - 0.1


@pytest.mark.parametrize("mode", LANDAU)
def test_on_a_periodic_lattice_the_published_rule_is_the_clean_one_with_an_eighth_of_k_and_half_of_alpha(mode):
    rng = np.random.default_rng(1)
    published = clean_model(
        mode=mode, n=6, rule="published", coupling=4.0, depolarization=0.4, boundary="periodic", kinetic_coefficient=1.0
    )
    clean = clean_equivalent(published)
    assert (clean.coupling, clean.depolarization, clean.rule) == (0.5, 0.2, "clean")
    fields = rng.normal(0, 2, (3, 101, 2))
    one, other = FerroSim(published).simulate(fields), FerroSim(clean).simulate(fields)
    np.testing.assert_allclose(one.total_polarization, other.total_polarization, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.polarization, other.polarization, rtol=0, atol=1e-13)


def test_on_an_open_lattice_the_published_rule_pulls_edge_sites_towards_zero():
    published = clean_model(n=5, rule="published", coupling=4.0, depolarization=0.4, kinetic_coefficient=1.0)
    p = published.initial_polarization
    difference = reference.rate(published, np.zeros(2), p, p) - reference.rate(clean_equivalent(published), np.zeros(2), p, p)
    missing = np.zeros((5, 5))
    missing[[0, -1]] += 1
    missing[:, [0, -1]] += 1
    np.testing.assert_allclose(difference, -4.0 / 4.0 * missing[..., None] * p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", LANDAU)
@pytest.mark.parametrize("integrator", ["euler", "rk4"])
def test_a_uniform_lattice_without_disorder_is_the_differential_equation_of_one_site(mode, integrator):
    n_steps = 40_001 if integrator == "euler" else 2_001
    times, start = np.linspace(0, 1, n_steps), np.array([0.05, -0.1])
    parameters = clean_model(
        mode=mode, n=3, coupling=1.0, depolarization=0.25, random_field=None, times=times, integrator=integrator, boundary="periodic",
        initial_polarization=np.tile(start, (3, 3, 1)),
    )  # fmt: skip
    field = np.array([4.0, 7.0])
    c1, c3, c12 = parameters.on_site_coefficients

    def slope(_, p):
        force = field * parameters.coercive_field - 2 * 0.25 * p - p * (c1 + c3 * p**2 + c12 * p[::-1] ** 2)
        return 1.3 * force * ([0.0, 1.0] if mode == "uniaxial" else [1.0, 1.0])

    expected = solve_ivp(slope, (0, 1), start, rtol=1e-10, atol=1e-12).y[:, -1]
    history = FerroSim(parameters).simulate(np.tile(field, (n_steps, 1)))
    tolerance = 1e-6 if integrator == "rk4" else 1e-4
    np.testing.assert_allclose(history.polarization[0], np.tile(expected, (3, 3, 1)), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("integrator", "order"), [("euler", 1), ("rk4", 4)])
def test_an_integrator_converges_with_its_order(integrator, order):
    corners = np.array([0.0, 0.1, 0.2])  # the field is linear between rows, so every grid must contain its corners

    def end(n_steps, method):
        times = np.linspace(0, 0.2, n_steps + 1)
        levels = ([0.0, 5.0, -3.0], [2.0, 0.0, 4.0]) if method == "rk4" else ([3.0, 3.0, 3.0], [2.0, 2.0, 2.0])
        field = np.stack([np.interp(times, corners, level) for level in levels], axis=1)
        return FerroSim(clean_model(times=times, integrator=method)).simulate(field).polarization

    def exact():
        if integrator == "rk4":
            return end(2560, "rk4")
        times = np.linspace(0, 0.2, 2561)
        return FerroSim(clean_model(times=times, integrator="rk4")).simulate(np.tile([3.0, 2.0], (2561, 1))).polarization

    truth = exact()
    errors = np.array([np.abs(end(n, integrator) - truth).max() for n in (120, 240, 480)])
    measured = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(measured, order, atol=0.2)


def test_the_energy_refuses_a_published_model_and_says_how_to_go_on():
    with pytest.raises(ParameterError, match="clean_equivalent"):
        energy(FerroSimParameters.published(), np.zeros((20, 20, 2)))
    with pytest.raises(SimulationError, match="expected"):
        energy(clean_model(), np.zeros((5, 5, 2)))


def test_above_its_curie_temperature_a_lattice_relaxes_to_zero_and_below_it_does_not():
    def final(temperature):
        landau = landau_at_temperature(temperature, alpha0=0.1, curie_temperature=100.0, alpha2=1.0)
        model = clean_model(
            landau=landau, mode="squareelectric", coupling=0.5, depolarization=0.0, random_field=None, times=np.linspace(0, 60, 12_001),
            initial_polarization=np.full((4, 4, 2), 0.01),
        )  # fmt: skip
        return np.abs(FerroSim(model).simulate(np.zeros((12_001, 2))).polarization)

    assert final(110.0).max() < 1e-10
    np.testing.assert_allclose(final(90.0), 1.0, atol=1e-6)  # sqrt(-alpha1 / alpha2)
    with pytest.raises(ParameterError, match="alpha0"):
        landau_at_temperature(1.0, alpha0=-1.0, curie_temperature=1.0, alpha2=1.0)


def test_a_clean_model_is_its_own_clean_equivalent():
    assert clean_equivalent(clean_model()) == clean_model()
    assert replace(clean_equivalent(FerroSimParameters.published()), lattice_size=20).coupling == 12.5
