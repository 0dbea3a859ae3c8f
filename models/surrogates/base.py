"""What a surrogate is: a model of latent vector -> objective that knows how sure it is.

It learns from observations y_i = f(x_i) + noise, answers with the mean and variance of f, and can be conditioned on further points
without learning anew, which is how pending measurements become known to an acquisition function. Arrays go in and come out; whether
NumPy or PyTorch works inside is the surrogate's own business, so gradients are handed out as arrays as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]

ValueAndGradient: TypeAlias = Callable[[Array], tuple[Array, Array]]
"""A function of points (m, d) that returns its values (m,) and gradients (m, d)."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a surrogate believes of f at m points."""

    mean: Array
    """Posterior mean of f (m,), in units of y."""
    variance: Array
    """Posterior variance of f (m,), without the noise of a measurement, in squared units of y; positive."""


@dataclass(frozen=True, slots=True)
class PosteriorGradient(Posterior):
    """A posterior with its derivatives by the coordinates of the points."""

    mean_gradient: Array
    """Gradient of the mean (m, d)."""
    variance_gradient: Array
    """Gradient of the variance (m, d)."""


class Surrogate(Protocol):
    """A probabilistic model of the objective. Points are in the units of the search box, values in those of y."""

    @property
    def n_observations(self) -> int:
        """Number of observations known, fantasies included; 0 before `fit`."""
        ...

    def fit(self, x: ArrayLike, y: ArrayLike, y_var: ArrayLike | None = None, extra: ArrayLike | None = None) -> None:
        """Learn from points (n, d), values (n,) and, where known, the variances (n,) of their noise. A pure function of these.

        `y_var` holds NaN where a variance is unknown; `extra` (n,), never negative, is added to known and to unknown ones.
        """
        ...

    def posterior(self, x: ArrayLike) -> Posterior:
        """Belief about f at points (m, d)."""
        ...

    def posterior_gradient(self, x: ArrayLike) -> PosteriorGradient:
        """Belief about f at points (m, d), with its gradients."""
        ...

    def condition(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """A copy that has also observed y (p,) at points (p, d), what was learned about the function otherwise unchanged.

        Without `y` the points are given their own posterior mean: the mean stays as it is, and the variance shrinks around them.
        """
        ...

    def draw_path(self, generator: np.random.Generator) -> ValueAndGradient:
        """One function drawn from the posterior, with its gradient."""
        ...
