"""Leases and epochs: refused while the owner lives, taken over when it is dead, never by comparing clocks."""

import json
import os
import subprocess
import sys
import time

import pytest
from latentloop.loop.errors import StoreLockedError
from latentloop.loop.store.lease import Lease, is_overtaken
from latentloop.loop.store.objects import open_objects


@pytest.fixture
def lease(tmp_path):
    made = []

    def make():
        made.append(Lease(open_objects(tmp_path), "the campaign"))
        return made[-1]

    (tmp_path / "journal").mkdir()
    yield make
    for each in made:
        each.end()


def elsewhere(monkeypatch):
    monkeypatch.setenv("LATENTLOOP_HOST", "elsewhere")


def test_a_living_owner_is_named_with_host_process_and_time(lease):
    owner = lease()
    owner.begin(1, seconds=5)
    with pytest.raises(StoreLockedError, match=f"driven by process {os.getpid()} on .* since 20"):
        lease().require_free(1, lambda sentence: True)
    assert lease().looks_alive(1)
    owner.end()
    lease().require_free(1)
    assert not lease().looks_alive(1)


def test_another_host_sees_the_heartbeat_and_is_refused_before_the_lease_is_over(lease, monkeypatch):
    lease().begin(1, seconds=2.0)
    elsewhere(monkeypatch)
    said = []
    began = time.monotonic()
    with pytest.raises(StoreLockedError, match="is being driven by"):
        lease().require_free(1, lambda sentence: said.append(sentence) or True)
    assert time.monotonic() - began < 1.9
    assert "unless it shows a sign of life" in said[0]


def test_silence_for_the_whole_lease_frees_the_campaign_whatever_the_clocks_say(lease, monkeypatch, tmp_path):
    owner = lease()
    owner.begin(1, seconds=1.0)
    owner.end(is_released=False)  # as after a kill
    path = tmp_path / Lease.name(1)
    path.write_text(json.dumps({**json.loads(path.read_text()), "time": time.time() + 1e6}))  # its clock is eleven days ahead
    elsewhere(monkeypatch)
    with pytest.raises(StoreLockedError):
        lease().require_free(1)  # nobody wants to wait
    began = time.monotonic()
    lease().require_free(1, lambda sentence: True)
    assert 0.9 < time.monotonic() - began < 5
    with pytest.raises(StoreLockedError):
        lease().require_free(1, lambda sentence: False)  # whoever waits may give up


def test_a_dead_owner_on_this_host_frees_it_at_once(lease, tmp_path):
    code = (
        "from latentloop.loop.store.lease import Lease; from latentloop.loop.store.objects import open_objects; import os;"
        f"Lease(open_objects({str(tmp_path)!r}), 'x').begin(1, seconds=100); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    began = time.monotonic()
    lease().require_free(1, lambda sentence: True)
    assert time.monotonic() - began < 0.5


def test_a_later_epoch_ends_the_earlier_one_and_tells_its_workers(lease, tmp_path):
    first, second = lease(), lease()
    first.begin(1, seconds=0.5)
    fence = str(tmp_path / first.next_name)
    assert not first.is_over
    assert not is_overtaken(fence)
    second.begin(2, seconds=0.5)
    assert first.is_over
    assert is_overtaken(fence)
    time.sleep(0.3)
    beat = json.loads((tmp_path / Lease.name(1)).read_text())["beat"]
    time.sleep(0.4)
    assert json.loads((tmp_path / Lease.name(1)).read_text())["beat"] == beat  # it gave up
    assert not second.is_over


def test_an_epoch_that_is_torn_or_missing_locks_nobody_out(lease, tmp_path):
    lease().require_free(3)
    (tmp_path / "journal" / "epoch").mkdir()
    (tmp_path / Lease.name(3)).write_text('{"owner": ')
    lease().require_free(3)


def test_the_loser_of_the_race_for_a_session_leaves_the_winners_lease_alone(config, tmp_path, monkeypatch):
    from latentloop import run_campaign
    from latentloop.loop.store.campaign_store import CampaignStore

    run_campaign(config(), tmp_path / "x")
    facts = {"budget": 6, "executor": "local", "workers": 1}
    stores = {}
    for host in ("one", "two"):
        monkeypatch.setenv("LATENTLOOP_HOST", host)
        stores[host] = CampaignStore.open(tmp_path / "x")
        stores[host].drive()
    monkeypatch.setenv("LATENTLOOP_HOST", "one")
    stores["one"].begin(facts, 30)
    try:
        monkeypatch.setenv("LATENTLOOP_HOST", "two")
        with pytest.raises(StoreLockedError, match="was written by another driver; this one stops"):
            stores["two"].begin(facts, 30)
        stores["two"].release()
        left = json.loads((tmp_path / "x" / Lease.name(2)).read_text())
        assert (left["is_released"], left["owner"]["host"]) == (False, "one")
        monkeypatch.setenv("LATENTLOOP_HOST", "three")
        with pytest.raises(StoreLockedError, match="is being driven by"):
            CampaignStore.open(tmp_path / "x").drive()
    finally:
        stores["one"].release()


def test_a_session_that_was_killed_before_it_announced_itself_still_ends_the_one_before(lease, tmp_path):
    first, third = lease(), lease()
    first.begin(1, seconds=5)
    third.begin(3, seconds=5)
    assert first.is_over
    lease().require_free(2)


def test_a_driver_that_was_taken_over_replaces_nothing_and_removes_nothing(config, tmp_path):
    from latentloop import run_campaign
    from latentloop.loop.store.campaign_store import CampaignStore

    run_campaign(config(), tmp_path / "x")
    store = CampaignStore.open(tmp_path / "x")
    store.drive()
    store.begin({"budget": 8, "executor": "local", "workers": 1}, 30)
    store.project(8)
    (tmp_path / "x" / store.lease.next_name).write_text("{}")
    before = {path: path.read_bytes() for path in (tmp_path / "x" / "trials").rglob("*") if path.is_file()}
    with pytest.raises(StoreLockedError, match="taken over by another driver; this one stops"):
        store.write_payload(0, {"trajectory": store.trajectory(store.history.trials[0]) + 1})
    with pytest.raises(StoreLockedError):
        store.inbox.remove("something.json")
    with pytest.raises(StoreLockedError):
        store.append("noted", {"who": "me", "reason": "late", "trial": None})
    store.publish(0)
    store.release()
    assert before == {path: path.read_bytes() for path in (tmp_path / "x" / "trials").rglob("*") if path.is_file()}


@pytest.mark.parametrize("moment", ["before it is published", "after it is published"])
def test_the_owner_heals_what_a_sleeper_wrote_over_in_the_instant_after_it_asked(config, tmp_path, moment):
    import numpy as np
    import zarr
    from latentloop import run_campaign
    from latentloop.loop.store.campaign_store import CampaignStore
    from latentloop.loop.verification import verify

    killed = run_campaign(config(), tmp_path / "x")
    old = killed.trials[5]
    facts = {
        "z": old.z.tolist(),
        "acquisition": "random",
        "acquisition_value": 0.0,
        "distance": 0.0,
        "consistency": 0.0,
        "model_version": 0,
    }
    result = {"objective": 1.0, "objective_error": None, "metrics": {"objective": 1.0}, "reason": "", "seconds": 0.0, "worker": "local"}
    store = CampaignStore.open(tmp_path / "x")
    store.drive()
    store.begin({"budget": 8, "executor": "local", "workers": 1}, 30)
    store.project(8)
    trajectory = store.trajectory(old) * 0.5
    store.write_payload(6, {"trajectory": trajectory})
    store.append("armed", {"trial": 6, **facts})
    store.lease.end()
    store.release()  # a session without an end: its driver sleeps
    store.drive()
    store.begin({"budget": 8, "executor": "local", "workers": 1}, 30)
    store.project(8)
    image = np.arange(6.0).reshape(2, 3)
    store.write_payload(6, {"image": image})
    store.append("completed", {"trial": 6, **result})
    store.write_payload(7, {"trajectory": trajectory})
    store.append("armed", {"trial": 7, **facts})

    def wake():
        arrays = zarr.open_group(tmp_path / "x", mode="r+")["trials"]
        arrays["image"][6] = image + 1.0  # its own measurement of the trial that it had armed
        arrays["trajectory"][7] = trajectory * 0  # and what it would have had measured next
        arrays["objective"][:] = 0.0

    if moment.startswith("before"):
        wake()
    for number in (6, 7):
        store.publish(number)
    store.append("completed", {"trial": 7, **result})
    store.publish(7)
    if moment.startswith("after"):
        wake()
    store.end("finished", "")
    store.release()
    assert verify(tmp_path / "x").damages == ()
    np.testing.assert_array_equal(store.field(store.history.trials[6], "image"), image)


def test_an_epochs_object_cut_or_altered_anywhere_is_told_from_a_whole_one(lease, tmp_path):
    owner = lease()
    owner.begin(2, seconds=60)
    owner.end()
    assert [owner.fault(epoch) for epoch in (1, 2, 3)] == ["", "", "is missing"]
    for epoch in (1, 2):
        path = tmp_path / Lease.name(epoch)
        whole = path.read_bytes()
        for position in range(len(whole)):
            for altered in (whole[:position], whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :]):
                path.write_bytes(altered)
                assert owner.fault(epoch).startswith("is damaged"), altered
        path.write_bytes(whole)
    (tmp_path / Lease.name(3)).write_bytes((tmp_path / Lease.name(2)).read_bytes())
    assert owner.fault(3) == "holds epoch 2"
    owner.renounce(3)
    assert owner.fault(3) == ""
    lease().require_free(3)
