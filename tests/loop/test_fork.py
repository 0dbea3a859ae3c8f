"""A fork takes over the first trials of a campaign, and goes on with another method."""

import numpy as np
import pytest
from latentloop import open_campaign, run_campaign
from latentloop.loop.errors import ConfigError, StoreError, StoreLockedError
from latentloop.loop.fork import fork_campaign
from latentloop.loop.operator import act
from latentloop.loop.replay import replay
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inbox import Command
from latentloop.loop.verification import verify

METHOD = {"optimizer": {"acquisition": "log_ei", "n_initial": 3}, "budget": {"trials": 6}}


def facts(trials):
    return [(trial.number, trial.z.tobytes(), trial.objective, trial.acquisition, trial.finished_at) for trial in trials]


def test_a_fork_has_the_first_trials_and_goes_on_with_another_method(config, tmp_path, target):
    whole = run_campaign(config(**METHOD, **target("pictures")), tmp_path / "x")
    made = fork_campaign(tmp_path / "x", 4, ["acquisition=thompson", "trials=8"], tmp_path / "y")
    assert facts(made.trials) == facts(whole.trials[:4])
    assert (made.budget, made.last_session, made.identity != whole.identity) == (8, "interrupted", True)
    ended = open_campaign(tmp_path / "y")
    assert [trial.acquisition for trial in ended.trials] == ["initial"] * 3 + ["log_ei"] + ["thompson"] * 4
    assert facts(ended.trials[:4]) == facts(whole.trials[:4])
    old, new = CampaignStore.open(tmp_path / "x"), CampaignStore.open(tmp_path / "y")
    for trial in whole.trials[:4]:
        np.testing.assert_array_equal(new.trajectory(trial), old.trajectory(trial))
        np.testing.assert_array_equal(new.field(trial, "image"), old.field(trial, "image"))
    assert replay(tmp_path / "y").n_exact == 8
    assert verify(tmp_path / "y").damages == ()
    created = next(new.journal.read()).data["parent"]
    assert (created["identity"], created["at_trial"], created["overrides"]) == (whole.identity, 4, ["acquisition=thompson", "trials=8"])


def test_a_fork_without_changes_ends_like_the_campaign_itself(config, tmp_path):
    whole = run_campaign(config(**METHOD), tmp_path / "x")
    fork_campaign(tmp_path / "x", 4, [], tmp_path / "y")
    assert [fact[:4] for fact in facts(open_campaign(tmp_path / "y").trials)] == [fact[:4] for fact in facts(whole.trials)]


def test_a_fork_of_a_fork_is_derived_again_under_three_methods(config, tmp_path):
    run_campaign(config(executor={"batch": 2}, **METHOD), tmp_path / "x")
    fork_campaign(tmp_path / "x", 4, ["acquisition=thompson"], tmp_path / "y")
    open_campaign(tmp_path / "y")
    fork_campaign(tmp_path / "y", 5, ["acquisition=ucb"], tmp_path / "z")
    ended = open_campaign(tmp_path / "z")
    assert [trial.acquisition for trial in ended.trials] == ["initial"] * 3 + ["log_ei", "thompson", "ucb"]
    assert replay(tmp_path / "z").n_exact == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("seed=9", "cannot change seed"),
        ("trajectories.n=50", "cannot change trajectories"),
        ("latent.model.parameters.n_latent=3", "cannot change latent.model"),
        ("evaluator.parameters.target=laboratory:slow", "cannot change evaluator.parameters"),
        ("objective.goal=minimize", "cannot change objective.goal"),
        ("budget.trials=2", "the fork begins with 4 trials"),
    ],
)
def test_what_the_trials_are_cannot_be_changed(config, tmp_path, change, words):
    run_campaign(config(**METHOD), tmp_path / "x")
    with pytest.raises(ConfigError, match=words):
        fork_campaign(tmp_path / "x", 4, [change], tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_a_fork_needs_trials_and_a_free_place(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    with pytest.raises(StoreError, match="between 1 and 6"):
        fork_campaign(tmp_path / "x", 7, [], tmp_path / "y")
    with pytest.raises(StoreError, match="holds a campaign already"):
        fork_campaign(tmp_path / "x", 3, [], tmp_path / "x")


def test_a_fork_that_has_not_gone_on_yet_is_whole(config, tmp_path, target):
    run_campaign(config(**METHOD, **target("pictures")), tmp_path / "x")
    fork_campaign(tmp_path / "x", 4, [], tmp_path / "y")
    assert verify(tmp_path / "y").damages == ()


def test_a_fork_of_a_campaign_with_earlier_measurements_has_them_too(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "old")
    whole = run_campaign(config(**METHOD), tmp_path / "x", prior=tmp_path / "old")
    for at_trial in (2, 4):
        fork_campaign(tmp_path / "x", at_trial, [], tmp_path / f"y{at_trial}")
        assert verify(tmp_path / f"y{at_trial}").damages == ()
        ended = open_campaign(tmp_path / f"y{at_trial}")
        assert [fact[:4] for fact in facts(ended.trials)] == [fact[:4] for fact in facts(whole.trials)]
        assert replay(tmp_path / f"y{at_trial}").n_exact == 6
        assert verify(tmp_path / f"y{at_trial}").damages == ()


def test_a_fork_has_the_budget_that_the_campaign_was_given_last(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    open_campaign(tmp_path / "x", trials=9)
    assert fork_campaign(tmp_path / "x", 8, [], tmp_path / "y").budget == 9
    assert len(open_campaign(tmp_path / "y").trials) == 9


def test_a_fork_repeats_no_experiment_that_the_campaign_repeats_itself(config, tmp_path):
    made = {"target": "laboratory:Eventful", "arguments": {"vanishing": [2], "log": str(tmp_path / "log")}}
    run_campaign(config(**METHOD, evaluator={"parameters": made}), tmp_path / "x")
    act(tmp_path / "x", Command("resolve", trial=2, outcome="repeat"))
    open_campaign(tmp_path / "x", trials=8)
    for at_trial in (6, 7):  # before the repetition, and after it
        made = fork_campaign(tmp_path / "x", at_trial, [], tmp_path / f"y{at_trial}")
        assert made.wanted == []
        assert made.waiting()["unknown"] == ([2] if at_trial == 6 else [])
        ended = open_campaign(tmp_path / f"y{at_trial}")
        assert [trial.refers_to for trial in ended.trials[at_trial:]] == [None] * (8 - at_trial)
        assert verify(tmp_path / f"y{at_trial}").damages == ()


def test_what_an_operator_asked_for_and_was_measured_is_not_measured_again_by_a_fork(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    act(tmp_path / "x", Command("propose", z=(0.1, 0.1), reason="look there"))
    open_campaign(tmp_path / "x", trials=9)
    made = fork_campaign(tmp_path / "x", 8, [], tmp_path / "y")
    assert made.wanted == []
    assert [trial.acquisition for trial in open_campaign(tmp_path / "y").trials[6:]] == ["operator", "log_ei", "log_ei"]


@pytest.mark.parametrize("kind", ["physical", "pure"])
def test_a_fork_does_not_fire_with_an_instrument_that_its_parent_is_using(config, tmp_path, monkeypatch, kind):
    def chosen(name):
        parameters = {"target": "laboratory:smooth", "kind": kind}
        return config(name=name, evaluator={"name": "python", "parameters": parameters}, **METHOD)

    run_campaign(chosen("x"), tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    fork_campaign("x", 4, [], tmp_path / "y")
    fork_campaign("y", 3, [], tmp_path / "z")
    parent = CampaignStore.open(tmp_path / "x")
    monkeypatch.chdir("/")
    parent.drive()
    try:
        if kind == "pure":
            assert open_campaign(tmp_path / "z").counts() == {"completed": 6}
        else:
            for name in ("y", "z"):
                with pytest.raises(StoreLockedError, match=r"was forked from /.*/x, which is being driven with the same instrument"):
                    open_campaign(tmp_path / name)
    finally:
        parent.release()
    assert open_campaign(tmp_path / "y").counts() == {"completed": 6}
    parent.path.rename(tmp_path / "elsewhere")
    assert open_campaign(tmp_path / "z").counts() == {"completed": 6}
