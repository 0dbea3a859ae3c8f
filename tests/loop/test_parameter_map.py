"""A grid search gives every cell the number that its own simulation gives, and says so where there is none."""

import json
import math

import numpy as np
import pytest
import zarr
from latentloop.loop.errors import ConfigError, StoreError
from latentloop.loop.evaluators.hysteresis import OBSERVABLES, PARAMETERS, LoopExperiment, SineDrive, make_experiment
from latentloop.loop.parameter_map import Range, measure_parameter_map, write_parameter_map
from latentloop.simulators.errors import InstabilityError, ParameterError
from latentloop.simulators.ferrosim import FerroSimParameters

SMALL = {"lattice_size": 4, "steps": 400, "frequency": 0.25}


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(**SMALL)


def number(experiment, name, **values):
    return experiment.varied(values).run().observables()[name]


# ------------------------------------------------------------------------------------------------------------------ the loop


def test_the_loop_closes_after_the_first_period(experiment):
    assert experiment.run().closing_error < 1e-6


def test_the_loop_area_grows_with_the_amplitude_and_a_weak_field_leaves_the_lattice_where_it_is(experiment):
    areas = [number(experiment, "loop_area", amplitude=amplitude) for amplitude in (2.0, 4.0, 8.0, 16.0)]
    assert (np.diff(areas) > 0.0).all()
    assert number(experiment, "loop_area", amplitude=0.0) == 0.0


def test_the_coercive_field_of_a_slow_loop_saturates_with_the_amplitude():
    slow = make_experiment(lattice_size=2, coupling=0.0, depolarization=0.0, frequency=0.002, steps=20_000)
    fields = [number(slow, "coercive_field", amplitude=amplitude) for amplitude in (2.0, 3.0)]
    # A single tetragonal site turns over where 2 a1 p + 4 a2 p^3 has its extremum: sqrt(2) Ec.
    assert fields[0] == pytest.approx(math.sqrt(2.0), rel=0.08)
    assert fields[1] == pytest.approx(fields[0], rel=0.05)


def test_depolarization_shears_the_loop(experiment):
    remnants = [number(experiment, "remnant_polarization", depolarization=strength) for strength in (0.0, 0.5, 1.0, 2.0)]
    assert (np.diff(remnants) < 0.0).all()


def test_above_the_curie_point_a_slow_loop_has_no_remnant_polarization():
    slow = make_experiment(lattice_size=3, frequency=0.01, steps=6000)
    cold, hot = (number(slow, "remnant_polarization", temperature=temperature) for temperature in (0.0, 2.0))
    assert hot < 0.05 * cold


def test_the_absolute_field_stays_when_the_material_changes():
    given = make_experiment(lattice_size=4, steps=400, defects=0.25)
    for values in ({"temperature": 0.5}, {"a1": -0.4, "a2": 20.0}, {"temperature": 1.7}, {"temperature": 1.0}):
        other = given.varied(values)
        absolute = np.asarray(other.material.random_field) * other.material.coercive_field
        assert absolute == pytest.approx(np.asarray(given.material.random_field) * given.material.coercive_field)
        assert other.field_unit == given.field_unit
    # Far above the Curie point a site answers linearly: P = E / (2 a1), whatever the unit of the field has become.
    hot = make_experiment(lattice_size=2, coupling=0.0, depolarization=0.0, amplitude=0.01, frequency=0.02, steps=4000)
    hot = hot.varied({"temperature": 2.0})
    assert hot.run().observables()["saturation_polarization"] == pytest.approx(0.01 * hot.field_unit / 3.2, rel=2e-2)


def test_temperature_zero_is_the_material_as_given(experiment):
    assert experiment.varied({"temperature": 0.0}).material == experiment.material


def test_amplitudes_side_by_side_give_what_they_give_alone(experiment):
    together = experiment.run_amplitudes([1.0, 3.0, 6.0])
    for amplitude, loop in zip((1.0, 3.0, 6.0), together, strict=True):
        alone = experiment.varied({"amplitude": amplitude}).run()
        assert (loop.polarization == alone.polarization).all()
        assert (loop.state == alone.state).all()


def test_a_field_along_y_gives_the_same_loop_as_one_along_x(experiment):
    other = make_experiment(**SMALL, axis="y")
    assert other.run().observables()["loop_area"] == pytest.approx(experiment.run().observables()["loop_area"], rel=1e-12)


def test_every_parameter_that_can_be_varied_changes_the_loop():
    given = make_experiment(**SMALL, defects=0.25, orientation="random")
    before = given.run().polarization
    values = {"coupling": 30.0, "depolarization": 1.0, "kinetic_coefficient": 0.5, "temperature": 0.4, "a1": -1.0, "a2": 20.0, "a3": 10.0}
    values |= {"amplitude": 7.0, "frequency": 0.5}
    assert values.keys() == PARAMETERS.keys()
    for name, value in values.items():
        assert np.abs(given.varied({name: value}).run().polarization - before).max() > 1e-6, name


@pytest.mark.parametrize(
    "bad",
    [
        {"amplitude": -1.0},
        {"amplitude": math.nan},
        {"frequency": 0.0},
        {"periods": 0},
        {"steps": 2},
        {"periods": 10_000, "steps": 10_000},
        {"axis": "z"},
        {"landau": (0.0, 12.2, 40.0)},
        {"mode": "uniaxial", "axis": "x"},
    ],
)
def test_a_drive_that_cannot_be_is_refused_with_a_sentence(bad):
    with pytest.raises(ConfigError):
        make_experiment(**bad)


def test_the_steps_that_the_error_asks_for_are_enough():
    experiment = make_experiment(lattice_size=4, coupling=500.0, steps=400)
    with pytest.raises(InstabilityError) as caught:
        experiment.run()
    needed = experiment.steps_for(caught.value.largest_stable_step)
    make_experiment(lattice_size=4, coupling=500.0, steps=needed).run()
    with pytest.raises(InstabilityError):
        make_experiment(lattice_size=4, coupling=500.0, steps=int(0.97 * needed)).run()


# ------------------------------------------------------------------------------------------------------------------ the map


def test_every_cell_is_its_own_simulation(experiment):
    found = measure_parameter_map(experiment, Range("coupling", 0, 40), Range("depolarization", 0, 2), "loop_area", n_grid=(4, 3))
    assert found.values.shape == (3, 4)
    for row, depolarization in enumerate(found.y):
        for column, coupling in enumerate(found.x):
            assert found.values[row, column] == number(experiment, "loop_area", coupling=coupling, depolarization=depolarization)
    assert found.reasons == {}
    assert found.best_value == found.values.max()
    column, row = found.best_cell[1], found.best_cell[0]
    assert found.best_point == (found.x[column], found.y[row])


@pytest.mark.parametrize("names", [("amplitude", "coupling"), ("coupling", "amplitude"), ("frequency", "amplitude")])
def test_cells_that_run_side_by_side_are_the_same_as_alone(experiment, names):
    spans = {"amplitude": (1, 6), "coupling": (0, 30), "frequency": (0.2, 0.4)}
    x, y = (Range(name, *spans[name]) for name in names)
    found = measure_parameter_map(experiment, x, y, "remnant_polarization", n_grid=3)
    for row, second in enumerate(found.y):
        for column, first in enumerate(found.x):
            alone = number(experiment, "remnant_polarization", **{names[0]: first, names[1]: second})
            assert found.values[row, column] == alone


def test_threads_do_not_change_the_map(experiment):
    ranges = Range("temperature", 0, 2), Range("amplitude", 1, 8)
    maps = [measure_parameter_map(experiment, *ranges, "loop_area", n_grid=4, n_threads=n) for n in (1, 3)]
    assert (maps[0].values == maps[1].values).all()


def test_unstable_cells_are_empty_counted_and_mendable(experiment):
    ranges = Range("coupling", 0, 800), Range("amplitude", 1, 4)
    found = measure_parameter_map(experiment, *ranges, "loop_area", n_grid=4)
    empty = np.argwhere(np.isnan(found.values))
    assert 0 < len(empty) < found.values.size
    assert found.n_unstable == len(empty) == len(found.reasons)
    assert all(found.reasons[row, column].startswith("unstable") for row, column in empty.tolist())
    assert not np.isnan(found.values[:, 0]).any()
    (sentence,) = found.failures()
    assert f"{len(empty)} of 16 cells" in sentence
    assert str(found.steps_needed) in sentence
    mended = make_experiment(**{**SMALL, "steps": found.steps_needed})
    assert np.isfinite(measure_parameter_map(mended, *ranges, "loop_area", n_grid=4).values).all()


def test_a_number_that_a_loop_does_not_have_is_empty_with_its_reason(experiment):
    found = measure_parameter_map(experiment, Range("amplitude", 0.1, 8), Range("coupling", 0, 10), "coercive_field", n_grid=3)
    assert np.isnan(found.values[:, 0]).all()
    assert set(found.reasons.values()) == {"the polarization never changes sign"}
    assert found.n_unstable == 0
    assert found.steps_needed == 0


def test_the_best_cell_follows_the_goal(experiment):
    ranges = Range("coupling", 0, 40), Range("depolarization", 0, 2)
    high, low = (measure_parameter_map(experiment, *ranges, "loop_area", n_grid=3, goal=goal) for goal in ("maximize", "minimize"))
    assert high.best_value == np.max(high.values)
    assert low.best_value == np.min(low.values)


def test_progress_ends_with_all_cells(experiment):
    seen = []
    ranges = Range("coupling", 0, 40), Range("depolarization", 0, 2)
    measure_parameter_map(experiment, *ranges, "loop_area", n_grid=3, progress=lambda done, total, _: seen.append((done, total)))
    assert seen[-1] == (9, 9)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nope", 0, 1), "known are coupling"),
        (("coupling", 5, 1), "smaller number comes first"),
        (("coupling", 0, math.inf), "finite"),
        (("coupling", 1, 1), "smaller number comes first"),
    ],
)
def test_a_range_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        Range(*arguments)


def test_a_map_that_cannot_be_is_refused_before_it_runs(experiment):
    coupling, depolarization = Range("coupling", 0, 1), Range("depolarization", 0, 1)
    with pytest.raises(ConfigError, match="known are loop_area"):
        measure_parameter_map(experiment, coupling, depolarization, "nope", n_grid=3)
    with pytest.raises(ConfigError, match="two different"):
        measure_parameter_map(experiment, coupling, Range("coupling", 2, 3), "loop_area", n_grid=3)
    with pytest.raises(ConfigError, match="2 or more"):
        measure_parameter_map(experiment, coupling, depolarization, "loop_area", n_grid=1)
    with pytest.raises(ParameterError, match="coupling"):
        measure_parameter_map(experiment, Range("coupling", -1, 1), depolarization, "loop_area", n_grid=3)


def test_a_map_opens_as_zarr_with_all_that_made_it(experiment, tmp_path):
    found = measure_parameter_map(experiment, Range("coupling", 0, 800), Range("depolarization", 0, 2), "loop_area", n_grid=(4, 3))
    write_parameter_map(found, tmp_path / "map.zarr", experiment)
    group = zarr.open_group(tmp_path / "map.zarr", mode="r")
    assert np.array_equal(group["objective"][:].T, found.values, equal_nan=True)
    assert group["coupling"][:].tolist() == found.x.tolist()
    attributes = dict(group.attrs)
    assert json.dumps(attributes)
    assert attributes["best_point"] == list(found.best_point)
    assert attributes["n_unstable"] == found.n_unstable > 0
    assert attributes["drive"]["steps"] == SMALL["steps"]
    assert attributes["material"]["lattice_size"] == 4
    with pytest.raises(StoreError, match="exists already"):
        write_parameter_map(found, tmp_path / "map.zarr", experiment)


def test_all_numbers_of_a_loop_are_finite_for_a_proper_one():
    numbers = LoopExperiment(FerroSimParameters(lattice_size=4, coupling=10.0), SineDrive(steps=1000)).run().observables()
    assert numbers.keys() == OBSERVABLES.keys()
    assert all(math.isfinite(value) for value in numbers.values())
