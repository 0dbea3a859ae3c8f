"""The form of a new campaign in a real browser: what it shows is what it starts."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.client import Client

pytest.importorskip("playwright.sync_api", reason="playwright is an extra for development")
from playwright.sync_api import expect

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "service.md"
RAMPS = np.linspace(0.1, 1.0, 20)[:, None] * np.linspace(-1, 1, 30)
HILLS = np.linspace(0.5, 0.7, 14)[:, None] * np.hanning(40)
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def server(serving):
    """A server with the configuration of the documentation, but for a second file."""
    written = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
    named = "files: {recorded: pulses.npy}"
    assert named in written
    settings = written.replace(named, "files: {recorded: pulses.npy, smooth: hills.npy}")
    return serving("--no-auth", settings=settings, arrays={"pulses.npy": RAMPS, "hills.npy": HILLS})


@pytest.fixture
def form(server, opened):
    """The form as it opens, with the section of the latent model unfolded."""
    page = opened(f"{server.url}/#/new")
    page.locator("summary", has_text=re.compile("latent", re.IGNORECASE)).click()
    return page


def field(page, label):
    return page.get_by_label(label, exact=True)


def said(page):
    return page.get_by_role("region", name="Training trajectories").get_by_role("status")


def lines(page):
    return page.get_by_role("region", name="Training trajectories").locator("svg path.line")


def start(page, name):
    """Start a short campaign; return what the page sent."""
    field(page, "Name of the campaign").fill(name)
    field(page, "model").select_option("pca")
    field(page, "trials").fill("3")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/campaigns")) as waiting:
        page.get_by_role("button", name="Start campaign").click()
    return json.loads(waiting.value.post_data)["overrides"]


def test_a_form_that_nobody_touched_shows_the_family_and_starts_from_it(server, form):
    expect(field(form, "family")).to_have_value("damped_sinusoid")
    expect(field(form, "file")).to_have_value("")
    assert field(form, "file").locator("option").all_inner_texts() == ["none", "recorded", "smooth"]
    expect(said(form)).to_have_text("12 of the family's trajectories.")
    expect(lines(form)).to_have_count(12)
    # What has to be chosen offers no "none".
    assert "none" not in field(form, "model").locator("option").all_inner_texts()


@pytest.mark.parametrize(("name", "values"), [("recorded", RAMPS), pytest.param("smooth", HILLS, marks=pytest.mark.slow)])
def test_a_campaign_starts_from_the_recorded_trajectories_that_the_form_shows(server, form, name, values):
    field(form, "file").select_option(name)
    expect(field(form, "family")).to_have_value("")
    expect(said(form)).to_have_text(f"12 of the {len(values)} trajectories in {name}.")
    expect(lines(form)).to_have_count(12)
    sent = start(form, f"from-{name}")
    assert (sent["trajectories.family"], sent["trajectories.file"]) == (None, name)
    expect(form.get_by_role("heading", level=1)).to_have_text(f"from-{name}")
    with Client(server.url) as client:
        deadline = time.monotonic() + 90
        while client.campaign(f"from-{name}").n_trials < 1:
            assert time.monotonic() < deadline, client.campaign(f"from-{name}")
            time.sleep(0.1)
        found = client.campaign(f"from-{name}")
        assert found.configuration["trajectories"]["family"] is None
        assert len(found.times) == values.shape[1]


def test_family_file_and_box_take_each_other_back_and_the_preview_follows(form):
    field(form, "file").select_option("smooth")
    expect(said(form)).to_contain_text("in smooth")
    field(form, "family").select_option("lecture_sine")
    expect(field(form, "file")).to_have_value("")
    expect(said(form)).to_have_text("12 of the family's trajectories.")
    box = form.get_by_role("textbox", name="box", description="Named parameters")  # the latent model has a box too
    box.fill('{"amplitude": [0, 1]}')
    expect(field(form, "family")).to_have_value("")
    expect(said(form)).to_contain_text("there are no trajectories")
    expect(lines(form)).to_have_count(0)
    field(form, "file").select_option("recorded")
    expect(box).to_have_value("")
    expect(lines(form)).to_have_count(12)
    field(form, "file").select_option("none")
    expect(said(form)).to_contain_text("Choose a family or a file")
    expect(lines(form)).to_have_count(0)
