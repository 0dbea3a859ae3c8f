"""What FerroSIM refuses, and what it says."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from latentloop.simulators import ferrosim
from latentloop.simulators.errors import InstabilityError, ParameterError, SimulationError, SimulatorError, TrajectoryError
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters, curl, normalized_curl

SMALL = FerroSimParameters(lattice_size=4, times=np.linspace(0, 0.1, 30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lattice_size": -4}, "lattice_size is -4"),
        ({"lattice_size": 1}, "at least 2"),
        ({"lattice_size": 2.5}, "lattice_size is 2.5"),
        ({"mode": "cubic"}, "known are tetragonal, rhombohedral, uniaxial, squareelectric"),
        ({"update": "random"}, "known are synchronous, random_sites"),
        ({"landau": (-1.0, -1.0, 0.0)}, "alpha2"),
        ({"landau": (-1.0, np.nan, 0.0)}, "landau"),
        ({"coupling": -1.0}, "coupling"),
        ({"coupling": np.ones((3, 3))}, r"coupling has shape \(3, 3\)"),
        ({"depolarization": np.full((4, 4), np.nan)}, "depolarization"),
        ({"kinetic_coefficient": 0.0}, "larger than 0"),
        ({"neighbour_radius": 0.0}, "neighbour_radius is 0.0; it must be 1 or larger"),
        ({"neighbour_radius": 4.0}, "smaller than the lattice"),
        ({"random_field": np.zeros((4, 4))}, "random_field has shape"),
        ({"random_field": np.full((4, 4, 2), np.inf)}, "random_field"),
        ({"initial_polarization": np.zeros((5, 5, 2))}, "initial_polarization has shape"),
        ({"times": np.array([0.0, 1.0, 0.5])}, "strictly increasing"),
        ({"times": np.array([0.0])}, "at least two"),
        ({"times": np.array([0.0, np.nan])}, "finite"),
        ({"update": "random_sites"}, "update_seed"),
        ({"update": "random_sites", "update_seed": -1}, "legacy generator"),
        ({"update": "random_sites", "update_seed": 1, "rule": "clean"}, "synchronous"),
    ],
)
def test_impossible_parameters_are_refused_by_name(change, message):
    with pytest.raises(ParameterError, match=message):
        replace(SMALL, **change)


def test_parameters_are_frozen_to_the_bottom():
    with pytest.raises(FrozenInstanceError):
        SMALL.coupling = 3.0
    with pytest.raises(ValueError, match="read-only"):
        SMALL.random_field[0, 0, 0] = 1.0


def test_parameters_are_compared_by_value_and_travel_between_processes():
    published = FerroSimParameters.published()
    assert published == FerroSimParameters.published()
    assert published == pickle.loads(pickle.dumps(published))
    assert hash(published) == hash(FerroSimParameters.published())
    assert published != replace(published, coupling=99.0)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.zeros((29, 2)), r"29 steps, parameters.times has 30; resample"),
        (np.zeros((30, 3)), "shape"),
        (np.zeros(30), "shape"),
        (np.zeros((0, 30, 2)), "shape"),
        ("field", "no array of numbers"),
        (np.where(np.arange(60).reshape(30, 2) == 13, np.nan, 0.0), "trajectory 0 at step 6, y = nan"),
    ],
)
def test_a_field_that_is_none_is_refused_by_name(field, message):
    with pytest.raises(TrajectoryError, match=message):
        FerroSim(SMALL).simulate(field)


@pytest.mark.parametrize("change", [{}, {"mode": "rhombohedral", "landau": (-10.6, 10.2, -10.0)}, {"neighbour_radius": 1.5}])
@pytest.mark.parametrize("cause", ["step", "coupling", "field"])
def test_a_step_too_large_is_reported_before_the_run_with_the_largest_stable_one(change, cause):
    parameters = replace(SMALL, **change)
    field = np.ones((2, 30, 2))
    if cause == "step":
        parameters = replace(parameters, times=np.linspace(0, 30, 30))
    elif cause == "coupling":
        parameters = replace(parameters, coupling=1e5)
    else:
        field[1, 7, 0] = 1e9
    with pytest.raises(InstabilityError, match="largest stable step") as caught:
        FerroSim(parameters).simulate(field)
    stable = caught.value.largest_stable_step
    assert 0 < stable < np.diff(parameters.times).max()
    assert f"{stable:.4g}" in str(caught.value)
    if cause == "field":
        assert "trajectory 1" in str(caught.value)


def test_a_run_at_the_named_step_is_stable():
    rough = replace(SMALL, times=np.linspace(0, 30, 30), coupling=10.0)
    field = np.full((30, 2), 5.0)
    with pytest.raises(InstabilityError) as caught:
        FerroSim(rough).simulate(field)
    n_steps = int(np.ceil(30 / caught.value.largest_stable_step)) + 1
    fine = replace(rough, times=np.linspace(0, 30, n_steps))
    history = FerroSim(fine).simulate(np.full((n_steps, 2), 5.0))
    assert np.isfinite(history.total_polarization).all()
    assert np.abs(np.diff(history.total_polarization[0, -10:], axis=0)).max() < 1e-6


def test_an_instability_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(InstabilityError("too large", 0.25)))
    assert isinstance(error, SimulatorError)
    assert error.largest_stable_step == 0.25
    assert str(error) == "too large"


def test_odd_requests_are_refused():
    with pytest.raises(SimulationError, match="frames_every"):
        FerroSim(SMALL).simulate(np.zeros((30, 2)), frames_every=0)
    with pytest.raises(SimulationError, match="float16"):
        FerroSim(SMALL).simulate(np.zeros((30, 2)), frames_every=1, frames_dtype=np.float16)
    for frames_out in (np.empty((1, 9, 4, 4, 2)), np.empty((1, 30, 4, 4, 2), dtype=np.int64), np.empty((1, 4, 4, 30, 2)).swapaxes(1, 3)):
        with pytest.raises(SimulationError, match=r"frames_out has shape .* expected \(1, 30, 4, 4, 2\)"):
            FerroSim(SMALL).simulate(np.zeros((30, 2)), frames_every=1, frames_out=frames_out)
    with pytest.raises(SimulationError, match="3 states for 2 trajectories"):
        FerroSim(replace(SMALL, initial_polarization=np.zeros((3, 4, 4, 2)))).simulate(np.zeros((2, 30, 2)))
    with pytest.raises(ParameterError, match="n_threads"):
        FerroSim(SMALL, n_threads=0)
    with pytest.raises(ParameterError, match="float16"):
        FerroSim(SMALL, dtype=np.float16)


def test_an_observable_refuses_what_is_no_polarization():
    with pytest.raises(SimulationError, match="expected"):
        curl(np.zeros((4, 5, 2)))


def test_observables_of_a_batch_are_those_of_its_states():
    states = np.random.default_rng(0).normal(size=(3, 2, 5, 5, 2))
    for observable in (curl, normalized_curl):
        batch = observable(states)
        assert batch.shape == (3, 2)
        assert float(observable(states[1, 0])) == pytest.approx(batch[1, 0], rel=1e-14)
    assert normalized_curl(np.zeros((4, 4, 2))) == 0.0
    np.testing.assert_allclose(normalized_curl(7 * states), normalized_curl(states), rtol=1e-13)


def test_a_prepared_simulator_runs_as_any_other():
    field = np.ones((30, 2))
    np.testing.assert_array_equal(FerroSim(SMALL).prepare().simulate(field).polarization, FerroSim(SMALL).simulate(field).polarization)


def test_a_simulator_travels_between_processes_and_takes_read_only_fields():
    field = np.ones((30, 2))
    field.setflags(write=False)
    simulator = FerroSim(SMALL, n_threads=2, dtype=np.float32)
    copy = pickle.loads(pickle.dumps(simulator))
    assert copy.parameters == SMALL
    np.testing.assert_array_equal(copy.simulate(field).polarization, simulator.simulate(field).polarization)


def test_every_public_name_can_be_imported():
    for name in ferrosim.__all__:
        assert getattr(ferrosim, name) is not None
    assert set(ferrosim.__all__) <= set(dir(ferrosim))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ferrosim.nonsense
