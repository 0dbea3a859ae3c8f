"""What holds for every acquisition function."""

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from latentloop.models import CandidatesExhausted, DomainError, NotFittedError, ObservationError, ParameterError
from latentloop.models.acquisition import ACQUISITIONS, UCB, Box, CandidateSet, LogEI, MaxVariance, Observed, Random, Thompson
from latentloop.models.surrogates import GaussianProcess

BOX = np.array([[-5.0, 10.0], [0.0, 15.0]])
ALL = [getattr(import_module(home.partition(":")[0]), home.partition(":")[2]) for home in ACQUISITIONS.values()]


def branin(x: np.ndarray) -> np.ndarray:
    """Negated, so that the highest value, -0.397887, is the best."""
    a, b = x.T
    return -((b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10)


def history(n: int, seed: int = 0) -> Observed:
    x = Box(BOX).from_unit(np.random.default_rng(seed).random((n, 2)))
    return Observed(x, branin(x))


def fitted(observed: Observed) -> GaussianProcess:
    gp = GaussianProcess(BOX, noise=0.0)
    gp.fit(observed.x, observed.y)
    return gp


@pytest.fixture(params=ALL, ids=lambda kind: kind.name)
def acquisition(request):
    return request.param()


def test_the_names_lead_to_the_classes():
    for name, home in ACQUISITIONS.items():
        module, _, kind = home.partition(":")
        assert getattr(import_module(module), kind).name == name


def test_a_batch_is_inside_the_box_and_distinct(acquisition):
    observed = history(12)
    proposal = acquisition.propose(fitted(observed), Box(BOX), 6, observed=observed, generator=np.random.default_rng(1))
    assert proposal.points.shape == (6, 2)
    assert proposal.values.shape == (6,)
    assert proposal.indices is None
    assert (proposal.points >= BOX[:, 0]).all()
    assert (proposal.points <= BOX[:, 1]).all()
    everything = Box(BOX).to_unit(np.vstack([proposal.points, observed.x]))
    gaps = np.abs(everything[:, None] - everything[None]).max(2) + np.eye(18)
    assert gaps.min() > 1e-7


def test_the_same_generator_state_gives_the_same_proposal(acquisition):
    observed = history(12)
    first, second = (
        acquisition.propose(fitted(observed), Box(BOX), 3, observed=observed, generator=np.random.default_rng(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(first.values, second.values)


def test_pending_points_are_not_proposed_again(acquisition):
    observed = history(12)
    gp = fitted(observed)
    first = acquisition.propose(gp, Box(BOX), 1, observed=observed, generator=np.random.default_rng(2)).points
    second = acquisition.propose(gp, Box(BOX), 1, pending=first, observed=observed, generator=np.random.default_rng(2)).points
    assert np.abs(Box(BOX).to_unit(first) - Box(BOX).to_unit(second)).max() > 1e-6


@pytest.mark.parametrize("kind", [LogEI, UCB, MaxVariance])
def test_a_batch_is_what_one_by_one_with_pending_points_gives(kind):
    observed = history(12)
    gp, rows = fitted(observed), Box(BOX).from_unit(np.random.default_rng(3).random((300, 2)))
    batch = kind().propose(gp, CandidateSet(rows), 4, observed=observed, generator=np.random.default_rng(2))
    pending: list[int] = []
    for _ in range(4):
        one = kind().propose(gp, CandidateSet(rows), 1, pending=rows[pending], observed=observed, generator=np.random.default_rng(2))
        pending.append(int(one.indices[0]))
    np.testing.assert_array_equal(batch.indices, pending)


def test_candidates_are_returned_exactly_and_each_once(acquisition):
    rows = Box(BOX).from_unit(np.random.default_rng(3).random((40, 2)))
    excluded = np.zeros(40, dtype=bool)
    excluded[[0, 7]] = True
    observed = Observed(rows[10:20], branin(rows[10:20]))
    domain = CandidateSet(rows, excluded)
    proposal = acquisition.propose(fitted(observed), domain, 27, pending=rows[39:], observed=observed, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(proposal.points, rows[proposal.indices])
    assert sorted(proposal.indices) == [*range(1, 7), 8, 9, *range(20, 39)]
    with pytest.raises(CandidatesExhausted, match="28 points were asked for, but 27 of 40"):
        acquisition.propose(fitted(observed), domain, 28, pending=rows[39:], observed=observed, generator=np.random.default_rng(0))


def test_equal_candidates_count_as_one(acquisition):
    rows = np.repeat(Box(BOX).from_unit(np.random.default_rng(3).random((5, 2))), 2, axis=0)
    observed = Observed(rows[:2], branin(rows[:2]))
    proposal = acquisition.propose(fitted(observed), CandidateSet(rows), 4, observed=observed, generator=np.random.default_rng(0))
    assert len(np.unique(proposal.points, axis=0)) == 4


@pytest.mark.parametrize(("kind", "gap"), [(LogEI, 0.01), (UCB, 0.1), (Thompson, 0.01)])
def test_the_optimum_of_branin_is_found(kind, gap):
    generator = np.random.default_rng(1)
    observed = history(8)
    for _ in range(32):
        point = kind().propose(fitted(observed), Box(BOX), observed=observed, generator=generator).points
        x = np.vstack([observed.x, point])
        observed = Observed(x, branin(x))
    assert observed.y.max() > -0.397887 - gap


def test_the_best_of_a_box_is_no_worse_than_the_best_of_many_candidates():
    observed = history(15)
    gp = fitted(observed)
    rows = Box(BOX).from_unit(np.random.default_rng(3).random((5000, 2)))
    for kind in (LogEI, UCB, MaxVariance):
        in_box = kind().propose(gp, Box(BOX), observed=observed, generator=np.random.default_rng(1))
        among = kind().propose(gp, CandidateSet(rows), observed=observed, generator=np.random.default_rng(1))
        assert in_box.values[0] >= among.values[0] - 1e-9 * abs(among.values[0])


def test_units_of_the_objective_do_not_move_the_proposal():
    observed = history(15)
    for kind in (LogEI, UCB):
        points = []
        for scale in (1e-12, 1.0, 1e12):
            scaled = Observed(observed.x, observed.y * scale)
            points.append(kind().propose(fitted(scaled), Box(BOX), observed=scaled, generator=np.random.default_rng(1)).points)
        np.testing.assert_allclose(points[0], points[1], atol=0.02)
        np.testing.assert_allclose(points[2], points[1], atol=0.02)


def test_random_needs_no_surrogate_and_fills_the_box():
    proposal = Random().propose(None, Box(BOX), 400, generator=np.random.default_rng(0))
    assert np.isnan(proposal.values).all()
    unit = Box(BOX).to_unit(proposal.points)
    np.testing.assert_allclose(unit.mean(0), 0.5, atol=0.06)
    np.testing.assert_allclose(unit.var(0), 1 / 12, atol=0.02)


def test_bad_questions_are_refused_by_name(acquisition):
    observed = history(5)
    generator = np.random.default_rng(0)
    with pytest.raises(ParameterError, match="at least 1"):
        acquisition.propose(fitted(observed), Box(BOX), 0, generator=generator)
    with pytest.raises(DomainError, match="pending points"):
        acquisition.propose(fitted(observed), Box(BOX), pending=[[1.0]], generator=generator)
    with pytest.raises(DomainError, match="NaN"):
        acquisition.propose(fitted(observed), Box(BOX), pending=[[1.0, np.nan]], generator=generator)
    if acquisition.needs_surrogate:
        for missing in (None, GaussianProcess(BOX)):
            with pytest.raises(NotFittedError, match=acquisition.name):
                acquisition.propose(missing, Box(BOX), generator=generator)


def test_bad_domains_are_refused_by_name():
    with pytest.raises(DomainError, match="low < high"):
        Box([[1.0, 0.0]])
    with pytest.raises(DomainError, match=r"\(d, 2\)"):
        Box([1.0, 0.0])
    with pytest.raises(DomainError, match="candidate 1"):
        CandidateSet([[0.0], [np.nan]])
    with pytest.raises(DomainError, match="one boolean per candidate"):
        CandidateSet([[0.0], [1.0]], excluded=[True])
    with pytest.raises(ObservationError, match=r"\(n, d\)"):
        Observed([[0.0], [1.0]], [1.0])
    with pytest.raises(ParameterError, match="beta"):
        UCB(-1.0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_history_gives_finite_distinct_points_inside_the_box(data):
    n, d = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 3))
    bounds = np.tile([0.0, 1.0], (d, 1))
    x = data.draw(arrays(np.float64, (n, d), elements=st.floats(0, 1)))
    y = data.draw(st.one_of(arrays(np.float64, n, elements=st.floats(-1e12, 1e12)), st.just(np.zeros(n)), st.just(np.arange(n) * 1e-12)))
    kind = data.draw(st.sampled_from(ALL))
    gp = GaussianProcess(bounds, noise=data.draw(st.sampled_from([None, 0.0])))
    gp.fit(x, y)
    proposal = kind().propose(gp, Box(bounds), 3, pending=x[:1], observed=Observed(x, y), generator=np.random.default_rng(0))
    assert np.isfinite(proposal.points).all()
    assert (proposal.points >= 0).all()
    assert (proposal.points <= 1).all()
    gaps = np.abs(proposal.points[:, None] - np.vstack([proposal.points, x])[None]).max(2)
    gaps[np.arange(3), np.arange(3)] = 1.0
    assert gaps.min() > 1e-7
