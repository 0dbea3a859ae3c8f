"""Gaussian process on the principal scores of trajectories.

    f ~ GP(c, s k(u, u')),    u = V^T (decode(z) - mean) / standard deviations

The latent space of an autoencoder may be folded or stretched where the trajectories are not; distances between principal scores are
distances between trajectories. Points are latent vectors that `features` decodes, or trajectories themselves. The components are those
of the observed trajectories, so that fitting is a pure function of the data.

Source: Jolliffe, Principal Component Analysis, Springer 2002, 10.1007/b98835, chapter 8 (regression on principal components).
"""

from numpy.typing import ArrayLike

from .base import Array
from .input_layer import Features, Layer, check_inputs, layer_of
from .kernels import KERNELS
from .layered import LayeredSurrogate
from .marginal_likelihood import most_probable
from .mixture import Mixture
from .plain import plain_member


class PCAGaussianProcess(LayeredSurrogate):
    """Gaussian process on at most eight principal scores.

    Args:
        bounds: The box (d, 2), rows [low, high].
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
        features: Turns latent vectors (n, d) into trajectories, such as a latent model's `decode`; None when points are trajectories.
        n_channels: Channels of a trajectory, side by side in each step.
        with_tail_means: Whether to look at the means of the last 1, 2, 4, ... steps as well, which is how a fading memory sees a
            trajectory. From 100 labels on the published trajectories it takes the error of the curl from .63 to .37.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: A parameter is out of range.
    """

    def __init__(
        self,
        bounds: ArrayLike,
        noise: float | None = None,
        features: Features | None = None,
        n_channels: int = 1,
        with_tail_means: bool = False,
    ) -> None:
        super().__init__(bounds, noise)
        check_inputs("trajectory", n_channels)
        self.features = features
        self.n_channels = n_channels
        self.with_tail_means = with_tail_means

    def _learn(self, x: Array, y: Array, noise: Array | None) -> tuple[Layer, Mixture]:
        layer = layer_of(self.bounds, x, self.features, self.n_channels, self.with_tail_means)
        u, edge = layer(x), layer.bounds[:, 1] - layer.bounds[:, 0]
        learned = most_probable(KERNELS["matern52"], (u - layer.bounds[:, 0]) / edge, y, noise)
        return layer, Mixture([plain_member(u, y, learned, edge)])
