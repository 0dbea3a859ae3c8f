"""A driver that is killed between any two writes: the store says what an in-memory model says, and goes on."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from driving import CONFIGURATION, LIKE, in_child, trajectory
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from latentloop.loop.records import TrialState
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.journal import decode
from latentloop.loop.verification import verify


class Crashes(RuleBasedStateMachine):
    """The model is the list of events that were seen on disk after each crash: none may ever change or go."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "x"
        CampaignStore.create(self.path, CONFIGURATION, {}, 2, LIKE).release()
        self.committed = []
        self.salts = {}
        self.n_sessions = 0
        self.is_whole = False

    def teardown(self):
        shutil.rmtree(self.folder)

    @rule(
        steps=st.lists(st.sampled_from([TrialState.COMPLETED, TrialState.FAILED, TrialState.QUARANTINED, None]), max_size=3),
        fault=st.integers(1, 90),
    )
    def a_driver_is_killed_somewhere(self, steps, fault):
        n_before = len(self.events())
        self.n_sessions += 1
        self.is_whole = in_child(self.path, steps, self.n_sessions, f"any:{fault}")
        self.note(n_before)

    @rule(steps=st.lists(st.sampled_from([TrialState.COMPLETED, None]), max_size=2))
    def a_driver_ends_well(self, steps):
        n_before = len(self.events())
        self.n_sessions += 1
        self.is_whole = in_child(self.path, steps, self.n_sessions, "")
        assert self.is_whole
        self.note(n_before)

    @rule(cut=st.integers(0, 100))
    def the_last_event_is_torn(self, cut):
        # No precondition: how far a killed driver came depends on its threads, and which rules are enabled must not.
        if len(self.committed) <= 3:
            return
        path = sorted((self.path / "journal").glob("0*.json"))[-1]
        raw = path.read_bytes()
        path.write_bytes(raw[: cut * (len(raw) - 1) // 100])
        self.committed.pop()
        self.is_whole = False
        store = CampaignStore.open(self.path)
        assert [damage.name for damage in store.damaged] == [f"journal/{path.name}"]

    def note(self, n_before):
        for event in self.events()[n_before:]:
            if event.kind == "armed":
                self.salts[event.data["trial"]] = self.n_sessions

    def events(self):
        found = []
        for number, path in enumerate(sorted((self.path / "journal").glob("0*.json"))):
            event = decode(number, path.read_bytes())
            if isinstance(event, str):
                break
            found.append(event)
        return found

    @invariant()
    def what_was_committed_stays_and_the_store_says_so(self):
        events = self.events()
        assert [(event.kind, event.data) for event in events[: len(self.committed)]] == self.committed
        self.committed = [(event.kind, event.data) for event in events]
        states = {}
        for event in events:
            if "trial" in event.data:
                states[event.data["trial"]] = event.kind
        store = CampaignStore.open(self.path)
        assert {trial.number: trial.state.word for trial in store.history.trials} == states
        assert not store.is_driven()
        for trial in store.history.trials:
            np.testing.assert_array_equal(store.trajectory(trial), trajectory(trial.number, self.salts[trial.number]))
            if trial.state is TrialState.COMPLETED:
                assert trial.objective == trial.number
                np.testing.assert_array_equal(store.field(trial, "field"), np.full((2, 3), float(trial.number)))

    @precondition(lambda self: self.is_whole)
    @invariant()
    def a_store_that_ended_well_is_whole(self):
        found = verify(self.path)
        assert found.damages == ()
        assert found.has_manifest


class TestCrashes(Crashes.TestCase):
    settings = settings(max_examples=8, stateful_step_count=6, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
class TestManyCrashes(Crashes.TestCase):
    settings = settings(max_examples=60, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))


def kill_everywhere(tmp_path, faults_to_try):
    steps = [TrialState.COMPLETED, TrialState.FAILED, None]
    for count, fault in enumerate(faults_to_try):
        path = tmp_path / str(fault)
        CampaignStore.create(path, CONFIGURATION, {}, 2, LIKE).release()
        if in_child(path, steps, 0, f"any:{fault}"):
            return count
        before = CampaignStore.open(path).history
        assert in_child(path, steps, 0, "")
        after = CampaignStore.open(path)
        for trial in before.trials:
            assert after.history.trials[trial.number].state in (trial.state, TrialState.COMPLETED)
        assert verify(path).is_good
        shutil.rmtree(path)
    raise AssertionError("the session never came to its end")


def test_a_driver_is_killed_at_every_tenth_write_of_a_session(tmp_path):
    assert kill_everywhere(tmp_path, range(3, 400, 10)) > 4


@pytest.mark.slow
def test_a_driver_is_killed_between_any_two_writes_of_a_session(tmp_path):
    assert kill_everywhere(tmp_path, range(1, 400)) > 40
