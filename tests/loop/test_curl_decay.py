"""The curl is watched while the field is held, and its rate is what the line says."""

import numpy as np
import pytest
from latentloop.loop.curl_decay import CurlDecay, measure_curl_decay
from latentloop.loop.errors import ConfigError
from latentloop.loop.evaluators.ferrosim import FerroSimEvaluator
from latentloop.simulators.trajectories import published_trajectories


def test_the_last_curl_is_the_one_that_the_evaluator_measures():
    evaluator = FerroSimEvaluator(preset="small", hold_steps=20)
    trajectories = published_trajectories()[:20, :300]
    found = measure_curl_decay(evaluator, trajectories)
    assert found.curls.shape == (20, 21)
    measured = [item.metrics["curl"] for item in evaluator.measure_many(trajectories)]
    assert found.curls[:, -1] == pytest.approx(measured, rel=1e-12)
    step = evaluator.parameters.times[1]
    assert found.times == pytest.approx(step * np.arange(21))


def test_the_first_curl_is_that_of_the_trajectory_without_a_hold():
    trajectories = published_trajectories()[:5, :200]
    found = measure_curl_decay(FerroSimEvaluator(preset="small", hold_steps=10), trajectories)
    measured = [item.metrics["curl"] for item in FerroSimEvaluator(preset="small", hold_steps=0).measure_many(trajectories)]
    assert found.start == pytest.approx(measured, rel=1e-12)


def test_an_exponential_decay_gives_its_resting_curl_and_full_correlation():
    times = np.linspace(0.0, 0.5, 11)
    start = np.array([9.0, 12.0, 20.0, 31.0])
    found = CurlDecay(times, 8.0 + (start - 8.0)[:, None] * np.exp(-3.0 * times))
    constant, rest = found.line
    assert rest == pytest.approx(8.0)
    assert constant == pytest.approx((1.0 - np.exp(-1.5)) / 0.5)
    assert found.correlation == pytest.approx(1.0)


def test_on_the_published_lattice_the_rate_grows_with_the_curl_at_the_start():
    found = measure_curl_decay(FerroSimEvaluator(), published_trajectories()[::100])
    constant, rest = found.line
    assert found.correlation > 0.85
    assert constant > 0.0
    assert 8.0 < rest < 11.0


def test_too_few_trajectories_or_steps_are_refused():
    with pytest.raises(ConfigError, match="at least 3"):
        measure_curl_decay(FerroSimEvaluator(preset="small"), np.zeros((2, 50)))
    with pytest.raises(ConfigError, match="2 steps"):
        measure_curl_decay(FerroSimEvaluator(preset="small", hold_steps=1), np.zeros((5, 50)))
