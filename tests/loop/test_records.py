"""Records check themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latentloop.loop.errors import ConfigError
from latentloop.loop.records import (
    TRIAL_ARRAYS,
    Candidate,
    TrajectorySet,
    TrialState,
    as_array,
    as_number,
    require_free_name,
    require_storable,
)


def trajectories(values, times=None, channels=("E",)):
    values = np.asarray(values, dtype=float)
    return TrajectorySet(
        values, np.arange(values.shape[1], dtype=float) if times is None else np.asarray(times, dtype=float), "V", "s", channels
    )


@pytest.mark.parametrize("state", TrialState)
def test_a_state_survives_its_word(state):
    assert TrialState.from_word(state.word) is state
    assert state.value != 0


def test_no_state_has_the_word_banana():
    with pytest.raises(KeyError):
        TrialState.from_word("banana")


@pytest.mark.parametrize("z", [[[1.0]], [np.nan], [np.inf]])
def test_a_candidate_refuses_a_latent_vector_that_is_none(z):
    with pytest.raises(ValueError, match="latent vector"):
        Candidate(np.array(z), np.zeros(3), "initial")


@pytest.mark.parametrize("trajectory", [1.0, [[[0.0]]], [0.0, np.nan]])
def test_a_candidate_refuses_a_trajectory_that_is_none(trajectory):
    with pytest.raises(ValueError, match="trajectory"):
        Candidate(np.zeros(2), np.array(trajectory), "initial")


def test_records_are_frozen():
    candidate = Candidate(np.zeros(2), np.zeros(3), "initial")
    with pytest.raises(AttributeError):
        candidate.acquisition = "other"


@pytest.mark.parametrize(
    ("values", "times", "channels", "words"),
    [
        (np.zeros((1, 5)), None, ("E",), "at least 2 trajectories"),
        (np.zeros((2, 0)), None, ("E",), "shape"),
        (np.zeros((3, 4, 2, 2)), None, ("E",), "shape"),
        ([[1, 2], [np.nan, 4], [np.inf, 3]], None, ("E",), "2 training trajectories are not finite, the first is row 1"),
        (np.zeros((3, 4)), [0, 1, 2], ("E",), "do not fit trajectories of 4 steps"),
        (np.zeros((3, 3)), [0, 2, 1], ("E",), "must rise"),
        (np.zeros((3, 3)), [0, 1, np.nan], ("E",), "must rise"),
        (np.zeros((3, 4, 2)), None, ("E",), "1 channel names for 2 channels"),
        (np.zeros((3, 4)), None, ("Ex", "Ey"), "2 channel names for 1 channels"),
    ],
)
def test_training_trajectories_that_cannot_be_trained_on_are_refused(values, times, channels, words):
    with pytest.raises(ConfigError, match=words):
        trajectories(values, times, channels)


def test_the_digest_follows_the_values():
    values = np.arange(12.0).reshape(3, 4)
    assert trajectories(values).digest() == trajectories(np.asfortranarray(values)).digest()
    changed = values.copy()
    changed[2, 3] = np.nextafter(changed[2, 3], 1e9)
    assert trajectories(changed).digest() != trajectories(values).digest()


@given(value=st.floats(allow_nan=False))
def test_numbers_of_all_kinds_are_numbers(value):
    for given_as in (value, np.float64(value), np.array(value), np.array([value])):
        assert as_number(given_as, "it") == value
    assert as_number(True, "it") == 1.0


@pytest.mark.parametrize("value", ["3", b"3", None, [1, 2], np.zeros((2, 2)), 1j, object(), {}, 10**400])
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(TypeError, match="the instrument"):
        as_number(value, "the instrument")


@pytest.mark.parametrize("value", [[1j], ["a"], [[1], [1, 2]], [object()]])
def test_what_is_no_array_of_numbers_is_refused_by_name(value):
    with pytest.raises(TypeError, match="the instrument"):
        as_array(value, "the instrument")


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "..", "__x", "a\nb", "a\0b", "x" * 101, "/"])
def test_a_name_that_cannot_stand_in_the_store_is_refused(name):
    with pytest.raises(ValueError, match="cannot stand in the store"):
        require_storable(name)


@pytest.mark.parametrize("name", ["curl", "P in C·m⁻²", "größe", "x.1", "a b"])
def test_names_of_all_tongues_are_fine(name):
    require_storable(name)
    require_free_name(name)


@pytest.mark.parametrize("name", [*sorted(TRIAL_ARRAYS), "metric_curl"])
def test_an_array_may_not_take_a_name_of_the_store(name):
    with pytest.raises(ValueError, match="another name"):
        require_free_name(name)
