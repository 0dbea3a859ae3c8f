"""The original program's own runs, reproduced by the plain NumPy reference and by the kernel."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters, curl, reference, total_polarization
from latentloop.simulators.ferrosim.observables import curl_map
from latentloop.simulators.trajectories import published_trajectories

DATA = Path(__file__).parents[1] / "data" / "ferrosim"
CASES = json.loads((DATA / "reference_runs.json").read_text())
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def runs():
    with np.load(DATA / "reference_runs.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def row512():
    with np.load(DATA / "published_row512.npz") as archive:
        return dict(archive)


def golden_case(runs, name):
    """Parameters, field and expected arrays of one case."""
    case = {key.split("/")[1]: value for key, value in runs.items() if key.startswith(f"{name}/")}
    parameters = FerroSimParameters(
        lattice_size=CASES[name]["n"],
        mode=CASES[name]["mode"],
        landau=tuple(case["landau"]),
        coupling=case["coupling"],
        depolarization=case["depolarization"],
        kinetic_coefficient=float(case["kinetic_coefficient"]),
        random_field=case["random_field_in_Ec"],
        initial_polarization=case["initial_polarization"],
        times=case["time"],
        neighbour_radius=float(case["neighbour_radius"]),
        update=CASES[name]["update"],
        update_seed=CASES[name]["numpy_legacy_seed"],
    )
    return parameters, case["applied_field_in_Ec"], case


def held(trajectories):
    """The published experiment: 150 Ec along x, the last value held for 50 steps."""
    field = np.zeros((len(trajectories), 950, 2))
    field[:, :900, 0] = 150 * trajectories
    field[:, 900:, 0] = 150 * trajectories[:, -1:]
    return field


@pytest.mark.parametrize("name", CASES)
def test_the_coercive_field_is_that_of_the_original(runs, name):
    parameters, _, case = golden_case(runs, name)
    assert parameters.coercive_field == pytest.approx(float(case["coercive_field"]), rel=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_the_reference_reproduces_the_original(runs, name):
    parameters, field, case = golden_case(runs, name)
    states, totals = reference.simulate(parameters, field)
    np.testing.assert_allclose(states[::10], case["polarization_every_10th"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(states[-1], case["polarization_last"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(totals, case["total_polarization"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_reproduces_the_original(runs, name):
    parameters, field, case = golden_case(runs, name)
    history = FerroSim(parameters).simulate(field, frames_every=10)
    np.testing.assert_allclose(history.frames[0], case["polarization_every_10th"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(history.polarization[0], case["polarization_last"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(history.total_polarization[0], case["total_polarization"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_the_curl_of_every_site_is_that_of_the_original(runs, name):
    _, _, case = golden_case(runs, name)
    np.testing.assert_allclose(curl_map(case["polarization_last"]), case["curl_last"], rtol=0, atol=TOLERANCE)
    assert curl(case["polarization_last"]) == pytest.approx(np.abs(case["curl_last"]).sum(), rel=1e-13)


def test_the_published_model_has_the_published_defects(row512):
    parameters = FerroSimParameters.published()
    np.testing.assert_array_equal(parameters.random_field, row512["random_field_in_Ec"])
    assert (np.abs(parameters.random_field).sum(axis=-1) > 0).sum() == 33
    np.testing.assert_array_equal(parameters.times, np.linspace(0, 4, 1200)[:950])


def test_the_published_row_512_comes_out_as_published(row512):
    history = FerroSim(FerroSimParameters.published()).simulate(held(row512["row512/trajectory"][None])[0])
    assert history.polarization.shape == (1, 20, 20, 2)
    np.testing.assert_allclose(history.polarization[0], row512["row512/final"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(history.total_polarization[0], row512["row512/tot"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(history.total_polarization[0, 1], [46.69407778, 0.73501264], atol=5e-9)
    np.testing.assert_allclose(curl(history.polarization), [9.8067], atol=5e-5)
    np.testing.assert_allclose(curl(history.polarization)[0], row512["row512/curl"], atol=1e-12)


def test_the_reference_gives_the_published_row_512(row512):
    states, totals = reference.simulate(FerroSimParameters.published(), held(row512["row512/trajectory"][None])[0])
    np.testing.assert_allclose(states[-1], row512["row512/final"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(totals, row512["row512/tot"], rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_over_all_published_trajectories_the_curl_runs_from_7_52_to_14_78():
    values = curl(FerroSim(FerroSimParameters.published()).simulate(held(published_trajectories())).polarization)
    np.testing.assert_allclose([values.min(), values.max(), values.mean(), values.std()], [7.52, 14.78, 9.85, 0.931], atol=5e-3)


def test_the_total_polarization_of_a_synchronous_run_is_that_of_its_last_state(runs):
    parameters, field, _ = golden_case(runs, "tetragonal_sync")
    history = FerroSim(parameters).simulate(field)
    np.testing.assert_allclose(total_polarization(history.polarization)[0], history.total_polarization[0, -1], atol=1e-12)


def test_frames_do_not_change_the_run(runs):
    for name in ("tetragonal_sync", "tetragonal_random_sites"):
        parameters, field, _ = golden_case(runs, name)
        plain, framed = (FerroSim(parameters).simulate(field, frames_every=k) for k in (None, 7))
        np.testing.assert_array_equal(plain.polarization, framed.polarization)
        assert plain.frames is None
        assert framed.frames.shape == (1, 29, 8, 8, 2)
        np.testing.assert_array_equal(framed.frame_times, parameters.times[::7])
        np.testing.assert_array_equal(FerroSim(parameters).simulate(field, frames_every=1).frames[:, ::7], framed.frames)


def test_a_seed_changes_the_sites_that_move(runs):
    parameters, field, _ = golden_case(runs, "tetragonal_random_sites")
    one, other = (FerroSim(replace(parameters, update_seed=s)).simulate(field).polarization for s in (1, 2))
    assert not np.array_equal(one, other)
