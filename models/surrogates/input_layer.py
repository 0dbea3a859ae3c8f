"""The first, linear layer of a surrogate: what of a point it looks at.

Points of a box are only rescaled. A *trajectory* x (T steps, C channels) of hundreds of numbers is described by

    principal scores    (x - mean) V              its shape as a whole, noise left out
    tail means          mean of its last 1, 2, 4, 8, ... steps, per channel

each divided by its standard deviation. The tail means are there because a material's memory fades: its state depends on the last values
in detail and on older ones more and more summarily, and with only a hundred labels no network finds among 900 inputs the few that matter.

Source: Boyd and Chua, Fading memory and the problem of approximating nonlinear operators with Volterra series, IEEE Trans. Circuits Syst.
32, 1150 (1985), 10.1109/TCS.1985.1085649 (the notion); the choice of dyadic tail means is our own.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from .base import Array

N_SCORES: Final = 8
"""Most principal scores used; further ones changed the error on the published trajectories by less than a hundredth."""
NEGLIGIBLE: Final = 1e-4
"""Share of the total variance below which a principal component is left out."""
TRAJECTORY_EDGE: Final = 3.0
"""Standardized features of trajectories lie between minus and plus this, for the most part."""
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

    @property
    def n_inputs(self) -> int:
        """Number of inputs k."""
        return int(self.matrix.shape[1])

    def __call__(self, x: Array) -> Array:
        """Inputs (n, k) of points (n, D)."""
        return (x - self.offset) @ self.matrix

    def pullback(self, gradient: Array) -> Array:
        """Gradients (n, D) by the points, from gradients (n, k) by the inputs."""
        return gradient @ self.matrix.T


def box_layer(bounds: Array) -> InputLayer:
    """The layer that centres a box (d, 2), rows [low, high], and gives all its edges the same length."""
    edge = bounds[:, 1] - bounds[:, 0]
    limits = np.tile([-BOX_EDGE, BOX_EDGE], (len(bounds), 1))
    return InputLayer(bounds.mean(axis=1), np.diag(2 * BOX_EDGE / edge), limits)


def trajectory_layer(x: Array, n_channels: int = 1) -> InputLayer:
    """The layer that looks at the principal scores and the tail means of trajectories.

    Args:
        x: Trajectories (n, T * C), channels of a step side by side, to take the principal components and the standard deviations from.
        n_channels: Number of channels C.
    """
    mean = x.mean(axis=0)
    _, singular, components = np.linalg.svd(x - mean, full_matrices=False)
    share = singular**2 / max(float((singular**2).sum()), np.finfo(np.float64).tiny)
    principal = components[:N_SCORES][share[:N_SCORES] > NEGLIGIBLE].T
    matrix = np.hstack([principal, tail_means(x.shape[1] // n_channels, n_channels)])
    spread = ((x - mean) @ matrix).std(axis=0)
    # A feature that does not vary among the data says nothing, and must not blow up rounding errors elsewhere.
    floor = 1e-9 * max(float(np.abs(x).max()), np.finfo(np.float64).tiny)
    matrix = matrix[:, spread > floor] / spread[spread > floor]
    if matrix.shape[1] == 0:
        matrix = tail_means(x.shape[1] // n_channels, n_channels)[:, :1]
    return InputLayer(mean, matrix, np.tile([-TRAJECTORY_EDGE, TRAJECTORY_EDGE], (matrix.shape[1], 1)))


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
