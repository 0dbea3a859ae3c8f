"""Greed, interrupted by chance.

    x = argmax m(x) with probability 1 - epsilon, else uniform in the box.

As simple as a rule can be, and on few evaluations better than expected improvement on most of the published test functions.

Source: De Ath, Everson, Rahat and Fieldsend 2021, 10.1145/3425501.
"""

from typing import ClassVar

import numpy as np

from ..errors import ParameterError
from ..surrogates.base import Array, Surrogate
from .base import Acquisition
from .domains import Domain
from .maximization import Choice
from .posterior_mean import PosteriorMean
from .random import Random


class EpsilonGreedy(Acquisition):
    """The highest posterior mean, now and then a random point.

    Args:
        epsilon: Probability of the latter, from 0 to 1.
    """

    name: ClassVar[str] = "epsilon_greedy"

    def __init__(self, epsilon: float = 0.1) -> None:
        if not 0 <= epsilon <= 1:
            raise ParameterError(f"epsilon is {epsilon}; it is a probability, from 0 to 1")
        self.epsilon = epsilon

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        rule: Acquisition = Random() if generator.random() < self.epsilon else PosteriorMean()
        return rule.next_point(surrogate, domain, taken, best_first, generator)
