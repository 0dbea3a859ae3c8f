from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from latentloop.simulators.errors import ParameterError, SimulatorError, TrajectoryError
from latentloop.simulators.trajectories import (
    DampedSinusoid,
    LectureSine,
    LegendreSeries,
    check_trajectory,
    published_trajectories,
    resample,
)

GOLDEN = Path(__file__).parents[1] / "data" / "ferrosim" / "published_row512.npz"
FAMILIES = [DampedSinusoid(), LectureSine(), LegendreSeries()]


@pytest.fixture(scope="module")
def published():
    return published_trajectories()


def test_row_512_of_the_published_set_is_the_published_one_to_the_last_digit(published):
    with np.load(GOLDEN) as golden:
        np.testing.assert_array_equal(published[512], golden["row512/trajectory"])
    np.testing.assert_allclose(published[512, :3], [0.99619798, 1.04597564, 0.98779495], atol=5e-9)


def test_the_published_set_leaves_the_global_generator_alone():
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    published_trajectories(4)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)  # noqa: NPY002


def test_the_published_set_lies_within_its_scale_up_to_the_noise(published):
    assert published.shape == (7500, 900)
    assert np.abs(published).max() < 1.0 + 6 * 0.02


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)
def test_a_family_draws_on_its_own_grid_and_repeats_itself_from_the_same_seed(family):
    first = family.draw(5, np.random.default_rng(1))
    assert first.shape == (5, len(family.times))
    assert first.dtype == np.float64
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, family.draw(5, np.random.default_rng(1)))
    assert not np.array_equal(first, family.draw(5, np.random.default_rng(2)))


def test_without_noise_the_published_family_touches_both_ends_of_its_scale_on_the_whole_grid():
    x = replace(DampedSinusoid(), noise=0.0, n_steps=1200).draw(20, np.random.default_rng(0))
    np.testing.assert_allclose(x.min(axis=1), -1.0, atol=1e-12)
    np.testing.assert_allclose(x.max(axis=1), 1.0, atol=1e-12)


def test_amplitude_and_offset_cancel_in_the_scaling():
    narrow = DampedSinusoid(amplitude=(0.5, 0.5), offset=(0.2, 0.2), alpha=(1.0, 1.0), omega=(7.0, 7.0), noise=0.0)
    other = replace(narrow, amplitude=(0.1, 0.1), offset=(-0.4, -0.4))
    np.testing.assert_allclose(narrow.draw(1, np.random.default_rng(0)), other.draw(1, np.random.default_rng(0)), atol=1e-12)


def test_the_lecture_form_is_the_formula():
    family = LectureSine(amplitude=(0.5, 0.5), alpha=(1.0, 1.0), omega=(7.0, 7.0), offset=(0.25, 0.25))
    t = family.times
    np.testing.assert_allclose(family.draw(1, np.random.default_rng(0))[0], 0.5 * np.exp(t) * np.sin(7 * t) + 0.25, rtol=1e-14)


def test_legendre_curves_are_polynomials_of_their_degree():
    family = LegendreSeries(degree=3)
    x = family.draw(4, np.random.default_rng(0))
    u = np.linspace(-1, 1, 100)
    for curve in x:
        fit = np.polynomial.Polynomial.fit(u, curve, 3)
        np.testing.assert_allclose(fit(u), curve, atol=1e-12)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        (DampedSinusoid, {"omega": (3.0, 1.0)}, "omega"),
        (DampedSinusoid, {"noise": -1.0}, "noise"),
        (DampedSinusoid, {"amplitude": (0.0, 0.0)}, "amplitude"),
        (DampedSinusoid, {"n_steps": 1300}, "n_steps"),
        (LectureSine, {"duration": 0.0}, "duration"),
        (LectureSine, {"alpha": (0.0, np.nan)}, "alpha"),
        (LegendreSeries, {"degree": -1}, "degree"),
        (LegendreSeries, {"scale": 0.0}, "scale"),
    ],
)
def test_a_family_refuses_impossible_parameters_by_name(family, change, message):
    with pytest.raises(ParameterError, match=message):
        family(**change)


def test_drawing_nothing_is_refused():
    with pytest.raises(ParameterError, match="at least 1"):
        LegendreSeries().draw(0, np.random.default_rng(0))


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 30)), elements=st.floats(-1e6, 1e6)),
    st.integers(2, 60),
)
@settings(max_examples=60, deadline=None)
def test_resampling_keeps_both_ends_and_stays_within_the_range(x, n_steps):
    y = resample(x, n_steps)
    assert y.shape == (len(x), n_steps)
    np.testing.assert_array_equal(y[:, 0], x[:, 0])
    np.testing.assert_array_equal(y[:, -1], x[:, -1])
    slack = 1e-9 * (1 + np.abs(x).max())
    assert (y <= x.max(axis=1, keepdims=True) + slack).all()
    assert (y >= x.min(axis=1, keepdims=True) - slack).all()


@given(st.integers(2, 40), st.integers(2, 40), st.floats(-5, 5), st.floats(-5, 5))
@settings(max_examples=60, deadline=None)
def test_resampling_a_straight_line_gives_the_same_line(n, m, a, b):
    y = resample(a + b * np.linspace(0, 1, n), m)
    np.testing.assert_allclose(y, a + b * np.linspace(0, 1, m), atol=1e-12)


def test_resampling_to_the_same_length_changes_nothing(published):
    np.testing.assert_array_equal(resample(published[:3], 900), published[:3])


def test_the_time_axis_of_resampling_can_be_named():
    x = np.random.default_rng(0).normal(size=(3, 11, 2))
    y = resample(x, 21, axis=-2)
    assert y.shape == (3, 21, 2)
    np.testing.assert_allclose(y[:, ::2], x, atol=1e-14)


@pytest.mark.parametrize("bad", [np.zeros(1), np.array([0.0, np.nan]), np.float64(3.0)])
def test_resampling_refuses_what_it_cannot_do(bad):
    with pytest.raises(TrajectoryError):
        resample(bad, 5)


def test_a_good_trajectory_passes_the_check_unchanged():
    x = np.linspace(0, 1, 7)
    np.testing.assert_array_equal(check_trajectory(x, n_steps=7, n_channels=1), x)


@pytest.mark.parametrize(
    ("x", "kwargs", "message"),
    [
        (np.zeros(5), {"n_steps": 7}, r"5 steps, 7 are needed; resample"),
        (np.zeros((7, 3)), {"n_channels": 2}, r"3 channels, 2 are needed"),
        (np.array([0.0, np.nan, 1.0]), {}, "not finite at step 1"),
        (np.array([0.0, 1.0, np.inf]), {}, "not finite at step 2"),
        (np.zeros((2, 2, 2)), {}, "shape"),
        (np.zeros(0), {}, "shape"),
        ("abc", {}, "no array of numbers"),
    ],
)
def test_a_bad_trajectory_is_refused_by_name(x, kwargs, message):
    with pytest.raises(TrajectoryError, match=message) as caught:
        check_trajectory(x, **kwargs)
    assert isinstance(caught.value, SimulatorError)
    assert isinstance(caught.value, ValueError)
