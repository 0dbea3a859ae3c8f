from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latentloop.simulators.errors import ParameterError
from latentloop.simulators.noise import MeasurementNoise, NoisyInstrument

TRUTH = np.linspace(1, 5, 2000)


def test_without_noise_the_truth_is_read_at_once():
    readings = NoisyInstrument(MeasurementNoise(), seed=0).read(TRUTH)
    np.testing.assert_array_equal(readings.values, TRUTH)
    np.testing.assert_array_equal(readings.latency, 0.0)
    assert not readings.is_dropped.any()
    assert not readings.is_stuck.any()


def test_noise_has_the_standard_deviation_asked_for():
    additive = NoisyInstrument(MeasurementNoise(additive=0.3), seed=1).read(TRUTH).values - TRUTH
    relative = NoisyInstrument(MeasurementNoise(multiplicative=0.1), seed=1).read(TRUTH).values / TRUTH - 1
    assert additive.std() == pytest.approx(0.3, rel=0.1)
    assert relative.std() == pytest.approx(0.1, rel=0.1)
    assert abs(additive.mean()) < 0.03


def test_dropouts_and_stuck_readings_come_as_often_as_asked_for():
    noise = MeasurementNoise(additive=0.1, dropout=0.1, stuck=0.2)
    readings = NoisyInstrument(noise, seed=2).read(TRUTH)
    assert readings.is_dropped.mean() == pytest.approx(0.1, abs=0.03)
    assert readings.is_stuck.mean() == pytest.approx(0.18, abs=0.03)
    np.testing.assert_array_equal(np.isnan(readings.values), readings.is_dropped)
    good = readings.values[~readings.is_dropped]
    stuck = readings.is_stuck[~readings.is_dropped]
    np.testing.assert_array_equal(good[1:][stuck[1:]], good[:-1][stuck[1:]])
    assert not stuck[0]


@given(st.integers(0, 2**32), st.integers(0, 20))
def test_how_readings_are_grouped_into_calls_does_not_matter(seed, cut):
    noise = MeasurementNoise(additive=0.1, multiplicative=0.1, dropout=0.2, stuck=0.3, latency=0.1, latency_spread=0.2)
    at_once, in_parts = NoisyInstrument(noise, seed), NoisyInstrument(noise, seed)
    whole = at_once.read(TRUTH[:20])
    parts = [in_parts.read(TRUTH[:cut]), in_parts.read(TRUTH[cut:20])]
    np.testing.assert_array_equal(whole.values, np.concatenate([p.values for p in parts]))
    np.testing.assert_array_equal(whole.latency, np.concatenate([p.latency for p in parts]))
    assert in_parts.n_readings == 20


def test_latency_has_a_floor_and_a_tail():
    latency = NoisyInstrument(MeasurementNoise(latency=0.5, latency_spread=2.0), seed=3).read(TRUTH).latency
    assert latency.min() >= 0.5
    assert latency.mean() == pytest.approx(2.5, rel=0.1)


@pytest.mark.parametrize(
    ("name", "value"), [("additive", -1.0), ("multiplicative", np.nan), ("dropout", 1.5), ("stuck", -0.1), ("latency", np.inf)]
)
def test_impossible_noise_is_refused_by_name(name, value):
    with pytest.raises(ParameterError, match=name):
        replace(MeasurementNoise(), **{name: value})
    with pytest.raises(ParameterError, match="seed"):
        NoisyInstrument(MeasurementNoise(), seed=-1)
