"""Information about the highest value: max-value entropy search, and GIBBON.

With gamma = (y* - m) / s for a draw y* of the maximum, r = phi(gamma) / Phi(gamma), and averages over the draws,

    max_value_entropy   a(x) = E[gamma r / 2 - log Phi(gamma)],
    gibbon              a(x) = -1/2 E[log(1 - r (gamma + r))],

the mutual information of f(x) and the maximum, and a lower bound of it, for measurements without noise. The maxima are those of draws of
the whole function, on a space-filling set and at the known points. Batches are chosen one by one, see `base`.

Sources: Wang and Jegelka 2017, 10.48550/arXiv.1703.01968; Moss, Leslie, Gonzalez and Rayson 2021, 10.48550/arXiv.2102.03324.
"""

from abc import abstractmethod
from typing import ClassVar, Final

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import qmc

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .domains import Box, Domain
from .maximization import Choice, best_candidate, best_in_box
from .probability_of_improvement import HALF_LOG_TWO_PI
from .scores import MomentScore, Score

SOBOL_EXPONENT: Final = 9
"""2^9 points of the box on which the maxima of the draws are looked for."""
MOST_CANDIDATES: Final = 1000
"""Of more candidates, so many are looked at for the maxima."""


class EntropyOfMaximum(ScoredAcquisition):
    """What the rules that reason about the highest value have in common.

    Args:
        n_draws: Draws of the maximum, at least 1.
    """

    def __init__(self, n_draws: int = 10) -> None:
        if n_draws < 1:
            raise ParameterError(f"n_draws is {n_draws}; draw at least one")
        self.n_draws = n_draws

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            return super().next_point(surrogate, domain, taken, best_first, generator)
        places = np.vstack([places_to_look(domain, generator), taken])
        if isinstance(domain, Box):
            return best_in_box(self.score(surrogate, places, generator), domain, taken, best_first, generator)
        return best_candidate(self.score(surrogate, places, generator), domain, taken)

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`; the maxima of the draws are taken over `known`."""
        maxima = np.array([surrogate.draw_path(generator)(known)[0].max() for _ in range(self.n_draws)])
        return MomentScore(surrogate, lambda mean, variance: self.information(mean, variance, maxima))

    @staticmethod
    @abstractmethod
    def information(mean: Array, variance: Array, maxima: Array) -> tuple[Array, Array, Array]:
        """Value (m,), and its derivatives by the mean and by the variance, given draws of the maximum (k,)."""


class MaxValueEntropy(EntropyOfMaximum):
    """Max-value entropy search."""

    name: ClassVar[str] = "max_value_entropy"

    @staticmethod
    def information(mean: Array, variance: Array, maxima: Array) -> tuple[Array, Array, Array]:
        """See `EntropyOfMaximum.information`."""
        gamma, hazard, std = _standardized(mean, variance, maxima)
        slope = 0.5 * hazard - 0.5 * gamma * hazard * (gamma + hazard) - hazard
        return _averaged(0.5 * gamma * hazard - log_ndtr(gamma), slope, gamma, std)


class Gibbon(EntropyOfMaximum):
    """General-purpose information-based Bayesian optimization, for one objective and one fidelity."""

    name: ClassVar[str] = "gibbon"

    @staticmethod
    def information(mean: Array, variance: Array, maxima: Array) -> tuple[Array, Array, Array]:
        """See `EntropyOfMaximum.information`."""
        gamma, hazard, std = _standardized(mean, variance, maxima)
        # the variance of a normal variable cut off above gamma; rounding can take it below zero far in the tail
        left = np.maximum(1.0 - hazard * (gamma + hazard), np.finfo(np.float64).tiny ** 0.5)
        bend = -hazard * (gamma + hazard)  # d hazard / d gamma
        slope = 0.5 * (bend * (gamma + 2.0 * hazard) + hazard) / left
        return _averaged(-0.5 * np.log(left), slope, gamma, std)


def _standardized(mean: Array, variance: Array, maxima: Array) -> tuple[Array, Array, Array]:
    """Gamma (m, k), phi / Phi of it, and the standard deviations (m, 1)."""
    std = np.sqrt(variance)[:, None]
    gamma = (maxima[None, :] - mean[:, None]) / std
    return gamma, np.exp(-0.5 * gamma * gamma - HALF_LOG_TWO_PI - log_ndtr(gamma)), std


def _averaged(value: Array, slope: Array, gamma: Array, std: Array) -> tuple[Array, Array, Array]:
    """Average over the draws of the value and, with d gamma = -dm / s and -gamma ds / s, of its derivatives."""
    by_variance = -(slope * gamma).mean(axis=1) / (2.0 * std[:, 0] ** 2)
    return value.mean(axis=1), -(slope / std).mean(axis=1), by_variance


def places_to_look(domain: Domain, generator: np.random.Generator) -> Array:
    """Points at which the maxima of draws are looked for: space-filling, or the candidates."""
    if isinstance(domain, Box):
        return domain.from_unit(qmc.Sobol(domain.n_dimensions, scramble=True, rng=generator).random_base2(SOBOL_EXPONENT))
    if len(domain.rows) <= MOST_CANDIDATES:
        return domain.rows
    return domain.rows[generator.choice(len(domain.rows), MOST_CANDIDATES, replace=False)]
