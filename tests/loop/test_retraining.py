"""A latent model that goes on learning during a campaign: nothing that was measured changes, and a kill anywhere changes nothing."""

import numpy as np
import pytest
from latentloop import open_campaign, run_campaign
from latentloop.loop.controller import StopFlag
from latentloop.loop.latent_training import restore_model
from latentloop.loop.restoration import restored_campaign
from latentloop.loop.run import SilentObserver
from latentloop.loop.standing import MOST_LOST, standing_of
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.trajectory_source import load_trajectories

VAE = {"name": "vae", "parameters": {"n_latent": 2, "hidden": [16], "epochs": 60, "batch_size": 8}}


@pytest.fixture
def made(config):
    def make(every=3, trials=8, acquisition="log_ei", **more):
        latent = {"model": VAE, "retrain": {"every": every, "epochs": 1.0}}
        optimizer = {"acquisition": acquisition, "n_initial": 3, "noise": 0}
        return config(latent=latent, optimizer=optimizer, budget={"trials": trials}, **more)

    return make


class Plug(SilentObserver):
    """Stops after some trials, pulls the plug there, or pulls it while the model is being retrained."""

    def __init__(self, trials=99, in_retraining=0, is_plug=False):
        self.flag, self._trials, self._left, self._is_plug, self._stage = StopFlag(), trials, in_retraining, is_plug, ""

    def stage(self, text):
        self._stage = text

    def training(self, done, total, loss):
        if self._stage.startswith("retraining"):
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt

    def trial(self, trial, history):
        if len(history.told) >= self._trials:
            if self._is_plug:
                raise KeyboardInterrupt
            self.flag.set()


def facts(history):
    return [
        (trial.number, trial.state, trial.z.tobytes(), trial.objective, trial.acquisition, trial.model_version) for trial in history.trials
    ]


def models(history):
    return [(version, model["sha256"], model["box"], model.get("codes")) for version, model in history.models.items()]


def test_every_trial_says_which_version_proposed_it_and_its_trajectory_is_that_versions(made, tmp_path):
    history = run_campaign(made(), tmp_path / "x")
    assert [trial.model_version for trial in history.trials] == [0, 0, 0, 1, 1, 1, 2, 2]
    store = CampaignStore.open(tmp_path / "x")
    decoders = [restore_model(store.model(version)[0]) for version in range(3)]
    assert len({history.models[version]["sha256"] for version in range(3)}) == 3
    for trial in history.trials:
        np.testing.assert_array_equal(store.trajectory(trial), decoders[trial.model_version].decode(trial.z[None])[0])


def test_old_trials_are_encoded_anew_with_honest_labels_and_stay_in_the_box(made, tmp_path):
    config = made()
    history = run_campaign(config, tmp_path / "x")
    store = CampaignStore.open(tmp_path / "x")
    campaign = restored_campaign(store, config, history, "pure", None)
    training = load_trajectories(config).values
    x, y = campaign.optimizer.observations
    n = 0
    for trial in history.trials:
        place = standing_of(history).place(trial)
        trajectory = store.trajectory(trial)
        back = campaign.space.model.decode(campaign.space.model.encode(trajectory[None]))[0]
        lost = ((trajectory - back) ** 2).sum() / training.var(axis=0).sum()
        if trial.model_version == 2:
            np.testing.assert_array_equal(place.z, trial.z)
            assert place.extra == 0
        elif lost > MOST_LOST:
            assert place is None
            continue
        else:
            np.testing.assert_allclose(place.z, campaign.space.model.encode(trajectory[None])[0], atol=1e-9)
            told = np.var([history.trials[number].objective for number in history.told[:6]])
            assert place.extra == pytest.approx(lost * told, rel=1e-6)
        np.testing.assert_array_equal(x[n], place.z)
        assert y[n] == trial.objective
        assert ((place.z >= campaign.box[:, 0]) & (place.z <= campaign.box[:, 1])).all()
        n += 1
    assert n == len(y)
    assert (campaign.box != np.array(history.models[0]["box"])).any()  # the box follows


@pytest.mark.parametrize("cut", [{"trials": 2}, {"trials": 3}, {"trials": 4, "is_plug": True}, {"in_retraining": 1}, {"in_retraining": 2}])
def test_a_campaign_cut_anywhere_around_a_retraining_equals_the_uninterrupted_one(made, tmp_path, cut):
    whole = run_campaign(made(), tmp_path / "whole")
    plug = Plug(**cut)
    if cut.get("is_plug") or "in_retraining" in cut:
        with pytest.raises(KeyboardInterrupt):
            run_campaign(made(), tmp_path / "cut", observer=plug)
    else:
        run_campaign(made(), tmp_path / "cut", observer=plug, should_stop=plug.flag)
    before = CampaignStore.open(tmp_path / "cut")
    assert len(before.history.trials) < 8
    kept = [before.trajectory(trial) for trial in before.history.trials]
    resumed = open_campaign(tmp_path / "cut")
    assert facts(resumed) == facts(whole)
    assert models(resumed) == models(whole)
    after = CampaignStore.open(tmp_path / "cut")
    for trial, trajectory in zip(after.history.trials, kept, strict=False):
        np.testing.assert_array_equal(after.trajectory(trial), trajectory)


def test_more_trials_later_are_the_same_trials(made, tmp_path):
    whole = run_campaign(made(), tmp_path / "whole")
    short = run_campaign(made(trials=3), tmp_path / "short")
    assert list(short.models) == [0]  # nothing is left to propose: nothing is retrained
    assert facts(open_campaign(tmp_path / "short", trials=8)) == facts(whole)


def test_retraining_runs_as_a_ray_task_with_the_same_result(made, tmp_path, ray_cluster):
    local = run_campaign(made(trials=5), tmp_path / "local")
    ray = run_campaign(made(trials=5, executor={"name": "ray", "workers": 1}), tmp_path / "ray")
    assert facts(local) == facts(ray)
    assert models(local) == models(ray)


@pytest.mark.slow
def test_trials_under_way_while_the_model_is_retrained_are_learned_from_in_the_new_space(made, tmp_path, target, ray_cluster):
    config = made(every=4, trials=8, executor={"name": "ray", "workers": 3}, **target("slow"))
    history = run_campaign(config, tmp_path / "x")
    assert max(history.models) >= 1
    store = CampaignStore.open(tmp_path / "x")
    standing = standing_of(history)
    x, _ = restored_campaign(store, config, history, "pure", None).optimizer.observations
    expected = [place.z for number in history.told if (place := standing.place(history.trials[number])) is not None]
    np.testing.assert_array_equal(x, expected)


def test_earlier_measurements_are_looked_at_anew_as_well(made, tmp_path):
    run_campaign(made(trials=4), tmp_path / "first")
    config = made(trials=5)
    history = run_campaign(config, tmp_path / "x", prior=tmp_path / "first")
    assert list(history.models) == [0, 1]
    codes = history.models[1]["earlier_codes"]
    assert len(codes) == len(history.prior["points"])
    plug = Plug(trials=4)
    run_campaign(config, tmp_path / "cut", prior=tmp_path / "first", observer=plug, should_stop=plug.flag)
    assert facts(open_campaign(tmp_path / "cut")) == facts(history)


def test_only_a_vae_is_retrained(config):
    with pytest.raises(ValueError, match="retrain goes on training a vae, and model is 'pca'"):
        config(latent={"retrain": {"every": 3}})


def test_a_reading_beyond_all_measure_that_was_accepted_does_not_end_the_campaign(made, tmp_path):
    from latentloop.loop.operator import act
    from latentloop.loop.replay import replay
    from latentloop.loop.store.inbox import Command

    wild = {"target": "laboratory:Eventful", "arguments": {"kind": "pure", "wild": [1], "wrong": 1e200}}
    run_campaign(made(trials=3, evaluator={"parameters": wild}), tmp_path / "x")
    assert CampaignStore.open(tmp_path / "x").history.waiting()["quarantined"] == [1]
    act(tmp_path / "x", Command("accept", trial=1))
    history = open_campaign(tmp_path / "x", trials=8)
    assert (history.last_session, len(history.trials), max(history.models) >= 2) == ("finished", 8, True)
    assert replay(tmp_path / "x").first is None
