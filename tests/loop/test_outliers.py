"""Wild readings: what is usual, how the others are drawn in, and when they are refuted."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latentloop.loop.outliers import Usual, last_usual, refuted, tamed


def test_tamed_values_keep_their_order_and_usual_ones_do_not_change():
    usual = np.random.default_rng(0).standard_normal(50)
    np.testing.assert_array_equal(tamed(usual), usual)
    wild = np.concatenate([usual, [1e3, 1e9, 1e200, -1e5]])
    np.testing.assert_array_equal(np.argsort(tamed(wild)), np.argsort(np.clip(wild, -1e130, 1e130)))
    assert np.abs(tamed(wild)).max() < 1e4
    np.testing.assert_array_equal(tamed(np.full(5, 3.0)), np.full(5, 3.0))


@given(st.integers(0, 2**31), st.integers(4, 60), st.sampled_from([1e6, -1e6, 1e130, 1e300]))
@settings(deadline=None)
def test_one_wild_reading_of_any_size_moves_the_limits_of_the_others_by_no_more_than_their_own_spread(seed, n, wild):
    values = np.random.default_rng(seed).standard_normal(n)
    spoilt = tamed(np.append(values, wild))
    assert np.ptp(spoilt) < 12 * np.ptp(values)
    inside = np.abs(spoilt[:-1]) <= np.abs(values)
    assert inside.all()


@given(st.integers(0, 2**31), st.sampled_from([2.0**-40, 0.5, 4.0, 2.0**40]), st.sampled_from([0.0, 1.0, -8.0]))
def test_the_map_follows_the_scale_and_the_shift_of_the_values(seed, scale, shift):
    values = np.append(np.random.default_rng(seed).standard_normal(20), [1e6, -1e4])
    np.testing.assert_allclose(tamed(scale * (values + shift)), scale * (tamed(values) + shift), rtol=1e-9, atol=1e-6 * scale)


def test_a_wild_reading_is_doubted_by_as_much_as_it_is_wild():
    values = np.append(np.linspace(0.0, 1.0, 20), 1e6)
    usual = Usual.of(values)
    variances = usual.doubt(values)
    assert (variances[:-1] == 0).all()
    assert variances[-1] == pytest.approx((usual.tamed(values)[-1] - usual.high) ** 2)


def test_with_two_readings_nobody_knows_which_is_wild():
    np.testing.assert_array_equal(tamed(np.array([0.0, 1e9])), [0.0, 1e9])


def test_a_wild_reading_is_refuted_by_usual_ones_beside_it_and_a_true_peak_is_not():
    generator = np.random.default_rng(0)
    u = np.vstack([generator.random((20, 2)), 0.5 + 0.005 * generator.standard_normal((4, 2)).clip(-1, 1)])
    values = np.append(generator.standard_normal(23), 1e6)
    peak = values.copy()
    peak[20:23] = [2e5, 3e5, 1e5]
    assert np.flatnonzero(refuted(u, values, Usual.of(values))).tolist() == [23]
    assert not refuted(u, peak, Usual.of(peak)).any()
    alone = np.delete(np.arange(24), [20, 21])
    assert not refuted(u[alone], values[alone], Usual.of(values[alone])).any()


def test_what_is_usual_is_learned_rarely_when_there_are_many():
    schedule = [last_usual(n) for n in range(1, 2000)]
    assert schedule[:40] == list(range(1, 41))
    assert all(later >= earlier for earlier, later in pairwise(schedule))
    assert len(set(schedule[40:])) < 20
    assert all(found > 0.75 * n for n, found in enumerate(schedule, 1))
