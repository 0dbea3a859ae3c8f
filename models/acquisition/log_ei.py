"""Logarithm of the expected improvement.

    EI(x) = E[max(f(x) - best, 0)] = s h(z),    h(z) = phi(z) + z Phi(z),    z = (m - best) / s,
    log EI = log s + log h(z),

for a posterior mean m and standard deviation s. Far from the incumbent EI underflows to exactly 0 and its gradient with it; the
logarithm does not, when log h is computed without cancellation. `best` is the highest posterior mean among all known points: for a
deterministic objective the best measured value, for a noisy one not a lucky reading.

Sources: Jones, Schonlau and Welch 1998 (EI), 10.1023/A:1008306431147; Ament, Daulton, Eriksson, Balandat and Bakshy 2023 (the logarithm),
10.48550/arXiv.2310.20708; Picheny, Wagner and Ginsbourger 2013 (plug-in best under noise), 10.1007/s00158-013-0919-4.
"""

import math
from typing import ClassVar, Final

import numpy as np
from scipy.special import erfcx, log_ndtr

from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import MomentScore, Score

HALF_LOG_TWO_PI: Final = 0.5 * math.log(2 * math.pi)
DIRECT_ABOVE: Final = -1.0
"""Above it phi(z) + z Phi(z) has no cancellation to speak of."""
ASYMPTOTIC_BELOW: Final = -1e5
"""Below it 1 - t erfcx(t) sqrt(pi) has lost its digits, and h(z) = phi(z) / z^2 has gained all of them."""


class LogEI(ScoredAcquisition):
    """Log expected improvement over the best known point."""

    name: ClassVar[str] = "log_ei"

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        del generator
        best = float(surrogate.posterior(known).mean.max()) if len(known) else -math.inf
        return MomentScore(surrogate, lambda mean, variance: log_expected_improvement(mean, variance, best))


def log_expected_improvement(mean: Array, variance: Array, best: float) -> tuple[Array, Array, Array]:
    """Log EI (m,), and its derivatives by the mean and by the variance.

    d log EI / dm = Phi(z) / (s h(z)), d log EI / ds = phi(z) / (s h(z)).
    """
    std = np.sqrt(variance)
    z = (mean - best) / std
    log_h = log_h_function(z)
    by_mean = np.exp(log_ndtr(z) - log_h) / std
    by_std = np.exp(-0.5 * z * z - HALF_LOG_TWO_PI - log_h) / std
    return np.log(std) + log_h, by_mean, by_std / (2 * std)


def log_h_function(z: Array) -> Array:
    """log(phi(z) + z Phi(z)) to nearly full relative precision for every finite z."""
    z = np.asarray(z, dtype=np.float64)
    high = np.maximum(z, DIRECT_ABOVE)
    direct = np.log(np.exp(-0.5 * high * high - HALF_LOG_TWO_PI) + high * np.exp(log_ndtr(high)))
    t = -np.clip(z, ASYMPTOTIC_BELOW, DIRECT_ABOVE) / math.sqrt(2.0)
    # Phi(z) = erfcx(t) exp(-t^2) / 2 with t = -z / sqrt 2, hence h = phi(z) (1 - sqrt(pi) t erfcx(t))
    low = -t * t - HALF_LOG_TWO_PI + np.log1p(-math.sqrt(math.pi) * t * erfcx(t))
    far = np.minimum(z, ASYMPTOTIC_BELOW)
    farthest = -0.5 * far * far - HALF_LOG_TWO_PI - 2.0 * np.log(-far)
    return np.where(z > DIRECT_ABOVE, direct, np.where(z > ASYMPTOTIC_BELOW, low, farthest))
