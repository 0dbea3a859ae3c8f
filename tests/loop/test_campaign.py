"""What a campaign makes of what comes back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latentloop.loop.campaign import Campaign
from latentloop.loop.latent_training import latent_space, train
from latentloop.loop.records import BARE_METRIC, Failure, Measurement, Outcome, TrialState
from latentloop.loop.trajectory_source import load_trajectories


@pytest.fixture
def campaign(config):
    def make(kind="pure", **changes):
        made = config(**changes)
        trained = train(made, load_trajectories(made), 0, 1)
        space, box = latent_space(made, trained.restore(), trained.encoded)
        return Campaign(made, space, box, 0, kind)

    return make


def outcome(result):
    return Outcome(0, result, 0.1, "local")


def measured(value, arrays=None, **errors):
    return outcome(Measurement({"objective": value}, errors, arrays or {}))


def test_a_good_measurement_is_completed_with_all_that_it_holds(campaign):
    found = campaign().judge(measured(2.5, {"image": np.ones(3)}, objective=0.1))
    assert (found.state, found.objective, found.objective_error, found.reason) == (TrialState.COMPLETED, 2.5, 0.1, "")
    assert found.metrics == {"objective": 2.5}
    np.testing.assert_array_equal(found.arrays["image"], np.ones(3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_a_reading_that_is_not_believable_is_quarantined_and_kept(campaign, value):
    found = campaign().judge(measured(value))
    assert found.state is TrialState.QUARANTINED
    assert found.objective == value or math.isnan(value)
    assert "metric 'objective' is" in found.reason


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_the_plausible_range_decides(value):
    from latentloop.loop.belief import doubt
    from latentloop.loop.config import ObjectiveConfig

    low, high = -2.0, 3.0
    found = doubt(Measurement({"objective": value}), ObjectiveConfig(plausible=(low, high)), "pure")
    assert bool(found) == (not low <= value <= high)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_array_that_is_not_finite_is_quarantined(campaign, bad):
    found = campaign().judge(measured(1.0, {"image": np.array([[1.0, bad]])}))
    assert found.state is TrialState.QUARANTINED
    assert "array 'image'" in found.reason


def test_a_missing_metric_fails_and_says_which_there_are(campaign):
    found = campaign().judge(outcome(Measurement({"curl": 1.0, "area": 2.0})))
    assert found.state is TrialState.FAILED
    assert "no metric 'objective'; returned were: area, curl" in found.reason
    assert found.metrics == {"curl": 1.0, "area": 2.0}
    assert "returned were: none" in campaign().judge(outcome(Measurement({}))).reason


def test_a_number_without_a_name_is_the_objective_whatever_that_is_called(campaign):
    found = campaign(objective={"metric": "charge"}).judge(outcome(Measurement({BARE_METRIC: 3.0})))
    assert (found.state, found.objective, found.metrics) == (TrialState.COMPLETED, 3.0, {"charge": 3.0})


@pytest.mark.parametrize(
    ("kind", "is_unknown", "state"),
    [("pure", False, "failed"), ("pure", True, "failed"), ("physical", False, "failed"), ("physical", True, "unknown")],
)
def test_a_lost_experiment_is_unknown_only_where_it_moves_something_real(campaign, kind, is_unknown, state):
    found = campaign(kind).judge(outcome(Failure("it went away", is_unknown)))
    assert found.state.word == state
    assert found.reason == "it went away"
    assert math.isnan(found.objective)


def test_only_completed_trials_are_learned_from_and_all_points_are_freed(campaign):
    made = campaign()
    points = [candidate.z for candidate in made.propose(4)]
    judgements = [made.judge(item) for item in (measured(1.0), measured(math.nan), outcome(Failure("x")), measured(2.0, objective=0.5))]
    assert len(made.optimizer.pending) == 4
    for z, judgement in zip(points, judgements, strict=True):
        made.learn(z, judgement)
    assert len(made.optimizer.pending) == 0
    x, y = made.optimizer.observations
    assert y.tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(x, [points[0], points[3]])


def test_standard_errors_reach_the_optimizer_as_variances(campaign):
    made = campaign()
    (candidate,) = made.propose(1)
    made.learn(candidate.z, made.judge(measured(1.0, objective=0.5)))
    assert made.optimizer.state()["y_var"] == [0.25]


def test_a_candidate_is_the_decoded_point(campaign):
    made = campaign()
    for candidate in made.propose(3):
        np.testing.assert_allclose(
            candidate.trajectory, made.space.decode(candidate.z[None])[0], rtol=1e-12
        )  # sums of a batch round differently
        assert candidate.acquisition == "initial"
        assert math.isnan(candidate.acquisition_value)
        assert candidate.distance >= 0
        assert candidate.consistency == pytest.approx(0, abs=1e-6)  # PCA decodes and encodes without loss


def test_the_goal_of_the_configuration_is_the_optimizers(campaign):
    assert campaign(objective={"goal": "minimize"}).optimizer.goal == "minimize"
