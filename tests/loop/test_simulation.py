"""FerroSIM on many trajectories, and as a test function."""

import numpy as np
import pytest
import torch
from latentloop import FerroSim, FerroSimParameters, simulate_many
from latentloop.loop import simulation
from latentloop.loop.config import load_config
from latentloop.loop.errors import ConfigError, StoreError
from latentloop.loop.ground_truth import measure_ground_truth
from latentloop.loop.problem import FerroSimProblem
from latentloop.loop.run import run_campaign
from latentloop.simulators.errors import TrajectoryError
from latentloop.simulators.ferrosim import curl

PARAMETERS = FerroSimParameters(lattice_size=6, times=np.linspace(0.0, 0.3, 61))


def fields(n):
    strengths = np.random.default_rng(5).uniform(-20, 20, (n, 1, 2))
    return strengths * np.sin(np.linspace(0, 6, 61))[None, :, None]


def test_many_trajectories_come_back_in_order_and_equal_a_direct_run(tmp_path):
    given = fields(300)
    history = FerroSim(PARAMETERS).simulate(given)
    found = simulate_many(given, PARAMETERS, workers=2, observables=["curl", "polarization"])
    assert np.array_equal(found["curl"], curl(history.polarization))
    assert np.array_equal(found["polarization"], history.polarization)
    chunks = (given[start : start + 77] for start in range(0, 300, 77))
    stored = simulate_many(chunks, PARAMETERS, workers=1, output=tmp_path / "many.zarr")
    assert np.array_equal(stored["curl"][:], found["curl"])


def test_fields_are_drawn_only_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(simulation, "_MAX_CHUNK", 8)
    drawn = []

    def source():
        for number in range(200):
            drawn.append(number)
            yield fields(8)

    stream = simulation._chunks(source(), FerroSim(PARAMETERS))
    for _ in range(3):
        next(stream)
    assert len(drawn) <= 4


def test_wrong_requests_are_sentences(tmp_path):
    with pytest.raises(ConfigError, match="known are"):
        simulate_many(fields(2), PARAMETERS, observables=["weight"])
    with pytest.raises(ConfigError, match="workers"):
        simulate_many(fields(2), PARAMETERS, workers=0)
    with pytest.raises(TrajectoryError, match="steps"):
        simulate_many(fields(2)[:, :10], PARAMETERS)
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreError, match="exists already"):
        simulate_many(fields(2), PARAMETERS, output=tmp_path / "there")


QUICK = ["latent.model=pca", "trajectories.n=60"]


def test_the_ground_truth_is_the_objective_on_the_grid():
    truth = measure_ground_truth(load_config("quick", QUICK), n_grid=7)
    assert truth.objective.shape == (7, 7)
    problem = FerroSimProblem.from_config("quick", QUICK, n_grid=0)
    points = np.stack(np.meshgrid(*truth.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    values = problem(torch.from_numpy(points)).numpy().reshape(7, 7)
    np.testing.assert_allclose(truth.objective, values, rtol=1e-9)


def test_the_problem_knows_its_optimum():
    problem = FerroSimProblem.from_config("quick", QUICK, n_grid=12)
    assert not problem.is_minimization_problem
    best = problem(problem.optimizers)
    assert best.item() == pytest.approx(problem.optimal_value, rel=1e-9)
    low, high = problem.bounds
    drawn = low + (high - low) * torch.rand(200, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    assert (problem(drawn) <= problem.optimal_value).all()


def test_a_campaign_over_parameters_needs_a_fraction_of_the_grid(tmp_path):
    changes = ["evaluator.parameters.lattice_size=6", "budget.trials=20"]
    history = run_campaign("ferrosim-parameters", tmp_path / "store", overrides=changes)
    evaluator = load_config("ferrosim-parameters", changes).evaluator
    from latentloop.loop.registry import EVALUATORS

    measure = EVALUATORS.create(evaluator.name, evaluator.parameters).measure
    grid = [measure(np.array([k, f])).metrics["coercive_field"] for k in np.linspace(0, 200, 9) for f in np.linspace(0.1, 2, 9)]
    assert history.incumbent.objective >= np.nanmax(grid) - 0.02
