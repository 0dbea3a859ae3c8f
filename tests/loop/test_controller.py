"""The order of things is the crash rule; a failing experiment never ends a campaign."""

import numpy as np
import pytest
from latentloop.loop.campaign import Campaign
from latentloop.loop.controller import Controller, StopFlag
from latentloop.loop.executors.local import LocalExecutor
from latentloop.loop.latent_training import latent_space, train
from latentloop.loop.preparation import evaluator_spec
from latentloop.loop.records import Candidate, TrialState
from latentloop.loop.run import SilentObserver
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.trajectory_source import load_trajectories


class Desk:
    """A campaign on its store, with a book of everything that happens."""

    def __init__(self, config, path, candidates=None, store=None):
        self.config, self.book = config, []
        trajectories = load_trajectories(config)
        trained = train(config, trajectories, 0, 1)
        space, box = latent_space(config, trained.restore(), trained.encoded)
        spec, kind = evaluator_spec(config)
        self.store = store or CampaignStore.create(path, config.model_dump(mode="json"), {}, len(box), trajectories)
        self.store.drive()
        self.budget = config.budget.trials
        self.store.append("started", {"budget": self.budget, "executor": "local", "workers": 1})
        self.store.project(self.budget)
        self.campaign = Campaign(config, space, box, 0, kind)
        self.campaign.restore(self.store.history.trials, self.store.history.told)
        self.executor = LocalExecutor(spec)
        if candidates is not None:
            self.campaign.propose = lambda q, first: [candidates.pop(0) for _ in range(q)]
        for owner, name in (
            (self.store, "write_payload"),
            (self.store, "append"),
            (self.store, "publish"),
            (self.executor, "submit"),
            (self.campaign, "learn"),
        ):
            self._watch(owner, name)

    def _watch(self, owner, name):
        real = getattr(owner, name)

        def noted(*arguments):
            result = real(*arguments)
            self.book.append((name, arguments))
            return result

        setattr(owner, name, noted)

    def run(self, flag=None, observer=None):
        controller = Controller(self.campaign, self.store, self.executor, self.config.executor.batch, observer or SilentObserver())
        try:
            return controller.run(flag or StopFlag())
        finally:
            self.executor.close()
            self.store.release()

    @property
    def trials(self):
        return self.store.history.trials


def told_to(codes):
    """Return candidates whose trajectories carry the moods in their first step."""
    return [Candidate(np.array([0.1, index / 100]), np.array([float(code), *[0.1] * 19]), "initial") for index, code in enumerate(codes)]


def words(book):
    return [arguments[0] if name == "append" else name for name, arguments in book]


def test_payload_comes_before_the_armed_event_and_that_before_the_dispatch_and_commit_before_tell_before_publish(config, tmp_path, target):
    desk = Desk(config(budget={"trials": 2}, **target("pictures")), tmp_path / "x")
    assert desk.run() == "finished"
    once = ["write_payload", "armed", "publish", "submit", "write_payload", "completed", "learn", "publish"]
    assert words(desk.book) == once * 2
    payload = desk.book[4][1]
    assert set(payload[1]) == {"image", "line"}


def test_in_a_batch_every_intent_is_durable_before_anything_fires(config, tmp_path, target):
    desk = Desk(config(budget={"trials": 3}, executor={"batch": 3}, **target("smooth")), tmp_path / "x")
    desk.run()
    found = words(desk.book)
    assert found.count("submit") == 1
    assert found[: found.index("submit")] == ["write_payload", "armed", "publish"] * 3
    assert found[found.index("submit") + 1 :] == ["completed", "learn", "publish"] * 3


MOODS = {
    0: ("completed", ""),
    1: ("failed", "RuntimeError: the sample is gone"),
    2: ("failed", "returned 'thirty'"),
    3: ("failed", "shape (2, 2)"),
    4: ("completed", ""),
    5: ("quarantined", "array 'image' of trial 5 has shape (4, 3), that of earlier trials (3, 3)"),
    6: ("failed", "SystemExit"),
    9: ("failed", "array named 'z'"),
    10: ("failed", "'a/b' cannot stand in the store"),
    11: ("failed", "complex"),
    12: ("failed", "None"),
    -1: ("quarantined", "is nan"),
    -2: ("quarantined", "is inf"),
    -3: ("quarantined", "outside the plausible range"),
    -4: ("quarantined", "is -inf"),
}


def test_whatever_an_evaluator_does_is_recorded_and_the_campaign_goes_on(config, tmp_path, target):
    codes = list(MOODS)
    desk = Desk(config(budget={"trials": len(codes)}, **target("temperamental")), tmp_path / "x", told_to(codes))
    assert desk.run() == "finished"
    for trial, code in zip(desk.trials, codes, strict=True):
        state, reason = MOODS[code]
        assert (trial.state.word, reason in trial.reason) == (state, True), (code, trial.reason)
    assert desk.store.history.told == [codes.index(0), codes.index(4)]
    assert len(desk.campaign.optimizer.pending) == 0
    again = CampaignStore.open(tmp_path / "x")
    assert [trial.state for trial in again.history.trials] == [trial.state for trial in desk.trials]
    assert repr(again.history.trials[codes.index(-2)].objective) == "inf"


def test_with_a_timeout_an_evaluator_that_hangs_or_ends_its_process_is_recorded_and_the_campaign_goes_on(config, tmp_path, target):
    codes = [8, 0, 7, 0]
    desk = Desk(config(budget={"trials": 4}, **target("temperamental", timeout=1.0)), tmp_path / "x", told_to(codes))
    assert desk.run() == "finished"
    assert [trial.state.word for trial in desk.trials] == ["failed", "completed", "failed", "completed"]
    assert "no result after 1 s" in desk.trials[0].reason
    assert "exit code 3" in desk.trials[2].reason


def test_a_lost_physical_measurement_is_unknown(config, tmp_path):
    evaluator = {"name": "python", "parameters": {"target": "laboratory:temperamental", "kind": "physical"}, "timeout": 1.0}
    desk = Desk(config(budget={"trials": 3}, evaluator=evaluator), tmp_path / "x", told_to([8, 1, 0]))
    assert desk.run() == "finished"
    assert [trial.state.word for trial in desk.trials] == ["unknown", "failed", "completed"]


def left_armed(config, path, n_done=2):
    """Leave a store whose driver ended while a trial was armed."""
    desk = Desk(config, path)
    real = desk.executor.submit

    def submit(jobs):
        if jobs[0].trial == n_done:
            raise KeyboardInterrupt
        real(jobs)

    desk.executor.submit = submit
    with pytest.raises(KeyboardInterrupt):
        desk.run()
    assert desk.trials[-1].state is TrialState.ARMED
    return desk


def test_a_pure_trial_that_was_left_armed_runs_again_with_the_trajectory_of_then(config, tmp_path, target):
    made = config(budget={"trials": 4}, **target("smooth"))
    left_armed(made, tmp_path / "x")
    desk = Desk(made, tmp_path / "x", store=CampaignStore.open(tmp_path / "x"))
    assert desk.run() == "finished"
    assert words(desk.book)[:4] == ["submit", "completed", "learn", "publish"]
    assert [trial.state.word for trial in desk.trials] == ["completed"] * 4
    for trial in desk.trials:
        assert trial.objective == -float(np.mean((desk.store.trajectory(trial) - 0.3) ** 2))


def test_a_physical_trial_that_was_left_armed_becomes_unknown_and_is_never_fired_again(config, tmp_path):
    evaluator = {"name": "python", "parameters": {"target": "laboratory:smooth", "kind": "physical"}}
    made = config(budget={"trials": 4}, evaluator=evaluator)
    left_armed(made, tmp_path / "x")
    desk = Desk(made, tmp_path / "x", store=CampaignStore.open(tmp_path / "x"))
    assert desk.run() == "finished"
    assert [trial.state.word for trial in desk.trials] == ["completed", "completed", "unknown", "completed"]
    assert "nobody knows whether it fired" in desk.trials[2].reason
    fired = [job.trial for name, arguments in desk.book if name == "submit" for job in arguments[0]]
    assert fired == [3]


def test_the_budget_counts_every_recorded_trial(config, tmp_path, target):
    codes = [1, 0, -1, 2, 0]
    desk = Desk(config(budget={"trials": 5}, **target("temperamental")), tmp_path / "x", told_to([*codes, 0, 0]))
    assert desk.run() == "finished"
    assert len(desk.trials) == 5


def test_a_batch_never_exceeds_the_budget(config, tmp_path, target):
    desk = Desk(config(budget={"trials": 5}, executor={"batch": 3}, **target("smooth")), tmp_path / "x")
    assert desk.run() == "finished"
    assert len(desk.trials) == 5


def test_a_stop_lets_what_runs_come_back_and_starts_nothing_new(config, tmp_path, target):
    flag, desk = StopFlag(), Desk(config(budget={"trials": 9}, executor={"batch": 3}, **target("smooth")), tmp_path / "x")

    class Watcher(SilentObserver):
        def trial(self, trial, history):
            if trial.number == 3:
                flag.set()

    assert desk.run(flag, Watcher()) == "interrupted"
    assert [trial.state.word for trial in desk.trials] == ["completed"] * 6


def test_a_stop_before_the_start_does_nothing(config, tmp_path, target):
    flag, desk = StopFlag(), Desk(config(**target("smooth")), tmp_path / "x")
    flag.set()
    assert desk.run(flag) == "interrupted"
    assert desk.trials == []


def test_the_observer_hears_of_each_trial_after_it_is_committed(config, tmp_path, target):
    desk, heard = Desk(config(**target("smooth")), tmp_path / "x"), []

    class Watcher(SilentObserver):
        def trial(self, trial, history):
            heard.append(trial.number)
            assert CampaignStore.open(tmp_path / "x").history.trials[trial.number].state is TrialState.COMPLETED

    desk.run(observer=Watcher())
    assert heard == list(range(6))
