import numpy as np
import pytest
from latentloop.models.surrogates.kernels import KERNELS, squared_distances
from scipy.special import gamma, kv


@pytest.fixture(params=sorted(KERNELS))
def kernel(request):
    return KERNELS[request.param]


def test_the_matern_covariance_is_that_with_bessel_functions():
    r, nu = np.linspace(0.05, 4, 50), 2.5
    t = np.sqrt(2 * nu) * r
    np.testing.assert_allclose(KERNELS["matern52"].value(r**2), 2 ** (1 - nu) / gamma(nu) * t**nu * kv(nu, t), rtol=1e-10)


def test_covariance_is_one_at_zero_and_falls(kernel):
    r2 = np.linspace(0, 20, 100)
    assert kernel.value(np.zeros(1))[0] == 1.0
    assert (np.diff(kernel.value(r2)) < 0).all()


def test_slope_is_the_derivative_by_the_squared_distance(kernel):
    r2 = np.linspace(0.1, 9, 40)
    np.testing.assert_allclose(kernel.slope(r2), (kernel.value(r2 + 1e-6) - kernel.value(r2 - 1e-6)) / 2e-6, rtol=1e-6)


def test_random_frequencies_reproduce_the_covariance(kernel):
    """By Bochner's theorem the covariance is the mean of cos(omega (x - x'))."""
    omega = kernel.frequencies(200_000, 2, np.random.default_rng(0))
    for gap in ([0.5, 0.0], [0.7, -0.7], [0.0, 2.0]):
        expected = kernel.value(np.array([np.dot(gap, gap)]))[0]
        assert np.cos(omega @ np.array(gap)).mean() == pytest.approx(expected, abs=0.01)


def test_squared_distances_are_never_negative():
    x = np.random.default_rng(0).random((50, 3)) + 1e3
    squared = squared_distances(x, x)
    assert (squared >= 0).all()
    np.testing.assert_allclose(squared, ((x[:, None] - x[None]) ** 2).sum(2), atol=1e-8)
