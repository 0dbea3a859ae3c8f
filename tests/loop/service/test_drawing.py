"""Figures as the studio draws them, from a snapshot of a campaign."""

import asyncio
import json

from latentloop.loop.service.drawing import draw
from latentloop.loop.service.snapshots import Snapshots
from latentloop.loop.service.watch import CampaignWatch


def drawn(path, name, number=None):
    """Return a figure of a campaign as its page gets it."""

    async def take():
        watch = CampaignWatch(path.name, path)
        await watch.ready()
        snapshot = await Snapshots().take(watch, number)
        watch.close()
        return snapshot

    return json.loads(draw(asyncio.run(take()), name, number))


def test_the_film_of_a_polarization_has_the_units_of_its_campaign(make_campaign, tmp_path):
    trajectories = {
        "family": {"name": "damped_sinusoid", "parameters": {"n_steps": 20, "n_times": 40}},
        "n": 40,
        "unit": "kV/cm",
        "time_unit": "ms",
        "channels": ["E"],
    }
    evaluator = {"name": "python", "parameters": {"target": "laboratory:film"}}
    make_campaign(tmp_path / "first", evaluator=evaluator, trajectories=trajectories, budget={"trials": 2})
    figure = drawn(tmp_path / "first", "polarization", 1)
    assert len(figure["frames"]) == 4
    said = json.dumps(figure["layout"])
    assert "kV/cm" in said
    assert "ms" in said
    assert "Ec" not in said
    assert "a.u." not in said


def test_figures_of_the_method_say_why_they_are_empty(make_campaign, tmp_path):
    make_campaign(tmp_path / "first", budget={"trials": 2})
    for name in ("calibration", "length_scales", "acquisition_surface"):
        assert "too few" in drawn(tmp_path / "first", name)["layout"]["meta"]["says"]


def test_drawing_where_to_measure_next_changes_nothing_that_is_kept(make_campaign, tmp_path):
    make_campaign(tmp_path / "first", budget={"trials": 6}, optimizer={"acquisition": "log_ei", "n_initial": 3})
    first = drawn(tmp_path / "first", "acquisition_surface")
    assert first["data"]
    assert drawn(tmp_path / "first", "acquisition_surface") == first
