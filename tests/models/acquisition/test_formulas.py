"""Each acquisition function against a numerical integral or its closed form."""

import math
import warnings

import numpy as np
import pytest
from gpytorch.settings import min_fixed_noise
from latentloop.models.acquisition import (
    UCB,
    EpsilonGreedy,
    Gibbon,
    JointEntropy,
    LogNEI,
    MaxValueEntropy,
    MaxVariance,
    MeanPlusSigma,
    Observed,
    PosteriorMean,
    ProbabilityOfImprovement,
    QLogEI,
    QLogNEI,
    Sobol,
    Thompson,
    UCBSchedule,
)
from latentloop.models.acquisition.joint_entropy import JointEntropyScore
from latentloop.models.acquisition.knowledge_gradient import KnowledgeGradient, gradient_of_knowledge
from latentloop.models.acquisition.log_ei import LogEI, log_expected_improvement, log_h_function
from latentloop.models.acquisition.monte_carlo import BotorchScore, noisy_improvement
from latentloop.models.acquisition.probability_of_improvement import log_probability_of_improvement
from latentloop.models.surrogates import GaussianProcess
from scipy.integrate import quad
from scipy.stats import norm, truncnorm

BOX = np.array([[0.0, 1.0], [0.0, 1.0]])


@pytest.fixture(scope="module")
def gp() -> GaussianProcess:
    x = np.random.default_rng(0).random((10, 2))
    model = GaussianProcess(BOX)
    model.fit(x, np.sin(5 * x[:, 0]) + x[:, 1])
    return model


@pytest.fixture(scope="module")
def noisy() -> GaussianProcess:
    x, generator = np.random.default_rng(0).random((10, 2)), np.random.default_rng(1)
    model = GaussianProcess(BOX, noise=0.01)
    model.fit(x, np.sin(5 * x[:, 0]) + x[:, 1] + 0.1 * generator.standard_normal(10))
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


@pytest.mark.parametrize(
    "acquisition",
    [PosteriorMean(), ProbabilityOfImprovement(), UCBSchedule(), MeanPlusSigma(), MaxValueEntropy(4), Gibbon(4), JointEntropy(3)],
    ids=lambda a: a.name,
)
def test_gradients_of_the_others_are_slopes_too(noisy, acquisition):
    known, x = np.random.default_rng(0).random((10, 2)), np.random.default_rng(1).random((8, 2))
    score = acquisition.score(noisy, known, np.random.default_rng(0))
    value, gradient = score.value_and_gradient(x)
    np.testing.assert_allclose(value, score.value(x), rtol=1e-6, atol=1e-9)
    for k in range(2):
        step = np.eye(2)[k] * 1e-6
        slope = (score.value(x + step) - score.value(x - step)) / 2e-6
        np.testing.assert_allclose(gradient[:, k], slope, rtol=2e-3, atol=2e-3 * max(1.0, np.abs(slope).max()))


def test_the_probability_of_improvement_is_an_integral_with_the_derivatives_that_it_claims():
    mean, variance, target = np.array([0.3, -2.0, 1.5]), np.array([0.5, 1.0, 0.2]), 0.7
    value, by_mean, by_variance = log_probability_of_improvement(mean, variance, target)
    for index in range(3):
        integral, _ = quad(norm.pdf, target, target + 30, args=(mean[index], variance[index] ** 0.5), epsabs=0, limit=200)
        assert value[index] == pytest.approx(math.log(integral), rel=1e-7)
    up, down = (log_probability_of_improvement(mean + s * 1e-6, variance, target)[0] for s in (1, -1))
    np.testing.assert_allclose(by_mean, (up - down) / 2e-6, rtol=1e-6)
    up, down = (log_probability_of_improvement(mean, variance + s * 1e-6, target)[0] for s in (1, -1))
    np.testing.assert_allclose(by_variance, (up - down) / 2e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", [MaxValueEntropy, Gibbon])
def test_information_about_the_maximum_is_the_entropy_that_cutting_off_takes(kind):
    """MES: entropy of the normal variable less that of the cut-off one, integrated numerically; GIBBON: that of a normal one as narrow."""
    mean, variance, maxima = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.3, 2.0]), np.array([1.2, 2.0])
    value, by_mean, by_variance = kind.information(mean, variance, maxima)
    for index in range(3):
        m, s = mean[index], variance[index] ** 0.5
        expected = []
        for highest in maxima:
            mass = norm.cdf(highest, m, s)

            def surprise(f, m=m, s=s, mass=mass):
                return -norm.pdf(f, m, s) / mass * (norm.logpdf(f, m, s) - math.log(mass))

            left = quad(surprise, m - 12 * s, highest, epsrel=1e-10, limit=300)[0]
            if kind is Gibbon:
                left = 0.5 * math.log(2 * math.pi * math.e * truncnorm.var(-np.inf, (highest - m) / s) * s * s)
            expected.append(norm.entropy(m, s) - left)
        assert value[index] == pytest.approx(np.mean(expected), rel=1e-6)
    up, down = (kind.information(mean + s * 1e-6, variance, maxima)[0] for s in (1, -1))
    np.testing.assert_allclose(by_mean, (up - down) / 2e-6, rtol=1e-5)
    up, down = (kind.information(mean, variance + s * 1e-6, maxima)[0] for s in (1, -1))
    np.testing.assert_allclose(by_variance, (up - down) / 2e-6, rtol=1e-5)


def test_joint_entropy_is_that_of_cut_off_variables(noisy):
    x = np.random.default_rng(1).random((6, 2))
    optima = [(np.array([0.3, 0.9]), 2.2), (np.array([0.5, 0.8]), 2.0)]
    value = JointEntropyScore(noisy, optima, 1e-3).value(x)
    expected = 0.5 * np.log(noisy.posterior(x).variance + 1e-3)
    for place, highest in optima:
        there = noisy.condition(place[None], [highest]).posterior(x)
        std = np.sqrt(there.variance)
        expected -= 0.25 * np.log(truncnorm.var(-np.inf, (highest - there.mean) / std) * there.variance + 1e-3)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_knowledge_gradient_is_the_mean_of_the_maxima_after_many_measurements(noisy):
    import torch

    model = noisy.to_botorch()
    places = torch.from_numpy(np.random.default_rng(2).random((7, 2)))
    x = torch.from_numpy(np.random.default_rng(3).random((4, 2)))
    value = gradient_of_knowledge(model, places)(x[:, None]).detach().numpy()
    noise = model.likelihood.noise.median().item()
    draws = np.random.default_rng(0).standard_normal(200_000)
    for index in range(4):
        joint = model.posterior(torch.cat([x[index : index + 1], places]))
        mean, covariance = joint.mean.detach().numpy()[:, 0], joint.distribution.covariance_matrix.detach().numpy()
        change = covariance[0] / np.sqrt(covariance[0, 0] + noise)
        after = (mean[:, None] + change[:, None] * draws).max(0)
        assert value[index] == pytest.approx(after.mean() - mean[1:].max(), abs=4 * after.std() / 200_000**0.5 + 1e-3)


@pytest.mark.parametrize("acquisition", [LogNEI(), QLogEI(), QLogNEI()], ids=lambda a: a.name)
def test_without_noise_and_pending_points_the_expectations_are_expected_improvement(acquisition):
    import torch

    x = np.random.default_rng(0).random((10, 2))
    model = GaussianProcess(BOX, noise=0.0)
    model.fit(x, np.sin(5 * x[:, 0]) + x[:, 1])
    others = np.random.default_rng(1).random((40, 2))
    exact = LogEI().score(model, x, np.random.default_rng(0)).value(others) - math.log(model._units.unit)
    torch.manual_seed(0)
    botorch = model.to_botorch()
    with min_fixed_noise(double_value=1e-8):
        score = BotorchScore(acquisition.function(botorch, botorch.train_inputs[0], None), model.bounds)
    likely = exact > -6.0
    assert likely.sum() >= 5
    np.testing.assert_allclose(score.value(others)[likely], exact[likely], atol=0.2)


def test_the_weights_of_the_schedules_are_those_of_their_sources():
    assert UCBSchedule("kandasamy").beta(50, 6) == pytest.approx(0.2 * 6 * math.log(100))
    assert UCBSchedule("srinivas", delta=0.05).beta(10, 3) == pytest.approx(2 * math.log(3 * 100 * math.pi**2 / 0.3))


def test_mean_plus_sigma_is_what_its_name_says(gp):
    x = np.random.default_rng(1).random((30, 2))
    belief = gp.posterior(x)
    value = MeanPlusSigma().score(gp, x, np.random.default_rng(0)).value(x)
    np.testing.assert_allclose(value, belief.mean + 10 * np.sqrt(belief.variance))


def test_epsilon_greedy_is_greedy_but_for_a_share_of_its_points(gp):
    from latentloop.models.acquisition import CandidateSet

    rows = np.random.default_rng(4).random((200, 2))
    best = int(np.argmax(gp.posterior(rows).mean))
    generator = np.random.default_rng(0)
    chosen = [EpsilonGreedy(0.3).propose(gp, CandidateSet(rows), generator=generator).indices[0] for _ in range(400)]
    assert np.mean(np.array(chosen) == best) == pytest.approx(0.7, abs=0.07)


def test_sobol_fills_a_box_more_evenly_than_chance_whatever_the_batches():
    from latentloop.models.acquisition import Box
    from scipy.stats import qmc

    taken = np.empty((0, 2))
    for q in (1, 3, 28, 32):
        points = Sobol().propose(None, Box(BOX), q, pending=taken, generator=np.random.default_rng(q)).points
        taken = np.vstack([taken, points])
    whole = Sobol().propose(None, Box(BOX), 64, generator=np.random.default_rng(9)).points
    np.testing.assert_array_equal(taken, whole)
    assert qmc.discrepancy(whole) < 0.2 * qmc.discrepancy(np.random.default_rng(0).random((64, 2)))


def test_the_portfolio_searches_close_to_the_incumbent_and_far_from_it_in_turns():
    """On a spike in a plain it closes in on the spike, and goes on looking elsewhere."""
    from latentloop.models.acquisition import Box, Portfolio

    def spike(x):
        return -np.log(((x - [0.62, 0.31]) ** 2).sum(1) + 1e-4)

    n_far = []
    for seed in range(4):
        x = np.random.default_rng(seed).random((5, 2))
        for _ in range(40):
            model = GaussianProcess(BOX, noise=0.0)
            model.fit(x, spike(x))
            proposal = Portfolio().propose(model, Box(BOX), observed=Observed(x, spike(x)), generator=np.random.default_rng(len(x)))
            x = np.vstack([x, proposal.points])
        distance = np.abs(x - [0.62, 0.31]).max(1)
        assert distance.min() < 1e-3
        n_far.append((distance[25:] > 0.05).sum())
    assert min(n_far) >= 5
    assert np.mean(n_far) >= 12


@pytest.mark.parametrize("kind", [QLogEI, QLogNEI], ids=lambda kind: kind.name)
def test_expected_improvements_over_pending_points_are_averages_over_draws(noisy, kind):
    """Of all values at once: best mean known, largest of pending and new (q_log_ei); what the new one adds to all others (q_log_nei)."""
    import torch

    generator = np.random.default_rng(3)
    pending, points = generator.random((2, 2)), generator.random((12, 2))
    n_compared = 0
    with warnings.catch_warnings(), min_fixed_noise(double_value=1e-8), torch.no_grad(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = noisy.to_botorch()
        known, waiting = model.train_inputs[0], torch.from_numpy(pending)
        score = kind().function(model, known, waiting)
        for point in points:
            u = torch.from_numpy(point[None])
            draws = model.posterior(torch.cat([known, waiting, u])).rsample(torch.Size([40_000]))[..., 0]
            if kind is QLogEI:
                gain = draws[:, len(known) :].max(1).values - model.posterior(known).mean.max()
            else:
                gain = draws[:, -1] - draws[:, :-1].max(1).values
            expected = float(gain.clamp_min(0).mean())
            if expected > 3e-3:
                assert float(score(u[None]).exp()) == pytest.approx(expected, rel=0.15)
                n_compared += 1
    assert n_compared >= 3


def test_posterior_mean_is_the_mean(gp):
    from latentloop.models.acquisition import PosteriorMean

    x = np.random.default_rng(2).random((20, 2))
    score = PosteriorMean().score(gp, x[:0], np.random.default_rng(0))
    np.testing.assert_array_equal(score.value(x), gp.posterior(x).mean)


def test_log_nei_is_botorchs_value_and_slope(noisy):
    import torch
    from botorch.acquisition.analytic import LogNoisyExpectedImprovement

    model, x = noisy.to_botorch(), np.random.default_rng(1).random((30, 2))
    with min_fixed_noise(double_value=1e-8):
        scores = []
        for make in (noisy_improvement, lambda model, known: LogNoisyExpectedImprovement(model, known, num_fantasies=20)):
            torch.manual_seed(0)
            scores.append(BotorchScore(make(model, model.train_inputs[0]), noisy.bounds))
        (value, slope), (expected, expected_slope) = (score.value_and_gradient(x) for score in scores)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scores[0].value(x), value, rtol=1e-12)


@pytest.mark.parametrize("acquisition", [LogNEI(), KnowledgeGradient()], ids=lambda a: a.name)
def test_no_array_holds_the_observations_squared_for_each_point(acquisition):
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = []

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(part.numel() for part in (result if isinstance(result, tuple | list) else [result]) if torch.is_tensor(part))
            return result

    n = 400
    x = np.random.default_rng(0).random((n, 2))
    model = GaussianProcess(BOX, noise=0.01)
    model.fit(x, np.sin(5 * x[:, 0]) + x[:, 1] + 0.1 * np.random.default_rng(1).standard_normal(n))
    botorch = model.to_botorch()
    with Largest():
        score = BotorchScore(acquisition.function(botorch, botorch.train_inputs[0], None), model.bounds)
        score.value(np.random.default_rng(2).random((256, 2)))
        score.value_and_gradient(np.random.default_rng(2).random((8, 2)))
    assert max(sizes) < 10 * n * n, "256 points, each with the observations squared, would be 25 times this"
