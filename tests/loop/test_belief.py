"""What is believed, what is looked at twice, and what is left to a person."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latentloop.loop.belief import agrees, doubt, is_outlier
from latentloop.loop.config import ObjectiveConfig
from latentloop.loop.controller import StopFlag
from latentloop.loop.figures.drift import control_readings, draw_drift, trend
from latentloop.loop.operator import act
from latentloop.loop.records import Measurement, TrialState
from latentloop.loop.replay import replay
from latentloop.loop.restoration import restored_campaign
from latentloop.loop.run import SilentObserver, open_campaign, run_campaign
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inbox import Command

OTHERS = np.linspace(-1.0, 1.0, 21)


def eventful(**arguments):
    return {"evaluator": {"name": "python", "parameters": {"target": "laboratory:Eventful", "arguments": arguments}}}


def reading(value=1.0, **arrays):
    return Measurement({"objective": value}, {}, {name: np.asarray(values, dtype=float) for name, values in arrays.items()})


def test_an_instrument_that_gives_one_value_again_and_again_is_doubted_and_a_simulator_is_not():
    objective = ObjectiveConfig(stuck_after=3)
    assert doubt(reading(2.0), objective, "physical", [1.0, 2.0, 2.0]).startswith("metric 'objective' is 2, 3 times in a row")
    assert doubt(reading(2.0), objective, "physical", [2.0, 2.0, 1.0]) == ""
    assert doubt(reading(2.0), objective, "physical", [2.0]) == ""
    assert doubt(reading(2.0), objective, "pure", [2.0, 2.0, 2.0]) == ""
    assert doubt(reading(2.0), ObjectiveConfig(stuck_after=None), "physical", [2.0] * 9) == ""


def test_a_stuck_instrument_is_quarantined_by_the_campaign(config, tmp_path):
    history = run_campaign(
        config(objective={"stuck_after": 3}, budget={"trials": 6}, **eventful(wild=[1, 2, 3, 4], wrong=0.5)), tmp_path / "x"
    )
    words = [trial.state.word for trial in history.trials]
    assert words == ["completed", "completed", "completed", "quarantined", "quarantined", "completed"]
    assert "is it stuck?" in history.trials[3].reason


def test_an_array_that_stands_at_its_rails_is_doubted():
    objective = ObjectiveConfig(saturation={"trace": {"low": -10, "high": 10, "share": 0.1}})
    sine = 9.0 * np.sin(np.linspace(0, 20, 200))
    assert doubt(reading(trace=sine), objective, "pure") == ""
    assert "upper rail 10" in doubt(reading(trace=np.clip(sine + 6.0, -9, 10)), objective, "pure")
    assert "lower rail -10" in doubt(reading(trace=np.clip(sine - 6.0, -10, 9)), objective, "pure")
    assert doubt(reading(other=np.clip(2 * sine, -10, 10)), objective, "pure") == ""
    own = ObjectiveConfig(saturation={"trace": {}})
    assert doubt(reading(trace=sine), own, "pure") == ""
    assert "upper rail 5" in doubt(reading(trace=np.clip(sine, -20, 5)), own, "pure")


@settings(max_examples=200)
@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=40), st.floats(1.0, 30.0), st.floats(0.1, 100), st.floats(-1e3, 1e3))
def test_being_an_outlier_does_not_depend_on_unit_or_offset(values, threshold, scale, offset):
    others = np.round(np.array(values), 3)
    middle = np.median(others)
    spread = 1.4826 * np.median(np.abs(others - middle))
    far = middle + 1.5 * threshold * spread + 1.0
    if spread > 1e-2:
        assert is_outlier(far, others, threshold) == is_outlier(scale * far + offset, scale * others + offset, threshold)
        assert is_outlier(middle + 1.01 * threshold * spread, others, threshold)
        assert not is_outlier(middle + 0.99 * threshold * spread, others, threshold)
    assert not is_outlier(far, others[:9], threshold)


def test_a_second_reading_agrees_when_it_is_nearer_to_the_first_than_to_the_rest():
    assert agrees(100.0, 98.0, OTHERS)
    assert agrees(100.0, 140.0, OTHERS)
    assert not agrees(100.0, 0.3, OTHERS)
    assert not agrees(100.0, -100.0, OTHERS)


def glitches(**arguments):
    return {"budget": {"trials": 16}, "objective": {"stuck_after": None}, **eventful(**arguments)}


def test_a_glitch_is_measured_again_and_quarantined_because_the_repeat_disagrees_and_both_readings_are_kept(config, tmp_path):
    log = tmp_path / "log"
    history = run_campaign(config(**glitches(kind="pure", glitch=[12], wrong=1e3, log=str(log))), tmp_path / "x")
    trial = history.trials[12]
    assert (trial.state, trial.is_outlier, trial.readings[0]) == (TrialState.QUARANTINED, True, 1e3)
    assert trial.objective == trial.readings[1] == pytest.approx(-0.5, abs=2.0)
    assert "did not repeat: 'objective' was 1000" in trial.reason
    fired = [line.split() for line in log.read_text().splitlines()]
    assert [number for number, _ in fired] == [*map(str, range(13)), "12", "13", "14", "15"]
    assert len({key for _, key in fired}) == 17
    store = CampaignStore.open(tmp_path / "x")
    (event,) = [event for event in store.journal.read() if event.kind == "outlier"]
    assert (event.data["objective"], event.data["metrics"]) == (1e3, {"objective": 1e3})


def test_a_true_sharp_optimum_survives(config, tmp_path):
    history = run_campaign(config(**glitches(kind="pure", wild=[12], wrong=1e3)), tmp_path / "x")
    trial = history.trials[12]
    assert (trial.state, trial.is_outlier, trial.readings) == (TrialState.COMPLETED, True, (1e3, 1e3))
    assert (history.incumbent.trial, history.incumbent.objective) == (12, 1e3)


def test_a_physical_outlier_is_marked_and_fired_again_only_where_that_is_allowed(config, tmp_path):
    log = tmp_path / "log"
    history = run_campaign(config(**glitches(glitch=[12], wrong=1e3, log=str(log))), tmp_path / "once")
    assert (history.trials[12].state, history.trials[12].is_outlier, history.trials[12].readings) == (TrialState.COMPLETED, True, ())
    assert log.read_text().count("\n") == 16
    made = glitches(glitch=[12], wrong=1e3)
    made["objective"] = {"stuck_after": None, "remeasure": True}
    history = run_campaign(config(**made), tmp_path / "twice")
    assert (history.trials[12].state, history.trials[12].readings[0]) == (TrialState.QUARANTINED, 1e3)


def test_a_pure_trial_that_fails_is_measured_again_so_many_times_and_the_attempts_are_recorded(config, tmp_path):
    def flaky(n, retries):
        parameters = {"target": "laboratory:Flaky", "arguments": {"n_failures": n}}
        return config(budget={"trials": 3}, evaluator={"name": "python", "parameters": parameters, "retries": retries})

    history = run_campaign(flaky(2, 2), tmp_path / "x")
    assert [(trial.state.word, trial.n_attempts) for trial in history.trials] == [("completed", 3)] * 3
    events = [event for event in CampaignStore.open(tmp_path / "x").journal.read() if event.kind == "retried"]
    assert [event.data["attempt"] for event in events] == [1, 2] * 3
    assert "out of licences" in events[0].data["reason"]
    history = run_campaign(flaky(3, 2), tmp_path / "y")
    assert [(trial.state.word, trial.n_attempts) for trial in history.trials] == [("failed", 3)] * 3
    assert run_campaign(flaky(1, 0), tmp_path / "z").counts() == {"failed": 3}


def test_a_physical_trial_that_fails_is_never_measured_again(config, tmp_path):
    parameters = {"target": "laboratory:Flaky", "kind": "physical"}
    history = run_campaign(
        config(budget={"trials": 3}, evaluator={"name": "python", "parameters": parameters, "retries": 5}), tmp_path / "x"
    )
    assert [(trial.state.word, trial.n_attempts) for trial in history.trials] == [("failed", 1)] * 3


def test_controls_are_repeated_every_few_trials_and_the_optimizer_never_hears_of_them(config, tmp_path):
    changes = {"optimizer": {"acquisition": "log_ei", "n_initial": 3}}
    plain = run_campaign(config(budget={"trials": 10}, **changes), tmp_path / "plain")
    history = run_campaign(config(budget={"trials": 13}, objective={"control": {"every": 3}}, **changes), tmp_path / "x")
    assert [trial.number for trial in history.trials if trial.is_control] == history.controls == [3, 7, 11]
    first = max(history.trials[:3], key=lambda trial: trial.objective)
    for number in history.controls:
        assert history.trials[number].refers_to == first.number
        assert history.trials[number].objective == first.objective
        assert number not in history.told
    others = [trial for trial in history.trials if not trial.is_control]
    np.testing.assert_array_equal(
        [trial.z for trial in others][:3], [trial.z for trial in plain.trials][:3]
    )  # later ones have streams of their own: proposals follow from the trial's number
    assert history.incumbent.trial not in history.controls
    store = CampaignStore.open(tmp_path / "x")
    np.testing.assert_array_equal(store.trajectory(history.trials[7]), store.trajectory(first))


def test_the_repeat_of_an_unknown_control_is_a_control_and_not_told_however_good_its_reading(config, tmp_path):
    events = {"vanishing": [3, 9], "wild": [9, 10], "wrong": 1.0}  # trial 9 repeats control 3, and trial 10 repeats trial 9
    optimizer = {"acquisition": "log_ei", "n_initial": 3}
    made = config(budget={"trials": 9}, objective={"control": {"every": 3}}, optimizer=optimizer, **eventful(**events))
    path = tmp_path / "x"
    run_campaign(made, path)
    act(path, Command("resolve", "Ada", 3, outcome="repeat"))
    open_campaign(path, trials=10)
    act(path, Command("resolve", "Ada", 9, outcome="repeat"))
    history = open_campaign(path, trials=14)
    again = history.trials[10]
    assert [history.trials[number].refers_to for number in (9, 10)] == [3, 9]
    assert (again.acquisition, again.state, again.objective) == ("repeat", TrialState.COMPLETED, 1.0)
    assert history.controls == [3, 7, 9, 10, 13]  # the next one is due as if the repeats had not been
    assert set(history.told) == set(range(14)) - set(history.controls)
    assert history.incumbent.objective < again.objective
    assert 10 in [trial.number for trial in control_readings(history.trials)]
    seen = restored_campaign(CampaignStore.open(path), made, history, "physical", None).optimizer.observations
    assert seen[1].tolist() == [history.trials[number].objective for number in history.told]
    found = replay(path)
    assert (found.first, found.n_others) == (None, 5)


def test_a_named_control_is_measured_and_one_outside_the_box_is_refused_before_anything_fires(config, tmp_path):
    history = run_campaign(config(budget={"trials": 6}, objective={"control": {"every": 2, "z": [0.1, 0.2]}}), tmp_path / "x")
    assert [history.trials[number].z.tolist() for number in history.controls] == [[0.1, 0.2]] * 2
    from latentloop.loop.errors import ConfigError

    with pytest.raises(ConfigError, match="does not lie in the box"):
        run_campaign(config(objective={"control": {"every": 2, "z": [1e9, 0.2]}}), tmp_path / "y")
    assert CampaignStore.open(tmp_path / "y").history.trials == []


def test_a_campaign_with_controls_retries_and_outliers_is_resumed_to_the_last_bit(config, tmp_path):
    changes = glitches(kind="pure", glitch=[13], wild=[15], wrong=1e3)
    changes["objective"], changes["budget"] = {"stuck_after": None, "control": {"every": 4}}, {"trials": 18}
    made = config(optimizer={"acquisition": "log_ei", "n_initial": 3}, **changes)

    def facts(history):
        return [
            (trial.number, trial.state, trial.z.tobytes(), repr(trial.objective), trial.acquisition, trial.readings)
            for trial in history.trials
        ]

    whole = run_campaign(made, tmp_path / "whole")
    assert {trial.state.word for trial in whole.trials} == {"completed", "quarantined"}
    for cut in (4, 5, 14, 16):

        class Stopper(SilentObserver):
            def __init__(self, flag, cut):
                self.flag, self.cut = flag, cut

            def trial(self, trial, history):
                if len(history.trials) >= self.cut:
                    self.flag.set()

        flag = StopFlag()
        path = tmp_path / f"cut-{cut}"
        run_campaign(made, path, observer=Stopper(flag, cut), should_stop=flag)
        assert facts(open_campaign(path)) == facts(whole), cut


def test_the_figure_of_drift_shows_the_controls_and_their_trend(config, tmp_path):
    history = run_campaign(config(budget={"trials": 12}, objective={"control": {"every": 2}}), tmp_path / "x")
    readings = control_readings(history.trials)
    assert len(readings) == len(history.controls) + 1
    figure = draw_drift(history.trials, objective_name="charge")
    assert list(figure.data[0].y) == [trial.objective for trial in readings]
    assert "trend: +0 per hour" in figure.data[1].name
    assert "no control" in draw_drift([]).layout.annotations[0].text
    from latentloop.loop.report import write_report

    assert "Drift" in write_report(tmp_path / "x", tmp_path / "x.html").read_text()


def test_one_wild_reading_does_not_bend_the_trend():
    x = np.linspace(0, 5, 11)
    y = 2.0 - 0.3 * x
    y[5] = 100.0
    slope, level = trend(x, y)
    assert slope == pytest.approx(-0.3, abs=1e-9)
    assert level == pytest.approx(2.0, abs=1e-9)
    assert trend(np.zeros(3), np.array([1.0, 2.0, 3.0])) == (0.0, 2.0)
