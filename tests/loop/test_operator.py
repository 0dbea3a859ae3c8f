"""Held trials wait for an operator, whoever drives the campaign, and every decision is an event."""

import json
import subprocess
import threading
import time

import numpy as np
import pytest
from latentloop.loop.clerk import Clerk
from latentloop.loop.controller import StopFlag
from latentloop.loop.errors import ConfigError, StoreError
from latentloop.loop.operator import act
from latentloop.loop.records import TrialState
from latentloop.loop.run import open_campaign, run_campaign
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inbox import Command, Inbox
from latentloop.loop.store.objects import open_objects

HELD = {"safety": {"approval": "each"}}


def decide(path, approve=(), veto=(), reason="", who=""):
    commands = [Command("approve", who, number, reason) for number in approve] + [Command("veto", who, number, reason) for number in veto]
    return [answer.sentence for answer in act(path, *commands)]


def inbox_of(path):
    return Inbox(open_objects(path))


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def held(path):
    try:
        history = CampaignStore.open(path).history
    except StoreError:
        return []
    return [trial.number for trial in history.trials if trial.state is TrialState.HELD and trial.number not in history.approved]


@pytest.fixture
def paused(config, tmp_path):
    """A campaign with one held trial that nobody drives."""
    flag = StopFlag()

    class Stopper:
        def stage(self, text):
            pass

        def training(self, done, total, loss):
            pass

        def trial(self, trial, history):
            flag.set()

    history = run_campaign(config(**HELD), tmp_path / "x", observer=Stopper(), should_stop=flag)
    assert history.counts() == {"held": 1}
    assert history.last_session == "interrupted"
    return tmp_path / "x"


def test_a_running_campaign_takes_decisions_from_its_inbox(config, tmp_path, monkeypatch, target):
    log = tmp_path / "log"
    monkeypatch.setenv("LABORATORY_LOG", str(log))
    path, ended = tmp_path / "x", []
    made = config(budget={"trials": 5}, **HELD, **target("counted"))
    thread = threading.Thread(target=lambda: ended.append(run_campaign(made, path)))
    thread.start()
    for number in range(5):
        wait_for(lambda wanted=number: held(path) == [wanted])
        assert (log.read_text().count("\n") if log.exists() else 0) == (number if number < 2 else number - 1)
        if number == 1:
            (line,) = decide(path, veto=[1], reason="too loud", who="Ada")
        else:
            (line,) = decide(path, approve=[number], who="Ada")
        assert "sent to the running campaign" in line
    thread.join(30)
    (history,) = ended
    assert (history.last_session, history.counts()) == ("finished", {"completed": 4, "vetoed": 1})
    assert history.trials[1].reason == "too loud"
    assert history.avoided == [1]
    assert log.read_text().count("\n") == 4
    kinds = [(event.kind, event.data["trial"]) for event in CampaignStore.open(path).journal.read() if "trial" in event.data]
    assert kinds[:6] == [("held", 0), ("approved", 0), ("armed", 0), ("completed", 0), ("held", 1), ("vetoed", 1)]
    decisions = [event.data for event in CampaignStore.open(path).journal.read() if event.kind in ("approved", "vetoed")]
    assert {data["who"] for data in decisions} == {"Ada"}
    assert inbox_of(path).waiting() == []


def test_without_a_driver_the_decision_is_journalled_at_once_and_the_next_session_obeys(paused):
    assert decide(paused, approve=[0]) == [f"trial 0: approved; `latentloop resume {paused}` measures it"]
    history = CampaignStore.open(paused).history
    assert history.approved == {0}
    assert history.trials[0].state is TrialState.HELD
    flag = StopFlag()
    thread = threading.Thread(target=lambda: open_campaign(paused, should_stop=flag))
    thread.start()
    wait_for(lambda: held(paused) == [1])
    flag.set()
    thread.join(30)
    assert CampaignStore.open(paused).history.trials[0].state is TrialState.COMPLETED


def test_a_veto_needs_a_reason_and_a_trial_that_is_held(paused):
    with pytest.raises(ConfigError, match="a veto needs a reason"):
        decide(paused, veto=[0])
    with pytest.raises(StoreError, match="there is no trial 7"):
        decide(paused, approve=[7])
    with pytest.raises(ConfigError, match="both approved and vetoed"):
        decide(paused, approve=[0], veto=[0], reason="x")
    assert decide(paused, veto=[0], reason="no") == ["trial 0: vetoed"]
    with pytest.raises(StoreError, match="trial 0 is vetoed, not held"):
        decide(paused, approve=[0])


def test_an_approved_trial_of_a_campaign_whose_trajectory_was_changed_since_is_not_fired(config, tmp_path):
    flag = StopFlag()

    class Stopper:
        def stage(self, text):
            pass

        def training(self, done, total, loss):
            pass

        def trial(self, trial, history):
            flag.set()

    path = tmp_path / "x"
    bounds = {"bounds": {"amplitude": (-50, 50)}, "approval": "each"}
    run_campaign(config(safety=bounds, budget={"trials": 1}), path, observer=Stopper(), should_stop=flag)
    import zarr

    zarr.open_group(path, mode="r+")["trials/trajectory"][0, 3] = 51.0
    decide(path, approve=[0])
    with pytest.raises(StoreError, match=r"trajectory of trial 0 .* is damaged"):
        open_campaign(path)
    assert CampaignStore.open(path).history.trials[0].state is TrialState.HELD


def test_a_command_that_cannot_be_obeyed_is_journalled_and_changes_nothing(paused):
    inbox = inbox_of(paused)
    inbox.drop(Command("approve", "Ada", 5))
    (paused / "journal" / "inbox" / "00000000000000000001-x.json").write_text('{"action": "fire", "trial": 0, "who": "Eve"}')
    inbox.drop(Command("veto", "Ada", 0, "no"))
    inbox.drop(Command("approve", "Ada", 0))
    store = CampaignStore.open(paused)
    store.drive()
    assert [each.command.action for each in Clerk(store, None).obey() if not each.ignored] == ["veto"]
    store.release()
    assert inbox.waiting() == []
    ignored = [event.data["reason"] for event in CampaignStore.open(paused).journal.read() if event.kind == "ignored"]
    assert ignored == ["the file is not a command", "there is no trial 5; there are 1, the first is 0", "trial 0 is vetoed, not held"]


def test_a_command_that_was_journalled_before_a_kill_is_not_obeyed_twice(paused):
    inbox = inbox_of(paused)
    name = inbox.drop(Command("veto", "Ada", 0, "no"))
    text = (paused / "journal" / "inbox" / name).read_text()
    store = CampaignStore.open(paused)
    store.drive()
    Clerk(store, None).obey()
    (paused / "journal" / "inbox" / name).write_text(text)  # as if the driver had been killed before it removed the file
    store.release()
    again = CampaignStore.open(paused)
    again.drive()
    n_events = again.history.n_events
    assert Clerk(again, None).obey() == []
    again.release()
    assert again.history.n_events == n_events
    assert inbox.waiting() == []


def test_held_trials_are_pending_for_the_optimizer_and_a_resumed_campaign_proposes_the_same(config, tmp_path):
    def run(path, stop_after):
        made = config(budget={"trials": 6}, optimizer={"n_initial": 2, "acquisition": "log_ei"}, **HELD)
        flag = StopFlag()
        thread = threading.Thread(target=lambda: run_campaign(made, path, should_stop=flag))
        thread.start()
        for number in range(6):
            wait_for(lambda wanted=number: held(path) == [wanted])
            if number == stop_after:
                flag.set()
                thread.join(30)
                thread = threading.Thread(target=lambda: open_campaign(path))
                thread.start()
                wait_for(lambda: CampaignStore.open(path).is_driven())
            decide(path, veto=[number], reason="x") if number == 3 else decide(path, approve=[number])
        thread.join(30)
        return CampaignStore.open(path).history

    whole, parted = run(tmp_path / "whole", None), run(tmp_path / "parted", 4)
    np.testing.assert_array_equal([trial.z for trial in whole.trials], [trial.z for trial in parted.trials])
    assert whole.counts() == parted.counts() == {"completed": 5, "vetoed": 1}


def test_the_command_line_lists_approves_and_vetoes(paused, command):
    program, environment = command

    def call(*arguments):
        return subprocess.run([program, "trials", str(paused), *arguments], capture_output=True, text=True, env=environment)

    listed = call("--state", "held")
    assert listed.returncode == 0
    assert "initial" in listed.stdout
    assert "held" in listed.stdout
    assert call("--veto", "0").returncode == 2
    done = call("--veto", "0", "--reason", "[too] loud")
    assert (done.returncode, done.stdout.strip()) == (0, "trial 0: vetoed")
    assert "[too] loud" in call().stdout
    assert call("--state", "banana").returncode == 2
    status = subprocess.run([program, "status", str(paused), "--json"], capture_output=True, text=True, env=environment)
    assert json.loads(status.stdout)["counts"] == {"vetoed": 1}


def test_operators_at_many_terminals_lose_no_command(paused):
    def write(number):
        for index in range(2):
            act(paused, Command("note", f"operator {number}", 0, f"note {index}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    notes = CampaignStore.open(paused).history.notes
    assert inbox_of(paused).waiting() == []
    assert sorted((note.who, note.text) for note in notes) == [(f"operator {n}", f"note {i}") for n in range(3) for i in range(2)]
