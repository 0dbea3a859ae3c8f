"""A driver that sleeps at any moment, is taken over, and wakes when the other has finished: nothing fires twice, and nothing is damaged."""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
import zarr
from latentloop.loop.replay import replay
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.faults import POINTS
from latentloop.loop.verification import verify

TRIALS = 5
THIN = ("controller.asked", "flush.midway")
UNSEEN = ("store.built",)
"""Points at which there is no campaign yet that another driver could take over."""
ONCE = ("store.named", "model.written", "model.counted", "epoch.started", "epoch.announced", "ending")


PURE = [pytest.param(point, "Shots", marks=() if point in THIN else pytest.mark.slow) for point in POINTS if point not in UNSEEN]
PHYSICAL = [
    pytest.param(f"controller.{point}", "PhysicalShots", marks=pytest.mark.slow)
    for point in ("asked", "payload", "armed", "dispatched", "measured", "committed", "told", "published")
]


@pytest.fixture
def start(program, environment, tmp_path):
    """Return a function that starts the program on a host of a given name; what still runs at the end is killed."""
    started = []

    def run(*arguments, host, fault=""):
        with (tmp_path / host).open("a") as output:
            process = subprocess.Popen(
                [program, *map(str, arguments)],
                cwd=tmp_path,
                env={**environment, "LATENTLOOP_HOST": host, "LATENTLOOP_FAULT": fault},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.wait()


def write_campaign(folder, kind):
    data = {
        "name": "sleepers",
        "trajectories": {"box": {"a": [-1, 1], "b": [-1, 1]}},
        "evaluator": {
            "name": "python",
            "timeout": 3.0 if kind == "PhysicalShots" else None,
            "parameters": {"target": f"shots:{kind}", "arguments": {"log": str(folder / "shots"), "seconds": 0.15}},
        },
        "optimizer": {"acquisition": "random", "n_initial": 3},
        "budget": {"trials": TRIALS},
        "executor": {"name": "local", "lease_seconds": 0.6},
    }
    (folder / "campaign.yaml").write_text(yaml.safe_dump(data))


def is_stopped(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize(("point", "kind"), [*PURE, *PHYSICAL])
def test_a_driver_that_sleeps_there_and_wakes_when_another_has_finished_leaves_the_campaign_as_it_is(start, tmp_path, point, kind):
    write_campaign(tmp_path, kind)
    store = tmp_path / "x"
    count = 1 if point in ONCE else 75 if point.startswith("object.") else 3
    first = start("run", "campaign.yaml", "--store", store, host="one", fault=f"{point}:{count}:STOP")
    end = time.monotonic() + 60
    while not is_stopped(first):
        assert first.poll() is None, (tmp_path / "one").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    second = start("resume", store, host="two")
    assert second.wait(60) == 0, (tmp_path / "two").read_text()
    left = CampaignStore.open(store).history
    before = verify(store)
    assert before.is_good, before.damages
    first.send_signal(signal.SIGCONT)
    code = first.wait(60)
    history = CampaignStore.open(store).history
    if point == "store.named":  # it had begun no session yet: it begins one now, and finds nothing left to do
        assert code == 0, (tmp_path / "one").read_text()
        assert history.epoch == left.epoch + 1
    else:
        assert code == 2, (code, (tmp_path / "one").read_text())
        assert "another driver; this one stops" in (tmp_path / "one").read_text()
        assert history.n_events == left.n_events
    states = Counter(trial.state.word for trial in history.trials)
    assert states["completed"] >= (TRIALS if kind == "Shots" else TRIALS - 1)
    assert states["completed"] + states["unknown"] == TRIALS
    after = verify(store)
    assert after.is_good, after.damages
    assert after.has_manifest
    assert (replay(store).first, replay(store).n_exact) == (None, TRIALS)
    fired = Counter(line.split()[0] for line in (tmp_path / "shots").read_text().splitlines())
    twice = [key for key, count in fired.items() if count > 1]
    if kind == "PhysicalShots":
        assert twice == []
    else:  # a pure one is measured again when the sleeper had its result and had not committed it
        assert len(twice) <= 1
        assert all(count <= 2 for count in fired.values())


def test_columns_that_a_sleeper_overwrote_after_the_end_are_rebuilt_by_resume_and_by_repair(start, tmp_path):
    write_campaign(tmp_path, "Shots")
    store = tmp_path / "x"
    assert start("run", "campaign.yaml", "--store", store, host="one").wait(60) == 0
    for mend in (["resume", store], ["verify", store, "--repair"]):
        arrays = zarr.open_group(store, mode="r+")["trials"]
        arrays["state"][:] = 0
        arrays["objective"][2:] = float("nan")
        assert not verify(store).is_good
        assert start(*mend, host="one").wait(60) == 0, (tmp_path / "one").read_text()
        found = verify(store)
        assert found.is_good, found.damages
        assert found.has_manifest
        assert zarr.open_group(store, mode="r")["trials"]["state"][:].tolist() == [6] * TRIALS
