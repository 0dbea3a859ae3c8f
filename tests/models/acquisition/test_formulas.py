"""Each acquisition function against a numerical integral or its closed form."""

import math

import numpy as np
import pytest
from latentloop.models.acquisition import UCB, MaxVariance, Observed, Thompson
from latentloop.models.acquisition.log_ei import LogEI, log_expected_improvement, log_h_function
from latentloop.models.surrogates import GaussianProcess
from scipy.integrate import quad
from scipy.stats import norm

BOX = np.array([[0.0, 1.0], [0.0, 1.0]])


@pytest.fixture(scope="module")
def gp() -> GaussianProcess:
    x = np.random.default_rng(0).random((10, 2))
    model = GaussianProcess(BOX)
    model.fit(x, np.sin(5 * x[:, 0]) + x[:, 1])
    return model


@pytest.mark.parametrize(("mean", "std", "best"), [(0.0, 1.0, 0.0), (1.0, 0.3, 0.5), (-1.0, 2.0, 3.0), (5.0, 0.1, 0.0), (0.0, 0.5, 2.0)])
def test_expected_improvement_is_the_integral_of_the_improvement(mean, std, best):
    integral, _ = quad(lambda f: (f - best) * norm.pdf(f, mean, std), best, max(mean, best) + 12 * std, epsabs=0, epsrel=1e-11, limit=200)
    value, _, _ = log_expected_improvement(np.array([mean]), np.array([std**2]), best)
    assert value[0] == pytest.approx(math.log(integral), rel=1e-8)


def test_log_h_agrees_with_arbitrary_precision_arithmetic_far_below_underflow():
    import mpmath

    with mpmath.workdps(60):
        for z in (-0.3, -0.999, -1.001, -5.0, -30.0, -900.0, -9.9e4, -1.1e5, -1e7, 0.0, 2.0, 40.0):
            exact = mpmath.log(mpmath.npdf(z) + z * mpmath.erfc(-mpmath.mpf(z) / mpmath.sqrt(2)) / 2) if z > -1e3 else _far(mpmath, z)
            assert log_h_function(np.array([z]))[0] == pytest.approx(float(exact), rel=1e-9)


def _far(mpmath, z):
    """log(phi(z) / z^2 (1 - 3 / z^2)): the asymptotic series, whose next term is below 1e-11 here."""
    z = mpmath.mpf(z)
    return -z * z / 2 - mpmath.log(2 * mpmath.pi) / 2 - 2 * mpmath.log(-z) + mpmath.log(1 - 3 / z**2)


def test_log_expected_improvement_has_the_derivatives_that_it_claims():
    mean, variance = np.array([0.0, -3.0, 2.0, -40.0]), np.array([1.0, 0.5, 0.01, 1.0])
    _, by_mean, by_variance = log_expected_improvement(mean, variance, 0.7)
    step = 1e-6
    up, down = (log_expected_improvement(mean + s * step, variance, 0.7)[0] for s in (1, -1))
    np.testing.assert_allclose(by_mean, (up - down) / (2 * step), rtol=1e-5)
    up, down = (log_expected_improvement(mean, variance * (1 + s * step), 0.7)[0] for s in (1, -1))
    np.testing.assert_allclose(by_variance * variance, (up - down) / (2 * step), rtol=1e-4, atol=1e-8)


def test_log_ei_improves_on_the_highest_posterior_mean(gp):
    known = np.random.default_rng(0).random((10, 2))
    x = np.random.default_rng(1).random((30, 2))
    belief, best = gp.posterior(x), gp.posterior(known).mean.max()
    std = np.sqrt(belief.variance)
    z = (belief.mean - best) / std
    expected = std * (norm.pdf(z) + z * norm.cdf(z))
    value = LogEI().score(gp, known, np.random.default_rng(0)).value(x)
    usual = expected > 1e-12  # below it the textbook formula cancels
    assert usual.sum() > 10
    np.testing.assert_allclose(np.exp(value[usual]), expected[usual], rtol=1e-3)


def test_ucb_is_a_quantile_of_the_posterior(gp):
    x = np.random.default_rng(1).random((30, 2))
    belief = gp.posterior(x)
    value = UCB(beta=norm.ppf(0.975) ** 2).score(gp, x, np.random.default_rng(0)).value(x)
    np.testing.assert_allclose(value, norm.ppf(0.975, belief.mean, np.sqrt(belief.variance)), rtol=1e-12)


def test_max_variance_is_the_variance(gp):
    x = np.random.default_rng(1).random((30, 2))
    np.testing.assert_array_equal(MaxVariance().score(gp, x, np.random.default_rng(0)).value(x), gp.posterior(x).variance)


@pytest.mark.parametrize("acquisition", [LogEI(), UCB(), MaxVariance(), Thompson()], ids=lambda a: a.name)
def test_gradients_are_slopes(gp, acquisition):
    known, x = np.random.default_rng(0).random((10, 2)), np.random.default_rng(1).random((8, 2))
    score = acquisition.score(gp, known, np.random.default_rng(0))
    value, gradient = score.value_and_gradient(x)
    np.testing.assert_allclose(value, score.value(x), rtol=1e-6)
    for k in range(2):
        step = np.eye(2)[k] * 1e-6
        np.testing.assert_allclose(gradient[:, k], (score.value(x + step) - score.value(x - step)) / 2e-6, rtol=1e-3, atol=1e-4)


def test_thompson_proposes_each_candidate_as_often_as_it_is_the_best(gp):
    from latentloop.models.acquisition import CandidateSet

    rows = np.random.default_rng(4).random((6, 2))
    model = gp.to_botorch()
    import torch

    joint = model.posterior(torch.from_numpy(rows))
    mean, covariance = joint.mean.detach().numpy()[:, 0], joint.distribution.covariance_matrix.detach().numpy()
    draws = np.random.default_rng(0).multivariate_normal(mean, covariance, size=20_000)
    expected = np.bincount(draws.argmax(1), minlength=6) / 20_000
    generator = np.random.default_rng(7)
    known = Observed(np.empty((0, 2)), [])
    chosen = [Thompson().propose(gp, CandidateSet(rows), observed=known, generator=generator).indices[0] for _ in range(600)]
    np.testing.assert_allclose(np.bincount(chosen, minlength=6) / 600, expected, atol=0.07)
