"""A campaign on object storage: the same commands, the same promises."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import yaml
from latentloop import open_campaign, run_campaign
from latentloop.loop.errors import StoreError, StoreLockedError
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.objects import open_objects
from latentloop.loop.verification import verify


def facts(history):
    return [(trial.number, trial.state, trial.z.tobytes(), trial.objective) for trial in history.trials]


def test_a_campaign_on_object_storage_equals_one_in_a_folder(config, tmp_path, s3):
    made = config(optimizer={"acquisition": "log_ei", "n_initial": 3}, evaluator={"parameters": {"target": "laboratory:pictures"}})
    local, far = run_campaign(made, tmp_path / "x"), run_campaign(made, s3)
    assert facts(local) == facts(far)
    here, there = CampaignStore.open(tmp_path / "x"), CampaignStore.open(s3)
    assert there.state() == "finished"
    for trial in far.trials:
        np.testing.assert_array_equal(here.trajectory(trial), there.trajectory(trial))
        np.testing.assert_array_equal(here.field(trial, "image"), there.field(trial, "image"))
    found = verify(s3)
    assert (found.is_good, found.has_manifest, found.n_trials) == (True, True, 6)
    longer = open_campaign(s3, trials=8)
    assert facts(longer)[:6] == facts(far)
    assert longer.counts() == {"completed": 8}
    assert verify(s3).is_good


def test_the_live_arrays_open_in_xarray_by_url(config, s3):
    import xarray
    import zarr

    run_campaign(config(), s3)
    found = xarray.open_zarr(open_objects(s3).zarr(is_read_only=True), group="trials", consolidated=False)
    assert found.sizes["trial"] == 6
    assert np.isfinite(found.objective.values).all()
    assert isinstance(zarr.open_group(open_objects(s3).zarr(is_read_only=True), mode="r"), zarr.Group)


def test_damage_on_object_storage_is_named_and_mended(config, s3):
    whole = run_campaign(config(), s3)
    objects = open_objects(s3)
    last = [name for name in objects.walk("journal") if name.count("/") == 1 and name[8:16].isdigit()][-1]
    objects.put(last, objects.get(last)[:-20])
    assert [damage.name for damage in verify(s3).damages] == [last]
    assert [damage.name for damage in CampaignStore.open(s3).damaged] == [last]
    assert facts(open_campaign(s3)) == facts(whole)
    assert verify(s3).is_good


def test_of_two_drivers_one_is_fenced_off_by_the_creation_of_an_event(config, s3):
    run_campaign(config(), s3)
    one, other = CampaignStore.open(s3), CampaignStore.open(s3)
    one.append("noted", {"who": "one", "reason": "first"})
    with pytest.raises(StoreLockedError, match="was written by another driver; this one stops"):
        other.append("noted", {"who": "other", "reason": "second"})
    assert CampaignStore.open(s3).history.n_events == one.history.n_events


def test_a_taken_prefix_and_an_empty_one_are_said(config, s3):
    with pytest.raises(StoreError, match=r"there is no campaign at s3://.*; `latentloop run quick --store s3://"):
        CampaignStore.open(s3)
    run_campaign(config(), s3)
    with pytest.raises(StoreError, match="holds a campaign already; continue it with `latentloop resume s3://"):
        run_campaign(config(), s3)
    open_objects(f"{s3}-2").put("notes.txt", b"x")
    with pytest.raises(StoreError, match="exists already and is not a campaign"):
        run_campaign(config(), f"{s3}-2")


@pytest.fixture
def program(command, s3_server, tmp_path, mapping):
    """Return a function that starts the command line, with object storage behind it, and a campaign that takes a while."""
    path, environment = command
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(mapping(evaluator={"parameters": {"target": "laboratory:counted"}})))

    def start(*arguments, **more):
        everything = {**environment, **s3_server, "LABORATORY_LOG": str(tmp_path / "calls"), **more}
        return subprocess.Popen(
            [path, *map(str, arguments)], env=everything, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


def said(process, code=0):
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return out + err


def test_every_command_works_by_url(config, s3, tmp_path):
    from latentloop.loop.cli import app
    from typer.testing import CliRunner

    run_campaign(config(budget={"trials": 4}), s3)

    def invoke(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        return done.output

    facts = json.loads(invoke("status", s3, "--json"))
    assert (facts["state"], facts["n_trials"]) == ("finished", 4)
    assert "completed" in invoke("trials", s3)
    assert "5 completed" in invoke("resume", s3, "--trials", 5)
    invoke("report", s3, "-o", tmp_path / "r.html")
    assert s3 in (tmp_path / "r.html").read_text()
    assert "5 trials" in invoke("verify", s3)


def test_a_killed_driver_is_taken_over_and_nothing_is_lost(program, s3, tmp_path):
    process = program("run", "c.yaml", "--store", s3, "--trials", 6, LABORATORY_SECONDS="0.5")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if CampaignStore.open(s3).history.counts().get("completed", 0) >= 2:
                break
        except StoreError:
            pass
        time.sleep(0.05)
    with pytest.raises(StoreLockedError, match=f"is being driven by process {process.pid}"):
        CampaignStore.open(s3).drive()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = CampaignStore.open(s3)
    assert before.state() == "interrupted"
    done = {trial.number: trial.objective for trial in before.history.trials if trial.state.word == "completed"}
    assert len(done) >= 2
    said(program("resume", s3))
    after = CampaignStore.open(s3).history
    assert after.counts() == {"completed": 6}
    assert all(after.trials[number].objective == value for number, value in done.items())
    assert verify(s3).is_good
    assert len((tmp_path / "calls").read_text().splitlines()) <= 7  # the one that was being measured, once more


def test_storage_that_stops_answering_is_a_sentence(config, s3, monkeypatch):
    run_campaign(config(), s3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("latentloop.loop.store.bucket._ATTEMPTS", 1)
    with pytest.raises(StoreError, match="the object storage refused"):
        CampaignStore.open(s3)
