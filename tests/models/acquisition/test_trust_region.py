"""The trust region: a size that follows from the values alone, a box around the incumbent, and a fresh start once that is small."""

import numpy as np
import pytest
from latentloop.models.acquisition import Box, CandidateSet, Observed, TrustRegion
from latentloop.models.acquisition.trust_region import SHORTEST, START, design_size, trust_region
from latentloop.models.surrogates import GaussianProcess

D = 8
BOX = np.tile([-1.0, 1.0], (D, 1))


def bowl(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = -((x - 0.3) ** 2).sum(axis=1)
    return values


def test_the_region_grows_after_three_improvements_and_shrinks_after_as_many_failures_as_dimensions():
    design = [0.0] * design_size(D)
    assert trust_region(np.array(design), D).length == START
    assert trust_region(np.array([*design, 1.0, 2.0, 3.0]), D).length == 2 * START
    assert trust_region(np.array([*design, 1.0] + [0.5] * D), D).length == START / 2
    assert trust_region(np.array([*design, 1.0] + [0.5] * (D - 1) + [2.0]), D).length == START


def test_a_search_that_has_shrunk_to_nothing_starts_anew_and_forgets():
    n = design_size(D) + 7 * D
    values = np.zeros(n)
    before, after = trust_region(values[:-1], D), trust_region(values, D)
    assert (before.since, after.since, after.length) == (0, n, START)
    assert before.length >= SHORTEST
    worse = np.concatenate([values, np.full(design_size(D), -5.0), [-4.0, -3.0, -2.0]])
    assert trust_region(worse, D).length == 2 * START  # improvements on what was found since, not on what was found before


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_region_does_not_depend_on_the_units_of_the_values(scale):
    values = np.random.default_rng(0).standard_normal(80)
    assert trust_region(scale * values, D) == trust_region(values, D)


def test_proposals_lie_around_the_incumbent_and_the_search_descends():
    generator = np.random.default_rng(1)
    x = generator.uniform(-1, 1, (design_size(D), D))
    for _ in range(25):
        model = GaussianProcess(BOX, noise=0.0)
        model.fit(x, bowl(x))
        region = trust_region(bowl(x), D)
        point = TrustRegion().propose(model, Box(BOX), observed=Observed(x, bowl(x)), generator=generator).points
        shape = model.hyperparameters.lengthscale / np.exp(np.log(model.hyperparameters.lengthscale).mean())
        assert (np.abs(point[0] - x[bowl(x).argmax()]) <= region.length * shape * (1 + 1e-6)).all()
        x = np.vstack([x, point])
    assert bowl(x).max() > -0.02
    assert bowl(x[: design_size(D)]).max() < -0.5


def test_after_a_fresh_start_a_whole_design_is_drawn():
    x = np.random.default_rng(2).uniform(-1, 1, (design_size(D) + 7 * D, D))
    y = np.zeros(len(x))
    model = GaussianProcess(BOX, noise=0.0)
    model.fit(x, y)
    batch = TrustRegion().propose(model, Box(BOX), 12, observed=Observed(x, y), generator=np.random.default_rng(3))
    assert np.isnan(batch.values).all()
    assert (np.ptp(batch.points, axis=0) > 0.8).all()


def test_over_candidates_it_is_log_expected_improvement():
    rows = np.random.default_rng(4).uniform(-1, 1, (40, D))
    model = GaussianProcess(BOX)
    model.fit(rows[:12], bowl(rows[:12]))
    proposal = TrustRegion().propose(
        model, CandidateSet(rows), observed=Observed(rows[:12], bowl(rows[:12])), generator=np.random.default_rng(5)
    )
    assert proposal.indices is not None
    assert proposal.indices[0] >= 12
