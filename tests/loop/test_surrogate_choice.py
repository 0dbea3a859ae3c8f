"""Every acquisition function works with the surrogate that is taken when nobody says which; what cannot serve it is refused at once."""

import json
import sys

import numpy as np
import pytest
from latentloop import Optimizer, open_campaign, run_campaign
from latentloop.loop.environment import environment
from latentloop.loop.errors import ConfigError
from latentloop.loop.fork import fork_campaign
from latentloop.loop.registry import ACQUISITIONS, SURROGATES
from latentloop.loop.replay import replay
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.trajectory_source import load_trajectories
from latentloop.models.acquisition import LogEI
from latentloop.models.surrogates import GaussianProcess, PCAGaussianProcess, SparseGaussianProcess

BOX = [[0.0, 1.0], [0.0, 2.0]]
EXACT = ["knowledge_gradient", "log_nei", "q_log_ei", "q_log_nei"]
OTHERS = sorted(set(SURROGATES.built_in) - {"auto", "gp"})
REFUSAL = "acquisition 'log_nei' computes with the exact Gaussian process, which the surrogate 'gp_pca' is not; choose the surrogate 'gp'"


def waves(points):
    """Trajectories of 30 steps."""
    return points @ np.array([np.sin(np.arange(30) / 5), np.cos(np.arange(30) / 7)])


def exact_with(surrogate):
    return {"acquisition": "log_nei", "surrogate": surrogate, "n_initial": 3}


@pytest.mark.parametrize("name", sorted(ACQUISITIONS.built_in))
def test_every_acquisition_function_runs_a_campaign_with_the_default_surrogate(name, config, tmp_path):
    history = run_campaign(config(optimizer={"acquisition": name, "n_initial": 4}), tmp_path / "x")
    assert history.last_session == "finished"
    assert [trial.acquisition for trial in history.trials] == ["initial"] * 4 + [name] * 2


@pytest.mark.parametrize("name", EXACT)
def test_auto_is_the_exact_process_where_nothing_else_serves(name):
    optimizer = Optimizer(BOX, acquisition=name, features=waves)
    assert type(optimizer.new_surrogate()) is GaussianProcess
    optimizer.restore(n_asked=0, x=np.random.default_rng(0).random((1600, 2)), y=np.arange(1600.0), pending=[])
    assert type(optimizer.new_surrogate()) is GaussianProcess


def test_auto_is_what_it_was_for_the_others():
    assert type(Optimizer(BOX, acquisition="log_ei", features=waves).new_surrogate()) is PCAGaussianProcess
    optimizer = Optimizer(BOX, acquisition="log_ei")
    optimizer.restore(n_asked=0, x=np.random.default_rng(0).random((1600, 2)), y=np.arange(1600.0), pending=[])
    assert type(optimizer.new_surrogate()) is SparseGaussianProcess


@pytest.mark.parametrize("surrogate", OTHERS)
@pytest.mark.parametrize("name", EXACT)
def test_an_optimizer_refuses_a_surrogate_that_cannot_serve(name, surrogate):
    with pytest.raises(ConfigError, match=f"acquisition '{name}' .* the surrogate '{surrogate}' is not; choose"):
        Optimizer(BOX, acquisition=name, surrogate=surrogate, features=waves)


def test_a_choice_that_is_left_open_survives_a_state():
    optimizer = Optimizer(BOX, acquisition="log_nei", features=waves)
    state = json.loads(json.dumps(optimizer.state()))
    assert state["surrogate"] == {"name": "auto", "parameters": {}}
    assert type(Optimizer.from_state(state, features=waves).new_surrogate()) is GaussianProcess


def test_a_campaign_is_refused_before_it_has_a_folder(config, tmp_path):
    with pytest.raises(ConfigError, match=REFUSAL):
        run_campaign(config(optimizer=exact_with("gp_pca")), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_fork_is_refused_or_goes_on_with_the_exact_process(config, tmp_path):
    run_campaign(config(optimizer={"acquisition": "log_ei", "n_initial": 3}), tmp_path / "x")
    with pytest.raises(ConfigError, match=REFUSAL):
        fork_campaign(tmp_path / "x", 4, ["acquisition=log_nei", "optimizer.surrogate=gp_pca"], tmp_path / "y")
    assert not (tmp_path / "y").exists()
    fork_campaign(tmp_path / "x", 4, ["acquisition=log_nei"], tmp_path / "y")
    assert [trial.acquisition for trial in open_campaign(tmp_path / "y").trials[3:]] == ["log_ei", "log_nei", "log_nei"]
    assert replay(tmp_path / "y").n_exact == 6


def test_a_resume_is_refused_before_anything_is_measured(config, tmp_path):
    chosen = config(optimizer=exact_with("gp_pca"))
    CampaignStore.create(tmp_path / "x", chosen.model_dump(mode="json"), environment(), 2, load_trajectories(chosen)).release()
    with pytest.raises(ConfigError, match=REFUSAL):
        open_campaign(tmp_path / "x")
    history = CampaignStore.open(tmp_path / "x").history
    assert (history.trials, history.models, history.epoch) == ([], {}, 0)


def test_a_pool_has_no_use_for_the_exact_process(config, tmp_path):
    with pytest.raises(ConfigError, match="sees only the numbers of the pool's trajectories; choose"):
        run_campaign(config(latent={"model": {"name": "pool", "parameters": {}}}, optimizer=exact_with("auto")), tmp_path / "x")


class Own(LogEI):
    """One of a user's own that computes with the exact process."""

    name = "own"
    needs_exact_gp = True


def test_an_acquisition_function_of_ones_own_can_say_so_too(monkeypatch):
    module = type(sys)("own_acquisitions")
    module.Own = Own
    monkeypatch.setitem(sys.modules, "own_acquisitions", module)
    monkeypatch.setitem(ACQUISITIONS.built_in, "own", "own_acquisitions:Own")
    assert type(Optimizer(BOX, acquisition="own", features=waves).new_surrogate()) is GaussianProcess
    with pytest.raises(ConfigError, match="acquisition 'own'"):
        Optimizer(BOX, acquisition="own", surrogate="sparse")
