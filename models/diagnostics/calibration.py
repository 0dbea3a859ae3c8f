"""Does a surrogate know how wrong it is?

For predictions N(mean_i, std_i^2) of measured values y_i, with z_i = (y_i - mean_i) / std_i:

    coverage(p) = share of i with |z_i| <= Phi^-1((1 + p) / 2)      should be p, for every p,
    NLPD        = average of log(std_i sqrt(2 pi)) + z_i^2 / 2      lower is better,
    CRPS        = average of std_i [z_i (2 Phi(z_i) - 1) + 2 phi(z_i) - 1 / sqrt(pi)],   in units of y: the error of a distribution.

On the observations that a surrogate has learned from these say nothing, so each value is predicted from all others (leave-one-out). The
surrogate is learned anew for some of them and, where that would take too long, for parts of the observations at a time.

Sources: Kuleshov, Fenner and Ermon 2018 (coverage curve), 10.48550/arXiv.1807.00263; Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359
(2007), 10.1198/016214506000001437 (scores).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from ..errors import ObservationError
from ..surrogates.base import Array, Surrogate

LEVELS: Final = np.linspace(0.05, 0.95, 19)
"""Levels p of the coverage curve."""
MOST_FITS: Final = 20
"""Surrogates learned for one diagnosis; beyond so many observations, parts of them are left out together."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Predictions beside what was measured, and what they are worth."""

    measured: Array
    """Measured values (n,), in units of y."""
    mean: Array
    """Predicted means (n,)."""
    std: Array
    """Predicted standard deviations (n,), noise included; positive."""
    levels: Array
    """Levels p (k,) of the coverage curve."""
    coverage: Array
    """Share (k,) of values inside the central interval of each level."""
    nlpd: float
    """Average negative log predictive density, in nats, of y in its own units."""
    crps: float
    """Average continuous ranked probability score, in units of y."""
    rmse: float
    """Root mean squared error of the means."""

    @property
    def miscalibration(self) -> float:
        """Average distance between coverage and level: 0 is perfect; overconfident throughout, it approaches 1/2."""
        return float(np.abs(self.coverage - self.levels).mean())

    @property
    def coverage_95(self) -> float:
        """Share of values in their 95 % intervals."""
        return float((np.abs(self.measured - self.mean) <= norm.ppf(0.975) * self.std).mean())


def calibration_of(measured: ArrayLike, mean: ArrayLike, variance: ArrayLike) -> Calibration:
    """Compare predictions with measured values that they have not seen.

    Args:
        measured: Values (n,), n at least 1.
        mean: Predicted means (n,).
        variance: Predicted variances (n,), with the noise of a measurement; positive.

    Raises:
        ObservationError: The shapes differ, something is not finite, or a variance is not positive.
    """
    y, m, v = (np.asarray(values, dtype=np.float64) for values in (measured, mean, variance))
    if y.ndim != 1 or len(y) == 0 or not y.shape == m.shape == v.shape:
        raise ObservationError(f"measured, mean and variance have shapes {y.shape}, {m.shape} and {v.shape}; give (n,) for all, n >= 1")
    if not (np.isfinite(y).all() and np.isfinite(m).all() and np.isfinite(v).all() and (v > 0).all()):
        raise ObservationError("measured, mean and variance must be finite, and variances positive; leave other rows out")
    std = np.sqrt(v)
    z = (y - m) / std
    halfwidths = norm.ppf((1 + LEVELS) / 2)
    crps = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    return Calibration(
        measured=y,
        mean=m,
        std=std,
        levels=LEVELS.copy(),
        coverage=(np.abs(z)[None, :] <= halfwidths[:, None]).mean(axis=1),
        nlpd=float(np.mean(np.log(std) + 0.5 * math.log(2 * math.pi) + 0.5 * z * z)),
        crps=float(crps.mean()),
        rmse=float(np.sqrt(np.mean((y - m) ** 2))),
    )


def leave_one_out_calibration(
    make: Callable[[], Surrogate], x: ArrayLike, y: ArrayLike, y_var: ArrayLike | None = None, noise: float = 0.0
) -> Calibration:
    """How a kind of surrogate predicts each observation from the others.

    Args:
        make: Returns a new surrogate, not fitted.
        x: Points (n, d), n at least 3.
        y: Values (n,).
        y_var: Variances (n,) of the values' noise, where known.
        noise: Variance of the noise otherwise: what a prediction of f must be widened by to be one of a measurement. A surrogate that
            knows better (attribute `noise_variance`) is asked instead.

    Raises:
        ObservationError: Fewer than three observations, or shapes that do not fit together.
    """
    points, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64).reshape(-1)
    if points.ndim != 2 or len(points) != len(values) or len(values) < 3:
        raise ObservationError(f"points have shape {points.shape}, values {values.shape}; give (n, d) and (n,), n at least 3")
    variances = None if y_var is None else np.asarray(y_var, dtype=np.float64).reshape(-1)
    mean, variance = np.empty(len(values)), np.empty(len(values))
    # Interleaved parts: neighbours in time, which an optimizer puts close to each other, are not left out together.
    parts = [np.arange(start, len(values), min(MOST_FITS, len(values))) for start in range(min(MOST_FITS, len(values)))]
    for part in parts:
        kept = np.setdiff1d(np.arange(len(values)), part)
        surrogate = make()
        surrogate.fit(points[kept], values[kept], None if variances is None else variances[kept])
        belief = surrogate.posterior(points[part])
        mean[part] = belief.mean
        widening = getattr(surrogate, "noise_variance", noise) if variances is None else variances[part]
        variance[part] = belief.variance + widening
    return calibration_of(values, mean, variance)
