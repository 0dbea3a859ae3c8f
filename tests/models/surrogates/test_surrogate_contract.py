"""What every surrogate promises, whatever is inside."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latentloop.models import DomainError, NonFiniteError, NotFittedError, ObservationError, ParameterError
from latentloop.models.acquisition import Box, LogEI, Observed, Thompson
from latentloop.models.surrogates import (
    DeepKernelSurrogate,
    EnsembleSurrogate,
    GaussianProcess,
    PCAGaussianProcess,
    SparseGaussianProcess,
    SphericalLinear,
    Surrogate,
)

BOX = np.array([[-2.0, 3.0], [0.0, 10.0]])
TIMES = np.linspace(0, 1, 40)


def decode(z: np.ndarray) -> np.ndarray:
    """A small latent model of damped waves."""
    waves: np.ndarray = np.sin(3 * z[:, :1] * TIMES) * np.exp(-TIMES) + 0.3 * z[:, 1:] * TIMES
    return waves


def objective(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.sin(1.5 * x[:, 0]) + 0.05 * (x[:, 1] - 4) ** 2
    return values


def points(n: int, seed: int = 0) -> np.ndarray:
    return BOX[:, 0] + np.random.default_rng(seed).random((n, 2)) * (BOX[:, 1] - BOX[:, 0])


MAKERS: dict[str, Callable[..., Surrogate]] = {
    "gp": GaussianProcess,
    "dkl": lambda bounds, noise=None: DeepKernelSurrogate(bounds, noise, hidden=(8,), max_steps=20),
    "gp_pca": lambda bounds, noise=None: PCAGaussianProcess(bounds, noise, features=decode),
    "ensemble": EnsembleSurrogate,
    "spherical_linear": SphericalLinear,
    "sparse": lambda bounds, noise=None: SparseGaussianProcess(bounds, noise, n_inducing=25, exact_until=20),
    "sparse_exact": SparseGaussianProcess,
}


@pytest.fixture(params=MAKERS)
def make(request) -> Callable[..., Surrogate]:
    return MAKERS[request.param]


@pytest.fixture
def fitted(make) -> Surrogate:
    model = make(BOX)
    model.fit(points(30), objective(points(30)))
    return model


def test_held_out_values_lie_where_they_are_expected(make):
    model, x = make(BOX), points(300, seed=1)
    assert model.n_observations == 0
    model.fit(points(60), objective(points(60)))
    belief = model.posterior(x)
    assert model.n_observations == 60
    assert np.sqrt(np.mean((belief.mean - objective(x)) ** 2)) < 0.75 * objective(x).std()
    assert (belief.variance > 0).all()


def test_gradients_are_slopes_with_and_without_fantasies(fitted):
    x = points(5, seed=2)
    for model in (fitted, fitted.condition(points(2, seed=3))):
        belief = model.posterior_gradient(x)
        np.testing.assert_allclose(belief.mean, model.posterior(x).mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(belief.variance, model.posterior(x).variance, rtol=1e-5)
        for k in range(2):
            step = 1e-4 * np.eye(2)[k]
            above, below = model.posterior(x + step), model.posterior(x - step)
            np.testing.assert_allclose(belief.mean_gradient[:, k], (above.mean - below.mean) / 2e-4, rtol=1e-3, atol=1e-4)
            slope = (above.variance - below.variance) / 2e-4
            np.testing.assert_allclose(belief.variance_gradient[:, k], slope, rtol=1e-2, atol=1e-2 * np.abs(slope).max())


def test_a_fantasy_leaves_the_mean_and_shrinks_the_variance(fitted):
    x, waiting = points(50, seed=4), points(3, seed=5)
    before, conditioned = fitted.posterior(x), fitted.condition(waiting)
    after = conditioned.posterior(x)
    assert conditioned.n_observations == 33
    assert fitted.n_observations == 30
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-5, atol=1e-6)
    assert (after.variance <= before.variance * (1 + 1e-6) + 1e-9).all()
    assert (conditioned.posterior(waiting).variance < fitted.posterior(waiting).variance).all()


def test_further_values_move_the_mean_towards_them(fitted):
    x = points(1, seed=6)
    shifted = fitted.posterior(x).mean + 5.0
    assert fitted.condition(x, shifted).posterior(x).mean > fitted.posterior(x).mean + 1e-3
    with pytest.raises(ObservationError, match="as many values"):
        fitted.condition(x, [1.0, 2.0])


def test_paths_have_the_moments_of_the_posterior_and_the_gradient_of_their_values(fitted):
    x, generator = points(8, seed=7), np.random.default_rng(0)
    draws = np.array([fitted.draw_path(generator)(x)[0] for _ in range(400)])
    belief = fitted.posterior(x)
    std = np.sqrt(belief.variance)
    np.testing.assert_allclose((draws.mean(axis=0) - belief.mean) / std, 0, atol=0.35)
    assert 0.7 < np.median(draws.std(axis=0) / std) < 1.3
    path = fitted.draw_path(generator)
    step = np.array([0.0, 1e-4])
    np.testing.assert_allclose(path(x)[1][:, 1], (path(x + step)[0] - path(x - step)[0]) / 2e-4, rtol=1e-3, atol=1e-4)


def test_fitting_is_a_function_of_the_data_alone(make, fitted):
    again = make(BOX)
    again.fit(points(9, seed=8), objective(points(9, seed=8)))
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not matter
    again.fit(points(30), objective(points(30)))
    x = points(10, seed=9)
    np.testing.assert_array_equal(again.posterior(x).mean, fitted.posterior(x).mean)
    np.testing.assert_array_equal(again.posterior(x).variance, fitted.posterior(x).variance)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_unit_of_the_values_does_not_matter(make, fitted, factor):
    model = make(BOX)
    model.fit(points(30), factor * objective(points(30)))
    x = points(10, seed=10)
    np.testing.assert_allclose(model.posterior(x).mean / factor, fitted.posterior(x).mean, rtol=1e-3, atol=1e-3)


def test_a_known_noise_and_one_per_point_are_taken(make):
    model, x = make(BOX, 0.01), points(30)
    model.fit(x, objective(x))
    quiet = model.posterior(x).variance
    model.fit(x, objective(x), np.full(30, 4.0))
    assert (model.posterior(x).variance > quiet).mean() > 0.9


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_few_observations_are_enough_to_answer(make, n):
    model = make(BOX)
    model.fit(points(n), objective(points(n)))
    belief = model.posterior(points(20, seed=11))
    assert np.isfinite(belief.mean).all()
    assert (belief.variance > 0).all()


@pytest.mark.parametrize("acquisition", [LogEI(), Thompson()])
def test_acquisition_functions_can_use_it(fitted, acquisition):
    x = points(30)
    proposal = acquisition.propose(
        fitted, Box(BOX), 2, pending=points(1, seed=12), observed=Observed(x, objective(x)), generator=np.random.default_rng(0)
    )
    assert proposal.points.shape == (2, 2)
    assert ((proposal.points >= BOX[:, 0]) & (proposal.points <= BOX[:, 1])).all()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e12, -1e12, 1e100, 3.3]), min_size=1, max_size=25), st.integers(0, 3))
def test_odd_histories_get_finite_answers(make, values, spread):
    """Duplicates, outliers and constants."""
    x = points(len(values), seed=spread)
    x[: len(x) // 2] = x[0]
    model = make(BOX)
    model.fit(x, values)
    belief = model.posterior_gradient(points(5, seed=13))
    assert np.isfinite(belief.mean).all()
    assert np.isfinite(belief.variance).all()
    assert np.isfinite(belief.mean_gradient).all()
    assert np.isfinite(belief.variance_gradient).all()


def test_bad_input_is_refused_by_name(make):
    model = make(BOX)
    with pytest.raises(NotFittedError, match="fit"):
        model.posterior(points(1))
    with pytest.raises(ObservationError, match="as many values"):
        model.fit(points(3), [1.0, 2.0])
    with pytest.raises(ObservationError, match="at least one"):
        model.fit(np.empty((0, 2)), [])
    with pytest.raises(ObservationError, match=r"\(n, 2\)"):
        model.fit(np.zeros((3, 1)), [1.0, 2.0, 3.0])
    with pytest.raises(NonFiniteError, match="NaN or infinity, first at 1"):
        model.fit(points(2), [1.0, np.nan])
    with pytest.raises(NonFiniteError, match="row 1"):
        model.fit([[0.0, 0.0], [np.inf, 0.0]], [1.0, 2.0])
    with pytest.raises(ObservationError, match="quarantine"):
        model.fit(points(2), [1.0, 1e300])
    with pytest.raises(ObservationError, match="y_var"):
        model.fit(points(2), [1.0, 2.0], y_var=[1.0, -1.0])
    with pytest.raises(DomainError, match="low < high"):
        make([[1.0, 1.0]])
    with pytest.raises(ParameterError, match="variance"):
        make(BOX, -1.0)


def test_known_variances_count_where_others_are_inferred_and_what_is_extra_comes_on_top(make):
    """One reading that is far off, and known to be uncertain: by its own variance, or by one on top of what is inferred."""
    x = points(30)
    y = objective(x)
    there, truth = x[7:8], y[7]
    y[7] += 4.0
    variances = np.where(np.arange(30) % 3 == 0, np.nan, 1e-6)
    variances[7] = 100.0
    trusting, mixed, widened = make(BOX), make(BOX), make(BOX)
    trusting.fit(x, y)
    mixed.fit(x, y, variances)
    widened.fit(x, y, extra=np.where(np.arange(30) == 7, 100.0, 0.0))
    off = [abs(float(each.posterior(there).mean[0]) - truth) for each in (trusting, mixed, widened)]
    assert max(off[1:]) < 0.5 * off[0] or off[0] < 0.5
    for wrong in ({"y_var": -variances}, {"extra": variances - 1.0}, {"extra": np.zeros(3)}):
        with pytest.raises(ValueError, match="variances"):
            make(BOX).fit(x, y, **wrong)
