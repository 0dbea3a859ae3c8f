"""Ctrl-C, SIGTERM, a closed terminal, a second Ctrl-C: instruments come to rest, the state is committed, nothing is ever fired twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from latentloop.loop.store.campaign_store import CampaignStore

DATA = Path(__file__).resolve().parents[1] / "data"
PROGRAM = Path(sys.executable).with_name("latentloop")


def configuration(folder, kind, grace, timeout=None, seconds=60.0, executor="local"):
    path = folder / "campaign.yaml"
    arguments = {"log": str(folder / "log"), "seconds": seconds, "kind": kind}
    evaluator = {"name": "python", "parameters": {"target": "laboratory:Patient", "arguments": arguments}}
    if timeout is not None:
        evaluator["timeout"] = timeout
    data = {
        "name": "patient",
        "trajectories": {"family": {"name": "damped_sinusoid", "parameters": {"n_steps": 20, "n_times": 40}}, "n": 40},
        "latent": {"model": {"name": "pca", "parameters": {"n_latent": 2}}},
        "evaluator": evaluator,
        "optimizer": {"acquisition": "random", "n_initial": 3},
        "budget": {"trials": 4},
        "executor": {"name": executor, "workers": 1, "grace_seconds": grace},
    }
    path.write_text(yaml.safe_dump(data))
    return path


def start(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(DATA), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
        # Tests may run under nohup, which latentloop respects.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def lines(folder):
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def is_firing(folder):
    return lambda: "fired 1" in lines(folder)


@pytest.mark.parametrize(
    ("number", "timeout"),
    [
        (signal.SIGINT, None),
        pytest.param(signal.SIGTERM, None, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 300.0, marks=pytest.mark.slow),
    ],
)
def test_a_physical_measurement_that_outlasts_the_grace_is_stopped_unknown_and_never_fired_again(tmp_path, number, timeout):
    store = tmp_path / "store"
    process = start("run", configuration(tmp_path, "physical", 0.5, timeout), "--store", store)
    wait_for(is_firing(tmp_path))
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "stop" in lines(tmp_path)
    found = CampaignStore.open(store)
    assert (found.state(), found.history.counts()) == ("interrupted", {"completed": 1, "unknown": 1})
    assert "no result came within 0.5 s" in found.history.trials[1].reason
    (tmp_path / "log.go").touch()
    process = start("resume", store)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert [line for line in lines(tmp_path) if line.startswith("fired")] == [f"fired {trial}" for trial in range(4)]
    assert CampaignStore.open(store).history.counts() == {"completed": 3, "unknown": 1}


@pytest.mark.slow
def test_a_pure_measurement_that_outlasts_the_grace_is_left_to_the_next_session(tmp_path):
    store = tmp_path / "store"
    process = start("run", configuration(tmp_path, "pure", 0.2), "--store", store)
    wait_for(is_firing(tmp_path))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert CampaignStore.open(store).history.counts() == {"completed": 1, "armed": 1}
    (tmp_path / "log.go").touch()
    process = start("resume", store)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert CampaignStore.open(store).history.counts() == {"completed": 4}


@pytest.mark.parametrize("number", [signal.SIGHUP, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_measurement_that_comes_back_within_the_grace_is_recorded(tmp_path, number):
    store = tmp_path / "store"
    process = start("run", configuration(tmp_path, "physical", 30.0, seconds=1.5), "--store", store)
    wait_for(is_firing(tmp_path))
    if number == signal.SIGHUP:  # the terminal is closed, and nobody reads what is said
        process.stdout.close()
        process.send_signal(number)
    process.send_signal(number)
    said, _ = ("", None) if process.stdout.closed else process.communicate(timeout=30)
    assert process.wait(30) == 130, said
    assert CampaignStore.open(store).history.counts() == {"completed": 2}
    assert [line for line in lines(tmp_path) if line.startswith("fired")] == ["fired 0", "fired 1"]


def test_a_second_interrupt_stops_at_once_and_still_brings_the_instrument_to_rest(tmp_path):
    store = tmp_path / "store"
    process = start("run", configuration(tmp_path, "physical", 300.0), "--store", store)
    wait_for(is_firing(tmp_path))
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert time.monotonic() - begun < 15
    assert "stop" in lines(tmp_path)
    (tmp_path / "log.go").touch()
    process = start("resume", store)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert [line for line in lines(tmp_path) if line.startswith("fired")] == [f"fired {trial}" for trial in range(4)]
    assert CampaignStore.open(store).history.trials[1].state.word == "unknown"


def test_a_campaign_is_paused_resumed_and_stopped_from_another_terminal(tmp_path):
    store = tmp_path / "store"
    path = configuration(tmp_path, "physical", 10.0, seconds=1.0)
    process = start("run", path, "--store", store, "--trials", 30)
    wait_for(is_firing(tmp_path))

    def say(*arguments):
        said, _ = (other := start(*arguments)).communicate(timeout=60)
        assert other.returncode == 0, said
        return said

    assert "pause sent to the running campaign" in say("pause", store)
    wait_for(lambda: CampaignStore.open(store).state() == "paused" and not CampaignStore.open(store).history.counts().get("armed"))
    fired = len(lines(tmp_path))
    time.sleep(1.5)
    assert len(lines(tmp_path)) == fired
    assert "resume sent to the running campaign" in say("resume", store)
    wait_for(lambda: len(lines(tmp_path)) > fired)
    assert "stop sent to the running campaign" in say("stop", store, "--reason", "enough")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "asked for it: enough" in said
    numbers = [line for line in lines(tmp_path) if line.startswith("fired")]
    assert len(numbers) == len(set(numbers))


@pytest.mark.slow
def test_on_ray_an_instrument_comes_to_rest_in_the_midst_of_its_measurement(tmp_path):
    store = tmp_path / "store"
    process = start("run", configuration(tmp_path, "physical", 0.5, executor="ray"), "--store", store)
    wait_for(is_firing(tmp_path), 120)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stop" in lines(tmp_path)
    assert CampaignStore.open(store).history.counts() == {"completed": 1, "unknown": 1}
    assert [line for line in lines(tmp_path) if line.startswith("fired")] == ["fired 0", "fired 1"]
