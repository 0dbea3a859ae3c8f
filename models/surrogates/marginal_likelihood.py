"""Length scales, output variance, noise and mean of a Gaussian process, by their posterior mode.

With K = s k(X, X) + diag(noise), r = y - c and n standardized observations, the log posterior density of theta = log(l, s, noise) is

    L = -1/2 r^T K^-1 r - 1/2 log |K| - n/2 log(2 pi) + log p(theta),
    dL/dtheta = 1/2 tr[(a a^T - K^-1) dK/dtheta] + prior terms,    a = K^-1 r.

The log length scales are normal around one common value that is itself normal: while there are few observations the process stays nearly
isotropic, which with one parameter per dimension it cannot afford to be; with more observations the dimensions part. The constant mean
has its optimum in closed form at every step. The derivatives are written out: an evaluation costs a fraction of what automatic
differentiation takes.

Where the noise is to be inferred, two explanations compete: no noise at all, and noise of any size under a broad prior. A simulator's
objective wins by the first, and is then interpolated.

Sources: Rasmussen and Williams 2006, section 5.4; Hvarfner, Hellsten and Nardi 2024 (length scales that grow with the root of the number of
dimensions), 10.48550/arXiv.2402.02229; Gelman and Hill, Data Analysis Using Regression and Multilevel Models, 2007 (partial pooling).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from ..errors import ObservationError
from .base import Array
from .kernels import Kernel, squared_distances

FIXED_NOISE_FLOOR: Final = 1e-8
"""Smallest noise variance, as a share of the variance of y; below it a Cholesky factor of near-duplicates loses its digits."""
LENGTHSCALE_LIMITS: Final = (5e-2, 1e3)
SCALE_LIMITS: Final = (1e-3, 1e5)
NOISE_LIMITS: Final = (FIXED_NOISE_FLOOR, 1e2)
LENGTHSCALE_MEDIAN: Final = 0.25
"""Median of the common length scale for one dimension, in units of the box's edge; it grows with the root of the dimensions."""
COMMON_SPREAD: Final = 0.7
"""Standard deviation of the logarithm of the common length scale, where nothing else is said."""
APART_SPREAD: Final = 0.3
"""Standard deviation of each log length scale around the common one."""
SCALE_PRIOR: Final = (0.5, 1.5)
"""Mean and standard deviation of the log output variance."""
NOISE_PRIOR: Final = (-6.0, 3.0)
"""Mean and standard deviation of the log noise variance, where there is noise."""
STARTS: Final = (1.0, 0.3)
"""Starting length scales, relative to the median of their prior."""
NOISE_START: Final = 1e-2
MAX_ITERATIONS: Final = 60
COARSE: Final = 120
"""More observations than this are first fitted on a part of them."""
FINE: Final = 300
"""More observations than this are learned from by such a part only: few numbers are learned, and the time grows with the third power."""
CLEAR: Final = 15.0
"""Explanations whose log densities on that part differ by more are not both refined."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What is learned about the function as a whole, in the unit cube and for standardized values."""

    lengthscale: Array
    """Length scales (d,), in units of the box's edges."""
    mean: float
    """Constant prior mean."""
    noise: Array
    """Noise variance of each observation (n,)."""
    scale: float = 1.0
    """Prior variance of the function."""
    common: float = FIXED_NOISE_FLOOR
    """Noise variance of an observation of which nothing is known: inferred from those like it, or the usual one of the others."""


def most_probable(
    kernel: Kernel,
    u: Array,
    y: Array,
    noise: Array | None,
    inferred: NDArray[np.bool_] | None = None,
    spread: float = COMMON_SPREAD,
) -> Hyperparameters:
    """Hyperparameters at the highest posterior density found by L-BFGS-B from fixed starts. A pure function of its arguments.

    Args:
        kernel: Covariance function.
        u: Points (n, d) in the unit cube.
        y: Standardized values (n,).
        noise: Known noise variances (n,), or None to infer a common one.
        inferred: To which of the known ones (n,) a common one, to be inferred, is to be added; None for none.
        spread: Standard deviation of the logarithm of the common length scale.
    """
    n, d = u.shape
    nothing = np.zeros(n, dtype=np.bool_)
    if noise is None:
        noise, inferred = np.zeros(n), ~nothing
    elif inferred is None:
        inferred = nothing
    explanations: list[tuple[Array, NDArray[np.bool_]]] = [(np.maximum(noise, FIXED_NOISE_FLOOR), nothing)]
    if inferred.any():
        explanations.append((np.where(inferred, noise, explanations[0][0]), inferred))
    part, whole = _part(y, COARSE), _part(y, FINE)
    ends = []
    for known, to in explanations:
        starts = [_start(d, relative, bool(to.any())) for relative in STARTS]
        ends.append(
            min((_climb(kernel, u[part], y[part], known[part], to[part], start, spread) for start in starts), key=lambda end: end[0])
        )
    if len(part) < len(whole):
        lowest = min(value for value, _ in ends)
        likely = [index for index, (value, _) in enumerate(ends) if value <= lowest + CLEAR]
        explanations = [explanations[index] for index in likely]
        starts = [ends[index][1] for index in likely]
        pairs = zip(explanations, starts, strict=True)
        ends = [_climb(kernel, u[whole], y[whole], known[whole], to[whole], start, spread) for (known, to), start in pairs]
    best = int(np.argmin([value for value, _ in ends]))
    theta, (known, to) = ends[best][1], explanations[best]
    lengthscale, scale = np.exp(theta[:d]), math.exp(theta[d])
    common = math.exp(theta[d + 1]) if len(theta) > d + 1 else 0.0
    variances: Array = known + common * to
    factor = factorize(scale * kernel.matrix(u[whole], u[whole], lengthscale), variances[whole])
    if not inferred.any():
        common = float(np.median(known))
    return Hyperparameters(lengthscale, _best_mean(factor, y[whole]), variances, scale, max(common, FIXED_NOISE_FLOOR))


def log_density(
    kernel: Kernel,
    u: Array,
    y: Array,
    noise: Array | None,
    theta: Array,
    inferred: NDArray[np.bool_] | None = None,
    spread: float = COMMON_SPREAD,
) -> tuple[float, Array, float]:
    """Log posterior density L at theta = log(length scales (d,), output variance, and where there is one the common noise variance).

    That is the noise of all where `noise` is None, and is added to those `inferred` (n,) elsewhere.

    Returns:
        L, its gradient by theta, and the optimal constant mean.
    """
    n, d = u.shape
    lengthscale, scale = np.exp(theta[:d]), math.exp(theta[d])
    common = math.exp(theta[d + 1]) if len(theta) > d + 1 else 0.0
    shared: Array = common * (np.ones(n) if inferred is None else inferred.astype(np.float64))
    variances = shared if noise is None else noise + shared
    scaled = u / lengthscale
    correlation, slope = kernel.value_and_slope(squared_distances(scaled, scaled))
    correlation *= scale
    factor = factorize(correlation, variances)
    mean = _best_mean(factor, y)
    residual = y - mean
    weights = cho_solve((factor, True), residual, check_finite=False)
    value = -0.5 * float(residual @ weights) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * math.log(2 * math.pi)
    inverse = dpotri(factor, lower=1)[0]  # its lower triangle, the upper one stays zero
    by_noise = np.diag(inverse) - weights * weights
    gradient = np.empty(len(theta))
    # dK_ij / dlog l_k = -2 s k'(r^2) (x_ik - x_jk)^2 / l_k^2, summed over i and j with K^-1 - a a^T, without ever building (n, n, d)
    inverse *= slope
    square, pulled = scaled * scaled, weights[:, None] * scaled
    by_inverse = (inverse.sum(axis=0) + inverse.sum(axis=1)) @ square - 2.0 * (scaled * (inverse @ scaled)).sum(axis=0)
    by_weights = (weights * (slope @ weights)) @ square - (pulled * (slope @ pulled)).sum(axis=0)
    gradient[:d] = 2.0 * scale * (by_inverse - by_weights)
    gradient[d] = 0.5 * (float(residual @ weights) - n + float(variances @ by_noise))
    prior, gradient_prior = log_prior(theta, d, spread)
    if len(theta) > d + 1:
        gradient[d + 1] = -0.5 * float(shared @ by_noise)
    return value + prior, gradient + gradient_prior, mean


def log_prior(theta: Array, d: int, spread: float = COMMON_SPREAD) -> tuple[float, Array]:
    """Log prior density of theta (up to no constant), and its gradient."""
    gradient = np.empty(len(theta))
    # normal with covariance apart^2 I + common^2 1 1^T, by Sherman and Morrison
    apart, common = APART_SPREAD**2, spread**2
    off = theta[:d] - lengthscale_location(d)
    gradient[:d] = -(off - common / (apart + d * common) * off.sum()) / apart
    value = 0.5 * float(off @ gradient[:d]) - 0.5 * ((d - 1) * math.log(apart) + math.log(apart + d * common) + d * math.log(2 * math.pi))
    for index, (location, width) in zip(range(d, len(theta)), (SCALE_PRIOR, NOISE_PRIOR), strict=False):
        standardized = (theta[index] - location) / width
        value -= 0.5 * standardized**2 + math.log(width) + 0.5 * math.log(2 * math.pi)
        gradient[index] = -standardized / width
    return value, gradient


def lengthscale_location(d: int) -> float:
    """Median of the log length scales in d dimensions: typical distances grow with sqrt(d)."""
    return math.log(LENGTHSCALE_MEDIAN) + 0.5 * math.log(d)


def factorize(covariance: Array, noise: Array) -> Array:
    """Lower Cholesky factor of covariance (n, n) + diag(noise (n,)), with as much jitter as it takes.

    Raises:
        ObservationError: No jitter up to a hundredth of the prior variance makes the matrix positive definite.
    """
    diagonal = np.diag_indices(len(noise))
    size = float(covariance[0, 0]) if len(noise) else 1.0
    for jitter in (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2):
        matrix = covariance.copy()
        matrix[diagonal] += noise + jitter * size
        try:
            factor: Array = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            continue
        return factor
    raise ObservationError(f"the covariance of {len(noise)} observations is not positive definite; check them for NaN")


def _start(d: int, relative: float, with_noise: bool) -> Array:
    location = lengthscale_location(d) + math.log(relative)
    return np.array([location] * d + [SCALE_PRIOR[0]] + [math.log(NOISE_START)] * with_noise)


def _climb(
    kernel: Kernel, u: Array, y: Array, noise: Array, inferred: NDArray[np.bool_], start: Array, spread: float
) -> tuple[float, Array]:
    """Minus the highest log density that can be climbed to from `start`, and where that is."""
    n, d = u.shape
    limits = [LENGTHSCALE_LIMITS] * d + [SCALE_LIMITS] + [NOISE_LIMITS] * (len(start) - d - 1)
    # Centred coordinates keep the cancellation in the gradient's x^T G x terms small.
    centred = u - u.mean(axis=0)

    def descent(theta: Array) -> tuple[float, Array]:
        """What the minimizer sees, per observation, so that its tolerances mean the same for any n."""
        value, gradient, _ = log_density(kernel, centred, y, noise, theta, inferred, spread)
        return -value / n, -gradient / n

    bounds = np.log(limits)
    minimizer: Callable[..., object] = minimize
    found: object = minimizer(
        descent, np.clip(start, *bounds.T), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_ITERATIONS, "ftol": 1e-7}
    )
    return float(found.fun) * n, np.asarray(found.x, dtype=np.float64)  # type: ignore[attr-defined]


def _part(y: Array, size: int) -> NDArray[np.int64]:
    """Rows to learn from: all, or of many the best ones and an even choice of the others."""
    n = len(y)
    if n <= size:
        return np.arange(n)
    best = np.argsort(-y, kind="stable")[: size // 3]
    chosen: NDArray[np.int64] = np.unique(np.concatenate([best, np.linspace(0, n - 1, size - len(best)).astype(np.int64)]))
    return chosen


def _best_mean(factor: Array, y: Array) -> float:
    """The constant that maximizes the likelihood: the generalized least-squares mean."""
    ones = cho_solve((factor, True), np.ones_like(y), check_finite=False)
    return float(ones @ y / ones.sum())
