"""The live page as people see it: accessible, with a quiet console, within the screen, in light and in dark."""

import shutil
import time

import pytest
from latentloop.loop.client import Client

pytest.importorskip("playwright.sync_api", reason="playwright is an extra for development")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is an extra for development")

LONG = "a-name-that-says-everything-about-the-sample-and-the-weather-17b"
VIEWS = {
    "campaigns": "#/",
    "campaign": "#/campaign/whole",
    "held": f"#/campaign/{LONG}/0",
    "compare": f"#/compare/whole/{LONG}",
    "new": "#/new",
    "login": "#/login",
    "missing": "#/nowhere",
    "damaged": "#/campaign/broken",
    "doubted": "#/campaign/doubted/3",
}
EMPTY = "empty"
"""The list of a server without a campaign."""


@pytest.fixture(scope="module")
def server(serving):
    server = serving("--no-auth")
    quick = {"latent.model": {"name": "pca", "parameters": {"n_latent": 2}}, "trajectories.n": 60, "budget.trials": 12}
    with Client(server.url) as client:
        client.create("whole", preset="quick", overrides=quick)
        client.create(LONG, preset="quick", overrides={**quick, "safety.approval": "each", "safety.bounds": {"amplitude": [-3, 3]}})
        deadline = time.monotonic() + 120
        eventful = {"evaluator.name": "eventful", "evaluator.parameters": {}, "objective.metric": "objective", "executor.workers": 1}
        client.create("doubted", preset="quick", overrides={**quick, **eventful, "objective.plausible": [-9, 9], "budget.trials": 6})
        while {client.campaign(name).state for name in ("whole", "doubted")} != {"finished"} or not client.campaign(LONG).needs.held:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert client.campaign("doubted").needs.quarantined == 1
        shutil.copytree(server.root / "whole", server.root / ".made")
        (server.root / ".made" / "journal" / "00000012.json").write_text("{}")
        (server.root / ".made").rename(server.root / "broken")
        while "broken" not in {each.name for each in client.campaigns()}:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert client.campaign("broken").state == "damaged"
    return server


@pytest.fixture(scope="module")
def empty_server(serving):
    return serving("--no-auth")


@pytest.fixture
def looked_at(server, empty_server):
    """Return a function that shows a view on a page; and whatever the console has said by the end fails the test."""
    said = []

    def look(page, view):
        page.on("console", lambda message: said.append((view, message.type, message.text)))
        page.on("pageerror", lambda error: said.append((view, "error", str(error))))
        if view == EMPTY:
            page.goto(f"{empty_server.url}/#/")
            page.wait_for_selector(".welcome h2")
        else:
            shown(page, server, view)

    yield look
    assert [each for each in said if each[1] not in ("verbose", "debug", "info")] == []


def shown(page, server, view):
    page.goto("about:blank")
    page.goto(f"{server.url}/{VIEWS[view]}")
    page.wait_for_selector("main h1")
    page.wait_for_selector("main[aria-busy]", state="detached")
    page.wait_for_load_state("load")
    if view in ("campaign", "compare"):
        page.wait_for_selector("svg.main-svg")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_hinders_anybody_seriously(looked_at, browser, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    found = []
    for view in (*VIEWS, EMPTY):
        page = context.new_page()
        page.set_default_timeout(60_000)
        looked_at(page, view)
        response = axe.Axe().run(page).response
        assert len(response["passes"]) > 5
        found += [
            (view, rule["id"], rule["nodes"][0]["html"][:200])
            for rule in response["violations"]
            if rule["impact"] in ("serious", "critical")
        ]
        page.close()
    context.close()
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_no_view_is_wider_than_the_screen(looked_at, browser, width):
    context = browser.new_context(viewport={"width": width, "height": 1000})
    for view in (*VIEWS, EMPTY):
        page = context.new_page()
        page.set_default_timeout(60_000)
        looked_at(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        page.close()
    context.close()


@pytest.mark.slow
def test_the_page_can_be_steered_without_a_mouse(server, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(60_000)
    shown(page, server, "held")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"))
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
    assert "Pause" in names
    assert "Approve trial 0" in names
    page.get_by_role("button", name="Veto trial 0").first.press("Enter")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    context.close()
