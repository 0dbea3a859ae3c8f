"""The journal: numbered, checksummed, exclusive; and the lock of its driver."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latentloop.loop.errors import JournalError, StoreError, StoreLockedError
from latentloop.loop.store.journal import Journal
from latentloop.loop.store.lock import Lock
from latentloop.loop.store.objects import LocalObjects

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


def journal_at(folder):
    return Journal(LocalObjects(folder.parent))


def filled(folder, n=5):
    journal = journal_at(folder)
    for index in range(n):
        journal.append("thing", {"index": index})
    return journal


@given(events=st.lists(st.tuples(st.text(min_size=1, max_size=8), st.dictionaries(st.text(max_size=8), values, max_size=4)), max_size=5))
@settings(max_examples=40, deadline=None)
def test_any_event_survives_the_disk_to_the_last_bit(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("store") / "journal"
    journal = journal_at(folder)
    before = time.time()
    for kind, data in events:
        journal.append(kind, data)
    found = list(journal_at(folder).read())
    assert [(event.kind, event.data) for event in found] == events
    assert [event.number for event in found] == list(range(len(events)))
    assert all(before <= event.time <= time.time() for event in found)


def test_a_reader_continues_where_it_left_off(folder):
    journal = filled(folder, 3)
    reader = journal_at(folder)
    assert [event.number for event in reader.read()] == [0, 1, 2]
    journal.append("thing", {})
    assert [event.number for event in reader.read(3)] == [3]
    assert list(reader.read(4)) == []


def test_of_two_writers_one_loses_the_race_for_an_event(folder):
    one, other = filled(folder, 2), journal_at(folder)
    list(other.read())
    one.append("mine", {})
    with pytest.raises(StoreLockedError, match=r"event 2 .* was written by another driver"):
        other.append("mine", {})
    assert [event.kind for event in journal_at(folder).read()] == ["thing", "thing", "mine"]


def test_of_many_writers_at_once_exactly_one_wins(folder):
    writers = [journal_at(folder) for _ in range(8)]
    start, won = threading.Barrier(8), []

    def write(index):
        start.wait()
        try:
            writers[index].append("mine", {"index": index})
            won.append(index)
        except StoreLockedError:
            pass

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    (event,) = journal_at(folder).read()
    assert event.data["index"] == won[0]


@pytest.mark.parametrize("cut", [0, 1, 20, 60, -1, -2, -3])
def test_a_torn_event_is_reported_by_name(folder, cut):
    filled(folder)
    path = folder / "00000002.json"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(JournalError, match="00000002"):
        list(journal_at(folder).read())


def test_every_flipped_bit_is_noticed(folder):
    filled(folder, 3)
    path = folder / "00000001.json"
    raw = path.read_bytes()
    for position in range(len(raw)):
        for bit in range(8):
            path.write_bytes(raw[:position] + bytes([raw[position] ^ (1 << bit)]) + raw[position + 1 :])
            with pytest.raises(JournalError, match="00000001"):
                list(journal_at(folder).read())


def test_an_event_under_a_wrong_number_is_noticed(folder):
    filled(folder, 3)
    (folder / "00000001.json").write_bytes((folder / "00000000.json").read_bytes())
    with pytest.raises(JournalError, match="00000001"):
        list(journal_at(folder).read())


def test_a_missing_event_is_reported_by_name(folder):
    filled(folder)
    (folder / "00000002.json").unlink()
    with pytest.raises(JournalError, match=r"00000002\.json is missing, though good events follow it"):
        list(journal_at(folder).read())


def test_events_that_vanish_under_a_reader_are_noticed(folder):
    filled(folder)
    reader = journal_at(folder)
    list(reader.read())
    (folder / "00000004.json").unlink()
    with pytest.raises(JournalError, match=r"00000004\.json is missing"):
        list(reader.read(5))


def test_a_journal_without_a_folder_is_a_sentence(tmp_path):
    with pytest.raises(StoreError, match=r"cannot write event 0 .*the folder of the campaign is gone"):
        journal_at(tmp_path / "nowhere" / "journal").append("thing", {})
    assert not (tmp_path / "nowhere").exists()


def test_left_over_temporary_files_and_strangers_do_not_matter(folder):
    filled(folder, 2)
    (folder / ".00000002.123.tmp").write_bytes(b"half an ev")
    (folder / "zarr.json").write_text("{}")
    (folder / "lock").write_text("")
    (folder / "notes.json").write_text("")
    assert len(list(journal_at(folder).read())) == 2
    assert filled(folder, 0)._next == 0
    assert not list(folder.glob("*.tmp.tmp"))


def test_nothing_temporary_is_left_behind(folder):
    filled(folder)
    assert sorted(path.name for path in folder.iterdir()) == [f"{number:08d}.json" for number in range(5)]


def test_what_json_cannot_hold_is_refused_before_anything_is_written(folder):
    journal = filled(folder, 1)
    with pytest.raises(ValueError, match="JSON"):
        journal.append("thing", {"value": float("nan")})
    journal.append("thing", {})
    assert len(list(journal_at(folder).read())) == 2


def test_events_are_lines_that_people_can_read(folder):
    filled(folder, 1)
    found = json.loads((folder / "00000000.json").read_text())
    assert found["event"]["data"] == {"index": 0}
    assert set(found) == {"crc32c", "event"}


def test_a_reader_never_sees_a_gap_or_half_an_event_while_a_writer_writes(folder):
    n = 400
    writer = threading.Thread(target=filled, args=(folder, n))
    writer.start()
    seen = 0
    while seen < n:
        reader = journal_at(folder)
        events = list(reader.read())
        assert [event.data["index"] for event in events] == list(range(len(events)))
        assert len(events) >= seen
        seen = len(events)
    writer.join()


def test_a_listing_that_shows_the_second_of_two_events_alone_is_read_again(folder, monkeypatch):
    filled(folder, 3)
    whole, calls = os.listdir, []

    def torn(path):
        calls.append(path)
        return [name for name in whole(path) if len(calls) > 1 or name != "00000001.json"]

    monkeypatch.setattr(os, "listdir", torn)
    assert len(list(journal_at(folder).read())) == 3
    assert len(calls) == 2


def test_the_lock_is_held_by_one(folder):
    lock = Lock(folder / "lock")
    assert not lock.is_held()
    with lock:
        assert lock.is_held()
        assert lock.take() is lock
        other = Lock(folder / "lock")
        assert other.is_held()
        with pytest.raises(StoreLockedError, match=rf"is being driven by process {os.getpid()} on \S+ since \d{{4}}-") as caught:
            other.take()
        assert str(folder.parent) in str(caught.value)
    assert not lock.is_held()
    with Lock(folder / "lock"):
        pass


def test_asking_whether_the_lock_is_held_does_not_disturb_its_owner(folder):
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            Lock(folder / "lock").is_held()

    (folder / "lock").touch()
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with Lock(folder / "lock"):
                assert Lock(folder / "lock").is_held()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_lock_dies_with_its_process(folder):
    code = (
        f"from pathlib import Path; from latentloop.loop.store.lock import Lock; lock = Lock(Path({str(folder / 'lock')!r})).take(); "
        "print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=f"process {process.pid} "):
            Lock(folder / "lock").take()
        process.kill()
        process.wait()
    with Lock(folder / "lock") as lock:
        assert str(os.getpid()) in lock.path.read_text()


def test_a_lock_that_cannot_be_opened_is_a_sentence(folder):
    (folder / "lock").mkdir()
    with pytest.raises(StoreError, match="lock"):
        Lock(folder / "lock").take()
    with pytest.raises(StoreError, match="lock"):
        Lock(folder / "lock").is_held()
