"""What is read off states and loops, and the disorder that they come from."""

import numpy as np
import pytest
from latentloop.simulators.errors import ParameterError, SimulationError
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters, curl, total_polarization
from latentloop.simulators.ferrosim.disorder import random_bond, random_field, random_polarization, uniform_polarization
from latentloop.simulators.ferrosim.hysteresis import coercive_field, loop_area, remnant_polarization
from latentloop.simulators.ferrosim.observables import curl_map, domain_wall_length, mean_polarization


def vortex(n):
    """x, y of a rigid rotation, whose curl is 2 everywhere inside: y grows along rows, x falls along columns."""
    i, j = np.indices((n, n)) - (n - 1) / 2
    return np.stack([-j, i], axis=-1)


def test_the_curl_of_a_rigid_rotation_is_two_inside():
    np.testing.assert_allclose(curl_map(vortex(7))[1:-1, 1:-1], 2.0)
    assert curl(vortex(7), region="interior") == pytest.approx(2 * 25)
    assert curl(vortex(7)) > curl(vortex(7), region="interior")


def test_the_curl_of_a_uniform_state_vanishes():
    assert curl(np.full((2, 6, 6, 2), 0.7)).tolist() == [0.0, 0.0]


def test_an_unknown_region_is_refused_with_the_known_ones():
    with pytest.raises(SimulationError, match="wrapped, interior"):
        curl(vortex(4), region="middle")


def test_total_and_mean_polarization_differ_by_the_number_of_sites():
    p = np.random.default_rng(0).normal(size=(3, 5, 5, 2))
    np.testing.assert_allclose(total_polarization(p), 25 * mean_polarization(p))


def test_a_straight_wall_through_the_lattice_is_as_long_as_the_lattice():
    p = np.zeros((6, 6, 2))
    p[:3, :, 1], p[3:, :, 1] = 1.0, -1.0
    assert domain_wall_length(p) == 6
    assert domain_wall_length(p, is_periodic=True) == 12
    assert domain_wall_length(np.swapaxes(p, 0, 1)) == 6
    assert domain_wall_length(np.ones((2, 6, 6, 2))).tolist() == [0, 0]


def test_an_elliptic_loop_has_the_numbers_of_the_ellipse():
    t = np.linspace(0, 2 * np.pi, 4001)[:-1]
    field = np.stack([2 * np.cos(t), 3 * np.cos(t)])
    polarization = np.stack([0.5 * np.cos(t - 0.4), 0.5 * np.cos(t - 0.4)])
    np.testing.assert_allclose(loop_area(field, polarization), np.pi * 0.5 * np.array([2, 3]) * np.sin(0.4), rtol=1e-5)
    np.testing.assert_allclose(coercive_field(field, polarization), np.array([2, 3]) * np.sin(0.4), rtol=1e-5)
    np.testing.assert_allclose(remnant_polarization(field, polarization), 0.5 * np.sin(0.4), rtol=1e-5)


def test_a_line_encloses_nothing_and_a_loop_without_crossing_has_no_coercive_field():
    e = np.array([0.0, 1.0, 0.0, -1.0])
    assert loop_area(e, 3 * e) == 0.0
    assert np.isnan(coercive_field(e, np.ones(4)))
    with pytest.raises(SimulationError, match="at least 3 points"):
        loop_area([1.0, 2.0], [1.0, 2.0])


def test_the_slower_the_field_the_closer_a_single_site_switches_to_the_coercive_field_from_above():
    # Without coupling the static loop of a site jumps where the on-site force has its extremum: at Ec by definition.
    def measured(period):
        n_steps = 50 * period + 1
        t = np.linspace(0, period, n_steps)
        field = np.zeros((n_steps, 2))
        field[:, 1] = 1.5 * np.sin(2 * np.pi * t / period)
        parameters = FerroSimParameters(
            lattice_size=2, mode="uniaxial", landau=(-1.85, 1.25, 0.0), coupling=0.0, depolarization=0.0, times=t
        )  # fmt: skip
        history = FerroSim(parameters).simulate(field)
        second = slice(n_steps // 4, None)  # without the first rise from zero
        return float(coercive_field(field[second, 1], history.total_polarization[0, second, 1]))

    fast, slow, slowest = measured(100), measured(400), measured(1600)
    assert 1.0 < slowest < slow < fast
    assert slowest < 1.05


def test_random_fields_have_the_number_direction_and_strength_asked_for():
    field = random_field(20, np.random.default_rng(0))
    strength = field[..., 1][field[..., 1] != 0]
    assert len(strength) == 33
    assert ((strength >= 15) & (strength <= 46)).all()
    assert not field[..., 0].any()
    np.testing.assert_array_equal(field, random_field(20, np.random.default_rng(0)))
    tilted = random_field(30, np.random.default_rng(1), density=0.5, strength=(2.0, 2.0), orientation="random")
    np.testing.assert_allclose(np.linalg.norm(tilted, axis=-1)[np.abs(tilted).sum(-1) > 0], 2.0)
    axes = random_field(30, np.random.default_rng(1), density=0.5, strength=(2.0, 2.0), orientation="axes")
    assert {tuple(v) for v in axes.reshape(-1, 2).tolist()} == {(0.0, 0.0), (2.0, 0.0), (-2.0, 0.0), (0.0, 2.0), (0.0, -2.0)}
    np.testing.assert_array_equal(random_field(5, np.random.default_rng(1), orientation="-x", density=1.0)[..., 1], 0.0)


def test_random_bonds_weaken_their_share_of_the_sites():
    coupling = random_bond(10, np.random.default_rng(0), coupling=4.0, density=0.3, factor=(0.2, 0.5))
    changed = coupling[coupling != 4.0]
    assert len(changed) == 30
    assert ((changed >= 0.8) & (changed <= 2.0)).all()
    FerroSimParameters(lattice_size=10, coupling=coupling)


def test_initial_states_are_as_asked_for():
    np.testing.assert_array_equal(uniform_polarization(3, (0.1, -0.2))[2, 1], [0.1, -0.2])
    state = random_polarization(60, np.random.default_rng(0), scale=0.3)
    assert state.std() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: random_field(10, g, density=1.5), "density"),
        (lambda g: random_field(10, g, strength=(3.0, 1.0)), "strength"),
        (lambda g: random_field(10, g, orientation="up"), "known are"),
        (lambda g: random_bond(10, g, coupling=-1.0), "coupling"),
        (lambda g: random_bond(10, g, coupling=1.0, factor=(-1.0, 1.0)), "factor"),
        (lambda g: random_polarization(10, g, scale=-1.0), "scale"),
        (lambda g: uniform_polarization(0, (0.0, 0.0)), "lattice_size"),
    ],
)
def test_impossible_disorder_is_refused_by_name(call, message):
    with pytest.raises(ParameterError, match=message):
        call(np.random.default_rng(0))
