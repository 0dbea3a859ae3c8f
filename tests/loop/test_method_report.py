"""The report's figures that judge the method, and the command that suggests a latent dimension."""

import subprocess

import numpy as np
import pytest
import yaml
from latentloop import run_campaign
from latentloop.loop.errors import ConfigError, StoreError
from latentloop.loop.ground_truth import measure_ground_truth, write_ground_truth_files
from latentloop.loop.method_figures import suggest_dimension
from latentloop.loop.report import report_content, write_report
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.trajectory_source import load_trajectories

METHOD = {"optimizer": {"acquisition": "log_ei", "n_initial": 5}, "budget": {"trials": 14}}


def figures(path, truth=None):
    return {figure.heading: figure for figure in report_content(CampaignStore.open(path), truth).figures}


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_a_report_judges_its_own_method(config, tmp_path, goal):
    run_campaign(config(objective={"goal": goal}, **METHOD), tmp_path / "x")
    found = figures(tmp_path / "x")
    for heading in ("Calibration of the surrogate", "Length scales over the campaign", "Where to measure next", "Latent dimensions"):
        assert found[heading].figure is not None, heading
    history = CampaignStore.open(tmp_path / "x").history
    (drawn,) = [
        trace
        for trace in found["Calibration of the surrogate"].figure.data
        if trace.mode == "markers" and trace.x is not None and len(trace.x) == 14
    ][:1]
    np.testing.assert_allclose(sorted(drawn.x), sorted(trial.objective for trial in history.trials))
    assert np.corrcoef(drawn.x, drawn.y)[0, 1] > 0.5  # predictions follow the measurements, and not their negatives


def test_a_ground_truth_is_shown_beside_the_surrogate(config, tmp_path):
    made = config(**METHOD)
    run_campaign(made, tmp_path / "x")
    write_ground_truth_files(measure_ground_truth(made, 15), made, tmp_path / "truth.zarr")
    found = figures(tmp_path / "x", str(tmp_path / "truth.zarr"))["Ground truth beside the surrogate"]
    assert found.figure is not None
    assert "14 measurements" in found.explanation
    assert "225 points" in found.explanation
    write_report(tmp_path / "x", tmp_path / "x.html", tmp_path / "truth.zarr")
    assert "Ground truth beside the surrogate" in (tmp_path / "x.html").read_text()


def test_a_ground_truth_of_another_problem_is_refused(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "x")
    other = config(seed=4)
    write_ground_truth_files(measure_ground_truth(other, 3), other, tmp_path / "truth.zarr")
    with pytest.raises(ConfigError, match="was measured with another `seed`"):
        figures(tmp_path / "x", str(tmp_path / "truth.zarr"))
    with pytest.raises(StoreError, match="is not a ground truth"):
        figures(tmp_path / "x", str(tmp_path / "x"))


def test_a_young_campaign_says_what_it_cannot_show_yet(config, tmp_path):
    run_campaign(config(budget={"trials": 2}), tmp_path / "x")
    found = figures(tmp_path / "x")
    for heading in ("Calibration of the surrogate", "Length scales over the campaign", "Where to measure next"):
        assert found[heading].figure is None
        assert "too few" in found[heading].absent


def test_a_failing_campaign_still_has_a_report(config, tmp_path, target):
    run_campaign(config(objective={"metric": "missing"}, budget={"trials": 3}, **target("pictures")), tmp_path / "x")
    assert figures(tmp_path / "x")["Where to measure next"].figure is None


def test_the_suggested_dimension_is_that_of_the_data(config):
    made = config(trajectories={"n": 300})
    values = load_trajectories(made).values
    found = suggest_dimension(made, load_trajectories(made))
    shares = np.sort(np.linalg.eigvalsh(np.cov(values.T)))[::-1].cumsum() / np.trace(np.cov(values.T))
    assert shares[found.n_suggested - 1] >= 0.95 > shares[found.n_suggested - 2]
    centred = values - values.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    kept = axes[: found.n_suggested]
    error = np.sqrt(((centred - centred @ kept.T @ kept) ** 2).mean())
    assert found.sigma_suggested == pytest.approx(error, rel=0.01)


def test_the_noise_of_a_scaled_vae_counts_in_units_of_the_trajectories(config):
    plain = config(latent={"model": {"name": "vae", "parameters": {"n_latent": 2, "sigma": 0.2}}})
    scaled = config(latent={"model": {"name": "vae", "parameters": {"n_latent": 2, "sigma": 0.2, "scaling": "range"}}})
    known = load_trajectories(plain)
    assert suggest_dimension(plain, known).sigma == 0.2
    assert suggest_dimension(scaled, known).sigma == pytest.approx(0.2 * np.ptp(known.values) / 2)


def test_the_command_prints_the_suggestion_and_writes_the_figure(mapping, command, tmp_path):
    program, environment = command
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(mapping()))
    done = subprocess.run(
        [program, "latent", "c.yaml", "-o", "out.html"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "suggested:" in done.stdout
    assert "configured: 2 latent dimensions" in done.stdout
    assert "plotly" in (tmp_path / "out.html").read_text()
    refused = subprocess.run(
        [program, "latent", "ferrosim-parameters"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "no latent space" in refused.stderr
