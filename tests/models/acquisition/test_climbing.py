"""Climbs reach the summits that belong to their starts, within few calls."""

import numpy as np
import pytest
from latentloop.models.acquisition.climbing import climb


class Counted:
    """A function with its gradient that counts the points it is asked for."""

    def __init__(self, value, gradient):
        self.value, self.gradient, self.n_calls, self.n_points = value, gradient, 0, 0

    def __call__(self, x):
        self.n_calls += 1
        self.n_points += len(x)
        return self.value(x), self.gradient(x)


def quadratic(top, bend):
    return Counted(lambda x: -0.5 * (bend * (x - top) ** 2).sum(1), lambda x: -bend * (x - top))


@pytest.mark.parametrize("d", [1, 2, 6, 16])
def test_a_quadratic_with_uneven_curvatures_is_climbed_within_few_calls(d):
    bend = np.logspace(0, 2, d)
    function = quadratic(0.4, bend)
    ends = climb(function, np.random.default_rng(d).random((8, d)), 200)
    assert (-function.value(ends)).max() < 1e-6
    assert function.n_calls <= 28 + 2 * d


def test_a_top_outside_the_cube_is_approached_on_its_face():
    ends = climb(quadratic(np.array([1.5, 0.3]), np.ones(2)), np.random.default_rng(0).random((8, 2)), 60)
    np.testing.assert_allclose(ends, np.tile([1.0, 0.3], (8, 1)), atol=1e-4)


def test_a_curved_ridge_is_followed():
    """Rosenbrock's function in [-1, 1.5]^2, upside down."""

    def value(u):
        x, y = (2.5 * u - 1.0).T
        return -((1 - x) ** 2) - 100 * (y - x**2) ** 2

    def gradient(u):
        x, y = (2.5 * u - 1.0).T
        return 2.5 * np.column_stack([2 * (1 - x) + 400 * x * (y - x**2), -200 * (y - x**2)])

    ends = climb(Counted(value, gradient), np.array([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]]), 120)
    assert (-value(ends)).max() < 1e-5


def test_a_summit_costs_no_more_calls_once_it_is_reached():
    """Rounding errors in values and slopes near the top must not keep a climb busy."""
    rng = np.random.default_rng(1)

    def value(x):
        return np.cos(3 * (x - 0.5)).prod(1) + 1e-12 * rng.standard_normal(len(x))

    def gradient(x):
        c, s = np.cos(3 * (x - 0.5)), np.sin(3 * (x - 0.5))
        return -3 * np.column_stack([s[:, 0] * c[:, 1], c[:, 0] * s[:, 1]]) + 1e-6 * rng.standard_normal(x.shape)

    function = Counted(value, gradient)
    ends = climb(function, 0.5 + 0.2 * rng.uniform(-1, 1, (8, 2)), 1000)
    np.testing.assert_allclose(ends, 0.5, atol=1e-3)
    assert function.n_calls < 30


def test_cliffs_are_not_fallen_from():
    """NaN beyond x = 0.7, with the slope leading there; infinite values and huge steps, and no warning (which would be an error)."""

    def value(x):
        return np.where(x[:, 0] > 0.7, np.nan, 1e6 * x[:, 0])

    ends = climb(Counted(value, lambda x: np.tile([1e6, 0.0], (len(x), 1))), np.array([[0.1, 0.5], [0.69, 0.5]]), 60)
    assert (ends[:, 0] <= 0.7).all()
    assert (ends[:, 0] > 0.6).all()
    start = np.array([[0.5, 0.5]])
    assert (climb(Counted(lambda x: np.full(len(x), -np.inf), np.zeros_like), start, 60) == start).all()
