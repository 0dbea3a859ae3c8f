"""Length scales, noise and mean of a Gaussian process, by their posterior mode.

With K = k(X, X) + diag(noise), r = y - c and n standardized observations, the log posterior density of the hyperparameters is

    L = -1/2 r^T K^-1 r - 1/2 log |K| - n/2 log(2 pi) + log p(lengthscale) + log p(noise),
    dL/dtheta = 1/2 tr[(a a^T - K^-1) dK/dtheta] + prior terms,    a = K^-1 r.

The model is that of BoTorch's SingleTaskGP: inputs in the unit cube, constant mean without prior, no output scale,
LogNormal(sqrt 2 + log(d)/2, sqrt 3) on length scales above 0.025, LogNormal(-4, 1) on a noise variance above 1e-4. The mean has its
optimum in closed form at every step. The derivatives are written out: at this size an evaluation costs a fraction of what automatic
differentiation takes.

Sources: Rasmussen and Williams 2006, section 5.4; Hvarfner, Hellsten and Nardi 2024 (the priors), 10.48550/arXiv.2402.02229.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from ..errors import ObservationError
from .base import Array
from .kernels import Kernel, squared_distances

LENGTHSCALE_FLOOR: Final = 2.5e-2
NOISE_FLOOR: Final = 1e-4
"""Smallest noise variance that is inferred, as a share of the variance of y (BoTorch's bound)."""
FIXED_NOISE_FLOOR: Final = 1e-6
"""Smallest noise variance that can be given; below it a Cholesky factor of near-duplicates loses its digits."""
CEILING: Final = 1e3
"""Largest length scale and noise variance; beyond it nothing changes any more."""
LENGTHSCALE_SPREAD: Final = math.sqrt(3.0)
NOISE_PRIOR: Final = (-4.0, 1.0)
STARTS: Final = (1.0, 0.3, 4.0)
"""Starting length scales, relative to the mode of their prior. The surface can have an optimum that calls everything noise."""
MAX_ITERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What is learned about the function as a whole, in the unit cube and for standardized values."""

    lengthscale: Array
    """Length scales (d,), in units of the box's edges."""
    mean: float
    """Constant prior mean."""
    noise: Array
    """Noise variance of each observation (n,)."""


def most_probable(kernel: Kernel, u: Array, y: Array, noise: Array | None) -> Hyperparameters:
    """Hyperparameters at the highest posterior density that L-BFGS-B finds from three fixed starts.

    Args:
        kernel: Covariance function.
        u: Points (n, d) in the unit cube.
        y: Standardized values (n,).
        noise: Known noise variances (n,), or None to infer a common one.
    """
    n, d = u.shape
    # Centred coordinates keep the cancellation in the gradient's x^T G x terms small.
    centred = u - u.mean(axis=0)
    mode = math.exp(lengthscale_location(d) - LENGTHSCALE_SPREAD**2)
    noise_mode = max(math.exp(NOISE_PRIOR[0] - NOISE_PRIOR[1] ** 2), NOISE_FLOOR)
    limits = [(math.log(LENGTHSCALE_FLOOR), math.log(CEILING))] * d
    if noise is None:
        limits.append((math.log(NOISE_FLOOR), math.log(CEILING)))
    lower = np.array([low for low, _ in limits])
    best: tuple[float, Array] = (math.inf, np.empty(0))

    def descent(theta: Array) -> tuple[float, Array]:
        """What the minimizer sees, per observation, so that its tolerances mean the same for any n."""
        value, gradient, _ = log_density(kernel, centred, y, noise, theta)
        return -value / n, -gradient / n

    for relative in STARTS:
        start: Array = np.full(len(limits), math.log(relative * mode))
        if noise is None:
            start[-1] = math.log(noise_mode)
        start = np.maximum(start, lower)
        found = minimize(descent, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": MAX_ITERATIONS})
        if found.fun < best[0]:
            best = (float(found.fun), np.asarray(found.x, dtype=np.float64))
    theta = best[1]
    lengthscale = np.exp(theta[:d])
    variances = np.full(n, math.exp(theta[d])) if noise is None else noise
    factor = factorize(kernel.matrix(u, u, lengthscale), variances)
    return Hyperparameters(lengthscale, _best_mean(factor, y), variances)


def log_density(kernel: Kernel, u: Array, y: Array, noise: Array | None, theta: Array) -> tuple[float, Array, float]:
    """Log posterior density L at theta = log(length scales (d,), and the noise variance where `noise` is None).

    Returns:
        L, its gradient by theta, and the optimal constant mean.
    """
    n, d = u.shape
    lengthscale = np.exp(theta[:d])
    variances = np.full(n, math.exp(theta[d])) if noise is None else noise
    scaled = u / lengthscale
    squared = squared_distances(scaled, scaled)
    factor = factorize(kernel.value(squared), variances)
    mean = _best_mean(factor, y)
    residual = y - mean
    weights = cho_solve((factor, True), residual, check_finite=False)
    value = -0.5 * float(residual @ weights) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * math.log(2 * math.pi)
    inverse = dpotri(factor, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    sensitivity = np.outer(weights, weights) - inverse
    # dK_ij / dlog l_k = -2 k'(r^2) (x_ik - x_jk)^2 / l_k^2, summed over i and j without ever building the (n, n, d) array
    pull = -sensitivity * kernel.slope(squared)
    gradient = np.empty(len(theta))
    gradient[:d] = 2.0 * (pull.sum(axis=1) @ (scaled * scaled) - (scaled * (pull @ scaled)).sum(axis=0))
    prior, prior_slope = _log_normal(theta[:d], lengthscale_location(d), LENGTHSCALE_SPREAD)
    value += float(prior.sum())
    gradient[:d] += prior_slope
    if noise is None:
        prior, prior_slope = _log_normal(theta[d:], *NOISE_PRIOR)
        value += float(prior.sum())
        gradient[d] = 0.5 * variances[0] * float(np.trace(sensitivity)) + float(prior_slope[0])
    return value, gradient, mean


def lengthscale_location(d: int) -> float:
    """Location of the log-normal prior of the length scales in d dimensions: typical distances grow with sqrt(d)."""
    return math.sqrt(2.0) + 0.5 * math.log(d)


def factorize(covariance: Array, noise: Array) -> Array:
    """Lower Cholesky factor of covariance (n, n) + diag(noise (n,)), with as much jitter as it takes.

    Raises:
        ObservationError: No jitter up to a hundredth of the prior variance makes the matrix positive definite.
    """
    diagonal = np.diag_indices(len(noise))
    for jitter in (0.0, 1e-8, 1e-6, 1e-4, 1e-2):
        matrix = covariance.copy()
        matrix[diagonal] += noise + jitter
        try:
            factor: Array = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            continue
        return factor
    raise ObservationError(f"the covariance of {len(noise)} observations is not positive definite; check them for NaN")


def _best_mean(factor: Array, y: Array) -> float:
    """The constant that maximizes the likelihood: the generalized least-squares mean."""
    ones = cho_solve((factor, True), np.ones_like(y), check_finite=False)
    return float(ones @ y / ones.sum())


def _log_normal(log_x: Array, location: float, spread: float) -> tuple[Array, Array]:
    """Log density of a log-normal variable x (not of log x), and its derivative by log x."""
    standardized = (log_x - location) / spread
    density = -0.5 * standardized**2 - log_x - math.log(spread) - 0.5 * math.log(2 * math.pi)
    return density, -standardized / spread - 1.0
