"""What is said to a campaign before its driver listens is kept, and done first."""

import asyncio

import pytest
from latentloop.loop.service.wishes import Wishes
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.inbox import Command


@pytest.fixture
def slowly(reduced):
    return {**reduced, "evaluator": "slow", "budget": {"trials": 400}}


def test_a_campaign_that_is_paused_while_it_starts_measures_nothing_until_it_is_resumed(new_server, slowly, wait_until):
    server = new_server()
    with server.client("operator") as client:
        assert client.create("first", configuration=slowly).state == "starting"
        client.pause("first", "not yet")
        client.note("first", "said before it listened")
        wait_until(lambda: client.campaign("first").state == "paused")
        assert client.campaign("first").n_trials == 0
        assert [note["text"] for note in client.campaign("first").notes] == ["said before it listened"]
        client.resume("first")
        wait_until(lambda: client.campaign("first").n_trials > 0)
        client.stop("first")
        wait_until(lambda: client.campaign("first").state == "interrupted")


@pytest.mark.slow
def test_a_campaign_that_is_stopped_while_it_starts_or_starts_again_ends_before_its_next_trial(new_server, slowly, wait_until):
    server = new_server()
    with server.client("operator") as client:
        client.create("first", configuration=slowly)
        client.stop("first", "a mistake")
        wait_until(lambda: client.campaign("first").state == "interrupted")
        assert client.campaign("first").n_trials == 0
        assert "a mistake" in client.campaign("first").reason
        client.resume("first")
        client.stop("first", "once more")
        wait_until(lambda: client.campaign("first").state == "interrupted" and "once more" in client.campaign("first").reason)
        assert client.campaign("first").n_trials == 0
        CampaignStore.open(server.root / "first").inbox.drop(Command("stop", "somebody, to a driver that died before it heard"))
        client.resume("first")
        wait_until(lambda: client.campaign("first").n_trials > 0)
        client.stop("first")
        wait_until(lambda: client.campaign("first").state == "interrupted")
    assert CampaignStore.open(server.root / "first").history.epoch == 3
    assert not (server.root / ".latentloop" / "wishes" / "first").exists()


@pytest.mark.slow
def test_what_was_kept_outlives_the_server(new_server, slowly, wait_until):
    server = new_server()
    with server.client("operator") as client:
        client.create("first", configuration=slowly)
        client.stop("first", "a mistake")
        server.kill()
    server.start()
    with server.client("operator") as client:
        wait_until(lambda: client.campaign("first").state == "interrupted")
        assert client.campaign("first").reason == "a operator asked for it: a mistake"


def test_kept_commands_reach_the_inbox_in_their_order_once_there_is_one(tmp_path, make_campaign):
    wishes = Wishes(tmp_path)
    for text in ("one", "two"):
        wishes.keep("first", Command("note", "Ada", reason=text))
    assert wishes.names() == ["first"]

    async def carry():
        wishes.carry("first", lambda: True)
        await asyncio.sleep(0.2)
        assert wishes.has("first")  # there is no campaign yet
        await asyncio.to_thread(make_campaign, tmp_path / "first")
        while wishes.has("first"):
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(carry(), 60))
    store = CampaignStore.open(tmp_path / "first")
    noted = [note.text for note in store.history.notes]  # it may have listened still
    assert [*noted, *(command.reason for _, command in store.inbox.waiting())] == ["one", "two"]


def test_what_was_said_to_a_campaign_whose_driver_died_early_is_dropped(tmp_path):
    wishes = Wishes(tmp_path)
    wishes.keep("first", Command("pause", "Ada"))

    async def carry():
        wishes.carry("first", lambda: False)
        while wishes.has("first"):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(carry(), 20))
    assert wishes.names() == []
