"""Stationary covariance functions with one length scale per dimension.

With r^2 = sum_k (x_k - x'_k)^2 / l_k^2 and variance 1,

    rbf        k = exp(-r^2 / 2)
    matern52   k = (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)

Both are written as functions of r^2: the derivative by r^2 is finite everywhere, whereas that of r is not defined at 0. Random
frequencies from the spectral density give features whose weighted sum is a draw from the prior.

Sources: Rasmussen and Williams, Gaussian Processes for Machine Learning, MIT Press 2006, chapter 4; Rahimi and Recht 2007 (features).
"""

from abc import ABC, abstractmethod
from typing import Final, Literal, TypeAlias

import numpy as np

from .base import Array

KernelName: TypeAlias = Literal["rbf", "matern52"]


class Kernel(ABC):
    """A covariance function of the scaled squared distance."""

    @abstractmethod
    def value(self, squared: Array, *, overwrite: bool = False) -> Array:
        """Covariance at scaled squared distances r^2 of any shape.

        Args:
            squared: r^2.
            overwrite: Whether `squared` may be used as memory; a fresh page costs more than the arithmetic on it.
        """

    @abstractmethod
    def slope(self, squared: Array) -> Array:
        """Derivative of the covariance by r^2."""

    def value_and_slope(self, squared: Array) -> tuple[Array, Array]:
        """Covariance, and its derivative by r^2."""
        return self.value(squared), self.slope(squared)

    @abstractmethod
    def frequencies(self, n: int, d: int, generator: np.random.Generator) -> Array:
        """Draws (n, d) from the spectral density, for length scales of 1."""

    def matrix(self, a: Array, b: Array, lengthscale: Array) -> Array:
        """Covariances (n, m) between points a (n, d) and b (m, d)."""
        return self.value(squared_distances(a / lengthscale, b / lengthscale), overwrite=True)


class RBF(Kernel):
    """Squared-exponential covariance: infinitely smooth functions."""

    def value(self, squared: Array, *, overwrite: bool = False) -> Array:
        """See `Kernel.value`."""
        half = np.multiply(squared, -0.5, out=squared if overwrite else None)
        return np.asarray(np.exp(half, out=half))

    def slope(self, squared: Array) -> Array:
        """See `Kernel.slope`."""
        return -0.5 * np.exp(-0.5 * squared)

    def frequencies(self, n: int, d: int, generator: np.random.Generator) -> Array:
        """See `Kernel.frequencies`."""
        return generator.standard_normal((n, d))


class Matern52(Kernel):
    """Matern covariance with smoothness 5/2: functions that can be differentiated twice."""

    def value(self, squared: Array, *, overwrite: bool = False) -> Array:
        """See `Kernel.value`."""
        return self._value_and_decay(np.multiply(squared, 5.0, out=squared if overwrite else None))[0]

    def slope(self, squared: Array) -> Array:
        """See `Kernel.slope`."""
        return self.value_and_slope(squared)[1]

    def value_and_slope(self, squared: Array) -> tuple[Array, Array]:
        """See `Kernel.value_and_slope`; one exponential serves both."""
        root = np.multiply(squared, 5.0)
        slope = np.sqrt(root)
        value, decay = self._value_and_decay(root)
        slope += 1.0
        slope *= decay
        slope *= -5.0 / 6.0
        return value, slope

    @staticmethod
    def _value_and_decay(scaled: Array) -> tuple[Array, Array]:
        """Covariance, and exp(-sqrt(5) r), of 5 r^2, which is overwritten: large temporaries cost more than the arithmetic."""
        value = np.multiply(scaled, 1.0 / 3.0)
        value += 1.0
        root = np.sqrt(scaled, out=scaled)
        value += root
        decay = np.exp(np.negative(root, out=root), out=root)
        value *= decay
        return value, decay

    def frequencies(self, n: int, d: int, generator: np.random.Generator) -> Array:
        """See `Kernel.frequencies`."""
        # The spectral density is a multivariate t with 2 nu = 5 degrees of freedom.
        return generator.standard_normal((n, d)) * np.sqrt(5.0 / generator.chisquare(5.0, size=(n, 1)))


MANY: Final = 64
"""Rows from which on preparing a matrix product costs less than passing over its result."""
KERNELS: Final[dict[str, Kernel]] = {"rbf": RBF(), "matern52": Matern52()}


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances (n, m); the expansion by matrix product can fall below zero by rounding, hence the floor."""
    of_a, of_b = (a * a).sum(axis=1), (b * b).sum(axis=1)
    if len(a) < MANY:
        squared: Array = a @ (-2.0 * b.T)
        squared += of_a[:, None]
        squared += of_b
    else:  # the sums as two further terms of the product: each pass over a large matrix costs as much as ten dimensions
        squared = np.column_stack([a, of_a, np.ones(len(a))]) @ np.vstack([-2.0 * b.T, np.ones(len(b)), of_b])
    return np.maximum(squared, 0.0, out=squared)
