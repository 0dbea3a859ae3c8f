"""Damage is found and named, object by object, and never becomes a wrong number."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import yaml
from latentloop import open_campaign, run_campaign
from latentloop.loop.errors import JournalError, LatentloopError
from latentloop.loop.operator import act
from latentloop.loop.records import TrialState
from latentloop.loop.status import campaign_status
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inbox import Command
from latentloop.loop.store.objects import open_objects
from latentloop.loop.verification import verify

KINDS = ["truncated", "flipped", "removed"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a small campaign, finished in two sessions, with trajectories of its own and an array per trial."""
    from latentloop.loop.config import config_from_mapping

    folder = tmp_path_factory.mktemp("finished")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(20, 12)))
    made = config_from_mapping(
        {
            "name": "finished",
            "trajectories": {"file": str(folder / "x.npy")},
            "latent": {"model": {"name": "vae", "parameters": {"n_latent": 2, "hidden": [4], "epochs": 2}}},
            "evaluator": {"name": "python", "parameters": {"target": "laboratory:pictures"}},
            "optimizer": {"acquisition": "random", "n_initial": 2},
            "budget": {"trials": 4},
        }
    )
    run_campaign(made.model_copy(update={"budget": made.budget.model_copy(update={"trials": 3})}), folder / "x")
    open_campaign(folder / "x", trials=4)
    return folder / "x"


def damage(path, kind, position=None):
    raw = path.read_bytes()
    position = len(raw) // 2 if position is None else position % max(1, len(raw))
    if kind == "removed":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(raw[:position])
    else:
        path.write_bytes(raw[:position] + bytes([raw[position] ^ (1 << (position % 8))]) + raw[position + 1 :])


def readings(path):
    """Return every number that can be read of a store; what is refused is left out."""
    found = {}
    try:
        store = CampaignStore.open(path)
    except LatentloopError:
        return found
    for trial in store.history.trials:
        if trial.state is TrialState.COMPLETED:
            found[trial.number, "objective"] = (trial.objective, trial.z.tobytes(), tuple(trial.metrics.items()))
        for name in ("trajectory", "image", "line"):
            try:
                values = store.trajectory(trial) if name == "trajectory" else store.field(trial, name)
                found[trial.number, name] = None if values is None else values.tobytes()
            except LatentloopError:
                pass
    for name in ("model", "trajectories", "times"):
        try:
            values = {"model": lambda: store.model(0), "trajectories": lambda: store.trajectories().digest(), "times": store.times}[name]()
            found[name] = values if name == "trajectories" else [None if part is None else bytes(part) for part in values]
        except LatentloopError:
            pass
    return found


def test_a_finished_store_is_good(finished):
    found = verify(finished)
    assert found.is_good
    assert found.has_manifest
    assert (found.n_trials, found.n_objects, found.foreign) == (4, len(open_objects(finished).walk()), ())
    assert len(list((finished / "journal/epoch").iterdir())) == 2


@pytest.fixture(scope="module")
def forked(finished):
    """Return a finished fork: the first epoch was its parent's, and the third is its own."""
    from latentloop.loop.fork import fork_campaign

    fork_campaign(finished, 4, ["budget.trials=5"], finished.parent / "fork")
    assert verify(finished.parent / "fork").is_good  # there are no epochs yet
    open_campaign(finished.parent / "fork")
    assert verify(finished.parent / "fork").is_good
    return finished.parent / "fork"


@pytest.mark.parametrize("kind", KINDS)
def test_every_sessions_object_that_is_damaged_is_named_repaired_and_stands_in_nobodys_way(forked, tmp_path, kind):
    shutil.copytree(forked, tmp_path / "x")
    epochs = sorted((tmp_path / "x/journal/epoch").iterdir())
    assert [path.read_bytes() == b"{}" for path in epochs] == [True, True, False]
    damage(epochs[0], kind)
    damage(epochs[2], kind)
    assert [each.name for each in verify(tmp_path / "x").damages] == ["journal/epoch/0001.json", "journal/epoch/0003.json"]
    assert verify(tmp_path / "x", repair=True).is_good
    assert open_campaign(tmp_path / "x", trials=6).epoch == 4
    assert verify(tmp_path / "x").is_good


def test_sessions_objects_of_earlier_releases_have_no_checksum_and_are_good(forked, tmp_path):
    shutil.copytree(forked, tmp_path / "x")
    path = tmp_path / "x/journal/epoch/0003.json"
    facts = {key: value for key, value in json.loads(path.read_bytes()).items() if key != "crc32c"}
    path.write_text(json.dumps(facts))
    assert verify(tmp_path / "x").is_good
    path.write_text(json.dumps({**facts, "epoch": 2}))
    assert [each.name for each in verify(tmp_path / "x").damages] == ["journal/epoch/0003.json"]
    shutil.rmtree(path.parent)  # a copy that the server gave away
    assert verify(tmp_path / "x").is_good


def test_an_epoch_that_the_journal_does_not_know_is_named_until_the_campaign_is_resumed(forked, tmp_path):
    shutil.copytree(forked, tmp_path / "x")
    shutil.copy(tmp_path / "x/journal/epoch/0003.json", tmp_path / "x/journal/epoch/0004.json")
    assert [each.name for each in verify(tmp_path / "x").damages] == ["journal/epoch/0004.json"]
    open_campaign(tmp_path / "x", trials=6)
    assert verify(tmp_path / "x").is_good


def test_what_an_operator_says_after_the_end_is_no_damage_and_what_is_altered_then_is(config, target, tmp_path):
    unsure = target("Eventful")
    unsure["evaluator"]["parameters"]["arguments"] = {"vanishing": [2]}
    run_campaign(config(**unsure), tmp_path / "x")
    act(tmp_path / "x", Command("resolve", "Ada", 2, outcome="completed", metrics={"objective": -0.5, "another": 2.0}))
    found = verify(tmp_path / "x")
    assert (found.damages, found.foreign, found.has_manifest) == ((), (), True)
    for name in ("trials/objective/c/0", "trials/trajectory/c/1/0", "trials/state/zarr.json", "latent/000/encoded/zarr.json"):
        whole = (tmp_path / "x" / name).read_bytes()
        damage(tmp_path / "x" / name, "flipped")
        damages = [each.name for each in verify(tmp_path / "x").damages]
        assert damages, name
        assert all(name.startswith(each) for each in damages), damages  # a column that cannot be read is named as a whole
        (tmp_path / "x" / name).write_bytes(whole)
    assert open_campaign(tmp_path / "x", trials=7).counts() == {"completed": 7}
    assert verify(tmp_path / "x").is_good


def test_foreign_files_are_noted_and_no_damage(finished, tmp_path, command):
    shutil.copytree(finished, tmp_path / "x")
    put = ["journal/epoch/mine.json", "journal/notes.txt", "trials/mine/c/0", "mine.txt"]
    for name in put:
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_text("mine")
    found = verify(tmp_path / "x")
    assert (found.is_good, found.foreign, found.n_objects) == (True, tuple(sorted(put)), verify(finished).n_objects)
    program, environment = command
    done = subprocess.run([program, "verify", tmp_path / "x"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine.txt: foreign, no part of this campaign; not checked" in done.stdout


def check_every_object(finished, tmp_path, positions, kinds):
    whole = readings(finished)
    assert len(whole) >= 4 * 3 + 3
    missed = []
    shutil.copytree(finished, tmp_path / "x")
    for index, name in enumerate(open_objects(finished).walk()):
        for kind in kinds(index):
            for position in positions(index):
                damage(tmp_path / "x" / name, kind, position)
                try:
                    damaged = {each.name for each in verify(tmp_path / "x").damages}
                except LatentloopError as error:
                    damaged = {name} if name in str(error) else set()
                if name not in damaged:
                    missed.append((name, kind, position))
                assert all(whole[key] == value for key, value in readings(tmp_path / "x").items() if value is not None), (name, kind)
                shutil.copy2(finished / name, tmp_path / "x" / name)
                if kind == "removed":
                    break
    assert missed == []


def test_every_object_truncated_flipped_or_removed_is_named_and_gives_no_wrong_number(finished, tmp_path):
    check_every_object(finished, tmp_path, lambda index: [37 * index], lambda index: [KINDS[index % 3]])


@pytest.mark.slow
def test_every_object_damaged_at_many_places_is_named_and_gives_no_wrong_number(finished, tmp_path):
    check_every_object(finished, tmp_path, lambda index: [index * 7 + 31 * step for step in range(8)], lambda index: KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_lost", [1, 2, 3])
def test_damaged_last_events_are_named_and_a_resumed_campaign_equals_the_whole_one(config, tmp_path, kind, n_lost):
    whole = run_campaign(config(), tmp_path / "x")
    events = sorted((tmp_path / "x" / "journal").glob("0*.json"))
    for path in events[-n_lost:]:
        damage(path, kind)
    store = CampaignStore.open(tmp_path / "x")
    assert [each.name for each in store.damaged] == ([] if kind == "removed" else [f"journal/{path.name}" for path in events[-n_lost:]])
    assert len(store.history.trials) >= 5
    assert campaign_status(tmp_path / "x")["state"] == "interrupted"
    resumed = open_campaign(tmp_path / "x")
    assert [(trial.z.tobytes(), trial.objective) for trial in resumed.trials] == [
        (trial.z.tobytes(), trial.objective) for trial in whole.trials
    ]
    aside = sorted(path.name[:8] for path in (tmp_path / "x/journal/damaged").glob("*.json"))
    assert aside == ([] if kind == "removed" else [path.name[:8] for path in events[-n_lost:]])
    assert verify(tmp_path / "x").is_good


def test_a_damaged_event_in_the_middle_is_refused_by_name_until_it_is_repaired(config, tmp_path):
    whole = run_campaign(config(), tmp_path / "x")
    n_events = CampaignStore.open(tmp_path / "x").history.n_events
    damage(tmp_path / "x/journal/00000006.json", "flipped")
    for step in (CampaignStore.open, open_campaign, campaign_status):
        with pytest.raises(JournalError, match=r"00000006\.json is damaged.*latentloop verify .* --repair"):
            step(tmp_path / "x")
    assert [each.name for each in verify(tmp_path / "x").damages][:1] == ["journal/00000006.json"]
    found = verify(tmp_path / "x", repair=True)
    assert found.is_good
    assert len(found.moved) == n_events - 6
    assert len(list((tmp_path / "x/journal/damaged").iterdir())) == n_events - 6
    (event,) = [event for event in CampaignStore.open(tmp_path / "x").journal.read() if event.kind == "repaired"]
    assert event.data["aside"] == list(found.moved)
    resumed = open_campaign(tmp_path / "x")
    assert [trial.objective for trial in resumed.trials] == [trial.objective for trial in whole.trials]
    assert verify(tmp_path / "x").is_good


@pytest.mark.parametrize("lost", ["armed", "completed"])
def test_a_physical_trial_whose_event_is_damaged_becomes_unknown_and_is_not_measured_again(mapping, command, tmp_path, monkeypatch, lost):
    log = tmp_path / "fired"
    monkeypatch.setenv("LABORATORY_LOG", str(log))
    program, environment = command
    physical = {"parameters": {"target": "laboratory:counted", "kind": "physical"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(mapping(evaluator=physical, budget={"trials": 3}, durability="process")))
    # In a process of its own, whose end is proven: a worker that may still be measuring would be waited for.
    first_driver = [program, "run", tmp_path / "c.yaml", "--store", tmp_path / "x"]
    subprocess.run(first_driver, env={**environment, "LABORATORY_LOG": str(log)}, check=True, capture_output=True)
    assert len(log.read_text().splitlines()) == 3
    events = sorted((tmp_path / "x" / "journal").glob("0*.json"))
    kinds = [json.loads(path.read_text())["event"]["kind"] for path in events]
    for path in events[len(kinds) - 1 - kinds[::-1].index(lost) :]:
        damage(path, "flipped")
    resumed = open_campaign(tmp_path / "x")
    assert [trial.state for trial in resumed.trials] == [TrialState.COMPLETED] * 2 + [TrialState.UNKNOWN]
    assert len(log.read_text().splitlines()) == 3
    assert np.isfinite(CampaignStore.open(tmp_path / "x").trajectory(resumed.trials[2])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_payload_of_a_completed_trial_is_named_and_does_not_stop_a_resume(config, tmp_path, kind):
    run_campaign(config(), tmp_path / "x")
    damage(tmp_path / "x/trials/trajectory/c/1/0", kind)
    assert open_campaign(tmp_path / "x", trials=8).counts() == {"completed": 8}
    assert [each.name for each in verify(tmp_path / "x").damages] == ["trials/trajectory/c/1/0"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("array", ["state", "z", "metric_objective", "trajectory", "time"])
def test_damaged_metadata_and_columns_are_made_anew_by_a_resume(config, tmp_path, array, kind):
    import xarray

    history = run_campaign(config(), tmp_path / "x")
    assert history.counts() == {"completed": 6}
    damage(tmp_path / "x/trials" / array / "zarr.json", kind)
    assert not verify(tmp_path / "x").is_good
    open_campaign(tmp_path / "x", trials=7)
    assert verify(tmp_path / "x").is_good
    found = xarray.open_zarr(tmp_path / "x", group="trials", consolidated=False)
    assert found.state.values.tolist() == [int(TrialState.COMPLETED)] * 7
    assert np.isfinite(found.trajectory.values).all()


def test_a_number_in_the_arrays_that_contradicts_the_journal_is_named(config, tmp_path):
    import zarr

    run_campaign(config(), tmp_path / "x")
    zarr.open_array(tmp_path / "x/trials/objective", mode="r+")[2] = 5.0
    (found,) = verify(tmp_path / "x").damages
    assert found.name == "trials/objective/c/0"


def test_the_command_names_what_is_damaged_and_exits_with_one(finished, tmp_path, command):
    program, environment = command
    done = subprocess.run([program, "verify", finished], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 trials" in done.stdout
    assert "manifest agree" in done.stdout
    shutil.copytree(finished, tmp_path / "x")
    damage(tmp_path / "x/latent/000/encoded/zarr.json", "flipped")
    done = subprocess.run([program, "verify", tmp_path / "x"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "latent/000/encoded/zarr.json: " in done.stdout
    done = subprocess.run([program, "verify", tmp_path / "nothing"], env=environment, capture_output=True, text=True)
    assert (done.returncode, "there is no campaign" in done.stderr) == (2, True)
