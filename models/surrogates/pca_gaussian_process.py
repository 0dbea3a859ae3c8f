"""Gaussian process on what trajectories look like.

    f ~ GP(c, s k(u, u')),    u = principal scores and tail means of decode(z), in units of their standard deviations

The latent space of an autoencoder is folded and stretched where the trajectories are not: where neighbouring codes decode to different
trajectories the objective has cliffs and ridges, which a process of the codes can only learn one by one. Distances between decoded
trajectories know of them beforehand, for the decoder is known. Points are latent vectors that `features` decodes, or trajectories
themselves. What is looked at is learned from the first observations of the process's own schedule, so that fitting is a pure function of
the data; the rest is the standard surrogate of those inputs, `GaussianProcess`, or beyond 1,500 observations `SparseGaussianProcess`.

Source: Jolliffe, Principal Component Analysis, Springer 2002, 10.1007/b98835, chapter 8 (regression on principal components); see
`input_layer` for the tail means.
"""

from copy import copy
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..errors import NotFittedError
from .base import Array, Posterior, PosteriorGradient, ValueAndGradient
from .gaussian_process import GaussianProcess, last_refit
from .input_layer import Features, Layer, check_inputs, layer_of
from .paths import BoxPath
from .sparse import EXACT_UNTIL, SparseGaussianProcess
from .standardization import checked_box, checked_noise, checked_points, checked_values

Process: TypeAlias = GaussianProcess | SparseGaussianProcess

ENOUGH: Final = 200
"""What is looked at is learned from the first so many observations at most: eight principal components need no more."""
SPREAD: Final = 0.35
"""Uncertainty of the common length scale, half of a plain process's. Inputs of eighteen dimensions lie far apart, and one cliff among the
first observations makes scales most probable with which all the rest is noise: with .7 one of 30 searches of the published problem in a
wide box was still at .42 of the range after 60 evaluations."""


@dataclass(frozen=True, slots=True)
class DecodedPath:
    """A function of trajectories as one of the points that stand for them."""

    layer: Layer
    """Points -> inputs."""
    path: ValueAndGradient
    """The function of the inputs."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Values (m,) and gradients (m, d) at points (m, d)."""
        inputs, jacobian = self.layer.value_and_jacobian(x)
        value, gradient = self.path(inputs)
        return value, np.einsum("mk,mkd->md", gradient, jacobian)

    def value(self, x: Array) -> Array:
        """Values (m,) alone."""
        inputs = self.layer(x)
        return self.path.value(inputs) if isinstance(self.path, BoxPath) else self.path(inputs)[0]


class PCAGaussianProcess:
    """Gaussian process on at most eight principal scores, and on tail means.

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
        with_tail_means: bool = True,
    ) -> None:
        self.bounds: Array = checked_box(bounds)
        self.noise = checked_noise(noise)
        check_inputs("trajectory", n_channels)
        self.features = features
        self.n_channels = n_channels
        self.with_tail_means = with_tail_means
        self._looked_at: Array | None = None
        self._known: tuple[Layer, Process] | None = None

    def fit(self, x: ArrayLike, y: ArrayLike, y_var: ArrayLike | None = None, extra: ArrayLike | None = None) -> None:
        """Learn from observations; arguments and errors as `GaussianProcess.fit`."""
        points = self._checked(x)
        values = checked_values(y, len(points))
        first = points[: min(last_refit(len(points)), ENOUGH)]
        if self._known is None or self._looked_at is None or not np.array_equal(first, self._looked_at):
            layer = layer_of(self.bounds, first, self.features, self.n_channels, self.with_tail_means)
            process: Process = GaussianProcess(layer.bounds, self.noise, lengthscale_spread=SPREAD)
            self._looked_at = first.copy()
        else:
            layer, process = self._known  # the same layer; the process only saves itself work that it has done before
        if len(points) > EXACT_UNTIL and not isinstance(process, SparseGaussianProcess):
            process = SparseGaussianProcess(layer.bounds, self.noise)
        # In two parts: the sum in a matrix product may depend on how many rows there are, and what was learned from must stay the same.
        inputs = np.vstack([layer(first), layer(points[len(first) :])]) if len(first) < len(points) else layer(first)
        process.fit(inputs, values, y_var, extra)
        self._known = (layer, process)

    def condition(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """A copy that has also observed y (p,) at points (p, d), what was learned otherwise unchanged; see `Surrogate.condition`."""
        layer, process = self._learned()
        grown = copy(self)
        grown._known = (layer, process.condition(layer(self._checked(x)), y))
        grown._looked_at = None
        return grown

    @property
    def n_observations(self) -> int:
        """Number of observations known, fantasies included."""
        return 0 if self._known is None else self._known[1].n_observations

    @property
    def noise_variance(self) -> float:
        """Variance of a typical observation's noise, in squared units of y."""
        return self._learned()[1].noise_variance

    def posterior(self, x: ArrayLike) -> Posterior:
        """Mean and variance of f at points (m, d).

        Raises:
            NotFittedError: `fit` has not been called.
            ObservationError: `x` is not (m, d).
            NonFiniteError: NaN or infinity in `x`.
        """
        layer, process = self._learned()
        return process.posterior(layer(self._checked(x)))

    def posterior_gradient(self, x: ArrayLike) -> PosteriorGradient:
        """Mean and variance of f at points (m, d), with their gradients; errors as `posterior`."""
        layer, process = self._learned()
        inputs, jacobian = layer.value_and_jacobian(self._checked(x))
        belief = process.posterior_gradient(inputs)
        return PosteriorGradient(
            belief.mean,
            belief.variance,
            np.einsum("mk,mkd->md", belief.mean_gradient, jacobian),
            np.einsum("mk,mkd->md", belief.variance_gradient, jacobian),
        )

    def draw_path(self, generator: np.random.Generator, n_features: int = 512) -> ValueAndGradient:
        """One function from the posterior, with its gradient; see `paths`."""
        layer, process = self._learned()
        return DecodedPath(layer, process.draw_path(generator, n_features))

    def _checked(self, x: ArrayLike) -> Array:
        return checked_points(x, len(self.bounds))

    def _learned(self) -> tuple[Layer, Process]:
        if self._known is None:
            raise NotFittedError(f"this {type(self).__name__} has no observations; call fit(x, y)")
        return self._known
