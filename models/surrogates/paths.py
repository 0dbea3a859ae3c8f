"""Functions drawn from the posterior of a Gaussian process.

A draw from the prior, as a sum of random features, is corrected by what the observations say about it (Matheron's rule):

    f(x) = c + g(x) + k(x, X) K^-1 (y - c - g(X) - e),    g(x) = sqrt(2 / m) sum_j w_j cos(omega_j x + b_j),

with w_j, noise e normal, b_j uniform, omega_j from the spectral density of k. The result is one smooth function, defined everywhere
and with a gradient, where drawing joint values would be limited to a grid.

Source: Wilson, Borovitskiy, Terenin, Mostowsky and Deisenroth 2020, 10.48550/arXiv.2002.09309.
"""

import numpy as np
from scipy.linalg import cho_solve

from .base import Array, ValueAndGradient
from .kernels import Kernel, squared_distances
from .marginal_likelihood import Hyperparameters


def posterior_path(
    kernel: Kernel, learned: Hyperparameters, u: Array, y: Array, factor: Array, n_features: int, generator: np.random.Generator
) -> ValueAndGradient:
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
    frequency = kernel.frequencies(n_features, u.shape[1], generator) / learned.lengthscale
    phase = generator.uniform(0.0, 2.0 * np.pi, n_features)
    weight = generator.standard_normal(n_features) * np.sqrt(2.0 * learned.scale / n_features)
    noise = generator.standard_normal(len(y)) * np.sqrt(learned.noise)
    prior = np.cos(u @ frequency.T + phase) @ weight
    update = cho_solve((factor, True), y - learned.mean - prior - noise, check_finite=False)
    known = u / learned.lengthscale

    def path(x: Array) -> tuple[Array, Array]:
        angle = x @ frequency.T + phase
        scaled = x / learned.lengthscale
        squared = squared_distances(scaled, known)
        covariance, slope = kernel.value_and_slope(squared)
        value = learned.mean + np.cos(angle) @ weight + covariance @ update
        pull = slope * update
        correction = 2.0 * (scaled * pull.sum(axis=1, keepdims=True) - pull @ known) / learned.lengthscale
        return value, -(np.sin(angle) * weight) @ frequency + correction

    return path
