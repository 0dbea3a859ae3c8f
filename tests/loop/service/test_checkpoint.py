"""What a server keeps of a journal: the same as the journal says, or nothing."""

import asyncio
import pickle
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.records import Trial
from latentloop.loop.service import checkpoint
from latentloop.loop.service.watch import CampaignWatch
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.history import History


@pytest.fixture
def few(monkeypatch):
    """Keep also what small campaigns say."""
    monkeypatch.setattr(checkpoint, "FEWEST_EVENTS", 1)


@pytest.fixture(scope="module")
def made(make_campaign, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "first"
    evaluator = {"name": "python", "parameters": {"target": "laboratory:moody", "kind": "physical"}}
    make_campaign(path, evaluator=evaluator, budget={"trials": 16})
    return path


@pytest.fixture
def campaign(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "first"))


def loaded(path, *, keep=False):
    """Return a watch that has read a campaign, and how many events it took from the checkpoint."""

    async def load():
        watch = CampaignWatch(path.name, path)
        await watch.ready()
        from_checkpoint = watch.checkpoint.n_events
        if keep:
            assert await watch.checkpoint.keep(watch)
        watch.close()
        return watch, from_checkpoint

    return asyncio.run(load())


def facts(watch):
    """Return all that a watch knows, as values that can be compared."""
    history = {each.name: getattr(watch.history, each.name) for each in fields(History) if each.name != "trials"}
    trials = [[np.asarray(getattr(trial, each.name)).tolist() for each in fields(Trial)] for trial in watch.history.trials]
    evidence = vars(watch.store.evidence)
    rest = (watch.events_of, watch.best_so_far, watch.workers, watch.n_measured, watch.seconds_measured, watch.kind)
    return repr((history, trials, evidence, rest))


@pytest.mark.usefixtures("few")
def test_a_checkpoint_says_what_the_journal_says(campaign):
    read, n = loaded(campaign, keep=True)
    assert n == 0
    kept, n = loaded(campaign)
    assert n == read.history.n_events > 10
    assert facts(kept) == facts(read)
    assert kept.kind == "physical"
    assert set(kept.history.counts()) > {"completed", "failed"}


@pytest.mark.usefixtures("few")
def test_what_came_after_a_checkpoint_is_read_from_the_journal(campaign):
    loaded(campaign, keep=True)
    store = CampaignStore.open(campaign)
    store.drive()
    store.append("noted", {"who": "somebody", "reason": "a new sample"})
    store.release()
    n_events = store.history.n_events
    kept, n = loaded(campaign)
    assert n == n_events - 1
    assert kept.history.n_events == n_events
    assert kept.history.notes[-1].text == "a new sample"
    shutil.rmtree(campaign.parent / ".latentloop")
    assert facts(kept) == facts(loaded(campaign)[0])


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("damage", ["cut", "altered", "code", "another campaign", "another end", "empty"])
def test_a_checkpoint_that_does_not_fit_is_passed_over(campaign, make_campaign, damage):
    read, _ = loaded(campaign, keep=True)
    path = read.checkpoint.path
    raw = path.read_bytes()
    if damage == "cut":
        path.write_bytes(raw[:-5])
    elif damage == "altered":
        path.write_bytes(raw[:200] + bytes([raw[200] ^ 1]) + raw[201:])
    elif damage == "code":
        path.write_bytes(checkpoint._block(_Touch(str(campaign.parent / "touched"))))
    elif damage == "another campaign":
        shutil.rmtree(campaign)
        make_campaign(campaign, budget={"trials": 8}, seed=9)
    elif damage == "another end":
        last = sorted((campaign / "journal").glob("0*.json"))[-1]
        last.unlink()
        last.with_name(f"{int(last.stem) - 1:08d}.json").unlink()
    else:
        path.write_bytes(b"")
    again, n = loaded(campaign)
    assert n == 0
    assert again.history.n_events == len(list((campaign / "journal").glob("0*.json")))
    assert not (campaign.parent / "touched").exists()


def test_the_kind_of_an_evaluator_is_what_its_driver_found(make_campaign, tmp_path):
    evaluator = {"name": "python", "parameters": {"target": "laboratory:Device"}}  # the class says it, the configuration does not
    make_campaign(tmp_path / "first", evaluator=evaluator, budget={"trials": 3})
    assert loaded(tmp_path / "first")[0].kind == "physical"


def test_small_campaigns_are_read_anew(campaign):
    watch, _ = loaded(campaign)
    assert not asyncio.run(watch.checkpoint.keep(watch))
    assert not watch.checkpoint.path.exists()


class _Touch:
    """Makes a file when it is unpickled by somebody careless."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_the_careless_would_have_run_code(tmp_path):
    pickle.loads(pickle.dumps(_Touch(str(tmp_path / "touched"))))
    assert (tmp_path / "touched").exists()
