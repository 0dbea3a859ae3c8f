"""What an operator may do to a campaign besides approving and vetoing, and that a resumed campaign takes it up to the last bit."""

import threading

import numpy as np
import pytest
from latentloop.loop import clerk
from latentloop.loop.controller import StopFlag
from latentloop.loop.errors import ConfigError, StoreError
from latentloop.loop.operator import act
from latentloop.loop.records import TrialState
from latentloop.loop.run import SilentObserver, open_campaign, run_campaign
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inbox import Command, Inbox
from latentloop.loop.store.objects import open_objects


def eventful(**arguments):
    return {"evaluator": {"name": "python", "parameters": {"target": "laboratory:Eventful", "arguments": arguments}}}


def events(path, *kinds):
    return [event for event in CampaignStore.open(path).journal.read() if event.kind in kinds]


class Script(SilentObserver):
    """Says something to the campaign at certain trials, and pulls the plug at one moment."""

    def __init__(self, path, says, plug_at=None):
        self.inbox, self.says, self.plug_at, self.n = Inbox(open_objects(path)), says, plug_at, 0

    def trial(self, trial, history):
        for command in self.says(trial):
            self.inbox.drop(command)
        self.n += 1
        if self.n == self.plug_at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _prompt(monkeypatch):
    monkeypatch.setattr(clerk, "_LOOK_SECONDS", 0.0)


def test_an_unknown_trial_is_completed_with_the_reading_that_the_operator_found(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 4}, **eventful(vanishing=[1])), path)
    assert CampaignStore.open(path).history.waiting()["unknown"] == [1]
    with pytest.raises(ConfigError, match=r"needs the reading of 'objective': --metric objective=1\.23"):
        act(path, Command("resolve", trial=1, outcome="completed"))
    with pytest.raises(StoreError, match="trial 0 is completed, not unknown"):
        act(path, Command("resolve", trial=0, outcome="failed"))
    with pytest.raises(StoreError, match=r"\.\./charge"):
        act(path, Command("resolve", trial=1, outcome="completed", metrics={"objective": 9.8, "../charge": 1.0}))
    (answer,) = act(path, Command("resolve", "Ada", 1, "read off the oscilloscope", "completed", {"objective": 9.8}))
    assert (answer.is_obeyed, answer.sentence) == (True, "trial 1: resolved as completed")
    history = CampaignStore.open(path).history
    assert history.trials[1].state is TrialState.COMPLETED
    assert (history.incumbent.trial, history.incumbent.objective, history.told[-1]) == (1, 9.8, 1)
    (event,) = events(path, "resolved")
    assert (event.data["who"], event.data["reason"], event.data["command"]) == ("Ada", "read off the oscilloscope", answer.command)
    assert event.data["said_at"] <= event.time
    assert not any(history.waiting().values())
    longer = open_campaign(path, trials=6)
    assert longer.counts() == {"completed": 6}


def test_an_unknown_trial_that_failed_is_avoided(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 3}, **eventful(vanishing=[1])), path)
    act(path, Command("resolve", "Ada", 1, "the shutter was closed", "failed"))
    history = CampaignStore.open(path).history
    assert (history.trials[1].state, history.avoided) == (TrialState.FAILED, [1])
    assert history.trials[1].reason == "the line went dead; Ada says that it failed: the shutter was closed"


def test_an_unknown_trial_is_repeated_as_a_new_one_that_refers_to_it_and_only_when_asked(config, tmp_path):
    path, log = tmp_path / "x", tmp_path / "log"
    run_campaign(config(budget={"trials": 4}, **eventful(vanishing=[1], log=str(log))), path)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["0", "1", "2", "3"]
    act(path, Command("resolve", "Ada", 1, outcome="repeat"))
    with pytest.raises(StoreError, match="is being repeated already"):
        act(path, Command("resolve", "Ada", 1, outcome="repeat"))
    history = open_campaign(path, trials=5)
    first, again = history.trials[1], history.trials[4]
    assert (again.acquisition, again.refers_to, again.state) == ("repeat", 1, TrialState.COMPLETED)
    assert (first.state, first.repeated_as) == (TrialState.UNKNOWN, 4)
    assert first.z.tobytes() == again.z.tobytes()
    store = CampaignStore.open(path)
    np.testing.assert_array_equal(store.trajectory(first), store.trajectory(again))
    assert log.read_text().count("\n") == 5
    assert not any(history.waiting().values())


def test_a_quarantined_reading_is_learned_from_once_an_operator_accepts_it(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 4}, objective={"plausible": (-9, 9)}, **eventful(wild=[2], wrong=11.0)), path)
    history = CampaignStore.open(path).history
    assert (history.waiting()["quarantined"], history.avoided, history.told) == ([2], [2], [0, 1, 3])
    act(path, Command("accept", "Ada", 2, "it is the resonance"))
    history = CampaignStore.open(path).history
    assert (history.trials[2].state, history.avoided, history.told) == (TrialState.COMPLETED, [], [0, 1, 3, 2])
    assert history.incumbent.objective == 11.0


def test_a_reading_that_is_no_number_cannot_be_accepted(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 2}, **eventful(wild=[1], wrong="nan")), path)
    assert CampaignStore.open(path).history.waiting()["quarantined"] == [1]
    with pytest.raises(StoreError, match="nothing to learn from"):
        act(path, Command("accept", trial=1))


@pytest.fixture
def held(config, tmp_path):
    """A campaign with one held trial behind an envelope, that nobody drives."""
    path, flag = tmp_path / "x", StopFlag()

    class Stopper(SilentObserver):
        def trial(self, trial, history):
            flag.set()

    made = config(safety={"approval": "each", "bounds": {"amplitude": (-50, 50)}}, budget={"trials": 1})
    run_campaign(made, path, observer=Stopper(), should_stop=flag)
    return path


def test_an_edited_trial_is_checked_encoded_recorded_and_measured_as_edited(held):
    store = CampaignStore.open(held)
    n_steps = len(store.times())
    with pytest.raises(ConfigError, match="outside the safety envelope: amplitude of channel E is 51 V"):
        act(held, Command("edit", trial=0, trajectory=[51.0] * n_steps))
    with pytest.raises(ConfigError, match="has shape"):
        act(held, Command("edit", trial=0, trajectory=[1.0] * 3))
    with pytest.raises(ConfigError, match="does not lie in the box"):
        act(held, Command("edit", trial=0, z=[1e9, 0.0]))
    with pytest.raises(ConfigError, match="needs either a point"):
        act(held, Command("edit", trial=0))
    assert not CampaignStore.open(held).history.trials[0].is_edited
    wave = [0.3 * step / n_steps for step in range(n_steps)]
    answers = act(held, Command("edit", "Ada", 0, "gentler", trajectory=wave), Command("approve", "Ada", 0))
    assert [answer.is_obeyed for answer in answers] == [True, True]
    before = store.history.trials[0]
    history = open_campaign(held)
    trial = history.trials[0]
    assert (trial.state, trial.is_edited, trial.who) == (TrialState.COMPLETED, True, "Ada")
    assert trial.z.tobytes() != before.z.tobytes()
    assert trial.objective == -float(np.mean((np.array(wave) - 0.3) ** 2))
    np.testing.assert_array_equal(CampaignStore.open(held).trajectory(trial), wave)
    assert [event.kind for event in events(held, "held", "edited", "approved", "armed")] == ["held", "edited", "approved", "armed"]


def test_an_edit_to_another_point_is_decoded_and_takes_back_an_approval(held):
    act(held, Command("approve", trial=0))
    box = CampaignStore.open(held).history.models[0]["box"]
    middle = [(low + high) / 2 for low, high in box]
    act(held, Command("edit", trial=0, z=middle))
    store = CampaignStore.open(held)
    assert store.history.approved == set()
    assert store.history.trials[0].z.tolist() == middle
    assert store.history.waiting()["held"] == [0]
    act(held, Command("approve", trial=0))
    trial = open_campaign(held).trials[0]
    assert trial.objective == -float(np.mean((CampaignStore.open(held).trajectory(trial) - 0.3) ** 2))


def test_an_operators_own_points_and_trajectories_are_measured_before_the_optimizer_is_asked_again(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 3}), path)
    box = CampaignStore.open(path).history.models[0]["box"]
    point = [0.75 * low + 0.25 * high for low, high in box]
    wave = [0.3] * len(CampaignStore.open(path).times())
    answers = act(path, Command("propose", "Ada", z=point), Command("propose", "Ada", trajectory=wave))
    assert all(answer.is_obeyed for answer in answers)
    history = open_campaign(path, trials=6)
    assert [trial.acquisition for trial in history.trials[3:]] == ["operator", "operator", "random"]
    assert history.trials[3].z.tolist() == point
    assert (history.trials[4].objective, history.trials[4].who, history.incumbent.trial) == (0.0, "Ada", 4)
    assert history.wanted == []


def test_an_operators_trajectory_that_would_break_the_envelope_is_refused_and_one_behind_an_approval_is_held(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 1}, safety={"bounds": {"amplitude": (-50, 50)}}), path)
    n_steps = len(CampaignStore.open(path).times())
    with pytest.raises(ConfigError, match="outside the safety envelope"):
        act(path, Command("propose", trajectory=[60.0] * n_steps))
    Inbox(open_objects(path)).drop(Command("propose", "Eve", trajectory=[60.0] * n_steps))  # past the check
    history = open_campaign(path, trials=2)
    assert (history.trials[1].state, history.trials[1].acquisition) == (TrialState.REFUSED, "operator")


def test_notes_stay_with_their_trial_and_the_campaign(config, tmp_path):
    path = tmp_path / "x"
    run_campaign(config(budget={"trials": 2}), path)
    act(path, Command("note", "Ada", reason="new sample"), Command("note", "Bo", 1, "hummed"))
    with pytest.raises(ConfigError, match="needs a text"):
        act(path, Command("note", "Ada"))
    notes = CampaignStore.open(path).history.notes
    assert [(note.who, note.text, note.trial) for note in notes] == [("Ada", "new sample", None), ("Bo", "hummed", 1)]


def test_a_paused_campaign_fires_nothing_until_it_is_resumed_and_can_be_stopped(config, tmp_path, target):
    path = tmp_path / "x"
    made = config(budget={"trials": 60}, **target("slow"))
    thread = threading.Thread(target=lambda: run_campaign(made, path))
    thread.start()

    def wait(what):
        for _ in range(600):
            try:
                if what(CampaignStore.open(path)):
                    return
            except StoreError:
                pass
            threading.Event().wait(0.05)
        raise AssertionError("it did not happen in time")

    wait(lambda store: len(store.history.trials) >= 2)
    (answer,) = act(path, Command("pause", "Ada"))
    assert answer.is_obeyed is None
    wait(lambda store: store.state() == "paused" and not store.history.counts().get("armed"))
    n_trials = len(CampaignStore.open(path).history.trials)
    threading.Event().wait(0.5)
    assert len(CampaignStore.open(path).history.trials) == n_trials < 60
    act(path, Command("resume", "Ada"))
    wait(lambda store: len(store.history.trials) > n_trials)
    act(path, Command("stop", "Ada", reason="lunch"))
    thread.join(30)
    store = CampaignStore.open(path)
    assert (store.state(), store.history.reason) == ("interrupted", "Ada asked for it: lunch")
    assert not store.history.counts().get("armed")
    with pytest.raises(StoreError, match="nobody drives"):
        act(path, Command("stop"))
    assert len(open_campaign(path, trials=len(store.history.trials) + 1).trials) == len(store.history.trials) + 1


def test_a_batch_is_held_and_approved_together(config, tmp_path):
    path, flag = tmp_path / "x", StopFlag()
    fired = []

    class Watcher(SilentObserver):
        def trial(self, trial, history):
            fired.append((trial.number, trial.state.word))
            if len(history.held) == 3:
                flag.set()

    made = config(budget={"trials": 6}, executor={"batch": 3}, safety={"approval": "batch"})
    run_campaign(made, path, observer=Watcher(), should_stop=flag)
    history = CampaignStore.open(path).history
    assert (history.counts(), [trial.batch for trial in history.trials]) == ({"held": 3}, [0, 0, 0])
    answers = act(path, Command("approve", "Ada", 1), Command("veto", "Ada", 2, "too loud"))
    assert sorted(answer.sentence for answer in answers)[-1] == "trial 2: vetoed"
    assert CampaignStore.open(path).history.approved == {0, 1}
    again = StopFlag()

    class Stopper(SilentObserver):
        def trial(self, trial, history):
            if history.held:
                again.set()

    history = open_campaign(path, observer=Stopper(), should_stop=again)
    assert [trial.state.word for trial in history.trials[:3]] == ["completed", "completed", "vetoed"]


def test_in_a_batch_nothing_fires_before_all_of_it_is_decided(config, tmp_path):
    path, flag = tmp_path / "x", StopFlag()

    class Watcher(SilentObserver):
        def trial(self, trial, history):
            if len(history.held) == 3:
                flag.set()

    made = config(budget={"trials": 3}, executor={"batch": 3}, safety={"approval": "batch"})
    run_campaign(made, path, observer=Watcher(), should_stop=flag)
    inbox = Inbox(open_objects(path))
    inbox.drop(Command("approve", "Ada", 0))  # as a script may, past the command line that approves the whole batch
    later, seen = StopFlag(), []
    thread = threading.Thread(target=lambda: seen.append(open_campaign(path, should_stop=later)))
    thread.start()
    for _ in range(100):
        if CampaignStore.open(path).history.approved:
            break
        threading.Event().wait(0.05)
    threading.Event().wait(0.5)
    assert CampaignStore.open(path).history.counts() == {"held": 3}
    act(path, Command("approve", "Ada", 1), Command("approve", "Ada", 2))
    thread.join(30)
    assert seen[0].counts() == {"completed": 3}


def facts(history):
    return [
        (trial.number, trial.state, trial.z.tobytes(), repr(trial.objective), trial.acquisition, repr(trial.acquisition_value), trial.who)
        for trial in history.trials
    ] + [history.told, history.avoided]


def test_a_campaign_that_operators_steer_is_resumed_to_the_last_bit_wherever_it_was_killed(config, tmp_path):
    made = config(
        budget={"trials": 10},
        safety={"approval": "each"},
        objective={"plausible": (-9, 9)},
        optimizer={"acquisition": "log_ei", "n_initial": 3},
        **eventful(vanishing=[2, 5], wild=[3], wrong=11.0),
    )
    said = set()

    def says(trial):
        mark = (trial.number, trial.state)
        if mark in said:
            return []
        said.add(mark)
        number = trial.number
        if trial.state is TrialState.HELD:
            edit = [Command("edit", "Ada", number, z=[0.1, -0.2])] if number == 4 else []
            return [*edit, Command("veto", "Ada", number, "no") if number == 6 else Command("approve", "Ada", number)]
        if trial.state is TrialState.UNKNOWN:
            if number == 2:
                return [Command("resolve", "Ada", number, "", "completed", {"objective": 0.01})]
            return [Command("resolve", "Ada", number, outcome="repeat"), Command("propose", "Ada", z=[0.3, 0.1])]
        if trial.state is TrialState.QUARANTINED:
            return [Command("accept", "Ada", number)]
        return []

    path = tmp_path / "whole"
    watcher = Script(path, says)
    whole = run_campaign(made, path, observer=watcher)
    assert {trial.acquisition for trial in whole.trials} == {"initial", "log_ei", "repeat", "operator"}
    assert (whole.trials[4].is_edited, whole.trials[2].objective, whole.trials[3].objective) == (True, 0.01, 11.0)
    for plug_at in range(1, watcher.n, 5):
        said.clear()
        path = tmp_path / f"cut-{plug_at}"
        with pytest.raises(KeyboardInterrupt):
            run_campaign(made, path, observer=Script(path, says, plug_at))
        resumed = open_campaign(path, observer=Script(path, says))
        assert facts(resumed) == facts(whole), plug_at


def test_a_kill_between_an_edited_trajectory_and_its_event_loses_nothing(held, monkeypatch):
    wave = [0.2] * len(CampaignStore.open(held).times())
    real = CampaignStore.append

    def append(self, kind, data):
        if kind == "edited":
            raise KeyboardInterrupt
        return real(self, kind, data)

    monkeypatch.setattr(CampaignStore, "append", append)
    with pytest.raises(KeyboardInterrupt):
        act(held, Command("edit", "Ada", 0, trajectory=wave))
    monkeypatch.undo()
    assert not CampaignStore.open(held).history.trials[0].is_edited
    act(held, Command("approve", "Ada", 0))  # empties the inbox in its order: the edit comes first
    trial = open_campaign(held).trials[0]
    assert (trial.is_edited, trial.state) == (True, TrialState.COMPLETED)
    np.testing.assert_array_equal(CampaignStore.open(held).trajectory(trial), wave)


def test_the_command_line_resolves_accepts_edits_proposes_and_notes(config, tmp_path, command):
    import subprocess

    from latentloop.loop.cli import app
    from typer.testing import CliRunner

    path = tmp_path / "x"
    made = config(budget={"trials": 4}, objective={"plausible": (-9, 9)}, **eventful(vanishing=[1], wild=[2], wrong=11.0))
    run_campaign(made, path)
    program, environment = command

    def call(*arguments):
        return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, env=environment)

    assert "unknown: 1; quarantined: 2" in CliRunner().invoke(app, ["status", str(path)]).output
    for wrong, words in (
        (["--resolve", "1", "banana"], "completed, failed, repeat"),
        (["--resolve", "1", "completed", "--metric", "objective"], "name=value"),
        (["--resolve", "1", "completed"], "needs the reading"),
        (["--approve", "some"], "or all"),
        (["--propose", "--z", "a,b"], "commas"),
        (["--propose", "--trajectory", str(tmp_path / "none.npy")], "cannot read"),
    ):
        done = CliRunner().invoke(app, ["trials", str(path), *wrong])
        assert isinstance(done.exception, ConfigError)
        assert words in str(done.exception)
    np.save(tmp_path / "wave.npy", np.full(len(CampaignStore.open(path).times()), 0.3))
    done = call("trials", path, "--resolve", 1, "completed", "--metric", "objective=0.5", "--accept", 2, "--reason", "seen on the screen")
    assert done.stdout.splitlines() == ["trial 2: accepted, and learned from", "trial 1: resolved as completed"]
    done = call("trials", path, "--propose", "--trajectory", tmp_path / "wave.npy", "--note", "warm today", "--trial", 3)
    assert done.returncode == 0, done.stderr
    assert "no trial waits for approval" in CliRunner().invoke(app, ["trials", str(path), "--approve", "all"]).output
    history = open_campaign(path, trials=5)
    assert (history.trials[4].acquisition, history.trials[4].objective) == ("operator", 0.0)
    listed = call("trials", path).stdout
    assert "warm today" in listed
    assert "outside the plausible range" in listed


def test_a_campaign_on_object_storage_is_steered_in_the_same_way(config, s3):
    run_campaign(config(budget={"trials": 3}, **eventful(vanishing=[1])), s3)
    answers = act(s3, Command("resolve", "Ada", 1, "", "completed", {"objective": 9.0}), Command("propose", "Ada", z=[0.1, 0.2]))
    assert [answer.is_obeyed for answer in answers] == [True, True]
    history = open_campaign(s3, trials=4)
    assert (history.incumbent.trial, history.trials[3].acquisition, history.counts()) == (1, "operator", {"completed": 4})
