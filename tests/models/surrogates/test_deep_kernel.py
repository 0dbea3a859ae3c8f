import numpy as np
import pytest
import torch
from latentloop.models import NotFittedError, ParameterError
from latentloop.models.surrogates import DeepKernelSurrogate, GaussianProcess
from latentloop.models.surrogates.deep_kernel import FEWEST_OBSERVATIONS, objection, prior_correlation
from latentloop.models.surrogates.deep_kernel_training import DeepKernelPlan, _Batch, shares
from latentloop.models.surrogates.feature_network import FeatureNetwork
from latentloop.models.surrogates.feature_posterior import FeaturePosterior
from latentloop.models.surrogates.input_layer import box_layer
from latentloop.models.surrogates.kernels import KERNELS
from latentloop.models.surrogates.marginal_likelihood import most_probable
from latentloop.models.surrogates.plain import SEED, left_out

UNIT = np.tile([0.0, 1.0], (2, 1))
PLAN = DeepKernelPlan((16, 8), 60, 20, 0.01, 1e-2)


def cliff(x: np.ndarray) -> np.ndarray:
    """A step along a slanted line: what no stationary process can follow."""
    values: np.ndarray = np.where(x[:, 0] + 0.5 * x[:, 1] > 0.7, 1.0, 0.0) + 0.2 * np.sin(5 * x[:, 1])
    return values


def branin(x: np.ndarray) -> np.ndarray:
    a, b = 15 * x[:, 0] - 5, 15 * x[:, 1]
    return (b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10


def points(n: int, seed: int = 0, d: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((n, d))


@pytest.fixture(scope="module")
def on_a_cliff() -> DeepKernelSurrogate:
    model = DeepKernelSurrogate(UNIT)
    model.fit(points(60), cliff(points(60)))
    return model


def batch(n: int = 24) -> tuple[_Batch, np.ndarray, np.ndarray, np.ndarray]:
    """A batch in training, with its inputs, values and folds."""
    layer = box_layer(UNIT)
    u, y = layer(points(n)), cliff(points(n))
    y = (y - y.mean()) / y.std(ddof=1)
    folds = left_out(n)
    edge = np.diff(layer.bounds)[:, 0]
    starts = [most_probable(KERNELS["matern52"], (u - layer.bounds[:, 0]) / edge, y, np.full(n, 1e-2)) for _ in folds]
    return _Batch(u, y, None, folds, starts, edge, PLAN, SEED), u, y, folds


def test_every_observation_is_left_out_by_as_many_members_and_never_by_all():
    for n in (20, 21, 23, 100):
        folds = left_out(n)
        times = np.bincount(folds.ravel(), minlength=n)
        assert times.min() >= 3
        assert times.max() < len(folds)
        np.testing.assert_allclose(shares(folds, n).sum(axis=0), 1)


def test_held_out_predictions_are_those_of_leaving_each_observation_out():
    model, u, y, folds = batch()
    for tensor in model.parameters():
        tensor.data += 0.05  # off the start, where the network is silent
    with torch.no_grad():
        mean, variance = model.held_out()
        values = [tensor.detach().clone() for tensor in model.parameters()]
    weights = shares(folds, len(y))
    for i in (0, 7, 23):
        kept = np.arange(len(y)) != i
        moments = []
        for m in np.flatnonzero(weights[:, i]):
            kernel = model.exported(values, m, 0)
            phi = kernel.network(u)
            alone = FeaturePosterior(KERNELS["matern52"], phi[kept], y[kept], kernel.noise[kept], kernel.mean, kernel.scale)
            belief = alone.moments(phi[i : i + 1])
            moments.append((belief.mean[0], belief.variance[0] + kernel.noise[i], weights[m, i]))
        joint = sum(share * mu for mu, _, share in moments)
        spread = sum(share * (v + (mu - joint) ** 2) for mu, v, share in moments)
        assert float(mean[i]) == pytest.approx(joint, rel=1e-6)
        assert float(variance[i]) == pytest.approx(spread, rel=1e-6)


def test_training_does_not_read_the_held_out_values():
    """A member's parameters after some steps are the same whatever the values that it leaves out."""
    first, _, y, folds = batch()
    second = batch()[0]
    changed = y.copy()
    changed[folds[0]] += 10.0
    second.y = torch.from_numpy(changed)
    for model in (first, second):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            model.loss().backward()
            optimizer.step()
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(mine[0], other[0], rtol=0, atol=0)
    assert not torch.equal(first.weights[0][1], second.weights[0][1])


def test_training_starts_at_the_plain_gaussian_process():
    layer = box_layer(UNIT)
    u, y = layer(points(30)), cliff(points(30))
    y = (y - y.mean()) / y.std(ddof=1)
    low, edge = layer.bounds[:, 0], np.diff(layer.bounds)[:, 0]
    plain = most_probable(KERNELS["matern52"], (u - low) / edge, y, np.full(30, 1e-2))
    start = _Batch(u, y, np.full(30, 1e-2), left_out(30), [plain] * 12, edge, PLAN, SEED)
    kernel = start.exported([tensor.detach() for tensor in start.parameters()], 5, 0)
    phi = kernel.network(u)
    np.testing.assert_allclose(phi, u / (plain.lengthscale * edge), rtol=1e-12)
    assert kernel.mean == pytest.approx(plain.mean)
    assert kernel.scale == pytest.approx(plain.scale)


def test_the_network_of_the_predictions_is_that_of_the_training():
    model, u, _, _ = batch()
    for tensor in model.parameters():
        tensor.data += 0.1
    with torch.no_grad():
        theirs = model._covariance(model.u[model.kept], model._noise(model.kept))[3].numpy()
    kernel = model.exported([tensor.detach() for tensor in model.parameters()], 3, 0)
    phi = kernel.network(u)[model.kept[3].numpy()]
    ours = kernel.scale * KERNELS["matern52"].matrix(phi, phi, np.ones(2)) + np.diag(kernel.noise[: len(phi)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_way_back_through_a_network_is_its_slope():
    generator = np.random.default_rng(0)
    shapes = ((3, 5), (5, 4), (4, 3))
    network = FeatureNetwork(
        generator.random(3),
        tuple(generator.standard_normal(shape) for shape in shapes),
        tuple(generator.standard_normal(b) for _, b in shapes),
    )
    u, slope = generator.standard_normal((2, 6, 3))
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        quotient = ((network(u + step) - network(u - step)) * slope).sum(axis=1) / 2e-6
        np.testing.assert_allclose(network.pullback(u, slope)[:, k], quotient, rtol=1e-6, atol=1e-8)


def test_where_a_process_cannot_follow_the_deep_kernel_is_chosen_and_better(on_a_cliff):
    x = points(2000, seed=1)
    plain = GaussianProcess(UNIT)
    plain.fit(points(60), cliff(points(60)))
    assert on_a_cliff.report.used == "deep kernel"
    assert on_a_cliff.report.held_out_nlpd < on_a_cliff.report.held_out_nlpd_gaussian_process
    assert max(on_a_cliff.report.steps) > 0
    error = np.sqrt(np.mean((on_a_cliff.posterior(x).mean - cliff(x)) ** 2))
    error_plain = np.sqrt(np.mean((plain.posterior(x).mean - cliff(x)) ** 2))
    assert error < 0.8 * error_plain


def test_the_intervals_hold_what_they_promise(on_a_cliff):
    x = points(2000, seed=1)
    belief = on_a_cliff.posterior(x)
    inside = np.abs(belief.mean - cliff(x)) < 1.96 * np.sqrt(belief.variance + on_a_cliff.noise_variance)
    assert 0.9 < inside.mean() <= 1.0


def test_where_a_process_is_right_it_answers_and_the_report_says_so():
    x, others = points(60), points(200, seed=2)
    model, plain = DeepKernelSurrogate(UNIT), GaussianProcess(UNIT)
    model.fit(x, branin(x))
    plain.fit(x, branin(x))
    assert model.report.used == "gaussian process"
    assert "lower" in model.report.reason
    assert model.report.held_out_nlpd > model.report.held_out_nlpd_gaussian_process
    np.testing.assert_allclose(model.posterior(others).mean, plain.posterior(others).mean, atol=0.05 * branin(x).std())


def test_collapsed_features_are_told_from_working_ones():
    for factor, is_collapsed in ((0.0, True), (1e-3, True), (0.3, False), (10.0, False)):
        why = objection(-1.0, 0.1, 0.95, prior_correlation(factor * points(30)))
        assert (why is not None and "collapsed" in why) == is_collapsed


@pytest.mark.parametrize(
    ("loss", "coverage", "words"),
    [(0.2, 0.95, "lower by 0.2"), (np.nan, 0.95, "lower"), (-0.2, 0.6, "overconfident: its 95 % intervals hold 60 %"), (0.05, 0.95, None)],
)
def test_a_worse_score_and_narrow_intervals_speak_against_a_deep_kernel(loss, coverage, words):
    why = objection(loss, 0.1, coverage, 0.2)
    assert why is None if words is None else words in why


@pytest.mark.parametrize(("n", "values"), [(1, "some"), (3, "some"), (FEWEST_OBSERVATIONS - 1, "some"), (40, "equal")])
def test_with_nothing_to_hold_out_or_to_learn_the_process_answers(n, values):
    x = points(n)
    model = DeepKernelSurrogate(UNIT)
    model.fit(x, cliff(x) if values == "some" else np.full(n, 3.0))
    assert model.report.used == "gaussian process"
    assert model.report.reason
    assert np.isnan(model.report.held_out_nlpd)
    assert np.isfinite(model.posterior(points(5, seed=3)).mean).all()


def test_fitting_twice_gives_the_same_bits(on_a_cliff):
    torch.manual_seed(99)
    again = DeepKernelSurrogate(UNIT)
    again.fit(points(25, seed=5), branin(points(25, seed=5)))
    again.fit(points(60), cliff(points(60)))
    x = points(20, seed=4)
    np.testing.assert_array_equal(again.posterior(x).mean, on_a_cliff.posterior(x).mean)
    np.testing.assert_array_equal(again.posterior(x).variance, on_a_cliff.posterior(x).variance)
    assert again.report == on_a_cliff.report


def test_gradients_and_paths_follow_the_values(on_a_cliff):
    x = points(6, seed=6)
    conditioned = on_a_cliff.condition(points(2, seed=7))
    for model in (on_a_cliff, conditioned):
        belief = model.posterior_gradient(x)
        path = model.draw_path(np.random.default_rng(0))
        np.testing.assert_allclose(belief.mean, model.posterior(x).mean, rtol=1e-9)
        np.testing.assert_allclose(belief.variance, model.posterior(x).variance, rtol=1e-7)
        for k in range(2):
            step = 1e-6 * np.eye(2)[k]
            above, below = model.posterior(x + step), model.posterior(x - step)
            np.testing.assert_allclose(belief.mean_gradient[:, k], (above.mean - below.mean) / 2e-6, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(belief.variance_gradient[:, k], (above.variance - below.variance) / 2e-6, rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(path(x)[1][:, k], (path(x + step)[0] - path(x - step)[0]) / 2e-6, rtol=1e-4, atol=1e-4)


def test_a_fantasy_leaves_the_mean_and_shrinks_the_variance(on_a_cliff):
    x, waiting = points(40, seed=8), points(3, seed=9)
    before, conditioned = on_a_cliff.posterior(x), on_a_cliff.condition(waiting)
    np.testing.assert_allclose(conditioned.posterior(x).mean, before.mean, rtol=1e-8, atol=1e-10)
    ratio = conditioned.posterior(waiting).variance / on_a_cliff.posterior(waiting).variance
    assert (ratio < 0.95).all()
    assert (conditioned.posterior(x).variance <= before.variance * (1 + 1e-9)).all()
    assert conditioned.n_observations == on_a_cliff.n_observations + 3 == 63
    assert conditioned.report is on_a_cliff.report


def test_further_values_are_believed():
    model = DeepKernelSurrogate(UNIT, noise=1e-6)
    model.fit(points(60), cliff(points(60)))
    assert model.report.used == "deep kernel"
    x = points(3, seed=10)
    shifted = model.posterior(x).mean + 1.0
    after = model.condition(x, shifted).posterior(x)
    np.testing.assert_allclose(after.mean, shifted, atol=0.1)
    fantasy = model.condition(x).posterior(x)
    assert (fantasy.variance < 0.02 * model.posterior(x).variance).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_of_the_values_does_not_matter(on_a_cliff, scale):
    model = DeepKernelSurrogate(UNIT)
    model.fit(points(60), scale * cliff(points(60)))
    x = points(10, seed=11)
    np.testing.assert_allclose(model.posterior(x).mean / scale, on_a_cliff.posterior(x).mean, rtol=1e-3, atol=1e-3)


def test_known_noise_per_point_is_heeded():
    x = np.vstack([points(40), [[0.1, 0.1], [0.1, 0.1]]])
    y = np.append(cliff(points(40)), [5.0, 0.0])
    variances = np.full(42, 1e-4)
    variances[40] = 1e4
    model = DeepKernelSurrogate(UNIT)
    model.fit(x, y, variances)
    assert abs(model.posterior([[0.1, 0.1]]).mean[0]) < 0.5


def test_trajectories_are_recognized_and_their_last_value_found():
    generator = np.random.default_rng(0)
    t = np.linspace(0, 1, 100)
    x = generator.standard_normal((260, 3)) @ np.array([np.sin((j + 1) * 3 * t) for j in range(3)]) + 0.05 * generator.standard_normal(
        (260, 100)
    )
    y = np.tanh(5 * x[:, -1])
    bounds = np.stack([x.min(axis=0), x.max(axis=0)], axis=1)
    model = DeepKernelSurrogate(bounds)
    model.fit(x[:60], y[:60])
    assert np.sqrt(np.mean((model.posterior(x[60:]).mean - y[60:]) ** 2)) < 0.3 * y.std()


def test_latent_vectors_can_be_looked_at_as_what_they_decode_to():
    t = np.linspace(0, 1, 50)

    def decode(z: np.ndarray) -> np.ndarray:
        return np.sin(10 * z[:, :1] * t) + z[:, 1:] * t

    z = points(60)
    y = decode(z)[:, -1] ** 2
    model = DeepKernelSurrogate(UNIT, features=decode)
    model.fit(z, y)
    others = points(100, seed=1)
    assert np.sqrt(np.mean((model.posterior(others).mean - decode(others)[:, -1] ** 2) ** 2)) < 0.2 * y.std()
    belief = model.posterior_gradient(others[:4])
    step = np.array([1e-4, 0.0])
    quotient = (model.posterior(others[:4] + step).mean - model.posterior(others[:4] - step).mean) / 2e-4
    np.testing.assert_allclose(belief.mean_gradient[:, 0], quotient, rtol=1e-2, atol=1e-3 * np.abs(quotient).max())


def test_bad_settings_and_early_questions_are_refused_by_name():
    with pytest.raises(NotFittedError, match="fit"):
        DeepKernelSurrogate(UNIT).posterior(points(1))
    with pytest.raises(NotFittedError, match="fit"):
        _ = DeepKernelSurrogate(UNIT).report
    with pytest.raises(ParameterError, match="auto, latent or trajectory"):
        DeepKernelSurrogate(UNIT, inputs="curve")
    with pytest.raises(ParameterError, match="n_channels"):
        DeepKernelSurrogate(UNIT, n_channels=0)
    with pytest.raises(ParameterError, match="positive"):
        DeepKernelSurrogate(UNIT, hidden=())
