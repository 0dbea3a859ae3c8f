"""A damaged campaign on the page: it comes first, says what can be done, and offers nothing that would be refused."""

import re
import shutil
import time

import pytest
from latentloop.loop.client import Client, ServiceError

pytest.importorskip("playwright.sync_api", reason="playwright is an extra for development")
from playwright.sync_api import expect

CALM = {
    "evaluator.name": "eventful",
    "evaluator.parameters": {},
    "objective.metric": "objective",
    "objective.plausible": [-9, 9],
    "latent.model": {"name": "pca", "parameters": {"n_latent": 2}},
    "trajectories.n": 60,
    "executor.workers": 1,
    "budget.trials": 9,
}
expect.set_options(timeout=30_000)
STEERING = re.compile("^(Add trial|Add note|Note|Resolve|Accept|Approve|Veto|Edit|Resume|Pause|Stop|Fork)")


@pytest.fixture(scope="module")
def server(serving):
    """A server with a finished campaign of which three trials need a person, and a copy with a damaged event in its midst."""
    server = serving("--no-auth")
    with Client(server.url) as client:
        client.create("sound", preset="quick", overrides=CALM)
        deadline = time.monotonic() + 120
        while client.campaign("sound").state != "finished":
            assert time.monotonic() < deadline, client.campaign("sound")
            time.sleep(0.1)
        made = server.root / ".made"
        shutil.copytree(server.root / "sound", made)
        # The event after the one that has made trial 1 unknown.
        server.damaged = next(event.number for event in client.events("sound") if event.kind == "unknown") + 1
        (made / "journal" / f"{server.damaged:08d}.json").write_text("{}")
        made.rename(server.root / "broken")
        while "broken" not in [each.name for each in client.campaigns()]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.campaign("broken").state == "damaged"
    return server


@pytest.mark.slow
def test_a_damaged_campaign_comes_first_among_those_that_need_a_person_and_says_why_to_the_end(server, opened):
    page = opened(f"{server.url}/#/")
    expect(page.get_by_text("2 campaigns, 0 running; 2 need a person.")).to_be_visible()
    assert page.locator(".card h2").all_inner_texts() == ["broken", "sound"]
    card = page.locator(".card.needy", has_text="broken")
    expect(card).to_contain_text("needs mending")
    reason = card.locator(".reason-line")
    expect(reason).to_contain_text("whoever runs this server can copy it back from a backup, or give up what follows")
    assert reason.evaluate("line => line.scrollHeight <= line.clientHeight + 1")


@pytest.mark.slow
def test_the_page_of_a_damaged_campaign_offers_nothing_that_would_be_refused_until_it_is_mended(server, opened):
    page = opened(f"{server.url}/#/campaign/broken")
    opened.expected.append(re.compile("status of 4"))
    expect(page.locator(".headline .badge")).to_have_text("damaged")
    expect(page.locator(".reason")).to_contain_text("give up what follows")
    expect(page.get_by_role("region", name="Needs a person")).to_contain_text("1 trial waits")
    facts = page.locator(".facts")
    expect(facts).to_contain_text("2 of 9")
    expect(facts).to_contain_text("Ran for")
    expect(facts).to_contain_text("it cannot go on")
    expect(facts).not_to_contain_text("done")
    expect(page.locator(".trial-title")).to_contain_text("Trial 0")
    expect(page.get_by_role("button", name=STEERING)).to_have_count(0)
    with Client(server.url) as client:
        for steer in (lambda: client.note("broken", "x"), lambda: client.fork("broken", 1, "child")):
            with pytest.raises(ServiceError, match="give up what follows"):
                steer()
    event = f"journal/{server.damaged:08d}.json"
    shutil.copy(server.root / "sound" / event, server.root / "broken" / event)
    expect(page.locator(".headline .badge")).to_have_text("finished")
    for name in ("Add trial …", "Add note", "Fork …", re.compile("^Note trial"), "Resolve trial 1"):
        expect(page.get_by_role("button", name=name).first).to_be_visible()
    expect(facts).to_contain_text("9 of 9")
