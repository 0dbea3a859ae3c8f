import numpy as np
import pytest
from latentloop.models.surrogates.feature_posterior import FeaturePosterior, leave_one_out
from latentloop.models.surrogates.kernels import KERNELS

KERNEL = KERNELS["matern52"]


def observed(n: int = 25, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, k)), generator.standard_normal(n), generator.uniform(0.01, 0.2, n)


@pytest.fixture
def belief() -> FeaturePosterior:
    phi, y, noise = observed()
    return FeaturePosterior(KERNEL, phi, y, noise, mean=0.3, scale=2.5)


def test_the_posterior_is_that_of_dense_algebra(belief):
    phi, y, noise = observed()
    others = np.random.default_rng(1).standard_normal((7, 3))
    ones = np.ones(3)
    gram = 2.5 * KERNEL.matrix(phi, phi, ones) + np.diag(noise)
    cross = 2.5 * KERNEL.matrix(others, phi, ones)
    inverse = np.linalg.inv(gram)
    moments = belief.moments(others)
    np.testing.assert_allclose(moments.mean, 0.3 + cross @ inverse @ (y - 0.3), rtol=1e-9)
    np.testing.assert_allclose(moments.variance, 2.5 - np.diag(cross @ inverse @ cross.T), rtol=1e-9)
    np.testing.assert_array_equal(moments.variance_real, moments.variance)


def test_leave_one_out_in_closed_form_is_leaving_each_out_in_turn(belief):
    phi, y, noise = observed()
    mean, variance = belief.leave_one_out()
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        alone = FeaturePosterior(KERNEL, phi[kept], y[kept], noise[kept], mean=0.3, scale=2.5).moments(phi[i : i + 1])
        assert mean[i] == pytest.approx(alone.mean[0], rel=1e-8, abs=1e-10)
        assert variance[i] == pytest.approx(alone.variance[0] + noise[i], rel=1e-8)


def test_leave_one_out_of_a_single_observation_is_the_prior():
    mean, variance = leave_one_out(np.array([[np.sqrt(1.5)]]), np.array([2.0]), 0.25)
    assert mean[0] == pytest.approx(0.25)
    assert variance[0] == pytest.approx(1.5)


def test_fantasies_count_for_the_variance_and_not_for_the_mean(belief):
    new, others = np.random.default_rng(2).standard_normal((2, 4, 3))
    grown = belief.extended(new, np.full(4, 9.0), is_fantasy=True)
    before, after = belief.moments(others), grown.moments(others)
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-9)
    assert (after.variance < before.variance).all()
    np.testing.assert_allclose(after.variance_real, before.variance, rtol=1e-9)


def test_real_values_after_fantasies_are_those_of_a_fresh_posterior(belief):
    phi, y, noise = observed()
    generator = np.random.default_rng(3)
    fantasy, real, others = generator.standard_normal((3, 2, 3))
    grown = belief.extended(fantasy, np.zeros(2), is_fantasy=True).extended(real, np.ones(2), is_fantasy=False)
    fresh = FeaturePosterior(
        KERNEL, np.vstack([phi, real]), np.append(y, np.ones(2)), np.append(noise, np.full(2, np.median(noise))), 0.3, 2.5
    )
    np.testing.assert_allclose(grown.moments(others).mean, fresh.moments(others).mean, rtol=1e-3)
    assert len(grown.y) == 29
    assert grown.n_real == 27


def test_gradients_are_slopes(belief):
    belief = belief.extended(np.zeros((1, 3)), np.ones(1), is_fantasy=True)
    phi = np.random.default_rng(4).standard_normal((5, 3))
    moments, by_mean, by_variance, by_real = belief.gradients(phi)
    np.testing.assert_allclose(moments.mean, belief.moments(phi).mean, rtol=1e-10)
    np.testing.assert_allclose(moments.variance, belief.moments(phi).variance, rtol=1e-8)
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        above, below = belief.moments(phi + step), belief.moments(phi - step)
        np.testing.assert_allclose(by_mean[:, k], (above.mean - below.mean) / 2e-6, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(by_variance[:, k], (above.variance - below.variance) / 2e-6, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(by_real[:, k], (above.variance_real - below.variance_real) / 2e-6, rtol=1e-5, atol=1e-7)


def test_paths_have_the_moments_of_the_posterior(belief):
    phi = np.random.default_rng(5).standard_normal((6, 3))
    generator = np.random.default_rng(6)
    draws = np.array([belief.draw_path(generator, 512)(phi)[0] for _ in range(1500)])
    moments = belief.moments(phi)
    std = np.sqrt(moments.variance)
    np.testing.assert_allclose((draws.mean(axis=0) - moments.mean) / std, 0, atol=0.15)
    np.testing.assert_allclose(draws.std(axis=0) / std, 1, atol=0.15)
