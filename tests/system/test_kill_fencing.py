"""Two drivers, one campaign: a second one is refused, a dead one's campaign is taken over, and one that wakes up too late fires nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from latentloop.loop.store.campaign_store import CampaignStore

LEASE = 1.5


@pytest.fixture
def start(program, environment, tmp_path):
    """Return a function that starts the program on a host of a given name; what still runs at the end is killed."""
    started = []

    def run(*arguments, host, fault=""):
        process = subprocess.Popen(
            [program, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, "LATENTLOOP_HOST": host, "LATENTLOOP_FAULT": fault},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def shots(tmp_path):
    """Write a campaign with an instrument that counts what it fires; return a function that reads its file."""

    def write(seconds=0.05, kind="PhysicalShots", trials=5, timeout=None):
        data = {
            "name": "fenced",
            "trajectories": {"box": {"a": [-1, 1], "b": [-1, 1]}},
            "evaluator": {
                "name": "python",
                "timeout": timeout,
                "parameters": {"target": f"shots:{kind}", "arguments": {"log": str(tmp_path / "shots"), "seconds": seconds}},
            },
            "optimizer": {"acquisition": "random", "n_initial": 3},
            "budget": {"trials": trials},
            "executor": {"name": "local", "lease_seconds": LEASE},
        }
        (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(data))
        return lambda: [line.split()[0] for line in (tmp_path / "shots").read_text().splitlines()] if (tmp_path / "shots").exists() else []

    return write


def wait_for(happened, process, seconds=90):
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def is_stopped(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def states(store):
    return [trial.state.word for trial in CampaignStore.open(store).history.trials]


def test_a_driver_that_sleeps_after_arming_and_wakes_after_a_takeover_fires_nothing(start, shots, tmp_path):
    fired, store = shots(), tmp_path / "x"
    first = start("run", "campaign.yaml", "--store", store, host="one", fault="controller.armed:3:STOP")
    wait_for(lambda: is_stopped(first), first)
    assert states(store)[2:] == ["armed"]
    n_fired = len(fired())
    assert n_fired == 2
    # Another host cannot know whether the sleeper is dead: it waits, says for whom and until when, and counts the armed trial as unknown.
    second = start("resume", store, host="two")
    wait_for(lambda: len(states(store)) > 2 and states(store)[2] == "unknown", second)
    first.send_signal(signal.SIGCONT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 2, said
    assert "by another driver; this one stops" in said
    assert len(fired()) == n_fired  # what it had armed, it did not fire
    second.send_signal(signal.SIGINT)  # it waits for the longest measurement, ten minutes, before it uses the instrument
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 130, said
    assert "on one since" in said
    assert "may still be measuring" in said
    assert states(store) == ["completed", "completed", "unknown"]
    # On the sleeper's own host its death can be proven.
    third = start("resume", store, host="one")
    said, _ = third.communicate(timeout=90)
    assert third.returncode == 0, said
    assert states(store) == ["completed", "completed", "unknown", "completed", "completed"]
    assert len(fired()) == len(set(fired())) == 4


@pytest.mark.slow
def test_a_driver_that_wakes_between_a_takeovers_event_and_its_epoch_fires_once_what_is_unknown_then_and_the_other_waits(
    start, shots, tmp_path
):
    fired, store = shots(timeout=3.0, trials=4), tmp_path / "x"
    first = start("run", "campaign.yaml", "--store", store, host="one", fault="controller.armed:3:STOP")
    wait_for(lambda: is_stopped(first), first)
    second = start("resume", store, host="two", fault="epoch.started:1:STOP")
    wait_for(lambda: is_stopped(second), second)
    assert not (store / "journal" / "epoch" / "0002.json").exists()  # no worker can see yet that it is too late
    first.send_signal(signal.SIGCONT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 2, said
    assert "by another driver; this one stops" in said
    n_fired = len(fired())
    assert n_fired == 3  # the one that it had armed, and no other
    assert states(store)[2:] == ["armed"]
    second.send_signal(signal.SIGCONT)
    wait_for(lambda: states(store)[2] == "unknown", second)
    began = time.monotonic()
    wait_for(lambda: len(fired()) > n_fired, second)
    assert time.monotonic() - began > 2.0  # of the 4.5 s in which the other's worker may be measuring
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert states(store) == ["completed", "completed", "unknown", "completed"]
    assert len(fired()) == len(set(fired())) == 4


def test_a_living_driver_on_another_host_is_not_disturbed(start, shots, tmp_path):
    fired, store = shots(seconds=1.0), tmp_path / "x"
    first = start("run", "campaign.yaml", "--store", store, host="one")
    wait_for(lambda: len(fired()) >= 1, first)
    second = start("resume", store, host="two")
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"is being driven by process {first.pid} on one since" in said
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert states(store) == ["completed"] * 5
    assert len(fired()) == len(set(fired())) == 5


def test_a_killed_driver_is_succeeded_at_once_on_its_host_and_after_its_lease_elsewhere(start, shots, tmp_path):
    shots(kind="Shots", seconds=0.0)
    for host, least, most in (("one", 0.0, LEASE), ("two", LEASE, 60.0)):
        store = tmp_path / f"x-{host}"
        first = start("run", "campaign.yaml", "--store", store, host="one", fault="controller.committed:2")
        first.communicate(timeout=90)
        assert first.returncode == -signal.SIGKILL
        n_before = CampaignStore.open(store).history.n_events
        os.environ["LATENTLOOP_HOST"] = host
        try:
            began = time.monotonic()
            opened = CampaignStore.open(store)
            opened.drive(lambda sentence: True)
            took = time.monotonic() - began
            opened.release()
        finally:
            del os.environ["LATENTLOOP_HOST"]
        assert least <= took < most
        assert CampaignStore.open(store).history.n_events == n_before
    second = start("resume", store, host="two")
    said, _ = second.communicate(timeout=90)
    assert second.returncode == 0, said
    assert states(store) == ["completed"] * 5


def test_an_instrument_is_not_used_again_before_the_worker_of_a_dead_driver_has_ended(start, shots, tmp_path):
    fired, store = shots(seconds=2.0, timeout=60.0, trials=2), tmp_path / "x"
    first = start("run", "campaign.yaml", "--store", store, host="one")
    wait_for(lambda: len(fired()) == 1, first)
    worker = int((tmp_path / "shots").read_text().split()[1])
    assert worker != first.pid
    os.kill(worker, signal.SIGSTOP)  # it cannot notice that its driver is gone
    try:
        first.kill()
        first.wait()  # the worker still has its end of the pipe
        first.stdout.close()
        second = start("resume", store, host="one")
        wait_for(lambda: states(store)[0] == "unknown", second)
        time.sleep(1.0)
        assert second.poll() is None
        assert len(fired()) == 1
    finally:
        os.kill(worker, signal.SIGKILL)
    said, _ = second.communicate(timeout=90)
    assert second.returncode == 0, said
    assert f"process {worker} on one" in said
    assert states(store) == ["unknown", "completed"]
    assert len(fired()) == len(set(fired())) == 2


def test_a_worker_that_took_the_place_of_a_lost_one_is_waited_for_too(start, shots, tmp_path):
    fired, store = shots(seconds=2.0, timeout=60.0, trials=3), tmp_path / "x"
    first = start("run", "campaign.yaml", "--store", store, host="one")
    workers = []
    for n_fired in (1, 2):
        wait_for(lambda n_fired=n_fired: len(fired()) == n_fired, first)
        workers.append(int((tmp_path / "shots").read_text().splitlines()[-1].split()[1]))
        if n_fired == 1:
            os.kill(workers[0], signal.SIGKILL)
    assert workers[0] != workers[1]
    os.kill(workers[1], signal.SIGSTOP)  # it cannot notice that its driver is gone
    try:
        first.kill()
        first.wait()
        first.stdout.close()
        second = start("resume", store, host="one")
        wait_for(lambda: states(store)[1] == "unknown", second)
        time.sleep(1.0)
        assert second.poll() is None
        assert len(fired()) == 2
    finally:
        os.kill(workers[1], signal.SIGKILL)
    said, _ = second.communicate(timeout=90)
    assert second.returncode == 0, said
    assert f"process {workers[1]} on one" in said
    assert states(store) == ["unknown", "unknown", "completed"]
    assert len(fired()) == len(set(fired())) == 3


def test_a_reused_process_number_is_not_taken_for_the_owner():
    from dataclasses import replace

    from latentloop.loop.process import Process

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        process = Process.of(other.pid)
        assert process.is_alive() is True
        assert replace(process, born=process.born - 1).is_alive() is False
        assert replace(process, host="elsewhere").is_alive() is None
        assert replace(process, boot="another").is_alive() is None
        other.communicate(b"\n")
    assert process.is_alive() is False
