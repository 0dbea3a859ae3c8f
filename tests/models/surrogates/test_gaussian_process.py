import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from latentloop.models import DomainError, NonFiniteError, NotFittedError, ObservationError, ParameterError
from latentloop.models.surrogates import GaussianProcess
from latentloop.models.surrogates.gaussian_process import last_refit
from latentloop.models.surrogates.kernels import KERNELS
from latentloop.models.surrogates.marginal_likelihood import (
    APART_SPREAD,
    COMMON_SPREAD,
    LENGTHSCALE_LIMITS,
    LENGTHSCALE_MEDIAN,
    NOISE_PRIOR,
    SCALE_LIMITS,
    SCALE_PRIOR,
    log_density,
    most_probable,
)
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm

BOX = np.array([[-5.0, 10.0], [0.0, 15.0]])


def branin(x: np.ndarray) -> np.ndarray:
    a, b = x.T
    return (b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10


def points(n: int, seed: int = 0) -> np.ndarray:
    return BOX[:, 0] + np.random.default_rng(seed).random((n, 2)) * (BOX[:, 1] - BOX[:, 0])


@pytest.fixture(params=["rbf", "matern52"])
def kernel(request) -> str:
    return request.param


@pytest.fixture
def gp(kernel) -> GaussianProcess:
    # With noise as small as that of a deterministic objective, numerical differences lose the digits that the tests compare.
    model = GaussianProcess(BOX, noise=0.1, kernel=kernel)
    model.fit(points(30), branin(points(30)))
    return model


def test_the_log_density_is_that_of_gpytorch_and_the_prior(kernel):
    """Same likelihood, same constant mean: the two differ by rounding; the prior is checked against SciPy's densities."""
    from gpytorch.distributions import MultivariateNormal
    from gpytorch.kernels import MaternKernel, RBFKernel

    u = (points(25) - BOX[:, 0]) / (BOX[:, 1] - BOX[:, 0])
    y = branin(points(25))
    y = (y - y.mean()) / y.std(ddof=1)
    theta = np.log([0.3, 0.7, 2.5, 0.02])
    value, _, mean = log_density(KERNELS[kernel], u, y, None, theta)
    covariance = RBFKernel(ard_num_dims=2) if kernel == "rbf" else MaternKernel(nu=2.5, ard_num_dims=2)
    covariance.double().lengthscale = torch.exp(torch.tensor(theta[:2]))
    matrix = 2.5 * covariance(torch.from_numpy(u)).to_dense().detach() + 0.02 * torch.eye(25, dtype=torch.float64)
    likelihood = MultivariateNormal(torch.full((25,), mean, dtype=torch.float64), matrix).log_prob(torch.from_numpy(y)).item()
    location = np.full(2, np.log(LENGTHSCALE_MEDIAN * np.sqrt(2)))
    prior = (
        multivariate_normal.logpdf(theta[:2], location, APART_SPREAD**2 * np.eye(2) + COMMON_SPREAD**2)
        + norm.logpdf(theta[2], *SCALE_PRIOR)
        + norm.logpdf(theta[3], *NOISE_PRIOR)
    )
    assert value == pytest.approx(likelihood + prior, rel=1e-8)


@pytest.mark.parametrize("noise", [None, np.full(20, 1e-3)])
def test_the_gradient_of_the_log_density_is_its_slope(kernel, noise):
    generator = np.random.default_rng(2)
    u, y = generator.random((20, 3)), generator.standard_normal(20)
    theta = np.log([0.3, 0.6, 1.2, 2.0] + ([0.05] if noise is None else []))
    _, gradient, _ = log_density(KERNELS[kernel], u, y, noise, theta)
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = 1e-6
        above, below = (log_density(KERNELS[kernel], u, y, noise, theta + sign * step)[0] for sign in (1, -1))
        assert gradient[k] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-6)


def test_the_mode_is_no_worse_than_those_found_from_many_random_starts(kernel):
    u = (points(25) - BOX[:, 0]) / (BOX[:, 1] - BOX[:, 0])
    noise, generator = np.full(25, 1e-4), np.random.default_rng(0)
    y = branin(points(25))
    y = (y - y.mean()) / y.std(ddof=1)
    ours = most_probable(KERNELS[kernel], u, y, noise)
    best = log_density(KERNELS[kernel], u, y, noise, np.log([*ours.lengthscale, ours.scale]))[0]
    bounds = np.log([LENGTHSCALE_LIMITS, LENGTHSCALE_LIMITS, SCALE_LIMITS])
    for _ in range(8):
        start = np.clip(generator.normal(0.0, 1.5, 3), *bounds.T)
        found = minimize(lambda theta: -log_density(KERNELS[kernel], u, y, noise, theta)[0], start, method="L-BFGS-B", bounds=bounds)
        assert best >= -found.fun - 1e-2


@pytest.mark.parametrize("n", [12, 40, 200])
def test_whether_the_objective_is_deterministic_is_found_out(n):
    x, generator = points(n), np.random.default_rng(5)
    spread = branin(x).std()
    exact, noisy = GaussianProcess(BOX), GaussianProcess(BOX)
    exact.fit(x, branin(x))
    noisy.fit(x, branin(x) + 0.2 * spread * generator.standard_normal(n))
    assert exact.hyperparameters.noise[0] <= 1e-6
    if n >= 40:
        assert 0.01 < noisy.hyperparameters.noise[0] < 0.12
    repeated = GaussianProcess(BOX)
    repeated.fit(np.vstack([x, x]), np.concatenate([branin(x), branin(x) + 0.5 * spread * generator.standard_normal(n)]))
    assert repeated.hyperparameters.noise[0] > 1e-2


def test_between_scheduled_refits_only_the_belief_follows_the_data():
    """The hyperparameters of 205 observations are those of the last scheduled number, whatever the object was fitted to before."""
    x, y = points(230), branin(points(230))
    n = last_refit(205)
    assert 180 < n < 205
    grown, cold, scheduled = (GaussianProcess(BOX, noise=0.0) for _ in range(3))
    for stop in range(190, 206):
        grown.fit(x[:stop], y[:stop])
    cold.fit(x[:205], y[:205])
    scheduled.fit(x[:n], y[:n])
    np.testing.assert_array_equal(grown.posterior(points(10, seed=3)).mean, cold.posterior(points(10, seed=3)).mean)
    np.testing.assert_array_equal(grown.posterior(points(10, seed=3)).variance, cold.posterior(points(10, seed=3)).variance)
    np.testing.assert_array_equal(cold.hyperparameters.lengthscale, scheduled.hyperparameters.lengthscale)
    assert cold.n_observations == 205
    np.testing.assert_allclose(cold.posterior(x[n:205]).mean, y[n:205], atol=0.02 * y.std())


@given(st.integers(1, 5000))
def test_refits_are_scheduled_at_once_then_at_every_twentieth_and_later_every_tenth_part(n):
    scheduled = last_refit(n)
    assert scheduled == last_refit(scheduled)
    assert scheduled <= n
    assert n - scheduled < max(1, n / (20 if n < 200 else 10))


def test_a_process_in_a_smaller_box_learns_from_the_chosen_observations_only(kernel):
    model, alone = GaussianProcess(BOX, noise=0.0, kernel=kernel), GaussianProcess([[0.0, 5.0], [0.0, 5.0]], noise=0.0, kernel=kernel)
    x = points(30)
    model.fit(x, branin(x))
    rows = np.flatnonzero((x[:, 0] > -2) & (x[:, 1] < 9))
    local = model.restricted(alone.bounds, rows)
    alone.fit(x[rows], branin(x[rows]))
    others = points(10, seed=3)
    np.testing.assert_allclose(local.posterior(others).mean, alone.posterior(others).mean, rtol=1e-4, atol=1e-3)
    assert local.n_observations == len(rows)


def test_the_posterior_is_that_of_the_botorch_model(gp):
    x = points(50, seed=1)
    ours = gp.posterior(x)
    u = torch.from_numpy((x - BOX[:, 0]) / (BOX[:, 1] - BOX[:, 0]))
    theirs = gp.to_botorch().posterior(u)
    y = branin(points(30))
    np.testing.assert_allclose(ours.mean, y.mean() + y.std(ddof=1) * theirs.mean.detach().numpy()[:, 0], rtol=1e-7)
    np.testing.assert_allclose(ours.variance, y.var(ddof=1) * theirs.variance.detach().numpy()[:, 0], rtol=1e-4, atol=1e-8)


def test_gradients_of_mean_and_variance_are_their_slopes(gp):
    x = points(6, seed=3)
    belief = gp.posterior_gradient(x)
    np.testing.assert_allclose(belief.mean, gp.posterior(x).mean, rtol=1e-10)
    np.testing.assert_allclose(belief.variance, gp.posterior(x).variance, rtol=1e-8)
    for k in range(2):
        step = np.eye(2)[k] * 1e-5
        above, below = gp.posterior(x + step), gp.posterior(x - step)
        np.testing.assert_allclose(belief.mean_gradient[:, k], (above.mean - below.mean) / 2e-5, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(belief.variance_gradient[:, k], (above.variance - below.variance) / 2e-5, rtol=1e-3, atol=1e-3)


def test_a_deterministic_objective_is_interpolated():
    x = points(30)
    model = GaussianProcess(BOX, noise=0.0)
    model.fit(x, branin(x))
    belief = model.posterior(x)
    np.testing.assert_allclose(belief.mean, branin(x), atol=0.05 * branin(x).std())
    assert (belief.variance < 1e-4 * branin(x).var()).all()


def test_held_out_values_fall_into_their_intervals():
    x, others = points(60), points(400, seed=9)
    model = GaussianProcess(BOX, noise=0.0)
    model.fit(x, branin(x))
    belief = model.posterior(others)
    inside = np.abs(belief.mean - branin(others)) < 1.96 * np.sqrt(belief.variance)
    assert inside.mean() > 0.85


def test_noise_of_known_variance_per_point_is_heeded():
    x = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 10.0]])
    model = GaussianProcess(BOX)
    model.fit(x, [0.0, 10.0, 5.0], y_var=[1e-3, 1e3, 1.0])
    # the precise one of two contradicting measurements counts
    assert model.posterior(x[:1]).mean[0] < 1.0


def test_observations_in_another_order_or_unit_give_the_same_belief(kernel):
    x, y = points(20), branin(points(20))
    model, shuffled, scaled = (GaussianProcess(BOX, kernel=kernel) for _ in range(3))
    model.fit(x, y)
    order = np.random.default_rng(0).permutation(20)
    shuffled.fit(x[order], y[order])
    scaled.fit(x, 1e9 * y + 3e9)
    others = points(20, seed=4)
    belief = model.posterior(others)
    np.testing.assert_allclose(shuffled.posterior(others).mean, belief.mean, rtol=1e-3)
    np.testing.assert_allclose((scaled.posterior(others).mean - 3e9) / 1e9, belief.mean, rtol=1e-3)
    np.testing.assert_allclose(scaled.posterior(others).variance / 1e18, belief.variance, rtol=1e-2)


def test_fitting_twice_gives_the_same_bits(gp, kernel):
    """Neither the history of the object nor the global random states matter."""
    again = GaussianProcess(BOX, noise=0.1, kernel=kernel)
    again.fit(points(7, seed=8), branin(points(7, seed=8)))
    torch.manual_seed(1234)
    np.random.seed(1234)  # noqa: NPY002 - the global state is what must not matter
    again.fit(points(30), branin(points(30)))
    x = points(10, seed=5)
    np.testing.assert_array_equal(again.posterior(x).mean, gp.posterior(x).mean)
    np.testing.assert_array_equal(again.posterior(x).variance, gp.posterior(x).variance)


def test_a_fantasy_leaves_the_mean_and_shrinks_the_variance(gp):
    x, waiting = points(40, seed=6), points(3, seed=7)
    before, conditioned = gp.posterior(x), gp.condition(waiting)
    after = conditioned.posterior(x)
    assert conditioned.n_observations == gp.n_observations + 3
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-6, atol=1e-6)
    assert (after.variance <= before.variance * (1 + 1e-8)).all()
    assert (conditioned.posterior(waiting).variance < gp.posterior(waiting).variance).all()
    assert gp.n_observations == 30


def test_conditioning_on_values_is_what_a_fit_with_these_hyperparameters_gives(gp):
    x, y = points(4, seed=7), branin(points(4, seed=7))
    conditioned = gp.condition(x, y)
    model = conditioned.to_botorch()
    others = points(10, seed=5)
    u = torch.from_numpy((others - BOX[:, 0]) / (BOX[:, 1] - BOX[:, 0]))
    known = branin(points(30))
    theirs = known.mean() + known.std(ddof=1) * model.posterior(u).mean.detach().numpy()[:, 0]
    np.testing.assert_allclose(conditioned.posterior(others).mean, theirs, rtol=1e-6)
    assert not np.allclose(conditioned.posterior(others).mean, gp.posterior(others).mean)


def test_paths_have_the_mean_and_variance_of_the_posterior():
    model = GaussianProcess(BOX)
    model.fit(points(12), branin(points(12)))
    x = points(15, seed=11)
    generator = np.random.default_rng(0)
    draws = np.array([model.draw_path(generator)(x)[0] for _ in range(1500)])
    belief = model.posterior(x)
    std = np.sqrt(belief.variance)
    np.testing.assert_allclose((draws.mean(0) - belief.mean) / std, 0, atol=0.15)
    np.testing.assert_allclose(draws.std(0) / std, 1, atol=0.15)


def test_a_path_has_the_gradient_of_its_values(gp):
    path = gp.draw_path(np.random.default_rng(3))
    x = points(5, seed=12)
    _, gradient = path(x)
    for k in range(2):
        step = np.eye(2)[k] * 1e-5
        np.testing.assert_allclose(gradient[:, k], (path(x + step)[0] - path(x - step)[0]) / 2e-5, rtol=1e-4, atol=1e-4)


def test_ten_thousand_predictions_are_those_of_small_batches(gp):
    x = points(10_000, seed=13)
    whole = gp.posterior(x)
    np.testing.assert_allclose(whole.mean[4090:4100], gp.posterior(x[4090:4100]).mean, rtol=1e-10)
    np.testing.assert_allclose(whole.variance[4090:4100], gp.posterior(x[4090:4100]).variance, rtol=1e-6)


def test_bad_observations_are_refused_by_name():
    model = GaussianProcess(BOX)
    with pytest.raises(NotFittedError, match="fit"):
        model.posterior(points(1))
    with pytest.raises(ObservationError, match="as many values"):
        model.fit(points(3), [1.0, 2.0])
    with pytest.raises(ObservationError, match="at least one"):
        model.fit(np.empty((0, 2)), [])
    with pytest.raises(ObservationError, match=r"\(n, 2\)"):
        model.fit(np.zeros((3, 1)), [1.0, 2.0, 3.0])
    with pytest.raises(NonFiniteError, match="values hold NaN or infinity, first at 1"):
        model.fit(points(2), [1.0, np.nan])
    with pytest.raises(NonFiniteError, match="row 1"):
        model.fit([[0.0, 0.0], [np.inf, 0.0]], [1.0, 2.0])
    with pytest.raises(ObservationError, match="quarantine"):
        model.fit(points(2), [1.0, 1e300])
    with pytest.raises(ObservationError, match="y_var"):
        model.fit(points(2), [1.0, 2.0], y_var=[1.0, -1.0])
    with pytest.raises(ObservationError, match=r"\(n,\)"):
        model.fit(points(2), np.zeros((2, 2)))


def test_bad_settings_are_refused_by_name():
    with pytest.raises(DomainError, match="low < high"):
        GaussianProcess([[1.0, 1.0]])
    with pytest.raises(ParameterError, match="variance"):
        GaussianProcess(BOX, noise=-1.0)
    with pytest.raises(ParameterError, match="rbf, matern52"):
        GaussianProcess(BOX, kernel="cubic")


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("case", ["one", "constant", "duplicates", "contradicting", "outlier", "zero"])
def test_awkward_histories_give_finite_beliefs(case, scale):
    x = np.repeat(points(4), 3, axis=0)
    y = {
        "one": np.ones(1),
        "constant": np.full(12, 3.0),
        "duplicates": branin(x),
        "contradicting": np.arange(12.0),
        "outlier": np.append(branin(x)[:-1], 1e9),
        "zero": np.zeros(12),
    }[case] * scale
    for noise in (None, 0.0, 1e-3):
        model = GaussianProcess(BOX, noise=noise)
        model.fit(x[: len(y)], y)
        belief = model.posterior_gradient(np.vstack([points(20, seed=1), x]))
        for part in (belief.mean, belief.variance, belief.mean_gradient, belief.variance_gradient):
            assert np.isfinite(part).all()
        assert (belief.variance > 0).all()
        assert np.abs(belief.mean).max() <= 100 * max(np.abs(y).max(), 1e-300) + 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_finite_history_gives_a_finite_belief(data):
    n, d = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    x = data.draw(arrays(np.float64, (n, d), elements=st.floats(0, 1)))
    y = data.draw(arrays(np.float64, n, elements=st.floats(-1e12, 1e12)))
    model = GaussianProcess(np.tile([0.0, 1.0], (d, 1)), noise=data.draw(st.sampled_from([None, 0.0, 1.0])))
    model.fit(x, y)
    belief = model.condition(x[:1] * 0.5).posterior(np.vstack([x, np.full((1, d), 0.5)]))
    assert np.isfinite(belief.mean).all()
    assert np.isfinite(belief.variance).all()
    assert (belief.variance > 0).all()
