"""A campaign whose driver is killed with SIGKILL, by the real command line, and resumed: nothing is lost, nothing is counted twice."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
from latentloop.loop.latent_training import restore_model
from latentloop.loop.records import TrialState
from latentloop.loop.store.campaign_store import CampaignStore

LATENTLOOP = str(Path(sys.executable).with_name("latentloop"))
N_TRIALS = 14
CONFIG = f"""
name: killed
seed: 4
trajectories: {{family: {{name: damped_sinusoid, parameters: {{n_steps: 60, n_times: 80}}}}, n: 200}}
latent: {{model: {{name: vae, parameters: {{hidden: [16], epochs: 20, batch_size: 32}}}}}}
evaluator: {{name: python, parameters: {{target: "slow_laboratory:measure"}}}}
optimizer: {{n_initial: 4, noise: 0}}
budget: {{trials: {N_TRIALS}}}
"""
LABORATORY = """
import time
def measure(x):
    time.sleep(0.15)
    return {"objective": -float(((x - 0.2) ** 2).mean()), "image": x[:4]}
"""


def status(store: Path) -> dict:
    done = subprocess.run([LATENTLOOP, "status", str(store), "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    (folder / "campaign.yaml").write_text(CONFIG)
    (folder / "slow_laboratory.py").write_text(LABORATORY)
    with (folder / "errors.txt").open("a") as errors:
        return subprocess.Popen([LATENTLOOP, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)


def wait_for(condition, process: subprocess.Popen, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the command ended early"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def n_completed(store: Path) -> int:
    if not (store / "zarr.json").exists():
        return 0
    return sum(trial.state is TrialState.COMPLETED for trial in CampaignStore.open(store).history.trials)


def check_whole(store: Path, before: dict[int, float]) -> None:
    """Everything that was committed before the kill is there, and the arrays are what the journal says."""
    opened = CampaignStore.open(store)
    trials = opened.history.trials
    assert [trial.number for trial in trials] == list(range(N_TRIALS))
    assert all(trial.state is TrialState.COMPLETED for trial in trials)
    for number, objective in before.items():
        assert trials[number].objective == objective
    model = restore_model(opened.model(0)[0])
    with xarray.open_zarr(store, group="trials", consolidated=False) as arrays:
        assert arrays.sizes["trial"] == N_TRIALS
        assert np.array_equal(arrays.objective, [trial.objective for trial in trials])
        assert np.array_equal(arrays.z, [trial.z for trial in trials])
        decoded = model.decode(np.array([trial.z for trial in trials]))
        np.testing.assert_allclose(arrays.trajectory, decoded, rtol=0, atol=1e-12)
        np.testing.assert_allclose(arrays.image, decoded[:, :4], rtol=0, atol=1e-12)


def committed(store: Path) -> dict[int, float]:
    return {trial.number: trial.objective for trial in CampaignStore.open(store).history.trials if trial.state is TrialState.COMPLETED}


@pytest.mark.parametrize("kill_at", [2, 7])
def test_a_driver_killed_in_the_middle_loses_nothing(tmp_path: Path, kill_at: int) -> None:
    store = tmp_path / "store"
    process = start(tmp_path, "run", "campaign.yaml", "--store", "store")
    wait_for(lambda: n_completed(store) >= kill_at, process)
    assert status(store)["state"] == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = committed(store)
    assert len(before) >= kill_at
    assert status(store)["state"] == "interrupted"
    with xarray.open_zarr(store, group="trials", consolidated=False) as arrays:
        assert arrays.sizes["trial"] == N_TRIALS
    resumed = start(tmp_path, "resume", "store")
    assert resumed.wait(timeout=90) == 0
    assert status(store)["state"] == "finished"
    check_whole(store, before)


def test_a_resumed_campaign_proposes_what_the_uninterrupted_one_does(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    assert start(tmp_path / "whole", "run", "campaign.yaml", "--store", "store").wait(timeout=90) == 0
    store = tmp_path / "killed" / "store"
    process = start(tmp_path / "killed", "run", "campaign.yaml", "--store", "store")
    wait_for(lambda: n_completed(store) >= 6, process)
    process.kill()
    process.wait()
    assert start(tmp_path / "killed", "resume", "store").wait(timeout=90) == 0
    one, other = (CampaignStore.open(tmp_path / name / "store").history.trials for name in ("whole", "killed"))
    assert np.array_equal([trial.z for trial in one], [trial.z for trial in other])
    assert [trial.objective for trial in one] == [trial.objective for trial in other]


def test_a_kill_during_training_is_made_good_by_resume(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(tmp_path, "run", "campaign.yaml", "--store", "store", "--set", "latent.model.parameters.epochs=4000")
    wait_for(lambda: (store / "zarr.json").exists() and CampaignStore.open(store).history.last_session == "open", process)
    process.kill()
    process.wait()
    facts = status(store)
    assert (facts["state"], facts["n_trials"], facts["incumbent"]) == ("interrupted", 0, None)
    again = start(tmp_path, "resume", "store")
    wait_for(lambda: status(store)["state"] == "running", again)
    again.kill()
    again.wait()


@pytest.mark.slow
def test_a_driver_on_ray_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(tmp_path, "run", "campaign.yaml", "--store", "store", "--executor", "ray")
    wait_for(lambda: n_completed(store) >= 5, process, seconds=120)
    process.kill()
    process.wait()
    before = committed(store)
    resumed = start(tmp_path, "resume", "store", "--executor", "ray")
    assert resumed.wait(timeout=180) == 0
    check_whole(store, before)


def test_an_interrupt_stops_after_the_measurement_under_way(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(tmp_path, "run", "campaign.yaml", "--store", "store")
    wait_for(lambda: n_completed(store) >= 3, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    facts = status(store)
    assert facts["state"] == "interrupted"
    assert set(facts["counts"]) == {"completed"}
    assert start(tmp_path, "resume", "store").wait(timeout=90) == 0
    assert status(store)["state"] == "finished"
