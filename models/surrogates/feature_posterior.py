"""Gaussian-process posterior in the space of some features.

For features phi(x), standardized values y, prior N(c, s k(phi, phi')) with length scale 1, and noise,

    mean(phi)     = c + s k(phi, Phi) a,                       a = K^-1 (y - c),    K = s k(Phi, Phi) + diag(noise),
    variance(phi) = s - s^2 k(phi, Phi) K^-1 k(Phi, phi).

What the features are, and the way back from gradients by phi to gradients by x, is the business of the surrogate that uses this. Points
can be added as fantasies: they count for the variance, but leave the mean alone.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, MIT Press 2006, sections 2.2 and 5.4.2.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from .base import Array, ValueAndGradient
from .kernels import Kernel, squared_distances
from .marginal_likelihood import Hyperparameters, factorize
from .paths import posterior_path

VARIANCE_FLOOR: Final = 1e-12
"""Smallest posterior variance, as a share of the prior's: the difference of two nearly equal numbers has no smaller digits."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Belief at m points, for standardized values."""

    mean: Array
    """(m,), without fantasies."""
    variance: Array
    """(m,), fantasies included."""
    variance_real: Array
    """(m,), without fantasies."""


class FeaturePosterior:
    """Exact posterior, with its Cholesky factor cached.

    Args:
        kernel: Covariance function of the features' squared distances.
        features: Features (n, k) of the observed points.
        y: Standardized values (n,).
        noise: Their noise variances (n,).
        mean: Constant prior mean c.
        scale: Prior variance s.
        n_real: How many of the points are real; those after them are fantasies. None for all.
    """

    def __init__(
        self, kernel: Kernel, features: Array, y: Array, noise: Array, mean: float, scale: float = 1.0, n_real: int | None = None
    ) -> None:
        self.kernel, self.features, self.y, self.noise, self.mean, self.scale = kernel, features, y, noise, mean, scale
        self.n_real = len(y) if n_real is None else n_real
        self._factor = factorize(scale * kernel.value(squared_distances(features, features), overwrite=True), noise)
        # The leading block of a Cholesky factor is the factor of the leading block.
        self._real = self._factor[: self.n_real, : self.n_real]
        self._weights: Array = np.zeros(len(y))
        self._weights[: self.n_real] = cho_solve((self._real, True), y[: self.n_real] - mean, check_finite=False)

    @property
    def n_observations(self) -> int:
        """Number of observations, fantasies included."""
        return len(self.y)

    @property
    def typical_noise(self) -> float:
        """Median noise variance."""
        return float(np.median(self.noise))

    def moments(self, phi: Array) -> Moments:
        """Belief at features (m, k)."""
        cross = self.scale * self.kernel.value(squared_distances(phi, self.features), overwrite=True)
        return self._moments(cross)

    def gradients(self, phi: Array) -> tuple[Moments, Array, Array, Array]:
        """Belief at features (m, k), and the gradients (m, k) of mean, variance and variance without fantasies by the features."""
        squared = squared_distances(phi, self.features)
        cross, slope = self.scale * self.kernel.value(squared), 2.0 * self.scale * self.kernel.slope(squared)
        belief = self._moments(cross)

        def pull(weights: Array) -> Array:
            # d r^2 / dphi = 2 (phi - Phi); each product is summed over the observations
            product = slope * weights
            pulled: Array = phi * product.sum(axis=1, keepdims=True) - product @ self.features
            return pulled

        by_variance = -2.0 * pull(cho_solve((self._factor, True), cross.T, check_finite=False).T)
        by_real = by_variance
        if self.n_real < len(self.y):
            solved = np.zeros_like(cross)
            solved[:, : self.n_real] = cho_solve((self._real, True), cross[:, : self.n_real].T, check_finite=False).T
            by_real = -2.0 * pull(solved)
        floor = VARIANCE_FLOOR * self.scale
        by_variance = np.where(belief.variance[:, None] > floor, by_variance, 0.0)
        by_real = np.where(belief.variance_real[:, None] > floor, by_real, 0.0)
        return belief, pull(self._weights), by_variance, by_real

    def leave_one_out(self) -> tuple[Array, Array]:
        """Mean (n,) and variance (n,), noise included, of each observed value given all others.

        mean_i = y_i - [K^-1 (y - c)]_i / [K^-1]_ii,    variance_i = 1 / [K^-1]_ii.
        """
        return leave_one_out(self._factor, self.y, self.mean)

    def extended(self, features: Array, y: Array, *, is_fantasy: bool) -> Self:
        """A copy that has also observed standardized values y (p,) at features (p, k)."""
        place = len(self.y) if is_fantasy else self.n_real  # fantasies stay last
        return type(self)(
            self.kernel,
            np.insert(self.features, place, features, axis=0) if len(y) else self.features,
            np.insert(self.y, place, y),
            np.insert(self.noise, place, np.full(len(y), np.median(self.noise))),
            self.mean,
            self.scale,
            self.n_real + (0 if is_fantasy else len(y)),
        )

    def draw_path(self, generator: np.random.Generator, n_features: int) -> ValueAndGradient:
        """One function of the features drawn from the posterior, fantasies included."""
        width = self.features.shape[1]
        root = np.sqrt(self.scale)
        # In units of the prior's standard deviation the prior variance is 1, as `posterior_path` has it.
        learned = Hyperparameters(np.ones(width), self.mean / root, self.noise / self.scale)
        path = posterior_path(self.kernel, learned, self.features, self.y / root, self._factor / root, n_features, generator)

        def scaled(phi: Array) -> tuple[Array, Array]:
            value, gradient = path(phi)
            return root * value, root * gradient

        return scaled

    def _moments(self, cross: Array) -> Moments:
        """Belief where the covariances with the observations are cross (m, n)."""
        half = solve_triangular(self._factor, cross.T, lower=True, check_finite=False) ** 2
        floor = VARIANCE_FLOOR * self.scale
        known = half[: self.n_real].sum(axis=0)
        variance = np.maximum(self.scale - known - half[self.n_real :].sum(axis=0), floor)
        return Moments(self.mean + cross @ self._weights, variance, np.maximum(self.scale - known, floor))


def leave_one_out(factor: Array, y: Array, mean: float) -> tuple[Array, Array]:
    """Leave-one-out means and variances (n,) from the lower Cholesky factor of K (n, n), in closed form."""
    inverse_factor = solve_triangular(factor, np.eye(len(y)), lower=True, check_finite=False)
    precision = np.einsum("ij,ij->j", inverse_factor, inverse_factor)
    weights = cho_solve((factor, True), y - mean, check_finite=False)
    return y - weights / precision, 1.0 / precision
