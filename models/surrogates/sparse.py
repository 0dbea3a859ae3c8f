"""Sparse Gaussian process: thousands of observations at the price of hundreds.

Up to 1,500 observations it is the exact Gaussian process. Beyond, hyperparameters are learned from a deterministic choice of the
observations (the best ones, since that is where an optimizer will look, and an even choice of the others), and the posterior goes through
inducing points: the best observations again, then those that are most uncertain given the ones chosen before (see `inducing_posterior`).

Sources: Titsias 2009 (variational inducing points); Burt, Rasmussen and van der Wilk, JMLR 21, 131 (2020), 10.48550/arXiv.2008.00323
(greedy choice); Moss, Ober and Picheny 2023 (inducing points near the optimum), 10.48550/arXiv.2301.10123.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ParameterError
from .base import Array
from .feature_network import Scaling
from .inducing_posterior import InducingPosterior, chosen_inducing
from .input_layer import Layer
from .kernels import KERNELS
from .layered import LayeredSurrogate
from .marginal_likelihood import Hyperparameters, most_probable
from .mixture import Member, Mixture
from .plain import plain_member

EXACT_UNTIL: Final = 1500
"""Observations up to which the exact posterior is affordable."""
LEARNED_FROM: Final = 160
"""Observations that hyperparameters are learned from."""
CHOSEN_FROM: Final = 1500
"""Observations among which inducing points are looked for."""
BEST_SHARE: Final = 0.25
"""Share of each choice that goes to the best observations."""
SMALLEST_NOISE: Final = 1e-6
"""Noise below it, as a share of the variance of y, makes the inner matrix lose its digits."""


class SparseGaussianProcess(LayeredSurrogate):
    """Gaussian process that stays affordable.

    Args:
        bounds: The box (d, 2), rows [low, high].
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
        n_inducing: Inducing points at most.
        exact_until: Observations up to which the posterior is exact.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: A parameter is out of range.
    """

    def __init__(self, bounds: ArrayLike, noise: float | None = None, n_inducing: int = 300, exact_until: int = EXACT_UNTIL) -> None:
        super().__init__(bounds, noise)
        if n_inducing < 1 or exact_until < 0:
            raise ParameterError(f"n_inducing is {n_inducing} and exact_until {exact_until}; they must be at least 1 and 0")
        self.n_inducing = n_inducing
        self.exact_until = exact_until

    def _learn(self, layer: Layer, x: Array, y: Array, noise: Array | None) -> Mixture:
        kernel = KERNELS["matern52"]
        u, low, edge = layer(x), layer.bounds[:, 0], layer.bounds[:, 1] - layer.bounds[:, 0]
        rows = representative(y, LEARNED_FROM)
        learned: Hyperparameters = most_probable(kernel, (u[rows] - low) / edge, y[rows], None if noise is None else noise[rows])
        variances = np.full(len(y), np.median(learned.noise)) if noise is None else noise
        if len(y) <= self.exact_until:
            return Mixture([plain_member(u, y, replace(learned, noise=variances), edge)])
        scaling = Scaling(1.0 / (learned.lengthscale * edge))
        phi, variances = scaling(u), np.maximum(variances, SMALLEST_NOISE)
        best = np.argsort(-y, kind="stable")[: int(BEST_SHARE * self.n_inducing)]
        others = representative(y, CHOSEN_FROM)
        # The best come first, so that they are kept as far as they are not near-duplicates of one another.
        order = np.concatenate([best, np.setdiff1d(others, best)])
        kept = best[chosen_inducing(kernel, phi[best], len(best))]
        spread = order[chosen_inducing(kernel, phi[order], self.n_inducing - len(kept))]
        inducing = phi[np.unique(np.concatenate([kept, spread]))]
        belief = InducingPosterior(kernel, phi, y, variances, inducing, learned.mean, learned.scale)
        return Mixture([Member(scaling, belief)])


def representative(y: Array, n: int) -> NDArray[np.int64]:
    """At most n rows: the best ones by value, and an even choice of all, in ascending order."""
    if len(y) <= n:
        return np.arange(len(y))
    n_best = int(BEST_SHARE * n)
    best = np.argsort(-y, kind="stable")[:n_best]
    even = np.linspace(0, len(y) - 1, n - n_best).astype(np.int64)
    return np.unique(np.concatenate([best, even]))
