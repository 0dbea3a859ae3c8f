"""The plain Gaussian process of an input layer's inputs, and learning it from a part of the observations.

Ensembles come from leaving observations out: each member learns its hyperparameters from another three quarters of them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .base import Array
from .feature_network import Scaling
from .feature_posterior import FeaturePosterior
from .input_layer import Layer
from .kernels import KERNELS
from .marginal_likelihood import Hyperparameters, most_probable
from .mixture import Member

N_FOLDS: Final = 4
"""Each member of the ensemble leaves out one part in so many."""
N_REPEATS: Final = 3
"""Members that leave out each observation: their mixture is what the held-out score judges."""
MOST_INFERRED_FROM: Final = 200
"""Observations from which a noise variance is inferred that only some of them have."""
SEED: Final = 20_240_105
"""Of the initial weights and the folds: fixed, so that a fit is a function of the data alone."""


def left_out(n: int) -> NDArray[np.int64]:
    """Indices (members, h) of the observations that each member leaves out: every observation is left out about equally often."""
    generator = np.random.default_rng(SEED)
    size = -(-n // N_FOLDS)
    folds = []
    for _ in range(N_REPEATS):
        order = generator.permutation(n)
        # Folds of equal size, the last one overlapping with the one before it.
        folds += [order[min(start, n - size) :][:size] for start in range(0, n, size)]
    return np.array(folds, dtype=np.int64)


def plain_member(u: Array, y: Array, learned: Hyperparameters, edge: Array) -> Member:
    """The plain Gaussian process as a member of a mixture; length scales are in units of `edge`."""
    scaling = Scaling(1.0 / (learned.lengthscale * edge))
    return Member(scaling, FeaturePosterior(KERNELS["matern52"], scaling(u), y, learned.noise, learned.mean, learned.scale))


def completed(layer: Layer, x: Array, y: Array, known: Array, inferred: NDArray[np.bool_]) -> Array:
    """Noise variances (n,) of standardized values y (n,) at points x (n, D), where for some (n,) a common part has to be inferred first."""
    u, low, edge = layer(x), layer.bounds[:, 0], layer.bounds[:, 1] - layer.bounds[:, 0]
    rows = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_INFERRED_FROM)).astype(np.int64))
    learned = most_probable(KERNELS["matern52"], (u[rows] - low) / edge, y[rows], known[rows], inferred[rows])
    return known + learned.common * inferred


def without(u: Array, y: Array, noise: Array | None, fold: NDArray[np.int64], low: Array, edge: Array) -> Hyperparameters:
    """The plain Gaussian process of all observations but those of a fold."""
    kept = np.setdiff1d(np.arange(len(y)), fold)
    return most_probable(KERNELS["matern52"], (u[kept] - low) / edge, y[kept], None if noise is None else noise[kept])
