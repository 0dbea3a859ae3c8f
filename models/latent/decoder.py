"""A decoder that shows its last, linear layer.

    decode(z) = hidden(z) @ weight + bias

Whoever looks at linear functions of a trajectory u = (decode(z) - offset) matrix, such as its principal scores or means of its steps, can
multiply weight @ matrix once and then gets u, and its exact derivative by z, from a hundred hidden values instead of a thousand steps. It
is plain NumPy in float64: for the few points at a time of a search, the calls of a network library cost more than the arithmetic.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import expit, ndtr

from .base import Array

Slope = Callable[[Array], tuple[Array, Array]]
"""Values before the activation (of any shape) -> values after it, and the derivatives of those."""


def _tanh(a: Array) -> tuple[Array, Array]:
    value = np.tanh(a)
    return value, 1.0 - value * value


def _relu(a: Array) -> tuple[Array, Array]:
    return np.maximum(a, 0.0), (a > 0.0).astype(np.float64)


def _softplus(a: Array) -> tuple[Array, Array]:
    return np.logaddexp(0.0, a), np.asarray(expit(a))


def _gelu(a: Array) -> tuple[Array, Array]:
    below = np.asarray(ndtr(a))
    return a * below, below + a * np.exp(-0.5 * a * a) / np.sqrt(2.0 * np.pi)


SLOPES: Final[dict[str, Slope]] = {"tanh": _tanh, "relu": _relu, "softplus": _softplus, "gelu": _gelu}
"""Activations by the names that networks know them by."""


class Decoder:
    """Latent vectors (n, d) -> trajectories, with its hidden values in the open.

    Args:
        decode: Latent vectors (n, d) -> trajectories (n, T) or (n, T, C).
        layers: Weights (out, in) and biases (out,) of the hidden layers; none for a linear decoder.
        activation: Of the hidden layers.
        weight: Of the last layer, (H, T * C).
        bias: Of the last layer, (T * C,).
    """

    def __init__(
        self, decode: Callable[[Array], Array], layers: list[tuple[Array, Array]], activation: str, weight: Array, bias: Array
    ) -> None:
        self._decode = decode
        self._layers = [(np.ascontiguousarray(into.T), offset) for into, offset in layers]
        self._slope = SLOPES[activation]
        self.weight = weight
        self.bias = bias

    def __call__(self, z: Array) -> Array:
        """Trajectories (n, T) or (n, T, C) of latent vectors (n, d)."""
        return self._decode(z)

    def hidden(self, z: Array) -> Array:
        """Hidden values (n, H) of latent vectors (n, d)."""
        for into, offset in self._layers:
            z = self._slope(z @ into + offset)[0]
        return z

    def hidden_and_jacobian(self, z: Array) -> tuple[Array, Array]:
        """Hidden values (n, H) of latent vectors (n, d), and their derivatives (n, d, H)."""
        n, d = z.shape
        slopes: Array = np.broadcast_to(np.eye(d), (n, d, d))
        for number, (into, offset) in enumerate(self._layers):
            z, steepness = self._slope(z @ into + offset)
            before = into if number == 0 else (slopes.reshape(n * d, -1) @ into).reshape(n, d, -1)
            slopes = before * steepness[:, None, :]
        return z, slopes
