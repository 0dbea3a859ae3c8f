"""What people do to campaigns on the page, each in a real browser before the real server: every button, and what it comes to."""

import csv
import re
import time
import zipfile

import pytest
from latentloop.loop.client import Client, ServiceError

pytest.importorskip("playwright.sync_api", reason="playwright is an extra for development")
from playwright.sync_api import expect

CALM = {
    "evaluator.name": "slow",
    "evaluator.parameters": {},
    "objective.metric": "objective",
    "latent.model": {"name": "pca", "parameters": {"n_latent": 2}},
    "trajectories.n": 60,
}
"""Turns the preset quick into a campaign of 0.05 s a trial that starts at once."""
EVENTFUL = {**CALM, "evaluator.name": "eventful", "objective.plausible": [-9, 9], "budget.trials": 6, "executor.workers": 1}
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def server(serving):
    return serving("--no-auth")


def create(server, name, until="finished", **overrides):
    """Create a campaign and wait until it is in a state."""
    with Client(server.url) as client:
        client.create(name, preset="quick", overrides={**CALM, **overrides})
        deadline = time.monotonic() + 120
        while client.campaign(name).state != until:
            assert time.monotonic() < deadline, client.campaign(name)
            time.sleep(0.1)


def answer(page, button, refused="", **fields):
    """Fill the open dialog's fields and press its button; ``refused``: what the dialog has against that."""
    dialog = page.get_by_role("dialog")
    for label, text in fields.items():
        control = dialog.get_by_label(label.replace("_", " "))
        if control.evaluate("control => control.tagName") == "SELECT":
            control.select_option(text)
        else:
            control.fill(text)
    dialog.get_by_role("button", name=button).click()
    if refused:
        expect(dialog.get_by_role("alert")).to_contain_text(refused)
    else:
        expect(dialog).to_have_count(0)


def row(page, trial):
    return page.locator(f"table.trials tbody tr[data-trial='{trial}']")


def events(page):
    return page.get_by_role("region", name="List of events")


def test_a_person_resolves_what_is_unknown_accepts_what_is_doubted_and_leaves_notes(server, opened):
    create(server, "eventful", **EVENTFUL)
    page = opened(f"{server.url}/#/campaign/eventful")
    attention = page.get_by_role("region", name="Needs a person")
    expect(attention).to_contain_text("3 trials wait for a decision")
    attention.get_by_role("button", name="Accept trial 3").click()
    answer(page, "Accept", Reason="it is the resonance")
    expect(row(page, 3)).to_contain_text("completed")
    expect(page.locator(".facts")).to_contain_text("11")
    expect(page.locator(".facts")).to_contain_text("trial 3")
    expect(events(page)).to_contain_text("it is the resonance")
    attention.get_by_role("button", name="Resolve trial 1").click()
    answer(page, "Resolve", Outcome="completed", refused="Write down the value of objective")
    expect(row(page, 1)).to_contain_text("unknown")
    answer(page, "Resolve", Outcome="completed", Value_of_objective="-0.25", Reason="read off the scope")
    expect(row(page, 1)).to_contain_text("−0.25")
    attention.get_by_role("button", name="Resolve trial 2").click()
    answer(page, "Resolve", Outcome="failed", Reason="the plug was out")
    expect(row(page, 2)).to_contain_text("the plug was out")
    expect(attention).to_be_hidden()
    expect(page.locator(".notice", has_text="Trial 2 resolved.")).to_be_visible()
    page.get_by_label("Note for the journal").fill("the sample was turned")
    page.get_by_label("Note for the journal").press("Enter")
    expect(events(page)).to_contain_text("the sample was turned")
    row(page, 0).get_by_role("button").click()
    trial = page.get_by_role("region", name="Trial", exact=True)
    trial.get_by_role("button", name="Note trial 0").click()
    answer(page, "Add note", Note="a door was slammed")
    expect(trial).to_contain_text("a door was slammed")
    with Client(server.url) as client:
        found = {trial.number: (trial.state, trial.objective) for trial in client.trials("eventful")}
    assert found[1] == ("completed", -0.25)
    assert found[2][0] == "failed"
    assert found[3] == ("completed", 11.0)


@pytest.mark.slow
def test_what_nobody_knows_is_measured_again_when_somebody_says_that_it_did_not_fire(server, opened):
    create(server, "again", **EVENTFUL)
    page = opened(f"{server.url}/#/campaign/again")
    page.get_by_role("button", name="Resolve trial 2").first.click()
    answer(page, "Resolve", Outcome="repeat")
    expect(events(page)).to_contain_text("resolved")
    with Client(server.url) as client:
        assert client.campaign("again").needs.unknown == 1


@pytest.mark.slow
def test_a_running_campaign_is_given_a_trial_by_hand_and_is_stopped_with_a_reason(server, opened):
    create(server, "by-hand", "running", **{"budget.trials": 400})
    page = opened(f"{server.url}/#/campaign/by-hand")
    expect(page.locator("table.trials tbody tr").nth(9)).to_be_visible()
    page.get_by_role("button", name="Add trial …").click()
    steering = page.get_by_role("region", name="Steer by hand")
    expect(steering.locator("path.chosen")).to_have_count(1)
    steering.get_by_role("slider").first.press("End")
    steering.get_by_label("Reason").fill("the far corner")
    steering.get_by_role("button", name="Add trial").click()
    expect(page.locator(".notice.good")).to_contain_text("queue")
    expect(steering).to_be_hidden()
    page.get_by_role("button", name="Stop …").click()
    answer(page, "Stop", Reason="lunch")
    expect(page.locator(".headline .badge")).not_to_have_text("running")
    expect(page.get_by_role("button", name="Stop …")).to_have_count(0)
    expect(events(page)).to_contain_text("lunch")
    with Client(server.url) as client:
        trials = list(client.trials("by-hand"))
        found = client.campaign("by-hand")
    assert found.n_trials < 400
    proposed = [trial for trial in trials if trial.acquisition not in ("initial", "log_ei")]
    assert len(proposed) == 1
    assert proposed[0].state == "completed"
    assert proposed[0].z[0] == pytest.approx(found.box[0][1])


@pytest.mark.slow
def test_a_campaign_is_forked_and_the_fork_deleted_only_by_who_repeats_its_name(server, opened):
    create(server, "parent", **{"budget.trials": 12})
    page = opened(f"{server.url}/#/campaign/parent")
    opened.expected.append(re.compile("status of 4"))
    page.get_by_role("button", name="Fork …").click()
    answer(page, "Fork", Name_of_the_new_campaign="child", Keep_trials_before_number="7")
    expect(page.get_by_role("heading", level=1)).to_have_text("child")
    expect(page.locator("table.trials tbody tr")).to_have_count(7)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".headline .badge")).to_have_text("finished", timeout=60_000)
    expect(page.locator("table.trials tbody tr")).to_have_count(12)
    page.get_by_role("button", name="Delete …").click()
    answer(page, "Delete for good", Type_child_to_confirm="parent", refused="That is not its name")
    answer(page, "Delete for good", Type_child_to_confirm="child")
    expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")
    expect(page.locator(".card", has_text="parent")).to_have_count(1)
    expect(page.locator(".card", has_text="child")).to_have_count(0)
    with Client(server.url) as client, pytest.raises(ServiceError, match="no campaign 'child'"):
        client.campaign("child")


@pytest.mark.slow
def test_the_latent_space_shows_trajectories_trials_and_other_surfaces(server, opened):
    create(server, "mapped", **{"budget.trials": 14})
    page = opened(f"{server.url}/#/campaign/mapped")
    space = page.get_by_role("region", name="Latent space")
    expect(space.locator("svg.main-svg").first).to_be_visible()
    points = space.locator(".plot g.scatterlayer .trace path.point")
    expect(points.nth(10)).to_be_visible()
    shown = "kind => { const p = document.querySelector('.stage .plot'), r = p.layout.meta.latentloop.layers;"
    shown += " return Object.keys(r).filter(key => p.data[r[key]].visible === true || p.data[r[key]].visible === undefined).join(); }"
    for layer in ("Uncertainty", "Acquisition", "Mean"):
        space.get_by_role("button", name=layer).click()
        expect(space.get_by_role("button", name=layer)).to_have_attribute("aria-pressed", "true")
        deadline = time.monotonic() + 20
        while page.evaluate(shown) != layer.lower():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    # A trial that is not the best one, where no other point lies on top of it.
    place = page.evaluate(
        """() => {
          const plot = document.querySelector('.stage .plot'), roles = plot.layout.meta.latentloop, box = plot.getBoundingClientRect();
          const {xaxis, yaxis} = plot._fullLayout, trace = plot.data[roles.trials], best = plot.data[roles.incumbent].customdata;
          const at = trace.customdata.map((n, k) => [n, xaxis._offset + xaxis.d2p(trace.x[k]), yaxis._offset + yaxis.d2p(trace.y[k])]);
          const far = ([n, x, y]) => Math.min(...at.filter(o => o[0] !== n).map(o => Math.hypot(o[1] - x, o[2] - y)));
          const [n, x, y] = at.filter(o => !best.includes(o[0])).sort((a, b) => far(b) - far(a))[0];
          return [n, x, y];
        }"""
    )
    plot = space.locator(".stage .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + place[1] - 3, box["y"] + place[2])
    page.mouse.move(box["x"] + place[1], box["y"] + place[2], steps=4)
    expect(space.locator(".bubble")).to_contain_text(f"Trial {place[0]}")
    expect(space.locator(".bubble svg path.line")).to_have_count(1)
    page.mouse.click(box["x"] + place[1], box["y"] + place[2])
    expect(page.locator(".trial-title")).to_contain_text(f"Trial {place[0]} ")
    expect(row(page, place[0])).to_have_class(re.compile("chosen"))


@pytest.mark.slow
def test_everything_can_be_taken_home(server, opened, tmp_path):
    create(server, "taken", **{"budget.trials": 5})
    page = opened(f"{server.url}/#/campaign/taken")
    for label, name in (("Trials as CSV", "trials.csv"), ("Whole store (Zarr)", "store.zip"), ("Report (HTML)", "report.html")):
        with page.expect_download(timeout=120_000) as waiting:
            page.get_by_role("link", name=label).click()
        waiting.value.save_as(tmp_path / name)
    with (tmp_path / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5
    with zipfile.ZipFile(tmp_path / "store.zip") as file:
        assert file.testzip() is None
        assert any("journal/" in name for name in file.namelist())
    assert "taken" in (tmp_path / "report.html").read_text() or "quick" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_campaigns_are_compared_and_their_differences_listed(server, opened):
    create(server, "one", **{"budget.trials": 10})
    create(server, "other", **{"budget.trials": 10, "optimizer.acquisition": {"name": "random", "parameters": {}}})
    page = opened(f"{server.url}/#/compare")
    expect(page.get_by_text("Choose two or more campaigns.")).to_be_visible()
    page.get_by_role("checkbox", name=re.compile("^one ")).check()
    page.get_by_role("checkbox", name=re.compile("^other ")).check()
    expect(page.locator(".board svg.main-svg").nth(2)).to_be_visible()
    assert page.url.endswith("#/compare/one/other")
    differences = page.get_by_role("region", name="Differences")
    expect(differences).to_contain_text("log_ei")
    expect(differences).to_contain_text("random")
    page.get_by_role("checkbox", name=re.compile("^other ")).uncheck()
    expect(page.get_by_text("Choose two or more campaigns.")).to_be_visible()
    expect(page.locator(".board svg.main-svg")).to_have_count(0)
