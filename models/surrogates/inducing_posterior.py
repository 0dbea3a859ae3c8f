"""Gaussian-process posterior through inducing points, for thousands of observations.

With m inducing features Z among n observations, K = s k, and noise N,

    mean(phi)     = c + k_Z A^-1 K_Zn N^-1 (y - c),    A = K_ZZ + K_Zn N^-1 K_nZ,
    variance(phi) = s - k_Z (K_ZZ^-1 - A^-1) k_Z,

which costs n m^2 once, m^2 per prediction, and is exact when every observation is an inducing point. Fantasies become inducing points, so
that the variance collapses on them.

Sources: Titsias, Variational learning of inducing variables in sparse Gaussian processes, AISTATS 2009; Burt, Rasmussen and van der Wilk,
JMLR 21, 131 (2020), 10.48550/arXiv.2008.00323 (greedy choice); Wilson et al. 2020, 10.48550/arXiv.2002.09309 (draws).
"""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.blas import dtrmm

from .base import Array, ValueAndGradient
from .feature_posterior import VARIANCE_FLOOR, Moments
from .kernels import Kernel, squared_distances

JITTER: Final = 1e-8
"""Added to the inducing points' covariance, as a share of the prior variance."""
ENOUGH: Final = 1e-6
"""Share of the prior variance below which a further inducing point adds nothing."""


class InducingPosterior:
    """Belief through inducing points.

    Args:
        kernel: Covariance function of the features' squared distances.
        features: Features (n, k) of the observed points.
        y: Standardized values (n,).
        noise: Their noise variances (n,).
        inducing: Features (m, k) of the inducing points.
        mean: Constant prior mean c.
        scale: Prior variance s.
        fantasies: Features (p, k) of points without a value.
    """

    def __init__(
        self,
        kernel: Kernel,
        features: Array,
        y: Array,
        noise: Array,
        inducing: Array,
        mean: float,
        scale: float,
        fantasies: Array | None = None,
    ) -> None:
        self.kernel, self.features, self.y, self.noise, self.mean, self.scale = kernel, features, y, noise, mean, scale
        self.inducing = inducing
        self.fantasies = np.empty((0, features.shape[1])) if fantasies is None else fantasies
        self._root, self._known, self._half, self._inner = self._projected(inducing, features, noise)
        self._weights: Array = self._explaining(y - mean)
        self._places, self._root_all, self._known_all = inducing, self._root, self._known
        if len(self.fantasies):
            self._places = np.vstack([inducing, self.fantasies])
            known = np.vstack([features, self.fantasies])
            variances = np.append(noise, np.full(len(self.fantasies), self.typical_noise))
            self._root_all, self._known_all, _, _ = self._projected(self._places, known, variances)

    @property
    def n_observations(self) -> int:
        """Number of observations, fantasies included."""
        return len(self.y) + len(self.fantasies)

    @property
    def typical_noise(self) -> float:
        """Median noise variance."""
        return float(np.median(self.noise))

    def moments(self, phi: Array) -> Moments:
        """Belief at features (m, k)."""
        cross = self._covariance(phi, self._places)
        return self._moments(cross)

    def gradients(self, phi: Array) -> tuple[Moments, Array, Array, Array]:
        """Belief at features (m, k), and the gradients (m, k) of mean, variance and variance without fantasies by the features."""
        squared = squared_distances(phi, self._places)
        cross, slope = self.scale * self.kernel.value(squared), 2.0 * self.scale * self.kernel.slope(squared)
        m = len(self.inducing)

        def pull(weights: Array) -> Array:
            product = slope[:, : weights.shape[-1]] * weights
            pulled: Array = phi * product.sum(axis=1, keepdims=True) - product @ self._places[: product.shape[1]]
            return pulled

        by_real = -2.0 * pull(cross[:, :m] @ self._root.T @ self._known @ self._root)
        by_variance = -2.0 * pull(cross @ self._root_all.T @ self._known_all @ self._root_all) if len(self.fantasies) else by_real
        return self._moments(cross), pull(self._weights), by_variance, by_real

    def extended(self, features: Array, y: Array, *, is_fantasy: bool) -> Self:
        """A copy that has also observed standardized values y (p,) at features (p, k), all of them inducing points."""
        if is_fantasy:
            fantasies = np.vstack([self.fantasies, features])
            return type(self)(self.kernel, self.features, self.y, self.noise, self.inducing, self.mean, self.scale, fantasies)
        return type(self)(
            self.kernel,
            np.vstack([self.features, features]),
            np.append(self.y, y),
            np.append(self.noise, np.full(len(y), self.typical_noise)),
            np.vstack([self.inducing, features]),
            self.mean,
            self.scale,
            self.fantasies,
        )

    def draw_path(self, generator: np.random.Generator, n_features: int) -> ValueAndGradient:
        """One function of the features drawn from the posterior (of the real observations)."""
        frequency = self.kernel.frequencies(n_features, self.features.shape[1], generator)
        phase = generator.uniform(0.0, 2.0 * np.pi, n_features)
        weight = generator.standard_normal(n_features) * np.sqrt(2.0 * self.scale / n_features)
        noise = generator.standard_normal(len(self.y)) * np.sqrt(self.noise)
        prior = np.cos(self.features @ frequency.T + phase) @ weight
        update = self._explaining(self.y - self.mean - prior - noise)

        def path(phi: Array) -> tuple[Array, Array]:
            angle = phi @ frequency.T + phase
            squared = squared_distances(phi, self.inducing)
            value = self.mean + np.cos(angle) @ weight + self.scale * self.kernel.value(squared) @ update
            product = 2.0 * self.scale * self.kernel.slope(squared) * update
            correction = phi * product.sum(axis=1, keepdims=True) - product @ self.inducing
            return value, correction - (np.sin(angle) * weight) @ frequency

        return path

    def _moments(self, cross: Array) -> Moments:
        """Belief where the covariances with inducing points and fantasies are cross (m, places)."""
        real = cross[:, : len(self.inducing)]
        variance_real = self._variance(real @ self._root.T, self._known)
        variance = variance_real
        if len(self.fantasies):
            variance = self._variance(cross @ self._root_all.T, self._known_all)
            variance = np.minimum(variance, variance_real)  # which differ by rounding far from the fantasies
        return Moments(self.mean + real @ self._weights, variance, variance_real)

    def _variance(self, white: Array, known: Array) -> Array:
        """Prior variance less what is known, for whitened covariances (m, places)."""
        variance: Array = np.maximum(self.scale - np.einsum("ij,ij->i", white @ known, white), VARIANCE_FLOOR * self.scale)
        return variance

    def _covariance(self, a: Array, b: Array) -> Array:
        return self.scale * self.kernel.value(squared_distances(a, b), overwrite=True)

    def _explaining(self, values: Array) -> Array:
        """A^-1 K_Zn N^-1 values: the weights (m,) of the inducing points' covariances that values (n,) ask for."""
        white = self._half @ (values / np.sqrt(self.noise))  # a matrix (m, n) for all values would cost twice as much as all the rest
        weights: Array = self._root.T @ cho_solve((self._inner, True), white, check_finite=False)
        return weights

    def _projected(self, places: Array, features: Array, noise: Array) -> tuple[Array, Array, Array, Array]:
        """What the posterior is made of.

        Returns:
            L^-1 (m, m); R (m, m) with K_ZZ^-1 - A^-1 = L^-T R L^-1, which has no large entries; H = L^-1 K_Zn N^-1/2 (m, n); and the lower
            Cholesky factor of 1 + H H^T (m, m).
        """
        m = len(places)
        gram = self._covariance(places, places)
        gram[np.diag_indices(m)] += JITTER * self.scale
        inverse = solve_triangular(cholesky(gram, lower=True, check_finite=False), np.eye(m), lower=True, check_finite=False)
        half = dtrmm(1.0, inverse, self._covariance(places, features), lower=1)
        half /= np.sqrt(noise)
        inner = half @ half.T
        inner[np.diag_indices(m)] += 1.0
        factor: Array = cholesky(inner, lower=True, check_finite=False)
        known = np.eye(m) - cho_solve((factor, True), np.eye(m), check_finite=False)
        return inverse, 0.5 * (known + known.T), half, factor


def chosen_inducing(kernel: Kernel, features: Array, n_inducing: int) -> NDArray[np.int64]:
    """Rows of features (n, k) to induce from: each is the one that the rows before it leave most uncertain. Ties: the first."""
    n = len(features)
    variance = np.ones(n)
    basis = np.zeros((min(n_inducing, n), n))
    chosen: list[int] = []
    for turn in range(len(basis)):
        row = int(variance.argmax())
        if variance[row] < ENOUGH:
            break
        column = kernel.value(squared_distances(features[row : row + 1], features))[0]
        basis[turn] = (column - basis[:turn, row] @ basis[:turn]) / np.sqrt(variance[row])
        variance = variance - basis[turn] ** 2
        variance[row] = 0.0
        chosen.append(row)
    return np.array(chosen, dtype=np.int64)
