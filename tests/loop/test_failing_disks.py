"""A disk that fills up, a folder that becomes read-only, a store that vanishes: one sentence, and what was committed is intact."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from latentloop import open_campaign
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.verification import verify


@pytest.fixture
def start(command, mapping, tmp_path):
    """Return a function that starts a long campaign by the command line."""
    program, environment = command
    section = {"parameters": {"target": "laboratory:counted"}}
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump(mapping(evaluator=section, trajectories={"family": {"parameters": {"n_steps": 400, "n_times": 800}}}))
    )

    def run(store, n=3000, seconds="0.005"):
        more = {"LABORATORY_LOG": str(tmp_path / "calls"), "LABORATORY_SECONDS": seconds}
        return subprocess.Popen(
            [program, "run", tmp_path / "c.yaml", "--store", store, "--trials", str(n)],
            env={**environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def until(condition, process):
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def sentence(process):
    """Return the one sentence with which a campaign stopped."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, out + err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    return lines[0]


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_stops_the_campaign_and_what_was_committed_is_intact(start, small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("LABORATORY_LOG", str(tmp_path / "calls"))
    store = small_disk / "x"
    said = sentence(start(store))
    assert "No space left on device" in said
    assert "intact" in said
    before = CampaignStore.open(store)
    n_done = before.history.counts().get("completed", 0)
    assert n_done > 50
    assert before.state() in ("interrupted", "failed")
    assert verify(store).is_good
    shutil.copytree(store, tmp_path / "roomy")
    resumed = open_campaign(tmp_path / "roomy", trials=len(before.history.trials) + 2)
    assert resumed.counts() == {"completed": len(before.history.trials) + 2}
    assert verify(tmp_path / "roomy").is_good


def lock_up(folder, is_locked):
    """Let nobody write into a folder, root neither."""
    if os.geteuid():
        folder.chmod(0o500 if is_locked else 0o700)
    elif subprocess.run(["chattr", "+i" if is_locked else "-i", folder], capture_output=True).returncode:
        pytest.skip("this file system has no immutable folders, and root may write into all others")


def test_a_folder_that_becomes_read_only_stops_the_campaign(start, tmp_path, monkeypatch):
    monkeypatch.setenv("LABORATORY_LOG", str(tmp_path / "calls"))
    store = tmp_path / "x"
    process = start(store)
    until(lambda: (store / "journal/00000020.json").exists(), process)
    try:
        lock_up(store / "journal", True)
        assert "not permitted" in (said := sentence(process)) or "denied" in said
    finally:
        process.kill()
        process.communicate()
        lock_up(store / "journal", False)
    assert CampaignStore.open(store).history.counts()["completed"] >= 5
    assert verify(store).is_good
    n_trials = len(CampaignStore.open(store).history.trials)
    assert open_campaign(store, trials=n_trials + 1).counts() == {"completed": n_trials + 1}


def test_a_store_that_is_deleted_underneath_stops_the_campaign_and_is_not_made_anew(start, tmp_path):
    store = tmp_path / "x"
    process = start(store)
    until(lambda: (store / "journal/00000020.json").exists(), process)
    store.rename(tmp_path / "elsewhere")
    assert "the folder of the campaign is gone" in sentence(process)
    assert not store.exists()
    assert CampaignStore.open(tmp_path / "elsewhere").history.counts()["completed"] >= 5
    assert verify(tmp_path / "elsewhere").is_good


def test_a_folder_without_permission_is_said_before_anything_starts(config, tmp_path):
    from latentloop import run_campaign
    from latentloop.loop.errors import StoreError

    if os.geteuid() == 0:
        with pytest.raises(StoreError, match="cannot create /proc/"):
            run_campaign(config(), "/proc/campaign")
        return
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="is not writable"):
        run_campaign(config(), tmp_path / "locked" / "x")


@pytest.mark.parametrize("way", ["a full disk", "a pipe that nobody reads"])
def test_a_log_that_cannot_be_written_does_not_stop_a_campaign(mapping, command, tmp_path, way):
    program, environment = command
    store = tmp_path / "x"
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(mapping()))
    arguments = [program, "run", str(tmp_path / "campaign.yaml"), "--store", str(store)]
    if way == "a full disk":
        with Path("/dev/full").open("w") as full:
            process = subprocess.Popen(arguments, env=environment, stdout=full, stderr=full)
    else:
        process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    assert process.wait(120) == 0
    opened = CampaignStore.open(store).history
    assert (opened.last_session, opened.counts()) == ("finished", {"completed": 6})
