"""Replay derives every proposal again from the journal alone, and finds the first that differs."""

import json
import shutil

import numpy as np
import pytest
import xarray
from latentloop import open_campaign, run_campaign
from latentloop.loop.controller import StopFlag
from latentloop.loop.environment import environment
from latentloop.loop.replay import replay
from latentloop.loop.run import SilentObserver
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inspection import inspect_columns, inspect_metadata
from latentloop.loop.store.journal import Event, decode, encode
from latentloop.loop.store.layout import LATER

METHOD = {"optimizer": {"acquisition": "log_ei", "n_initial": 3}, "budget": {"trials": 7}}


class StopAfter(SilentObserver):
    def __init__(self, n):
        self.flag, self._n = StopFlag(), n

    def trial(self, trial, history):
        if trial.number + 1 >= self._n:
            self.flag.set()


def rewritten(store, change):
    """Change the data of events, with their checksums."""
    for path in sorted((store / "journal").glob("0*.json")):
        event = decode(int(path.stem), path.read_bytes())
        data = json.loads(json.dumps(dict(event.data)))
        if change(event.kind, data):
            path.write_bytes(encode(Event(event.number, event.time, event.kind, data)))


def moved(trial, by):
    def change(kind, data):
        if kind == "armed" and data["trial"] == trial:
            data["z"][1] += by
            return True
        return False

    return change


def test_a_campaign_is_derived_again_to_the_last_bit(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    found = replay(tmp_path / "x")
    assert (found.n_proposals, found.n_exact, found.n_others, found.first) == (7, 7, 0, None)
    assert found.other_environment == ()
    assert "7 proposals, to the last bit" in found.sentence


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_one_that_was_interrupted_resumed_and_batched_is_too(config, tmp_path, batch):
    watcher = StopAfter(4)
    run_campaign(config(executor={"batch": batch}, **METHOD), tmp_path / "x", observer=watcher, should_stop=watcher.flag)
    assert replay(tmp_path / "x").first is None
    open_campaign(tmp_path / "x", trials=9)
    assert replay(tmp_path / "x").n_exact == 9


def test_trials_that_failed_were_quarantined_or_refused_are_derived_too(config, tmp_path, target):
    moody = config(optimizer={"acquisition": "log_ei", "n_initial": 5}, budget={"trials": 12}, **target("moody"))
    run_campaign(moody, tmp_path / "moody")
    assert replay(tmp_path / "moody").n_exact == 12
    tight = config(**METHOD, safety={"units": {"value": "V"}, "bounds": {"amplitude": [-0.9, 0.9]}})
    run_campaign(tight, tmp_path / "tight")
    assert CampaignStore.open(tmp_path / "tight").history.counts()["refused"] > 0
    assert replay(tmp_path / "tight").n_exact == 7


def test_the_first_difference_is_named_with_trial_coordinate_and_size(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    rewritten(tmp_path / "x", moved(5, 1e-13))
    found = replay(tmp_path / "x")
    assert found.first is not None
    assert (found.first.trial, found.first.what) == (5, "z[1]")
    assert 0 < found.first.size < 1e-12
    assert "trial 5: z[1] is" in found.sentence
    assert found.n_exact == 5


def test_elsewhere_a_tolerance_decides_and_is_told(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")

    def other_machine(kind, data):
        if kind == "started":
            data["environment"]["processor"] = "an abacus"
            return True
        return moved(5, 1e-13)(kind, data)

    rewritten(tmp_path / "x", other_machine)
    found = replay(tmp_path / "x")
    assert found.first is None
    assert found.n_exact == 5  # the one after it follows from it
    assert 0 < found.largest < 1e-9
    assert "instead of an abacus" in found.sentence
    assert replay(tmp_path / "x", tolerance=1e-15).first is not None


def test_what_the_last_bits_depend_on_is_recorded_with_every_session(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    started = [event for event in CampaignStore.open(tmp_path / "x").journal.read() if event.kind == "started"]
    assert started[0].data["environment"] == environment(1)
    assert {"processor", "threads", "numpy", "scipy", "torch"} <= set(environment(1))


def test_a_prediction_that_is_not_the_recorded_one_is_a_difference(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")

    def doubled(kind, data):
        if kind == "armed" and data["trial"] == 5:
            data["predicted_error"] *= 2
            return True
        return False

    rewritten(tmp_path / "x", doubled)
    found = replay(tmp_path / "x").first
    assert (found.trial, found.what) == (5, "predicted error")


def test_a_store_of_a_release_without_predictions_is_whole_is_derived_again_and_goes_on(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")

    def earlier(kind, data):
        return [data.pop(name, None) for name in LATER] if kind == "armed" else False

    rewritten(tmp_path / "x", earlier)
    for name in LATER:
        shutil.rmtree(tmp_path / "x" / "trials" / name)
    store = CampaignStore.open(tmp_path / "x")
    assert all(np.isnan(trial.predicted_objective) for trial in store.history.trials)
    assert [*inspect_metadata(store), *inspect_columns(store)] == []
    assert replay(tmp_path / "x").n_exact == 7
    history = open_campaign(tmp_path / "x", trials=9)
    with xarray.open_zarr(tmp_path / "x", group="trials", consolidated=False) as found:
        assert np.isnan(found.predicted_objective.values[:7]).all()
        assert found.predicted_objective.values[7:].tolist() == [trial.predicted_objective for trial in history.trials[7:]]
        assert np.isfinite(found.predicted_error.values[7:]).all()
    assert replay(tmp_path / "x").n_exact == 9
    store = CampaignStore.open(tmp_path / "x")
    assert [*inspect_metadata(store), *inspect_columns(store)] == []
