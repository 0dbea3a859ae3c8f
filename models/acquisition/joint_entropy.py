"""Information about the optimum and its value together: joint entropy search.

For draws (x*_j, y*_j) of where the optimum is and of its value, with the process conditioned on f(x*_j) = y*_j and cut off above y*_j,

    a(x) = 1/2 log(s^2(x) + e) - 1/2 mean_j log(s_j^2(x) (1 - r_j (gamma_j + r_j)) + e),
    gamma_j = (y*_j - m_j(x)) / s_j(x),    r_j = phi(gamma_j) / Phi(gamma_j),

the lower bound of the information that a measurement with noise variance e brings.

Sources: Hvarfner, Hutter and Nardi 2022, 10.48550/arXiv.2206.04771; Tu, Gandy, Kantas and Shafei 2022, 10.48550/arXiv.2210.02905.
"""

from typing import ClassVar, Final

import numpy as np
from scipy.special import log_ndtr

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .domains import Box, Domain
from .max_value_entropy import places_to_look
from .maximization import Choice, best_candidate, best_in_box
from .probability_of_improvement import HALF_LOG_TWO_PI
from .scores import Score

NOISE_SHARE: Final = 1e-6
"""Noise variance of the measurement, as a share of the largest posterior variance among the places: without any, the information at a known
point would be the difference of two infinite numbers."""


class JointEntropy(ScoredAcquisition):
    """Joint entropy search.

    Args:
        n_draws: Draws of the optimum, at least 1.
    """

    name: ClassVar[str] = "joint_entropy"

    def __init__(self, n_draws: int = 12) -> None:
        if n_draws < 1:
            raise ParameterError(f"n_draws is {n_draws}; draw at least one")
        self.n_draws = n_draws

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            return super().next_point(surrogate, domain, taken, best_first, generator)
        score = self.score(surrogate, np.vstack([places_to_look(domain, generator), taken]), generator)
        if isinstance(domain, Box):
            return best_in_box(score, domain, taken, best_first, generator)
        return best_candidate(score, domain, taken)

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`; the optima of the draws are looked for among `known`."""
        optima = []
        for _ in range(self.n_draws):
            values = surrogate.draw_path(generator)(known)[0]
            best = int(np.argmax(values))
            optima.append((known[best], float(values[best])))
        return JointEntropyScore(surrogate, optima, NOISE_SHARE * float(surrogate.posterior(known).variance.max()))


class JointEntropyScore:
    """The information, as a function of the point.

    Args:
        surrogate: Conditioned on everything pending.
        optima: Places (d,) and values of drawn optima.
        noise: Variance of the noise of the measurement.
    """

    def __init__(self, surrogate: Surrogate, optima: list[tuple[Array, float]], noise: float) -> None:
        self.surrogate = surrogate
        self.noise = noise
        self.draws = [(surrogate.condition(place[None], np.array([value])), value) for place, value in optima]

    def value(self, x: Array) -> Array:
        """See `Score`."""
        belief = self.surrogate.posterior(x)
        total = 0.5 * np.log(belief.variance + self.noise)
        for conditioned, highest in self.draws:
            there = conditioned.posterior(x)
            total -= 0.5 * np.log(_cut_off(there.mean, there.variance, highest)[0] + self.noise) / len(self.draws)
        return np.asarray(total)

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """See `Score`."""
        belief = self.surrogate.posterior_gradient(x)
        total = 0.5 * np.log(belief.variance + self.noise)
        gradient = 0.5 * belief.variance_gradient / (belief.variance + self.noise)[:, None]
        for conditioned, highest in self.draws:
            there = conditioned.posterior_gradient(x)
            left, by_mean, by_variance = _cut_off(there.mean, there.variance, highest)
            share = 0.5 / (left + self.noise) / len(self.draws)
            total -= 0.5 * np.log(left + self.noise) / len(self.draws)
            gradient -= (share * by_mean)[:, None] * there.mean_gradient + (share * by_variance)[:, None] * there.variance_gradient
        return np.asarray(total), gradient


def _cut_off(mean: Array, variance: Array, highest: float) -> tuple[Array, Array, Array]:
    """Variance of a normal variable cut off above `highest`, and its derivatives by mean and variance, each (m,)."""
    std = np.sqrt(variance)
    gamma = (highest - mean) / std
    hazard = np.exp(-0.5 * gamma * gamma - HALF_LOG_TWO_PI - log_ndtr(gamma))
    share = np.maximum(1.0 - hazard * (gamma + hazard), 0.0)
    # d share / d gamma = -(dr (gamma + 2 r) + r) with dr = -r (gamma + r)
    slope = hazard * (gamma + hazard) * (gamma + 2.0 * hazard) - hazard
    return variance * share, -variance * slope / std, share - 0.5 * slope * gamma
