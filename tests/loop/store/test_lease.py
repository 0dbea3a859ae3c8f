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
