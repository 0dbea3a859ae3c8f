"""A campaign killed without warning loses nothing and counts nothing twice."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import xarray
from latentloop.loop.config import load_config
from latentloop.loop.latent_training import TrainedModel, latent_space
from latentloop.loop.records import TrialState
from latentloop.loop.store.campaign_store import CampaignStore


def count(store, kind):
    """Return the number of the journal's events of a kind, read without the package."""
    events = [json.loads(path.read_bytes())["event"] for path in sorted((store / "journal").glob("0*.json"))]
    return sum(event["kind"] == kind for event in events)


@pytest.fixture
def kill(program, environment, tmp_path):
    """Return a function that starts the program, waits for something and kills it and all that it started, without warning."""

    def run(*arguments, until, seconds="0.02"):
        process = subprocess.Popen(
            [program, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, "LABORATORY_SECONDS": seconds},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        end = time.monotonic() + 90
        while not until():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    return run


def opened(store):
    return xarray.open_zarr(store, group="trials", consolidated=False)


def require_whole(store, n_trials):
    """Compare journal, arrays and latent model: every trial is there once, with the trajectory that its z decodes to."""
    found = CampaignStore.open(store)
    trials = found.history.trials
    assert [trial.number for trial in trials] == list(range(n_trials))
    assert found.history.counts() == {"completed": n_trials}
    assert found.history.told == sorted(set(found.history.told))
    config = load_config(str(store.parent / "campaign.yaml"))
    data, encoded, curve = found.model(0)
    space, _ = latent_space(config, TrainedModel(data, encoded, curve, 0.0).restore(), encoded)
    with opened(store) as arrays:
        assert arrays.state.values[:n_trials].tolist() == [int(TrialState.COMPLETED)] * n_trials
        for trial in trials:
            trajectory = arrays.trajectory.values[trial.number]
            np.testing.assert_array_equal(arrays.z.values[trial.number], trial.z)
            np.testing.assert_allclose(trajectory, space.decode(trial.z[None])[0], rtol=1e-12, atol=1e-15)
            assert arrays.objective.values[trial.number] == trial.objective == -float(np.mean((trajectory - 0.3) ** 2))
    return trials


def test_a_campaign_killed_again_and_again_ends_like_one_that_was_left_alone(kill, call, campaign, tmp_path):
    n_trials, store, log = 12, tmp_path / "x", tmp_path / "log"
    name = campaign(n_trials, acquisition="log_ei")
    done = 0
    for session, target in enumerate((3, 7)):
        arguments = ("run", name, "--store", store) if session == 0 else ("resume", store)
        kill(*arguments, until=lambda target=target: store.exists() and count(store, "completed") >= target)
        with opened(store) as arrays:
            assert arrays.sizes["trial"] == n_trials
        facts = json.loads(call("status", store, "--json"))
        assert facts["state"] == "interrupted"
        assert facts["counts"]["completed"] >= max(done, target)
        assert facts["counts"]["completed"] + facts["counts"].get("armed", 0) == facts["n_trials"]
        done = facts["counts"]["completed"]
    call("resume", store)
    trials = require_whole(store, n_trials)
    assert json.loads(call("status", store, "--json"))["state"] == "finished"
    assert n_trials <= len(log.read_text().splitlines()) <= n_trials + 2  # only what was under way at a kill was measured again
    call("run", name, "--store", tmp_path / "alone")
    alone = CampaignStore.open(tmp_path / "alone").history
    assert [(trial.z.tobytes(), trial.objective, trial.acquisition) for trial in trials] == [
        (trial.z.tobytes(), trial.objective, trial.acquisition) for trial in alone.trials
    ]


def test_a_campaign_killed_while_it_trains_starts_its_training_again(kill, call, campaign, tmp_path):
    model = {"name": "vae", "parameters": {"n_latent": 2, "hidden": [8], "epochs": 400}}
    store = tmp_path / "x"
    name = campaign(3, model=model)
    kill("run", name, "--store", store, until=lambda: store.exists() and count(store, "started") == 1)
    assert count(store, "model") == 0
    with opened(store) as arrays:
        assert arrays.state.values.tolist() == [0, 0, 0]
    facts = json.loads(call("status", store, "--json"))
    assert (facts["state"], facts["n_trials"], facts["incumbent"]) == ("interrupted", 0, None)
    call("resume", store)
    require_whole(store, 3)


def test_a_campaign_killed_before_its_store_was_whole_leaves_the_path_free(kill, call, campaign, tmp_path):
    store = tmp_path / "x"
    name = campaign(2)
    kill("run", name, "--store", store, until=lambda: any(path.name.startswith(".x.") for path in tmp_path.iterdir()) or store.exists())
    if store.exists():
        call("resume", store)
    else:
        call("run", name, "--store", store)
    require_whole(store, 2)


@pytest.mark.slow
def test_a_campaign_on_ray_killed_in_the_middle_loses_no_trial(kill, call, campaign, tmp_path):
    n_trials, store = 16, tmp_path / "x"
    name = campaign(n_trials, executor="ray", workers=2)
    kill("run", name, "--store", store, until=lambda: store.exists() and count(store, "completed") >= 5, seconds="0.1")
    before = CampaignStore.open(store).history
    completed = [trial for trial in before.trials if trial.state is TrialState.COMPLETED]
    assert len(completed) >= 5
    assert before.counts().get("armed", 0) <= 2
    with opened(store) as arrays:
        assert arrays.sizes["trial"] == n_trials
    call("resume", store)
    trials = require_whole_in_any_order(store, n_trials)
    for trial in completed:
        assert trials[trial.number].objective == trial.objective
        assert trials[trial.number].finished_at == trial.finished_at
    assert json.loads(call("status", store, "--json"))["state"] == "finished"


def require_whole_in_any_order(store, n_trials):
    found = CampaignStore.open(store).history
    assert found.counts() == {"completed": n_trials}
    assert sorted(found.told) == list(range(n_trials))
    with opened(store) as arrays:
        for trial in found.trials:
            np.testing.assert_array_equal(arrays.z.values[trial.number], trial.z)
            assert arrays.objective.values[trial.number] == trial.objective
    return found.trials
