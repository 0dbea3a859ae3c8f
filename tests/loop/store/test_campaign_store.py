"""One folder, whole at every moment: its arrays say what its journal says."""

import json
import shutil
import threading
import time
import warnings

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latentloop.loop.errors import JournalError, ShapeMismatchError, StoreError, StoreLockedError
from latentloop.loop.records import TRIAL_ARRAYS, TrajectorySet, TrialState
from latentloop.loop.store.campaign_store import FORMAT_VERSION, CampaignStore
from latentloop.loop.store.history import jsonable, number

N_STEPS = 7
TRAJECTORIES = TrajectorySet(np.arange(3.0 * N_STEPS).reshape(3, N_STEPS), np.linspace(0, 1, N_STEPS), "kV/cm", "ms", ("Ex",))
FINAL = [TrialState.COMPLETED, TrialState.FAILED, TrialState.QUARANTINED, TrialState.UNKNOWN]
numbers = st.floats(width=64)
results = st.tuples(
    st.sampled_from(FINAL), numbers, st.dictionaries(st.sampled_from(["curl", "area", "größe"]), numbers, max_size=3), st.text(max_size=5)
)


@pytest.fixture
def create(config):
    stores = []

    def make(path, n_trials=8, like=TRAJECTORIES):
        store = CampaignStore.create(path, config(budget={"trials": n_trials}).model_dump(mode="json"), {"machine": "x"}, 2, like)
        store.drive()
        store.append("started", {"budget": n_trials, "executor": "local", "workers": 1})
        store.project(n_trials)
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.release()


def trajectory(index):
    return np.sin(np.arange(N_STEPS) + index)


def arm(store, acquisition="initial"):
    index = len(store.history.trials)
    store.write_payload(index, {"trajectory": trajectory(index)})
    store.append(
        "armed",
        {
            "trial": index,
            "z": [index + 0.1, -index / 3],
            "acquisition": acquisition,
            "acquisition_value": jsonable(np.nan if acquisition == "initial" else index / 7),
            "predicted_objective": jsonable(np.nan if acquisition == "initial" else -index / 3),
            "predicted_error": jsonable(np.nan if acquisition == "initial" else 0.5 + index),
            "distance": 0.5,
            "consistency": 1e-3,
            "model_version": 0,
        },
    )
    store.publish(index)
    return index


def finish(store, index, state=TrialState.COMPLETED, objective=1.5, metrics=None, reason="", worker="local"):
    metrics = {"objective": objective} if metrics is None else metrics
    store.append(
        state.word,
        {
            "trial": index,
            "objective": jsonable(objective),
            "objective_error": None,
            "metrics": {name: jsonable(value) for name, value in metrics.items()},
            "reason": reason,
            "seconds": 0.25,
            "worker": worker,
        },
    )
    store.publish(index)


def opened(path):
    return xarray.open_zarr(path, group="trials", consolidated=False)


def require_equal(path, history, n_rows):
    """Compare every array of the disk with the journal's history."""
    with opened(path) as found:
        assert found.sizes["trial"] == n_rows
        n = len(history.trials)
        assert found.state.values.tolist() == [int(trial.state) for trial in history.trials] + [0] * (n_rows - n)
        for trial in history.trials:
            row = found.isel(trial=trial.number)
            np.testing.assert_array_equal(row.z.values, trial.z)
            np.testing.assert_array_equal(row.trajectory.values, trajectory(trial.number))
            for name in (
                "objective",
                "objective_error",
                "acquisition_value",
                "predicted_objective",
                "predicted_error",
                "distance",
                "consistency",
                "armed_at",
                "finished_at",
                "seconds",
            ):
                np.testing.assert_array_equal(row[name].values, getattr(trial, name), err_msg=name)
            assert found.acquisition.attrs["names"][int(row.acquisition)] == trial.acquisition
            assert found.worker.attrs["names"][int(row.worker)] == trial.worker
            assert int(row.model_version) == trial.model_version
            for name, value in trial.metrics.items():
                np.testing.assert_array_equal(row[f"metric_{name}"].values, value)


@given(trials=st.lists(results, max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_arrays_equal_the_journal_whatever_came_back(create, tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("store") / "x"
    store = create(path)
    for state, objective, metrics, reason in trials:
        finish(store, arm(store, "ucb" if metrics else "initial"), state, objective, metrics, reason, worker=f"ray-{len(reason)}")
    armed = len(trials) < 8 and arm(store)
    store.release()
    require_equal(path, store.history, 8)
    again = CampaignStore.open(path)
    assert len(again.history.trials) == len(trials) + bool(armed is not False)
    for (state, objective, metrics, reason), trial in zip(trials, again.history.trials, strict=False):
        assert (trial.state, trial.reason) == (state, reason)
        np.testing.assert_array_equal(trial.objective, objective)
        assert {name: repr(value) for name, value in trial.metrics.items()} == {name: repr(value) for name, value in metrics.items()}


@given(value=numbers)
def test_every_number_survives_the_journal(value):
    np.testing.assert_array_equal(number(json.loads(json.dumps(jsonable(value), allow_nan=False))), value)


def test_the_arrays_are_rebuilt_from_the_journal_when_they_were_left_behind(create, tmp_path):
    store = create(tmp_path / "x")
    finish(store, arm(store), metrics={"curl": 1.0, "objective": 2.0})
    store.settle()
    copy = tmp_path / "copy"
    finish_later = arm_without_publishing(store)
    shutil.copytree(tmp_path / "x", copy)
    for name in ("state", "z", "objective", "metric_curl"):
        shutil.rmtree(copy / "trials" / name / "c")
    again = CampaignStore.open(copy)
    again.drive()
    again.project(8)
    again.release()
    assert finish_later == 1
    require_equal(copy, again.history, 8)


def arm_without_publishing(store):
    store.project(8)
    index = len(store.history.trials)
    store.write_payload(index, {"trajectory": trajectory(index)})
    data = {"trial": index, "z": [0.0, 1.0], "acquisition": "ucb", "acquisition_value": 1.0, "distance": 0.0, "consistency": 0.0}
    store.append("armed", {**data, "model_version": 0})
    return index


def test_xarray_opens_the_store_at_any_moment_while_a_driver_writes(create, tmp_path):
    path = tmp_path / "x"
    store = create(path, 60)
    problems, stop = [], threading.Event()

    def drive():
        try:
            for index in range(60):
                arm(store)
                store.write_payload(index, {"image": np.full((3, 3), float(index))})
                finish(store, index, objective=float(index), metrics={"objective": float(index), "late": 1.0} if index > 20 else None)
                time.sleep(0.01)
        except Exception as error:  # noqa: BLE001 - shown below
            problems.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=drive)
    thread.start()
    seen, n_reads = 0, 0
    while not stop.is_set():
        with warnings.catch_warnings():
            # An array that is just being made: its folder is there, its description not yet.
            warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component of a Zarr hierarchy")
            found = opened(path)
            state = found.state.values  # first: a trial's state is written after all its numbers, so whoever sees it sees them
            found = found.load()
        there = np.flatnonzero(state)
        assert len(there) >= seen
        seen, n_reads = len(there), n_reads + 1
        completed = np.flatnonzero(state == TrialState.COMPLETED)
        np.testing.assert_array_equal(completed, np.arange(len(completed)))
        for index in there:
            np.testing.assert_array_equal(found.trajectory.values[index], trajectory(index))
            assert found.z.values[index, 0] == index + 0.1
    thread.join()
    assert not problems
    assert n_reads >= 3
    store.release()
    require_equal(path, store.history, 60)


def test_a_trial_is_seen_within_two_tenths_of_a_second(create, tmp_path):
    store = create(tmp_path / "x")
    delays = []
    for _ in range(5):
        finish(store, arm(store))
        start = time.monotonic()
        while np.count_nonzero(opened(tmp_path / "x").state.values == TrialState.COMPLETED) < len(store.history.trials):
            assert time.monotonic() - start < 5
        delays.append(time.monotonic() - start)
    assert np.median(delays) < 0.5  # 0.2 s on a machine of one's own


def test_zarr_walks_the_store_without_a_warning(create, tmp_path):
    store = create(tmp_path / "x")
    finish(store, arm(store))
    store.write_model(0, b"weights", np.zeros((3, 2)), np.arange(4.0), {"kind": "pca"})
    store.write_trajectories(TRAJECTORIES)
    store.release()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(tmp_path / "x", mode="r")
        names = {name for name, _ in group.members(max_depth=None)}
    assert {"journal", "trials", "trials/state", "trials/z", "latent/000/weights", "trajectories/values"} <= names
    assert not any("event" in name or name.endswith(".json") for name in names)


def test_the_stores_own_names_are_those_that_evaluators_may_not_take(create, tmp_path):
    create(tmp_path / "x")
    assert {name for name, _ in zarr.open_group(tmp_path / "x/trials", mode="r").arrays()} == TRIAL_ARRAYS


def test_units_flags_and_dimensions_stand_in_the_store(create, tmp_path):
    create(tmp_path / "x")
    found = opened(tmp_path / "x")
    assert found.state.attrs["flag_meanings"].split() == [state.word for state in TrialState]
    assert found.state.attrs["flag_values"] == [int(state) for state in TrialState]
    assert found.trajectory.dims == ("trial", "time")
    assert found.z.dims == ("trial", "latent")
    assert (found.trajectory.attrs["unit"], found.time.attrs["unit"]) == ("kV/cm", "ms")
    np.testing.assert_array_equal(found.time.values, TRAJECTORIES.times)


def test_several_channels_make_a_third_dimension(create, tmp_path):
    like = TrajectorySet(np.zeros((3, 5, 2)), np.arange(5.0), "V", "s", ("Ex", "Ey"))
    create(tmp_path / "x", like=like)
    found = opened(tmp_path / "x")
    assert found.trajectory.dims == ("trial", "time", "channel")
    assert found.trajectory.attrs["channels"] == ["Ex", "Ey"]


@pytest.mark.parametrize("first", ["released", "left behind"])
def test_a_larger_budget_lengthens_the_arrays(create, tmp_path, first):
    store = create(tmp_path / "x", 4)
    for _ in range(4):
        index = arm(store)
        store.write_payload(index, {"image": np.full((2, 2), index + 0.5)})
        finish(store, index)
    store.release()
    again = CampaignStore.open(tmp_path / "x")
    again.drive()
    again.project(2000)
    for _ in range(3):
        finish(again, arm(again))
    again.release()
    require_equal(tmp_path / "x", again.history, 2000)
    found = opened(tmp_path / "x")
    np.testing.assert_array_equal(found.image.values[:4, 0, 0], np.arange(4) + 0.5)
    assert np.isnan(found.image.values[4:]).all()


def test_arrays_of_another_shape_than_before_are_refused(create, tmp_path):
    store = create(tmp_path / "x")
    arm(store)
    store.write_payload(0, {"image": np.zeros((2, 3)), "nothing": np.zeros(0)})
    with pytest.raises(ShapeMismatchError, match=r"array 'image' of trial 0 has shape \(3, 2\), that of earlier trials \(2, 3\)"):
        store.write_payload(0, {"image": np.zeros((3, 2))})
    assert store.field(store.history.trials[0], "image").shape == (2, 3)
    assert store.field(store.history.trials[0], "absent") is None


def test_an_existing_store_is_refused_and_left_alone(create, tmp_path):
    store = create(tmp_path / "x")
    store.release()
    before = sorted(path.name for path in (tmp_path / "x" / "journal").iterdir())
    with pytest.raises(StoreError, match="holds a campaign already; continue it with `latentloop resume"):
        create(tmp_path / "x")
    assert sorted(path.name for path in (tmp_path / "x" / "journal").iterdir()) == before


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_anything_else_at_the_path_is_refused(create, tmp_path, kind):
    path = tmp_path / "x"
    {"folder": path.mkdir, "file": path.touch, "dangling link": lambda: path.symlink_to(tmp_path / "nowhere")}[kind]()
    with pytest.raises(StoreError, match="exists already and is not a campaign"):
        create(path)


def test_a_path_below_a_file_is_refused(create, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file is not a folder"):
        create(tmp_path / "file" / "x")
    with pytest.raises(StoreError, match="file is not a folder"):
        create(tmp_path / "file" / "deep" / "x")


def test_missing_folders_on_the_way_are_made(create, tmp_path):
    create(tmp_path / "a" / "b" / "x")
    assert (tmp_path / "a" / "b" / "x" / "journal" / "00000000.json").exists()


@pytest.mark.parametrize("where", ["latentloop.loop.store.layout.create_trials", "latentloop.loop.store.journal.Journal.append"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_store_that_could_not_be_made_whole_is_never_visible(create, tmp_path, monkeypatch, where, error):
    def fail(*_):
        assert not (tmp_path / "x").exists()
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(StoreError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        create(tmp_path / "x")
    assert not isinstance(error, OSError) or "No space left on device" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_new_store_is_locked_from_the_first_moment_on(create, tmp_path):
    store = create(tmp_path / "x")
    assert store.state() == "running"
    other = CampaignStore.open(tmp_path / "x")
    assert other.state() == "running"
    with pytest.raises(StoreLockedError, match="is being driven by process"):
        other.drive()
    store.release()
    assert other.state() == "interrupted"
    other.drive()
    other.append("ended", {"state": "finished"})
    other.release()
    assert CampaignStore.open(tmp_path / "x").state() == "finished"


def test_the_state_and_the_history_are_of_one_moment(create, tmp_path):
    store = create(tmp_path / "x")
    reader = CampaignStore.open(tmp_path / "x")
    finish(store, arm(store))
    store.append("ended", {"state": "finished"})
    store.release()
    assert reader.state() == "finished"
    assert len(reader.history.trials) == 1


@pytest.mark.parametrize("change", [{"version": FORMAT_VERSION + 1}, {"version": 0}, {"format": "other-campaign"}])
def test_a_store_of_another_format_is_refused(create, tmp_path, change):
    create(tmp_path / "x").release()
    path = tmp_path / "x" / "zarr.json"
    data = json.loads(path.read_text())
    data["attributes"]["latentloop"].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match=f"this latentloop reads latentloop-campaign version {FORMAT_VERSION}"):
        CampaignStore.open(tmp_path / "x")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"attributes": {"latentloop": 3}}', b"\xff"])
def test_a_folder_that_is_no_campaign_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.mkdir()
    if content is not None:
        (path / "zarr.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match="is not a campaign of latentloop"):
        CampaignStore.open(path)


def test_nothing_at_the_path_is_said_with_what_to_do(tmp_path):
    with pytest.raises(StoreError, match=r"there is no campaign at .*; `latentloop run quick --store"):
        CampaignStore.open(tmp_path / "x")
    (tmp_path / "x").touch()
    with pytest.raises(StoreError, match="there is no campaign at"):
        CampaignStore.open(tmp_path / "x")


def test_a_store_without_its_journal_is_a_sentence(create, tmp_path):
    create(tmp_path / "x").release()
    shutil.rmtree(tmp_path / "x" / "journal")
    with pytest.raises(JournalError, match="journal"):
        CampaignStore.open(tmp_path / "x")


def test_a_model_comes_back_to_the_last_bit_and_damage_is_noticed(create, tmp_path):
    store = create(tmp_path / "x")
    data, encoded, curve = bytes(range(256)) * 10, np.random.default_rng(0).normal(size=(5, 2)), np.arange(3.0)
    store.write_model(0, data, encoded, curve, {"kind": "vae"})
    store.write_model(1, data, encoded, None, {"kind": "pca"})
    found = CampaignStore.open(tmp_path / "x").model(0)
    assert found[0] == data
    np.testing.assert_array_equal(found[1], encoded)
    np.testing.assert_array_equal(found[2], curve)
    assert CampaignStore.open(tmp_path / "x").model(1)[2] is None
    with pytest.raises(StoreError, match=r"no latent model of version 2; known are \[0, 1\]"):
        store.model(2)
    (chunk,) = [path for path in (tmp_path / "x/latent/000/weights").rglob("*") if path.is_file() and path.name != "zarr.json"]
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(StoreError, match="latent model 0"):
        store.model(0)
    chunk.unlink()
    with pytest.raises(StoreError, match=r"latent model 0 .* is damaged"):
        store.model(0)
    shutil.rmtree(tmp_path / "x/latent/000")
    with pytest.raises(StoreError, match="latent model 0"):
        store.model(0)


def test_a_damaged_or_missing_trajectory_is_a_sentence(create, tmp_path):
    store = create(tmp_path / "x")
    finish(store, arm(store))
    trial = store.history.trials[0]
    np.testing.assert_array_equal(store.trajectory(trial), trajectory(0))
    chunk = tmp_path / "x/trials/trajectory/c/0/0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    with pytest.raises(StoreError, match="trajectory of trial 0"):
        store.trajectory(trial)
    chunk.unlink()
    with pytest.raises(StoreError, match=r"trajectory of trial 0 .* is missing"):
        store.trajectory(trial)


def test_kept_trajectories_come_back(create, tmp_path):
    store = create(tmp_path / "x")
    store.write_trajectories(TRAJECTORIES)
    assert store.trajectories() is None  # a driver killed before its model was there starts anew
    store.write_model(0, b"x", np.zeros((3, 2)), None, {})
    found = CampaignStore.open(tmp_path / "x").trajectories()
    np.testing.assert_array_equal(found.values, TRAJECTORIES.values)
    np.testing.assert_array_equal(found.times, TRAJECTORIES.times)
    assert (found.unit, found.time_unit, found.channels) == ("kV/cm", "ms", ("Ex",))


@pytest.mark.parametrize("moment", ["next trial", "end"])
def test_an_error_of_the_streaming_thread_reaches_the_driver(create, tmp_path, moment):
    store = create(tmp_path / "x")
    index = arm(store)
    store._projection.flush()
    shutil.rmtree(tmp_path / "x" / "trials" / "state")
    (tmp_path / "x" / "trials" / "state").write_text("in the way")
    finish(store, index)
    if moment == "next trial":
        end = time.monotonic() + 10
        while store._projection._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.02)
        with pytest.raises(StoreError, match=r"cannot write the arrays of .*the journal is intact"):
            store.publish(index)
    with pytest.raises(StoreError, match=r"cannot write the arrays of .*the journal is intact"):
        store.release()
    assert not store.lock.is_held()
    assert CampaignStore.open(tmp_path / "x").history.trials[0].state is TrialState.COMPLETED


def test_a_payload_that_cannot_be_written_is_a_sentence(create, tmp_path):
    store = create(tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "trials" / "trajectory")
    (tmp_path / "x" / "trials" / "trajectory").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write trajectory of trial 0"):
        arm(store)
    assert store.history.trials == []


def test_events_that_contradict_the_history_are_refused(create, tmp_path):
    store = create(tmp_path / "x")
    with pytest.raises(JournalError, match="that trial was not armed"):
        finish(store, 0)
    store.release()


def test_a_trial_cannot_be_finished_twice(create, tmp_path):
    store = create(tmp_path / "x")
    finish(store, arm(store))
    with pytest.raises(JournalError, match="says trial 0 is failed, but that trial was not armed"):
        finish(store, 0, TrialState.FAILED)


def test_counts_incumbent_and_seconds_follow_the_events(create, tmp_path):
    store = create(tmp_path / "x")
    assert store.history.incumbent is None
    for state, objective in (
        (TrialState.COMPLETED, 1.0),
        (TrialState.QUARANTINED, 9.0),
        (TrialState.COMPLETED, 3.0),
        (TrialState.FAILED, np.nan),
    ):
        finish(store, arm(store), state, objective)
    arm(store)
    assert store.history.counts() == {"completed": 2, "quarantined": 1, "failed": 1, "armed": 1}
    assert (store.history.incumbent.trial, store.history.incumbent.objective) == (2, 3.0)
    assert store.history.told == [0, 2]
    assert 0 < store.history.seconds < 60
