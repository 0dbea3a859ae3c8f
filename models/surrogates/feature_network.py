"""The network of a deep kernel, for predictions.

    phi(u) = exp(s) u + W_L tanh(... tanh(u W_1 + b_1) ...) + b_L

The first term alone, with s = -log(length scale), is the plain Gaussian process; the network adds what that cannot say. Here it is plain
NumPy with its derivative written out: an acquisition function asks hundreds of times for a single point, where automatic differentiation
would spend most of its time on itself.

Sources: Wilson, Hu, Salakhutdinov and Xing, Deep kernel learning, AISTATS 2016, 10.48550/arXiv.1511.02222; van Amersfoort et al. 2021 (the
direct path keeps distant points distant), 10.48550/arXiv.2102.11409.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .base import Array


class FeatureMap(Protocol):
    """Inputs -> features in which a kernel of length scale 1 works."""

    def __call__(self, u: Array) -> Array:
        """Features (n, k) of inputs (n, d)."""
        ...

    def pullback(self, u: Array, gradient: Array) -> Array:
        """Gradients (n, d) by the inputs u (n, d), from gradients (n, k) by the features."""
        ...


@dataclass(frozen=True, slots=True)
class Scaling:
    """Features that are inputs divided by length scales: the plain Gaussian process."""

    factor: Array
    """One over the length scales (d,)."""

    def __call__(self, u: Array) -> Array:
        """See `FeatureMap`."""
        return u * self.factor

    def pullback(self, u: Array, gradient: Array) -> Array:
        """See `FeatureMap`."""
        del u
        return gradient * self.factor


@dataclass(frozen=True, slots=True)
class FeatureNetwork:
    """A multilayer perceptron beside a direct path; as many features as inputs."""

    direct: Array
    """Factors (d,) of the direct path."""
    weights: tuple[Array, ...]
    """One matrix (in, out) per layer."""
    biases: tuple[Array, ...]
    """One vector (out,) per layer."""

    def __call__(self, u: Array) -> Array:
        """See `FeatureMap`."""
        return self._hidden(u)[-1] @ self.weights[-1] + self.biases[-1] + u * self.direct

    def pullback(self, u: Array, gradient: Array) -> Array:
        """See `FeatureMap`."""
        back = gradient @ self.weights[-1].T
        for hidden, weight in zip(reversed(self._hidden(u)[1:]), reversed(self.weights[:-1]), strict=True):
            back = (back * (1.0 - hidden * hidden)) @ weight.T
        return back + gradient * self.direct

    def _hidden(self, u: Array) -> list[Array]:
        """The input, and the values of each hidden layer."""
        layers = [u]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layers.append(np.tanh(layers[-1] @ weight + bias))
        return layers
