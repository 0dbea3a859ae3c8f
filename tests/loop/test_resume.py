"""A campaign that was stopped anywhere proposes what it would have proposed: bit for bit, with one worker."""

import os

import numpy as np
import pytest
from latentloop import open_campaign, run_campaign
from latentloop.loop.controller import StopFlag
from latentloop.loop.errors import ConfigError, EvaluatorError, StoreError, StoreLockedError
from latentloop.loop.records import TrialState
from latentloop.loop.run import SilentObserver
from latentloop.loop.store.campaign_store import CampaignStore


class StopAfter(SilentObserver):
    """Sets the flag, or pulls the plug, once so many trials are committed."""

    def __init__(self, n, plug=False):
        self.flag, self._n, self._plug = StopFlag(), n, plug

    def trial(self, trial, history):
        if trial.number + 1 >= self._n:
            if self._plug:
                raise KeyboardInterrupt
            self.flag.set()


def facts(history):
    """Return what must be the same to the last bit."""
    return [
        (
            *(trial.number, trial.state, trial.z.tobytes(), trial.objective, trial.acquisition),
            *map(repr, (trial.acquisition_value, trial.predicted_objective, trial.predicted_error)),
        )
        for trial in history.trials
    ]


METHODS = ["log_ei", "ucb", "thompson", "max_variance", "random"]


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_campaign_equals_the_uninterrupted_one(config, tmp_path, method):
    made = config(optimizer={"acquisition": method, "n_initial": 3}, budget={"trials": 7})
    whole = run_campaign(made, tmp_path / "whole")
    for index, plug in ((1, False), (4, True)):
        watcher = StopAfter(index, plug)
        path = tmp_path / f"cut-{index}"
        if plug:
            with pytest.raises(KeyboardInterrupt):
                run_campaign(made, path, observer=watcher, should_stop=watcher.flag)
        else:
            run_campaign(made, path, observer=watcher, should_stop=watcher.flag)
        cut = CampaignStore.open(path)
        assert len(cut.history.trials) == index
        assert cut.state() == "interrupted"
        resumed = open_campaign(path)
        assert facts(resumed) == facts(whole)
        assert resumed.last_session == "finished"
        for trial in whole.trials:
            np.testing.assert_array_equal(cut.trajectory(trial), CampaignStore.open(tmp_path / "whole").trajectory(trial))


def test_failed_and_quarantined_trials_do_not_disturb_a_resume(config, tmp_path, target):
    made = config(optimizer={"acquisition": "log_ei", "n_initial": 5}, budget={"trials": 12}, **target("moody"))
    whole = run_campaign(made, tmp_path / "whole")
    assert len(whole.counts()) > 1
    watcher = StopAfter(6)
    run_campaign(made, tmp_path / "cut", observer=watcher, should_stop=watcher.flag)
    assert [fact[:3] for fact in facts(open_campaign(tmp_path / "cut"))] == [fact[:3] for fact in facts(whole)]


def test_a_larger_total_goes_on_as_if_it_had_been_asked_for_at_first(config, tmp_path):
    changes = {"optimizer": {"acquisition": "log_ei", "n_initial": 3}}
    whole = run_campaign(config(budget={"trials": 7}, **changes), tmp_path / "whole")
    run_campaign(config(budget={"trials": 4}, **changes), tmp_path / "short")
    longer = open_campaign(tmp_path / "short", trials=7)
    assert facts(longer) == facts(whole)
    assert longer.budget == 7
    assert len(open_campaign(tmp_path / "short", trials=7).trials) == 7


def test_resuming_a_finished_campaign_changes_nothing(config, tmp_path):
    run_campaign(config(), tmp_path / "x")
    n_events = CampaignStore.open(tmp_path / "x").history.n_events
    assert open_campaign(tmp_path / "x").last_session == "finished"
    assert CampaignStore.open(tmp_path / "x").history.n_events == n_events


def test_fewer_trials_than_there_are_is_refused(config, tmp_path):
    run_campaign(config(), tmp_path / "x")
    with pytest.raises(StoreError, match="holds 6 trials already; --trials is the total"):
        open_campaign(tmp_path / "x", trials=5)


def test_exactly_as_many_trials_as_there_are_finishes_an_interrupted_campaign(config, tmp_path):
    watcher = StopAfter(3)
    run_campaign(config(), tmp_path / "x", observer=watcher, should_stop=watcher.flag)
    assert open_campaign(tmp_path / "x", trials=3).last_session == "finished"


def test_a_campaign_that_lost_its_last_words_is_finished_and_its_arrays_are_made_whole(config, tmp_path):
    import xarray

    run_campaign(config(), tmp_path / "x")
    events = sorted((tmp_path / "x" / "journal").glob("0*.json"))
    events[-1].unlink()  # as after a kill between the last trial and the end
    state = next(path for path in (tmp_path / "x/trials/state").rglob("*") if path.is_file() and path.name != "zarr.json")
    state.unlink()
    assert CampaignStore.open(tmp_path / "x").state() == "interrupted"
    assert open_campaign(tmp_path / "x").last_session == "finished"
    found = xarray.open_zarr(tmp_path / "x", group="trials", consolidated=False)
    assert found.state.values.tolist() == [int(TrialState.COMPLETED)] * 6


def test_training_that_was_interrupted_starts_again(config, tmp_path):
    changes = {"latent": {"model": {"name": "vae", "parameters": {"n_latent": 2, "hidden": [8], "epochs": 4}}}}
    whole = run_campaign(config(**changes), tmp_path / "whole")

    class Plug(SilentObserver):
        def training(self, done, total, loss):
            if done == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_campaign(config(**changes), tmp_path / "cut", observer=Plug())
    cut = CampaignStore.open(tmp_path / "cut")
    assert (cut.state(), cut.history.trials, cut.history.models) == ("interrupted", [], {})
    assert facts(open_campaign(tmp_path / "cut")) == facts(whole)


def test_trajectories_from_a_file_travel_with_the_store(config, mapping, tmp_path):
    from latentloop.loop.config import config_from_mapping

    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(30, 12)))
    data = mapping()
    data["trajectories"] = {"file": str(tmp_path / "x.npy")}
    made = config_from_mapping(data)
    whole = run_campaign(made, tmp_path / "whole")
    watcher = StopAfter(3)
    run_campaign(made, tmp_path / "cut", observer=watcher, should_stop=watcher.flag)
    (tmp_path / "x.npy").unlink()
    assert facts(open_campaign(tmp_path / "cut")) == facts(whole)


def test_a_campaign_that_is_driven_already_is_refused(config, tmp_path):
    watcher = StopAfter(2)
    run_campaign(config(), tmp_path / "x", observer=watcher, should_stop=watcher.flag)
    other = CampaignStore.open(tmp_path / "x")
    other.drive()
    try:
        with pytest.raises(StoreLockedError, match=f"driven by process {os.getpid()}"):
            open_campaign(tmp_path / "x")
    finally:
        other.release()
    assert open_campaign(tmp_path / "x").last_session == "finished"


def test_an_error_of_the_loop_is_recorded_as_failed_and_the_campaign_can_go_on(config, tmp_path, monkeypatch):
    from latentloop.loop.campaign import Campaign

    real, calls = Campaign.propose, []

    def propose(self, q, first=None):
        calls.append(q)
        if len(calls) == 4:
            raise ArithmeticError("a bug")
        return real(self, q, first)

    monkeypatch.setattr(Campaign, "propose", propose)
    with pytest.raises(ArithmeticError):
        run_campaign(config(), tmp_path / "x")
    store = CampaignStore.open(tmp_path / "x")
    assert (store.state(), store.history.reason, len(store.history.trials)) == ("failed", "a bug", 3)
    assert facts(open_campaign(tmp_path / "x")) == facts(run_campaign(config(), tmp_path / "whole"))


def test_nothing_is_left_behind_by_a_campaign_that_cannot_start(config, tmp_path):
    wrong = [
        (config(evaluator={"parameters": {"target": "no_such_module:f"}}), EvaluatorError, "no_such_module"),
        (config(evaluator={"parameters": {"target": "nocolon"}}), ConfigError, "module:attribute"),
        (config(evaluator={"parameters": {"banana": 1}}), ConfigError, "banana"),
        (config(optimizer={"acquisition": {"name": "ucb", "parameters": {"banana": 1}}}), ConfigError, "banana"),
        (config(optimizer={"surrogate": {"name": "gp", "parameters": {"banana": 1}}}), ConfigError, "banana"),
        (config(latent={"model": {"name": "pca", "parameters": {"banana": 1, "n_latent": 2}}}), ConfigError, "banana"),
        (config(latent={"box": [[0, 1]]}), ConfigError, "latent.box"),
    ]
    for made, error, words in wrong:
        with pytest.raises(error, match=words):
            run_campaign(made, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_local_and_ray_give_the_same_trials_with_one_worker(config, tmp_path, ray_cluster):
    changes = {"optimizer": {"acquisition": "log_ei", "n_initial": 3}, "budget": {"trials": 6}}
    local = run_campaign(config(**changes), tmp_path / "local")
    ray = run_campaign(config(executor={"name": "ray", "workers": 1}, **changes), tmp_path / "ray")
    assert facts(local) == facts(ray)
    assert {trial.worker for trial in ray.trials} == {"ray-0"}
    assert ray_cluster.is_initialized()
