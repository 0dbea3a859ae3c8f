"""A linear model on the sphere: for many dimensions and many observations.

    phi(x) = (2 v, |v|^2 - 1) / (|v|^2 + 1),    v = (x - centre) / length scales,    y = c + w^T phi(x) + noise

The inverse stereographic projection puts the box onto a sphere of one dimension more, with the centre of the box at its south pole. A
linear function of x has its optimum in a corner of the box, always; a linear function of a point on the sphere can have it anywhere. The
hyperparameters are at their posterior mode, found by L-BFGS-B from fixed starts, at a cost linear in the number of observations.

Source: Doumont, Fan, Maus, Gardner, Moss and Pleiss, We still don't understand high-dimensional Bayesian optimization (2025),
10.48550/arXiv.2512.00170. There the length scales have the priors of a squared-exponential kernel; here one global log length scale is
normal around the half diagonal of the box, and each dimension's around it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize

from .base import Array
from .input_layer import Layer
from .layered import LayeredSurrogate
from .linear_posterior import LinearPosterior
from .mixture import Member, Mixture

GLOBAL_SPREAD: Final = 1.0
"""Standard deviation of the log of the global length scale."""
DIMENSION_SPREAD: Final = 0.5
"""Standard deviation of each log length scale around the global one."""
SCALE_PRIOR: Final = (1.0, 1.5)
"""Mean and standard deviation of the log prior variance of a weight."""
NOISE_PRIOR: Final = (-4.0, 2.0)
"""Mean and standard deviation of the log noise variance."""
LIMIT: Final = 12.0
"""Bound on the logarithms of variances; beyond it nothing changes any more."""
STARTS: Final = (0.0, -1.0)
"""Logs of the starting global length scales, relative to the middle of their prior."""
MAX_ITERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Sphere:
    """Inverse stereographic projection onto the unit sphere."""

    lengthscale: Array
    """Length scales (d,): the distance from the centre that becomes the equator."""

    def __call__(self, u: Array) -> Array:
        """Points (n, d + 1) of the sphere, for inputs (n, d)."""
        v = u / self.lengthscale
        square = (v * v).sum(axis=1, keepdims=True)
        projected: Array = np.hstack([2.0 * v, square - 1.0]) / (square + 1.0)
        return projected

    def pullback(self, u: Array, gradient: Array) -> Array:
        """Gradients (n, d) by the inputs, from gradients (n, d + 1) by the points of the sphere."""
        return by_scaled(u / self.lengthscale, gradient) / self.lengthscale


def by_scaled(v: Array, gradient: Array) -> Array:
    """Gradients (n, d) by scaled inputs v (n, d), from gradients (n, d + 1) by the points of the sphere."""
    square = (v * v).sum(axis=1, keepdims=True)
    along, up = gradient[:, :-1], gradient[:, -1:]
    # d/dv of 2 v / (|v|^2 + 1) and of (|v|^2 - 1) / (|v|^2 + 1) = 1 - 2 / (|v|^2 + 1)
    radial = (up - (along * v).sum(axis=1, keepdims=True)) / (square + 1.0)
    pulled: Array = 2.0 * (along + 2.0 * radial * v) / (square + 1.0)
    return pulled


class SphericalLinear(LayeredSurrogate):
    """Bayesian linear regression on the sphere. Arguments and errors as `LayeredSurrogate`."""

    def _learn(self, layer: Layer, x: Array, y: Array, noise: Array | None) -> Mixture:
        u = layer(x)
        lengthscale, scale, variances, mean = most_probable_sphere(u, y, noise)
        sphere = Sphere(lengthscale)
        return Mixture([Member(sphere, LinearPosterior(sphere(u), y, variances, mean, scale))])


def most_probable_sphere(u: Array, y: Array, noise: Array | None) -> tuple[Array, float, Array, float]:
    """Length scales (d,), prior variance of the weights, noise variances (n,) and constant at the posterior mode.

    Args:
        u: Inputs (n, d), centred, with edges of equal length.
        y: Standardized values (n,).
        noise: Known noise variances (n,), or None to infer a common one.
    """
    n, d = u.shape
    limits = [(-LIMIT, LIMIT)] * (d + 2 if noise is None else d + 1)
    minimizer: Callable[..., object] = minimize
    best: tuple[float, Array] = (math.inf, np.empty(0))
    for relative in STARTS:
        start = np.full(len(limits), math.log(math.sqrt(d)) + relative)
        start[d] = SCALE_PRIOR[0]
        if noise is None:
            start[d + 1] = NOISE_PRIOR[0]
        options = {"maxiter": MAX_ITERATIONS}
        found: object = minimizer(loss, start, args=(u, y, noise), jac=True, method="L-BFGS-B", bounds=limits, options=options)
        if float(found.fun) < best[0]:  # type: ignore[attr-defined]
            best = (float(found.fun), np.asarray(found.x, dtype=np.float64))  # type: ignore[attr-defined]
    theta = best[1] if len(best[1]) else start
    variances = np.full(n, math.exp(theta[d + 1])) if noise is None else noise
    phi = Sphere(np.exp(theta[:d]))(u)
    _, _, mean = _evidence(phi, y, math.exp(theta[d]), variances)
    return np.exp(theta[:d]), math.exp(theta[d]), variances, mean


def loss(theta: Array, u: Array, y: Array, noise: Array | None) -> tuple[float, Array]:
    """Negative log posterior density per observation at theta = log(length scales, weight variance, and noise variance where inferred)."""
    n, d = u.shape
    lengthscale, scale = np.exp(theta[:d]), math.exp(theta[d])
    variances = np.full(n, math.exp(theta[d + 1])) if noise is None else noise
    v = u / lengthscale
    phi = Sphere(np.ones(d))(v)
    density, residual, _ = _evidence(phi, y, scale, variances)
    # With K = s Phi Phi^T + N, a = K^-1 (y - c):  dL = 1/2 tr[(a a^T - K^-1) dK]
    weighted = phi / variances[:, None]
    inner = np.linalg.inv(np.eye(d + 1) / scale + phi.T @ weighted)
    inverse_phi = weighted @ (inner / scale)  # K^-1 Phi
    by_phi = scale * (np.outer(residual, residual @ phi) - inverse_phi)
    gradient = np.empty(len(theta))
    gradient[:d] = -(by_scaled(v, by_phi) * v).sum(axis=0)
    gradient[d] = 0.5 * scale * (float(((residual @ phi) ** 2).sum()) - float((inverse_phi * phi).sum()))
    if noise is None:
        diagonal = 1.0 / variances - np.einsum("ij,ij->i", weighted @ inner, weighted)
        gradient[d + 1] = 0.5 * float((variances * (residual**2 - diagonal)).sum())
    prior, by_prior = _log_prior(theta, d)
    return -(density + prior) / n, -(gradient + by_prior) / n


def _evidence(phi: Array, y: Array, scale: float, noise: Array) -> tuple[float, Array, float]:
    """Log marginal likelihood at the best constant, a = K^-1 (y - c), and that constant c; by the matrix inversion lemma."""
    weighted = phi / noise[:, None]
    factor = np.linalg.cholesky(np.eye(phi.shape[1]) / scale + phi.T @ weighted)

    def solved(values: Array) -> Array:
        half = np.linalg.solve(factor, weighted.T @ values)
        result: Array = values / noise - weighted @ np.linalg.solve(factor.T, half)
        return result

    ones = solved(np.ones_like(y))
    mean = float(ones @ y / ones.sum())
    residual = solved(y - mean)
    determinant = 2.0 * np.log(np.diag(factor)).sum() + phi.shape[1] * math.log(scale) + np.log(noise).sum()
    return float(-0.5 * (y - mean) @ residual - 0.5 * determinant - 0.5 * len(y) * math.log(2 * math.pi)), residual, mean


def _log_prior(theta: Array, d: int) -> tuple[float, Array]:
    """Log prior density up to a constant, and its gradient."""
    gradient = np.empty(len(theta))
    # normal with covariance a^2 I + b^2 1 1^T, by Sherman and Morrison
    off = theta[:d] - math.log(math.sqrt(d))
    within, common = DIMENSION_SPREAD**2, GLOBAL_SPREAD**2
    gradient[:d] = -(off - common / (within + d * common) * off.sum()) / within
    value = 0.5 * float(off @ gradient[:d])
    for index, (location, spread) in zip(range(d, len(theta)), (SCALE_PRIOR, NOISE_PRIOR), strict=False):
        gradient[index] = -(theta[index] - location) / spread**2
        value -= 0.5 * ((theta[index] - location) / spread) ** 2
    return value, gradient
