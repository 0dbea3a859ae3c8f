"""Bayesian linear regression in the space of some features.

For y = c + w^T phi + noise with weights w ~ N(0, s I),

    w | y ~ N(m, C),    C = (I / s + Phi^T N^-1 Phi)^-1,    m = C Phi^T N^-1 (y - c),    N = diag(noise),
    mean(phi) = c + m^T phi,    variance(phi) = phi^T C phi.

It costs n k^2, and a draw from it is exact: one vector of weights.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, MIT Press 2006, section 2.1.
"""

from typing import Final, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky

from .base import Array, ValueAndGradient
from .feature_posterior import Moments

VARIANCE_FLOOR: Final = 1e-12
"""Smallest posterior variance, as a share of the weights' prior variance."""


class LinearPosterior:
    """Belief about the weights.

    Args:
        features: Features (n, k) of the observed points.
        y: Standardized values (n,).
        noise: Their noise variances (n,).
        mean: Constant c.
        scale: Prior variance s of each weight.
        n_real: How many of the points are real; those after them are fantasies. None for all.
    """

    def __init__(self, features: Array, y: Array, noise: Array, mean: float, scale: float, n_real: int | None = None) -> None:
        self.features, self.y, self.noise, self.mean, self.scale = features, y, noise, mean, scale
        self.n_real = len(y) if n_real is None else n_real
        self._weights, self._real = self._solved(self.n_real)
        self._covariance = self._real if self.n_real == len(y) else self._solved(len(y))[1]

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
        floor = VARIANCE_FLOOR * self.scale
        variance, real = (np.maximum(np.einsum("ij,ij->i", phi @ each, phi), floor) for each in (self._covariance, self._real))
        return Moments(self.mean + phi @ self._weights, variance, real)

    def gradients(self, phi: Array) -> tuple[Moments, Array, Array, Array]:
        """Belief at features (m, k), and the gradients (m, k) of mean, variance and variance without fantasies by the features."""
        by_mean = np.broadcast_to(self._weights, phi.shape)
        return self.moments(phi), by_mean, 2.0 * phi @ self._covariance, 2.0 * phi @ self._real

    def extended(self, features: Array, y: Array, *, is_fantasy: bool) -> Self:
        """A copy that has also observed standardized values y (p,) at features (p, k)."""
        place = len(self.y) if is_fantasy else self.n_real  # fantasies stay last
        return type(self)(
            np.insert(self.features, place, features, axis=0) if len(y) else self.features,
            np.insert(self.y, place, y),
            np.insert(self.noise, place, np.full(len(y), self.typical_noise)),
            self.mean,
            self.scale,
            self.n_real + (0 if is_fantasy else len(y)),
        )

    def draw_path(self, generator: np.random.Generator, n_features: int) -> ValueAndGradient:
        """One linear function of the features, drawn from the posterior."""
        del n_features
        k = len(self._weights)
        jitter = VARIANCE_FLOOR * self.scale * np.eye(k)
        weights = self._weights + cholesky(self._covariance + jitter, lower=True) @ generator.standard_normal(k)

        def path(phi: Array) -> tuple[Array, Array]:
            return self.mean + phi @ weights, np.broadcast_to(weights, phi.shape)

        return path

    def _solved(self, n: int) -> tuple[Array, Array]:
        """Mean (k,) and covariance (k, k) of the weights after the first n observations."""
        weighted = self.features[:n] / self.noise[:n, None]
        factor = cho_factor(np.eye(self.features.shape[1]) / self.scale + self.features[:n].T @ weighted, lower=True)
        mean: Array = cho_solve(factor, weighted.T @ (self.y[:n] - self.mean))
        covariance: Array = cho_solve(factor, np.eye(len(mean)))
        return mean, 0.5 * (covariance + covariance.T)
