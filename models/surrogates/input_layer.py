"""The first, linear layer of a surrogate: what of a point it looks at.

Points of a box are only rescaled. A *trajectory* x (T steps, C channels) of hundreds of numbers is described by

    principal scores    (x - mean) V              its shape as a whole, noise left out
    tail means          mean of its last 1, 2, 4, 8, ... steps, per channel

each divided by its standard deviation. The tail means are there because a material's memory fades: its state depends on the last values
in detail and on older ones more and more summarily, and with only a hundred labels no network finds among 900 inputs the few that matter.

Source: Boyd and Chua, Fading memory and the problem of approximating nonlinear operators with Volterra series, IEEE Trans. Circuits Syst.
32, 1150 (1985), 10.1109/TCS.1985.1085649 (the notion); the choice of dyadic tail means is our own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from ..errors import NonFiniteError, ObservationError, ParameterError
from .base import Array

Features: TypeAlias = Callable[[Array], Array]
"""A function of latent vectors (n, d) that returns trajectories (n, T) or (n, T, C), such as a latent model's `decode`."""


@runtime_checkable
class LinearReadout(Protocol):
    """A decoder whose last layer is linear: decode(z) = hidden(z) @ weight + bias."""

    weight: Array
    """(H, D)."""
    bias: Array
    """(D,)."""

    def __call__(self, z: Array) -> Array:
        """Trajectories of latent vectors (n, d)."""
        ...

    def hidden(self, z: Array) -> Array:
        """Hidden values (n, H) of latent vectors (n, d)."""
        ...

    def hidden_and_jacobian(self, z: Array) -> tuple[Array, Array]:
        """Hidden values (n, H) of latent vectors (n, d), and their derivatives (n, d, H)."""
        ...


Inputs: TypeAlias = Literal["auto", "latent", "trajectory"]
"""What the points are taken for."""

MOST_LATENT: Final = 32
"""Points of more coordinates are taken for trajectories when nothing else is said."""
N_SCORES: Final = 8
"""Most principal scores used; further ones changed the error on the published trajectories by less than a hundredth."""
NEGLIGIBLE: Final = 1e-4
"""Share of the total variance below which a principal component is left out."""
TRAJECTORY_EDGE: Final = 3.0
"""Standardized features of trajectories lie between minus and plus this, for the most part."""
STEP: Final = 1e-5
"""Step of a difference quotient, as a share of the box's edge."""
BOX_EDGE: Final = float(np.sqrt(3.0))
"""Half the edge of a box in which uniformly distributed points have variance 1."""


@dataclass(frozen=True, slots=True)
class InputLayer:
    """An affine map u = (x - offset) matrix of points (n, D) to standardized inputs (n, k)."""

    offset: Array
    """(D,)."""
    matrix: Array
    """(D, k)."""
    bounds: Array
    """The box (k, 2) that the inputs fill, rows [low, high]."""

    def __call__(self, x: Array) -> Array:
        """Inputs (n, k) of points (n, D)."""
        return (x - self.offset) @ self.matrix

    def pullback(self, x: Array, gradient: Array) -> Array:
        """Gradients (n, D) by the points x (n, D), from gradients (n, k) by the inputs."""
        del x
        return gradient @ self.matrix.T

    def value_and_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Inputs (n, k) of points (n, D), and their derivatives (n, k, D)."""
        return self(x), np.broadcast_to(self.matrix.T, (len(x), *self.matrix.T.shape))


@dataclass(frozen=True, slots=True)
class DecodedLayer:
    """Inputs that are read from the decoded trajectory of a latent vector."""

    decode: Features
    """Latent vectors (n, d) -> what they stand for (n, D)."""
    layer: InputLayer
    """What of that is looked at."""
    box: Array
    """The box (d, 2) of the latent vectors: difference quotients do not look outside, where nobody has promised anything."""

    @property
    def bounds(self) -> Array:
        """The box (k, 2) that the inputs fill."""
        return self.layer.bounds

    def __call__(self, x: Array) -> Array:
        """Inputs (n, k) of latent vectors (n, d)."""
        return self.layer(decoded_rows(self.decode, x))

    def pullback(self, x: Array, gradient: Array) -> Array:
        """Gradients (n, d) by the latent vectors x (n, d), from gradients (n, k) by the inputs."""
        return np.asarray(np.einsum("mk,mkd->md", gradient, self.value_and_jacobian(x)[1]))

    def value_and_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Inputs (n, k) of latent vectors (n, d), and their derivatives (n, k, d), from one call of the decoder."""
        n, d = x.shape
        low, high = np.minimum(x, self.box[:, 0]), np.maximum(x, self.box[:, 1])
        moves = np.diag(STEP * (self.box[:, 1] - self.box[:, 0]))[:, None]
        after, before = np.minimum(x + moves, high), np.maximum(x - moves, low)
        inputs = self(np.concatenate([x[None], after, before]).reshape(-1, d)).reshape(2 * d + 1, n, -1)
        steps = np.einsum("jnj->jn", after - before)
        slopes = (inputs[1 : d + 1] - inputs[d + 1 :]) / steps[:, :, None]
        return inputs[0], np.moveaxis(slopes, 0, 2)


@dataclass(frozen=True, slots=True)
class ReadoutLayer:
    """The same inputs, for a decoder whose last layer is linear: that layer and the reading of it are multiplied once and for all."""

    decoder: LinearReadout
    """What decodes."""
    matrix: Array
    """Hidden values -> inputs, (H, k)."""
    offset: Array
    """Inputs (k,) of hidden values of zero."""
    bounds: Array
    """The box (k, 2) that the inputs fill."""

    @classmethod
    def of(cls, decoder: LinearReadout, layer: InputLayer) -> "ReadoutLayer":
        """What `layer` reads from decoded trajectories."""
        return cls(decoder, decoder.weight @ layer.matrix, (decoder.bias - layer.offset) @ layer.matrix, layer.bounds)

    def __call__(self, x: Array) -> Array:
        """Inputs (n, k) of latent vectors (n, d)."""
        inputs: Array = self.decoder.hidden(x) @ self.matrix + self.offset
        return inputs

    def pullback(self, x: Array, gradient: Array) -> Array:
        """Gradients (n, d) by the latent vectors x (n, d), from gradients (n, k) by the inputs."""
        _, slopes = self.decoder.hidden_and_jacobian(x)
        pulled: Array = np.matmul(slopes, (gradient @ self.matrix.T)[:, :, None])[:, :, 0]
        return pulled

    def value_and_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Inputs (n, k) of latent vectors (n, d), and their exact derivatives (n, k, d)."""
        hidden, slopes = self.decoder.hidden_and_jacobian(x)
        return hidden @ self.matrix + self.offset, np.matmul(slopes, self.matrix).transpose(0, 2, 1)


Layer = InputLayer | DecodedLayer | ReadoutLayer


def as_rows(trajectories: Array) -> Array:
    """Trajectories (n, T) or (n, T, C) as rows (n, T * C), the channels of a step side by side."""
    array = np.asarray(trajectories, dtype=np.float64)
    return array.reshape(len(array), -1)


def decoded_rows(decode: Features, x: Array) -> Array:
    """What latent vectors x (n, d) decode to, as rows (n, T * C).

    Raises:
        ObservationError: Another number of trajectories than of points.
        NonFiniteError: NaN or infinity among them; the message names the points.
    """
    rows = as_rows(decode(x))
    if len(rows) != len(x):
        raise ObservationError(f"features of {len(x)} points have {len(rows)} rows; return one trajectory for each point")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        found = ", ".join(str(point.tolist()) for point in x[bad][:3])
        more = f" and {int(bad.sum()) - 3} more" if bad.sum() > 3 else ""
        raise NonFiniteError(f"features hold NaN or infinity at {found}{more}; make them finite in the whole box, or narrow the bounds")
    return rows


def box_layer(bounds: Array) -> InputLayer:
    """The layer that centres a box (d, 2), rows [low, high], and gives all its edges the same length."""
    edge = bounds[:, 1] - bounds[:, 0]
    limits = np.tile([-BOX_EDGE, BOX_EDGE], (len(bounds), 1))
    return InputLayer(bounds.mean(axis=1), np.diag(2 * BOX_EDGE / edge), limits)


def trajectory_layer(x: Array, n_channels: int = 1, with_tail_means: bool = True) -> InputLayer:
    """The layer that looks at the principal scores and the tail means of trajectories.

    Args:
        x: Trajectories (n, T * C), channels of a step side by side, to take the principal components and the standard deviations from.
        n_channels: Number of channels C.
        with_tail_means: Whether to look at the tail means, or at the principal scores alone.

    Raises:
        ParameterError: The trajectories cannot be that of `n_channels` channels.
    """
    if x.shape[1] % n_channels:
        raise ParameterError(f"{x.shape[1]} values cannot be the steps of {n_channels} channels; n_channels must divide them")
    mean = x.mean(axis=0)
    _, singular, components = np.linalg.svd(x - mean, full_matrices=False)
    share = singular**2 / max(float((singular**2).sum()), np.finfo(np.float64).tiny)
    principal = components[:N_SCORES][share[:N_SCORES] > NEGLIGIBLE].T
    tails = tail_means(x.shape[1] // n_channels, n_channels)
    matrix = np.hstack([principal, tails]) if with_tail_means else principal
    spread = ((x - mean) @ matrix).std(axis=0)
    # A feature that does not vary among the data says nothing, and must not blow up rounding errors elsewhere.
    floor = 1e-9 * max(float(np.abs(x).max()), np.finfo(np.float64).tiny)
    matrix = matrix[:, spread > floor] / spread[spread > floor]
    if matrix.shape[1] == 0:
        matrix = tails[:, :1]  # all trajectories are equal
    return InputLayer(mean, matrix, np.tile([-TRAJECTORY_EDGE, TRAJECTORY_EDGE], (matrix.shape[1], 1)))


def layer_of(bounds: Array, x: Array, decode: Features | None, n_channels: int = 1, with_tail_means: bool = True) -> Layer:
    """The layer that looks at trajectories: at the points x (n, d) themselves, or at what `decode` makes of them."""
    if decode is None:
        return trajectory_layer(x, n_channels, with_tail_means)
    shape = np.shape(decode(x[:1]))
    layer = trajectory_layer(decoded_rows(decode, x), shape[2] if len(shape) == 3 else n_channels, with_tail_means)
    if isinstance(decode, LinearReadout):
        return ReadoutLayer.of(decode, layer)
    return DecodedLayer(decode, layer, bounds)


def check_inputs(inputs: str, n_channels: int) -> None:
    """Refuse what is no way of reading points.

    Raises:
        ParameterError: `inputs` is none of the known words, or there is no channel.
    """
    if inputs not in ("auto", "latent", "trajectory"):
        raise ParameterError(f"inputs is {inputs!r}; it must be auto, latent or trajectory")
    if n_channels < 1:
        raise ParameterError(f"n_channels is {n_channels}; it must be at least 1")


def chosen_layer(inputs: Inputs, bounds: Array, x: Array, decode: Features | None, n_channels: int) -> Layer:
    """The layer for points x (n, d) of a box: of latent vectors or, where they are such or `decode` makes them, of trajectories."""
    if inputs == "trajectory" or (inputs == "auto" and (decode is not None or x.shape[1] > MOST_LATENT)):
        return layer_of(bounds, x, decode, n_channels)
    return box_layer(bounds)


def tail_means(n_steps: int, n_channels: int = 1) -> Array:
    """Matrix (T * C, k) whose columns average the last 1, 2, 4, ... steps of each channel."""
    columns = []
    length = 1
    while length <= n_steps:
        for channel in range(n_channels):
            column = np.zeros((n_steps, n_channels))
            column[n_steps - length :, channel] = 1.0 / length
            columns.append(column.reshape(-1))
        length *= 2
    return np.array(columns).T
