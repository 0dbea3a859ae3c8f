import numpy as np
import pytest
from latentloop.models.surrogates import SphericalLinear
from latentloop.models.surrogates.linear_posterior import LinearPosterior
from latentloop.models.surrogates.spherical_linear import Sphere, loss


def test_inputs_lie_on_the_unit_sphere_with_the_centre_at_the_south_pole():
    u = np.random.default_rng(0).standard_normal((50, 4))
    sphere = Sphere(np.array([0.5, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(np.linalg.norm(sphere(u), axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(sphere(np.zeros((1, 4))), [[0, 0, 0, 0, -1]])
    equator = np.array([[0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(sphere(equator), [[0, 1, 0, 0, 0]])


def test_the_way_back_is_the_slope_of_the_way_there():
    generator = np.random.default_rng(1)
    sphere, u, slope = Sphere(generator.random(3) + 0.5), generator.standard_normal((6, 3)), generator.standard_normal((6, 4))
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        quotient = ((sphere(u + step) - sphere(u - step)) * slope).sum(axis=1) / 2e-6
        np.testing.assert_allclose(sphere.pullback(u, slope)[:, k], quotient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("noise", [None, np.full(12, 0.05)])
def test_the_loss_is_that_of_dense_algebra_up_to_a_constant_and_its_gradient_is_its_slope(noise):
    generator = np.random.default_rng(2)
    u, y = generator.standard_normal((12, 3)), generator.standard_normal(12)

    def dense(theta: np.ndarray) -> float:
        """The likelihood's part, by a 12 x 12 matrix."""
        phi = Sphere(np.exp(theta[:3]))(u)
        gram = np.exp(theta[3]) * phi @ phi.T + np.diag(np.full(12, np.exp(theta[4])) if noise is None else noise)
        inverse = np.linalg.inv(gram)
        mean = inverse.sum(axis=0) @ y / inverse.sum()
        return float(0.5 * (y - mean) @ inverse @ (y - mean) + 0.5 * np.linalg.slogdet(gram)[1])

    first = np.array([0.1, -0.3, 0.4, 0.2, -2.0][: 5 if noise is None else 4])
    value, gradient = loss(first, u, y, noise)
    from latentloop.models.surrogates.spherical_linear import _log_prior

    second = first.copy()
    second[0] += 0.3
    likelihood = [12 * loss(theta, u, y, noise)[0] + _log_prior(theta, 3)[0] for theta in (first, second)]
    assert likelihood[1] - likelihood[0] == pytest.approx(dense(second) - dense(first), rel=1e-7)
    for k in range(len(first)):
        step = 1e-6 * np.eye(len(first))[k]
        assert gradient[k] == pytest.approx(
            (loss(first + step, u, y, noise)[0] - loss(first - step, u, y, noise)[0]) / 2e-6, rel=1e-5, abs=1e-8
        )
    assert np.isfinite(value)


def test_the_linear_posterior_is_that_of_the_dual_form():
    generator = np.random.default_rng(3)
    phi, y, noise = generator.standard_normal((20, 4)), generator.standard_normal(20), generator.uniform(0.1, 0.5, 20)
    others = generator.standard_normal((6, 4))
    belief = LinearPosterior(phi, y, noise, 0.3, 2.0).moments(others)
    gram = 2.0 * phi @ phi.T + np.diag(noise)
    cross = 2.0 * others @ phi.T
    np.testing.assert_allclose(belief.mean, 0.3 + cross @ np.linalg.solve(gram, y - 0.3), rtol=1e-9)
    np.testing.assert_allclose(belief.variance, np.diag(2.0 * others @ others.T - cross @ np.linalg.solve(gram, cross.T)), rtol=1e-7)


def test_an_optimum_inside_many_dimensions_is_found_by_a_linear_model():
    """Which in the box itself could only point to a corner."""
    d, generator = 40, np.random.default_rng(4)
    bounds = np.tile([0.0, 1.0], (d, 1))
    x = generator.random((120, d))
    y = -((x - 0.4) ** 2).sum(axis=1)
    model = SphericalLinear(bounds)
    model.fit(x, y)
    others = generator.random((300, d))
    truth = -((others - 0.4) ** 2).sum(axis=1)
    assert np.corrcoef(model.posterior(others).mean, truth)[0, 1] > 0.9
    line = np.outer(np.linspace(0, 1, 21), np.ones(d))
    assert 0.2 <= line[model.posterior(line).mean.argmax(), 0] <= 0.6
