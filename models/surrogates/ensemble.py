"""Ensemble of Gaussian processes: bagging over hyperparameters.

    mean(x) = average_j m_j(x),    variance(x) = average_j v_j(x) + variance_j m_j(x)

Each of twelve members learns its length scales, variance, noise and mean from another three quarters of the observations, and is then
conditioned on all of them. With few observations those hyperparameters are little more than guesses; a single best guess hides that, and
its intervals are too narrow.

Sources: Breiman, Bagging predictors, Machine Learning 24, 123 (1996), 10.1007/BF00058655; Lakshminarayanan, Pritzel and Blundell 2017,
10.48550/arXiv.1612.01474 (moments of the mixture).
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .base import Array
from .input_layer import Features, Inputs, Layer, check_inputs, chosen_layer
from .kernels import KERNELS
from .layered import LayeredSurrogate
from .marginal_likelihood import most_probable
from .mixture import Mixture
from .plain import left_out, plain_member, without

FEWEST_OBSERVATIONS: Final = 8
"""With fewer no part can be left out, and there is one member."""
MOST_LEARNED_FROM: Final = 200
"""Observations that hyperparameters are learned from; all count for the posterior."""


class EnsembleSurrogate(LayeredSurrogate):
    """Gaussian processes with different opinions about the function as a whole.

    Args:
        bounds: The box (d, 2), rows [low, high]; for trajectories d = steps times channels.
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
        features: Turns latent vectors (n, d) into the trajectories that are looked at instead, such as a latent model's `decode`.
        inputs: "latent" points are used as they are; of a "trajectory" principal scores and tail means; "auto" takes points of more
            than 32 coordinates, and what `features` returns, for trajectories.
        n_channels: Channels of a trajectory, side by side in each step.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: A parameter is out of range.
    """

    def __init__(
        self,
        bounds: ArrayLike,
        noise: float | None = None,
        features: Features | None = None,
        inputs: Inputs = "auto",
        n_channels: int = 1,
    ) -> None:
        super().__init__(bounds, noise)
        check_inputs(inputs, n_channels)
        self.features = features
        self.inputs: Inputs = inputs
        self.n_channels = n_channels

    def _layer(self, x: Array) -> Layer:
        return chosen_layer(self.inputs, self.bounds, x, self.features, self.n_channels)

    def _learn(self, layer: Layer, x: Array, y: Array, noise: Array | None) -> Mixture:
        u, low, edge = layer(x), layer.bounds[:, 0], layer.bounds[:, 1] - layer.bounds[:, 0]
        if len(y) < FEWEST_OBSERVATIONS or np.ptp(y) == 0:
            return Mixture([plain_member(u, y, most_probable(KERNELS["matern52"], (u - low) / edge, y, noise), edge)])
        rows = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_LEARNED_FROM)).astype(np.int64))
        known = None if noise is None else noise[rows]
        members = []
        for fold in left_out(len(rows)):
            learned = without(u[rows], y[rows], known, fold, low, edge)
            everywhere = np.full(len(y), np.median(learned.noise)) if noise is None else noise
            members.append(plain_member(u, y, replace(learned, noise=everywhere), edge))
        return Mixture(members)
