"""Functions drawn from the posterior of a Gaussian process.

A draw from the prior, as a sum of random features, is corrected by what the observations say about it (Matheron's rule):

    f(x) = c + g(x) + k(x, X) K^-1 (y - c - g(X) - e),    g(x) = sqrt(2 / m) sum_j [v_j cos(omega_j x) + w_j sin(omega_j x)],

with v_j, w_j, noise e normal, omega_j from the spectral density of k, and m features in m / 2 pairs: value and gradient need the same sines
and cosines. The result is one smooth function, defined everywhere and with a gradient; joint values could only be drawn on a grid.

Source: Wilson, Borovitskiy, Terenin, Mostowsky and Deisenroth 2020, 10.48550/arXiv.2002.09309.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve

from .base import Array
from .kernels import Kernel, squared_distances
from .marginal_likelihood import Hyperparameters


@dataclass(frozen=True, slots=True)
class PosteriorPath:
    """One function of points (m, d) in the unit cube."""

    kernel: Kernel
    """Covariance function."""
    learned: Hyperparameters
    """Hyperparameters."""
    frequency: Array
    """Frequencies (p, d) of the pairs of features."""
    cosines: Array
    """Weights (p,)."""
    sines: Array
    """Weights (p,)."""
    known: Array
    """Observed points (n, d), in units of the length scales."""
    update: Array
    """Weights (n,) of the covariances with them."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Values (m,) and gradients (m, d) at points (m, d)."""
        angle = x @ self.frequency.T
        cosine, sine = np.cos(angle), np.sin(angle, out=angle)
        scaled = x / self.learned.lengthscale
        covariance, slope = self.kernel.value_and_slope(squared_distances(scaled, self.known))
        value = self.learned.mean + (cosine @ self.cosines + sine @ self.sines) + covariance @ self.update
        slope *= self.update
        correction = 2.0 * (scaled * slope.sum(axis=1, keepdims=True) - slope @ self.known) / self.learned.lengthscale
        cosine *= self.sines
        sine *= self.cosines
        cosine -= sine
        return value, cosine @ self.frequency + correction

    def value(self, x: Array) -> Array:
        """Values (m,) alone, at a third of the price."""
        covariance = self.kernel.value(squared_distances(x / self.learned.lengthscale, self.known), overwrite=True)
        prior = prior_values(x @ self.frequency.T, self.cosines, self.sines)
        values: Array = self.learned.mean + prior + covariance @ self.update
        return values


def prior_values(angle: Array, cosines: Array, sines: Array) -> Array:
    """Sums (m,) of weighted cosines and sines of angles (m, p)."""
    total: Array = np.cos(angle) @ cosines + np.sin(angle) @ sines
    return total


@dataclass(frozen=True, slots=True)
class BoxPath:
    """A function of the unit cube and of standardized values, in a box and in units of y."""

    path: PosteriorPath
    """The function."""
    low: Array
    """Lower corner (d,) of the box."""
    edge: Array
    """Its edges (d,)."""
    centre: float
    """Value that is standardized to 0."""
    unit: float
    """Length of a standardized unit."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Values (m,) and gradients (m, d) at points (m, d)."""
        value, gradient = self.path((x - self.low) / self.edge)
        return self.centre + self.unit * value, gradient * (self.unit / self.edge)

    def value(self, x: Array) -> Array:
        """Values (m,) alone."""
        return self.centre + self.unit * self.path.value((x - self.low) / self.edge)


def posterior_path(
    kernel: Kernel, learned: Hyperparameters, u: Array, y: Array, factor: Array, n_features: int, generator: np.random.Generator
) -> PosteriorPath:
    """Draw one function of points (m, d) in the unit cube.

    Args:
        kernel: Covariance function.
        learned: Hyperparameters.
        u: Observed points (n, d) in the unit cube.
        y: Standardized values (n,).
        factor: Lower Cholesky factor of k(u, u) + diag(noise) / s.
        n_features: Number m of random features; the error of the prior's covariance falls with its square root.
        generator: Source of the randomness.
    """
    n_pairs = -(-n_features // 2)
    frequency = kernel.frequencies(n_pairs, u.shape[1], generator) / learned.lengthscale
    cosines, sines = generator.standard_normal((2, n_pairs)) * np.sqrt(learned.scale / n_pairs)
    noise = generator.standard_normal(len(y)) * np.sqrt(learned.noise)
    prior = prior_values(u @ frequency.T, cosines, sines)
    update = cho_solve((factor, True), y - learned.mean - prior - noise, check_finite=False)
    return PosteriorPath(kernel, learned, frequency, cosines, sines, u / learned.lengthscale, update)
