"""The live page in a real browser, before the real server and real campaigns."""

import re
import signal
import subprocess
import time

import pytest
from latentloop.loop.client import Client

pytest.importorskip("playwright.sync_api", reason="playwright is an extra for development")
from playwright.sync_api import expect

SLOW = {
    "evaluator.name": "slow",
    "evaluator.parameters": {},
    "objective.metric": "objective",
    "latent.model": {"name": "pca", "parameters": {"n_latent": 2}},
    "trajectories.n": 60,
}
"""Turns the preset quick into a campaign of 0.05 s a trial that starts at once."""
expect.set_options(timeout=30_000)
LOST = re.compile(
    "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONTENT_LENGTH_MISMATCH"
)


@pytest.fixture(scope="module")
def server(serving):
    return serving("--no-auth")


def create(server, name, **overrides):
    with Client(server.url) as client:
        client.create(name, preset="quick", overrides={**SLOW, **overrides})


def until(condition, seconds=30):
    """Wait for something that the page's policy does not let Playwright wait for by itself (it would evaluate a text)."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def n_rows(page):
    return page.locator("table.trials tbody tr").count()


def test_a_campaign_is_created_watched_paused_and_resumed(server, opened):
    page = opened(f"{server.url}/#/new")
    page.get_by_label("Name of the campaign").fill("from-the-page")
    for section in ("Evaluator", "Latent"):
        page.locator("summary", has_text=re.compile(section, re.IGNORECASE)).click()
    page.get_by_label("evaluator", exact=True).select_option("slow")
    page.get_by_label("model", exact=True).select_option("pca")
    page.get_by_label("metric", exact=True).fill("objective")
    page.get_by_label("trials", exact=True).fill("90")
    page.get_by_role("button", name="Start campaign").click()
    expect(page.locator(".headline .badge")).to_have_text("running")
    expect(page.locator(".board svg.main-svg").first).to_be_visible()
    expect(page.locator("table.trials tbody tr").nth(8)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".headline .badge")).to_have_text("paused")
    with Client(server.url) as client:
        seen = client.campaign("from-the-page").n_trials
        assert seen < 90
    expect(page.locator("table.trials tbody tr")).to_have_count(seen)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".headline .badge")).to_have_text("finished")
    expect(page.locator("table.trials tbody tr")).to_have_count(90)
    expect(page.locator(".facts")).to_contain_text("90 of 90")
    expect(page.locator(".facts")).to_contain_text("Ran for")


@pytest.mark.slow
def test_a_campaign_is_paused_while_it_starts_and_shows_its_figures_once_it_goes_on(server, opened):
    create(server, "early", **{"budget.trials": 12})
    page = opened(f"{server.url}/#/campaign/early")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".headline .badge")).to_have_text("paused")
    expect(page.locator(".facts")).to_contain_text("0 of 12")
    expect(page.get_by_text("Calibration of the surrogate")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".headline .badge")).to_have_text("finished")
    # The last of them is the latest picture, with what was expected of the trials, and one colour bar.
    bars = "() => [...document.querySelectorAll('.plot')].map(p => p.layout?.meta?.latentloop?.predicted ?? -1).some(n => n >= 0)"
    until(lambda: page.evaluate(bars))
    until(lambda: page.locator(".board .colorbar").count() == 1)


@pytest.mark.slow
def test_a_campaign_that_could_not_start_says_why_and_can_be_deleted(server, opened):
    create(server, "broken", **{"evaluator.name": "none"})
    page = opened(f"{server.url}/#/campaign/broken")
    expect(page.locator(".headline .badge")).to_have_text("failed")
    expect(page.locator(".reason")).to_contain_text("none_such")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_label("Type broken").fill("broken")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")
    expect(page.locator(".card", has_text="broken")).to_have_count(0)


@pytest.mark.slow
def test_the_figures_follow_without_being_drawn_anew_for_every_trial(server, opened):
    create(server, "followed", **{"budget.trials": 60})
    page = opened(f"{server.url}/#/campaign/followed")
    expect(page.locator(".headline .badge")).to_have_text("running")
    # Points of the trace are appended; the figure as a whole is asked for a few times only.
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "incumbent_trace" in request.url else None)
    expect(page.locator(".headline .badge")).to_have_text("finished")
    shown = "() => { const p = [...document.querySelectorAll('.plot')].find(p => p.layout?.meta?.latentloop?.kind === 'incumbent_trace');"
    shown += " return p ? p.data.filter(t => t.name === 'initial' || t.name === 'optimized').reduce((n, t) => n + t.x.length, 0) : 0; }"
    until(lambda: page.evaluate(shown) == 60)
    assert len(asked) < 15


def test_a_held_trial_is_vetoed_with_a_reason_approved_and_edited(server, opened):
    create(server, "asked-first", **{"budget.trials": 6, "safety.approval": "each"})
    page = opened(f"{server.url}/#/campaign/asked-first")
    attention = page.get_by_role("region", name="Needs a person")
    attention.get_by_role("button", name="Veto trial 0").click()
    page.get_by_role("dialog").get_by_role("button", name="Veto").click()
    expect(page.get_by_role("dialog")).to_contain_text("Reason is needed")
    page.get_by_role("dialog").get_by_label("Reason").fill("<img src=x onerror=alert(1)> too steep")
    page.keyboard.press("Enter")
    expect(page.locator("table.trials tbody tr[data-trial='0']")).to_contain_text("vetoed")
    expect(page.get_by_role("region", name="List of events")).to_contain_text("<img src=x onerror=alert(1)> too steep")
    assert page.locator("main img").count() == 0
    attention.get_by_role("button", name="Approve trial 1").click()
    expect(page.locator("table.trials tbody tr[data-trial='1']")).to_contain_text("completed")
    attention.get_by_role("button", name="Edit trial 2").click()
    first = page.locator(".steering output").first
    before = first.inner_text()
    handle = page.get_by_role("button", name="Point in the latent space")
    handle.press("ArrowRight")
    expect(first).not_to_have_text(before)
    handle.drag_to(page.locator(".stage"), target_position={"x": 260, "y": 260})
    expect(page.locator(".steering .chart path.chosen")).to_have_count(1)
    page.get_by_role("button", name="Replace trial 2").click()
    expect(page.get_by_role("region", name="List of events")).to_contain_text("trial 2 edited")


@pytest.mark.slow
def test_a_lost_connection_is_announced_and_nothing_is_missed(server, opened):
    create(server, "outlives", **{"budget.trials": 150})
    page = opened(f"{server.url}/#/campaign/outlives")
    opened.expected.append(LOST)
    expect(page.locator("table.trials tbody tr").nth(5)).to_be_visible()
    server.stop(signal.SIGKILL)
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#lost")).to_contain_text("connection")
    before = n_rows(page)
    server.start()
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("table.trials tbody tr").nth(before + 5)).to_be_visible()
    expect(page.locator(".headline .badge")).to_have_text("finished", timeout=60_000)
    # Newest on top, from the first to the last, each once.
    numbers = page.eval_on_selector_all("table.trials tbody tr", "rows => rows.map(row => Number(row.dataset.trial))")
    assert numbers == list(range(149, -1, -1))


@pytest.mark.slow
def test_what_needs_a_person_comes_first_among_all_campaigns(server, opened):
    page = opened(f"{server.url}/#/")
    create(server, "waits", **{"budget.trials": 3, "safety.approval": "each"})
    card = page.locator(".card", has_text="waits")
    expect(card).to_contain_text("1 held")
    expect(page.locator(".card.needy h2")).to_contain_text(["waits"])
    until(lambda: page.evaluate("document.querySelector('.card').classList.contains('needy')"))
    card.get_by_role("link").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("waits")


@pytest.mark.slow
def test_without_a_token_one_logs_in_and_a_viewer_cannot_act(serving, opened):
    server = serving()
    tokens = {}
    for role in ("viewer", "operator"):
        made = subprocess.run(
            [server.program, "token", "create", "--root", str(server.root), "--role", role],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        tokens[role] = made.stdout.split()[-1]
    with Client(server.url, tokens["operator"]) as client:
        client.create("shown", preset="quick", overrides={**SLOW, "budget.trials": 4, "safety.approval": "each"})
    page = opened(f"{server.url}/#/campaign/shown")
    page.get_by_label("Token").fill("not a token")
    assert [text for text in opened.said if text.startswith("error")] == [], "nothing is refused before anything was tried"
    opened.expected.append(re.compile("status of 40[13]"))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.get_by_label("Token").fill(tokens["viewer"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("shown")
    expect(page.get_by_role("region", name="Needs a person")).to_be_visible()
    for name in ("Pause", "Approve trial 0", "Add trial …", "Add note"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    # The service refuses what the page does not even offer, and says why.
    request = "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'}"
    refused = page.evaluate(f"fetch('/api/v1/campaigns/shown/pause', {request}).then(answer => answer.status)")
    assert refused == 403
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").fill(tokens["operator"])
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Approve trial 0").first.click()
    expect(page.locator("table.trials tbody tr[data-trial='0']")).to_contain_text("completed")
