"""Commands wait in the order of dropping, in a folder as on object storage, and nothing that lies there can do harm."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from latentloop.loop.errors import StoreError
from latentloop.loop.store.inbox import ACTIONS, Command, Inbox, command_bytes, command_from_bytes
from latentloop.loop.store.objects import open_objects

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COMMANDS = st.builds(
    Command,
    st.sampled_from(ACTIONS),
    st.text(max_size=20),
    st.none() | st.integers(0, 10**6),
    st.text(max_size=50),
    st.sampled_from(["", "completed", "failed", "repeat"]),
    st.dictionaries(st.text(min_size=1, max_size=5), FINITE, max_size=3),
    st.just({}),
    st.none() | st.lists(FINITE, min_size=1, max_size=4),
    st.none() | st.lists(st.lists(FINITE, min_size=2, max_size=2), min_size=1, max_size=5),
    FINITE,
    st.booleans(),
    st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=2),
)


@pytest.fixture(params=["folder", "s3"])
def inbox(request, tmp_path):
    return Inbox(open_objects(request.getfixturevalue("s3") if request.param == "s3" else tmp_path))


@given(COMMANDS)
def test_a_command_comes_out_as_it_went_in(command):
    assert command_from_bytes(command_bytes(command)) == command


@given(st.binary(max_size=60) | st.recursive(st.none() | st.text() | FINITE, st.lists).map(lambda value: json.dumps(value).encode()))
def test_what_is_no_command_is_none(raw):
    assert command_from_bytes(raw) is None


@pytest.mark.parametrize(
    "data",
    [
        {"action": "fire"},
        {"action": "veto", "trial": "3"},
        {"action": "veto", "trial": True},
        {"action": "resolve", "metrics": {"objective": "9"}},
        {"action": "resolve", "metrics": [1]},
        {"action": "resolve", "outcome": "maybe"},
        {"action": "propose", "z": "abc"},
        {"action": "propose", "z": [None]},
        {"action": "note", "reason": 3},
        {"action": "note", "unknown": 3},
        {"action": "resolve", "is_reading": "yes"},
        {"action": "resolve", "arrays": {"image": [1.0]}},
        {"action": "resolve", "arrays": ["image"]},
        {"action": ["veto"]},
    ],
)
def test_a_command_with_a_field_of_the_wrong_type_is_none(data):
    assert command_from_bytes(json.dumps(data).encode()) is None


def test_commands_wait_in_the_order_of_dropping_until_they_are_removed(inbox):
    assert inbox.waiting() == []
    commands = [Command("note", "Ada", number, "x") for number in range(5)]
    names = [inbox.drop(command) for command in commands]
    assert inbox.waiting() == list(zip(names, commands, strict=True))
    inbox.remove(names[1])
    inbox.remove(names[1])
    assert [name for name, _ in inbox.waiting()] == [names[0], *names[2:]]


def test_an_inbox_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "journal").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot leave a command"):
        Inbox(open_objects(tmp_path)).drop(Command("pause"))
