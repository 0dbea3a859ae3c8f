"""FerroSIM as an evaluator."""

import time

import numpy as np
import pytest
from latentloop.loop.errors import ConfigError
from latentloop.loop.evaluators.ferrosim import FerroSimEvaluator
from latentloop.loop.evaluators.ferrosim_parameters import FerroSimParametersEvaluator
from latentloop.loop.registry import EVALUATORS
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters, curl
from latentloop.simulators.trajectories import published_trajectories


@pytest.fixture(scope="module")
def row():
    return published_trajectories()[512]


def test_the_published_row_gives_the_published_curl(row):
    measured = FerroSimEvaluator().measure(row)
    assert measured.metrics["curl"] == pytest.approx(9.8067, abs=5e-5)
    assert measured.arrays["polarization"].shape == (20, 20, 2)
    total = measured.arrays["polarization"].sum(axis=(0, 1))
    assert np.isfinite(total).all()


def test_the_field_is_the_trajectory_in_units_of_the_amplitude_then_its_last_value(row):
    field = FerroSimEvaluator(amplitude=150.0, hold_steps=50).field(row[None])
    assert field.shape == (1, 950, 2)
    assert np.array_equal(field[0, :900, 0], 150.0 * row)
    assert (field[0, 900:, 0] == 150.0 * row[-1]).all()
    assert (field[0, :, 1] == 0.0).all()


def test_axes_and_channels_say_which_components_are_driven(row):
    one = FerroSimEvaluator(axis="y").field(row[None])
    assert (one[..., 0] == 0.0).all()
    both = FerroSimEvaluator(axis="both").field(row[None])
    assert np.array_equal(both[..., 0], both[..., 1])
    two = FerroSimEvaluator().field(np.stack([row, -row], axis=-1)[None])
    assert np.array_equal(two[..., 0], -two[..., 1])


def test_many_at_once_are_the_single_ones(row):
    evaluator = FerroSimEvaluator(preset="small")
    trajectories = np.stack([row[:150], 0.5 * row[:150], -row[:150]])
    together = [measured.metrics for measured in evaluator.measure_many(trajectories)]
    assert together == [evaluator.measure(trajectory).metrics for trajectory in trajectories]


def test_an_emulated_instrument_errs_and_says_how_much(row):
    exact = FerroSimEvaluator().measure(row).metrics["curl"]
    noisy = FerroSimEvaluator(noise={"additive": 0.2}, noise_seed=3)
    readings = np.array([measured.metrics["curl"] for measured in noisy.measure_many(np.repeat(row[None], 64, axis=0))])
    assert readings.std() == pytest.approx(0.2, rel=0.35)
    assert abs(readings.mean() - exact) < 0.1
    assert noisy.measure(row).errors == {"curl": 0.2}
    assert np.isnan(FerroSimEvaluator(noise={"dropout": 1.0}).measure(row).metrics["curl"])


def test_an_emulated_instrument_takes_its_time_sticks_and_fails(row):
    slow = FerroSimEvaluator(preset="small", noise={"latency": 0.15})
    slow.prepare()
    begun = time.monotonic()
    slow.measure(row[:60])
    assert time.monotonic() - begun >= 0.15
    stuck = FerroSimEvaluator(preset="small", noise={"stuck": 1.0})
    assert stuck.measure(row[:60]).metrics["curl"] == stuck.measure(-row[:60]).metrics["curl"]
    assert stuck.measure(row[:60]).metrics["normalized_curl"] != stuck.measure(-row[:60]).metrics["normalized_curl"]

    def failures(seed):
        faulty = FerroSimEvaluator(preset="small", faults=0.3, noise_seed=seed)
        faulty.prepare()
        found = []
        for _ in range(60):
            try:
                faulty.measure(row[:20])
                found.append(False)
            except RuntimeError:
                found.append(True)
        return found

    assert 8 <= sum(failures(1)) <= 28
    assert failures(1) == failures(1) != failures(2)
    assert FerroSimEvaluator(preset="small", kind="physical").kind == "physical"


def test_wrong_parameters_are_sentences():
    with pytest.raises(ConfigError, match="hold_steps"):
        EVALUATORS.create("ferrosim", {"hold_steps": -1})
    with pytest.raises(ConfigError, match="faults"):
        EVALUATORS.create("ferrosim", {"faults": 1.5})
    with pytest.raises(ConfigError, match="loudness"):
        EVALUATORS.create("ferrosim", {"noise": {"loudness": 1.0}})
    with pytest.raises(ConfigError, match="known are"):
        EVALUATORS.create("ferrosim_parameters", {"names": ["weather"]})


def test_a_point_of_parameters_becomes_a_model_and_its_loop():
    evaluator = FerroSimParametersEvaluator(["coupling", "depolarization"], lattice_size=6, steps=600, frequency=0.5)
    soft, hard = (evaluator.measure(np.array(point)).metrics for point in ([0.0, 0.0], [100.0, 2.0]))
    assert soft["loop_area"] > hard["loop_area"] > 0.0
    with pytest.raises(ValueError, match="coupling, depolarization"):
        evaluator.measure(np.zeros(3))


def test_the_curl_of_the_evaluator_is_that_of_the_simulator(row):
    evaluator = FerroSimEvaluator()
    direct = FerroSim(FerroSimParameters.published()).simulate(evaluator.field(row[None]))
    assert evaluator.measure(row).metrics["curl"] == float(curl(direct.polarization)[0])
