"""A campaign stops when it should, and says why."""

import math

import pytest
from latentloop.loop.run import open_campaign, run_campaign
from latentloop.loop.store.campaign_store import CampaignStore


def test_a_reached_target_ends_the_campaign(config, tmp_path):
    plain = run_campaign(config(budget={"trials": 12}), tmp_path / "plain")
    values = [trial.objective for trial in plain.trials]
    target = sorted(values)[-3]
    history = run_campaign(config(budget={"trials": 12, "target": target}), tmp_path / "x")
    first = next(number for number, value in enumerate(values) if value >= target)
    assert len(history.trials) == first + 1
    assert history.last_session == "finished"
    assert history.reason.startswith(f"the target {target:g} is reached")
    again = open_campaign(tmp_path / "x")
    assert (len(again.trials), again.last_session) == (first + 1, "finished")


def test_when_minimizing_the_target_is_reached_from_above(config, tmp_path):
    history = run_campaign(config(objective={"goal": "minimize"}, budget={"trials": 12, "target": -1e-9}), tmp_path / "x")
    assert len(history.trials) == 1
    history = run_campaign(config(objective={"goal": "minimize"}, budget={"trials": 4, "target": -1e9}), tmp_path / "y")
    assert (len(history.trials), history.reason) == (4, "")


def test_a_plateau_ends_a_session_and_a_resumed_one_has_its_patience_anew(config, tmp_path):
    changes = {"budget": {"trials": 40, "plateau": 3}}
    history = run_campaign(config(**changes), tmp_path / "x")
    values = [trial.objective for trial in history.trials]
    assert len(values) < 40
    assert max(values[-3:]) <= max(values[:-3])
    for end in range(4, len(values)):
        assert max(values[:end][-3:]) > max(values[:end][:-3])
    assert "no better incumbent in 3 completed trials" in history.reason
    before = len(values)
    assert len(open_campaign(tmp_path / "x").trials) >= before + 3


def test_an_instrument_that_only_fails_stops_the_campaign(config, tmp_path, target):
    history = run_campaign(config(budget={"trials": 30, "failures_in_a_row": 5}, **target("empty")), tmp_path / "x")
    assert (history.last_session, history.counts()) == ("failed", {"failed": 5})
    assert history.reason.startswith("5 trials in a row gave nothing, the last because ")
    store = CampaignStore.open(tmp_path / "x")
    assert (store.state(), store.history.reason) == ("failed", history.reason)
    endless = config(budget={"trials": 30, "failures_in_a_row": None}, **target("empty"))
    assert run_campaign(endless, tmp_path / "y").counts() == {"failed": 30}


def test_a_metric_that_is_never_measured_stops_the_campaign_after_three_shots(config, tmp_path, target):
    history = run_campaign(config(budget={"trials": 30}, objective={"metric": "chrage"}, **target("pictures")), tmp_path / "x")
    assert (history.last_session, history.counts()) == ("failed", {"failed": 3})
    assert history.reason.startswith("3 measurements, and none as configured: the evaluator returned no metric 'chrage'")


def test_failures_between_good_trials_do_not_add_up(config, tmp_path, target):
    history = run_campaign(config(budget={"trials": 60, "failures_in_a_row": 12}, **target("moody")), tmp_path / "x")
    assert len(history.trials) == 60
    assert sum(number for word, number in history.counts().items() if word != "completed") > 12


@pytest.mark.parametrize("key", ["wall_seconds", "instrument_seconds"])
def test_time_that_is_spent_ends_the_campaign_and_what_runs_is_kept(config, tmp_path, target, key):
    history = run_campaign(config(budget={"trials": 500, key: 0.4}, **target("slow")), tmp_path / "x")
    assert 0 < len(history.trials) < 500
    assert set(history.counts()) == {"completed"}
    assert f"budget.{key}" in history.reason
    spent = sum(trial.seconds for trial in history.trials if math.isfinite(trial.seconds))
    assert spent < 2.0
    if key == "instrument_seconds":
        assert spent >= 0.4
    assert len(open_campaign(tmp_path / "x").trials) == len(history.trials)


def test_a_plateau_is_counted_from_the_end_of_the_initial_design_on(config, tmp_path):
    optimizer = {"acquisition": "random", "n_initial": 8}
    history = run_campaign(config(optimizer=optimizer, budget={"trials": 40, "plateau": 1}), tmp_path / "x")
    values = [trial.objective for trial in history.trials]
    assert max(values[:7]) > values[7]  # there was one within the design
    assert 8 < len(values) < 40
    assert max(values[:-1]) > values[-1]
    assert all(values[end] > max(values[:end]) for end in range(8, len(values) - 1))


RULES = {
    "target": ({"budget": {"trials": 9, "target": -1e9}}, "smooth", "finished", 1, "the target -1e"),
    "plateau": ({"budget": {"trials": 40, "plateau": 1}}, "smooth", "finished", None, "(budget.plateau)"),
    "failures_in_a_row": ({"budget": {"trials": 9, "failures_in_a_row": 2}}, "empty", "failed", 2, "2 trials in a row gave nothing"),
    "refused_in_a_row": (
        {"safety": {"bounds": {"amplitude": (5, 6)}, "refused_in_a_row": 2}},
        "smooth",
        "failed",
        2,
        "2 trials in a row were refused",
    ),
    "wall_seconds": ({"budget": {"trials": 500, "wall_seconds": 0.2}}, "slow", "finished", None, "(budget.wall_seconds)"),
    "instrument_seconds": ({"budget": {"trials": 500, "instrument_seconds": 0.1}}, "slow", "finished", None, "(budget.instrument_seconds)"),
    "trials": ({"budget": {"trials": 2}}, "smooth", "finished", 2, ""),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_stops_a_campaign_and_says_so(config, target, tmp_path, rule):
    changes, instrument, state, n_trials, reason = RULES[rule]
    history = run_campaign(config(**changes, **target(instrument)), tmp_path / "x")
    assert history.last_session == state
    assert reason in history.reason
    assert len(history.trials) < 500 if n_trials is None else len(history.trials) == n_trials
