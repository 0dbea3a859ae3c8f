"""The preset for trying out does its whole job in seconds, here and on Ray."""

import json
import re
import time

import pytest
import xarray


def test_quick_takes_less_than_20_seconds_and_leaves_a_self_contained_report(call, tmp_path):
    start = time.monotonic()
    said = call("run", "quick", "--store", tmp_path / "x", "--report", tmp_path / "x.html")
    assert time.monotonic() - start < 60  # 20 on a machine of one's own; the campaign itself is held to it below
    facts = json.loads(call("status", tmp_path / "x", "--json"))
    assert facts["seconds"] < 20
    assert (facts["state"], facts["n_trials"], facts["counts"]) == ("finished", 24, {"completed": 24})
    assert f"incumbent: {facts['incumbent']['objective']:.6g}" in said
    with xarray.open_zarr(tmp_path / "x", group="trials", consolidated=False) as found:
        assert facts["incumbent"]["objective"] == float(found.objective.max())
        initial = found.objective.values[:8].max()
        assert facts["incumbent"]["objective"] > initial  # it optimizes
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert not re.search(r"""<(script|link|img|iframe)[^>]*\b(src|href)=["'](?!data:|#)""", page)
    for words in (
        "Objective against trial",
        "Latent space",
        "Decoded trajectories",
        "Best trajectory",
        "Polarization",
        "Training of the latent model",
    ):
        assert words in page
    assert "n_initial: 8" in page


@pytest.mark.slow
def test_local_and_ray_measure_the_same_trials_up_to_their_order(call, tmp_path):
    found = {}
    for executor in ("local", "ray"):
        store = tmp_path / executor
        call("run", "quick", "--store", store, "--executor", executor, "--set", "acquisition=random", "--trials", 16)
        with xarray.open_zarr(store, group="trials", consolidated=False) as arrays:
            found[executor] = {z.tobytes(): value for z, value in zip(arrays.z.values, arrays.objective.values, strict=True)}
    assert len(found["local"]) == 16
    assert found["local"] == found["ray"]
