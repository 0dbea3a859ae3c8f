"""Where to measure next: acquisition functions by name, and their maximization with pending points known."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ball import Ball, ball_bounds
    from .base import Acquisition, Observed, Proposal
    from .domains import Box, CandidateSet
    from .epsilon_greedy import EpsilonGreedy
    from .joint_entropy import JointEntropy
    from .knowledge_gradient import KnowledgeGradient
    from .log_ei import LogEI
    from .max_value_entropy import Gibbon, MaxValueEntropy
    from .max_variance import MaxVariance
    from .mean_plus_sigma import MeanPlusSigma
    from .monte_carlo import LogNEI, QLogEI, QLogNEI
    from .names import ACQUISITIONS
    from .portfolio import Portfolio
    from .posterior_mean import PosteriorMean
    from .probability_of_improvement import ProbabilityOfImprovement
    from .random import Random
    from .sobol import Sobol
    from .thompson import Thompson
    from .trust_region import TrustRegion
    from .ucb import UCB
    from .ucb_schedule import UCBSchedule

_HOMES = {
    "ACQUISITIONS": "names",
    "Acquisition": "base",
    "Ball": "ball",
    "Box": "domains",
    "CandidateSet": "domains",
    "EpsilonGreedy": "epsilon_greedy",
    "Gibbon": "max_value_entropy",
    "JointEntropy": "joint_entropy",
    "KnowledgeGradient": "knowledge_gradient",
    "LogEI": "log_ei",
    "LogNEI": "monte_carlo",
    "MaxValueEntropy": "max_value_entropy",
    "MaxVariance": "max_variance",
    "MeanPlusSigma": "mean_plus_sigma",
    "Observed": "base",
    "Portfolio": "portfolio",
    "PosteriorMean": "posterior_mean",
    "ProbabilityOfImprovement": "probability_of_improvement",
    "Proposal": "base",
    "QLogEI": "monte_carlo",
    "QLogNEI": "monte_carlo",
    "Random": "random",
    "Sobol": "sobol",
    "Thompson": "thompson",
    "TrustRegion": "trust_region",
    "UCB": "ucb",
    "UCBSchedule": "ucb_schedule",
    "ball_bounds": "ball",
}
"""Public name -> the module it lives in; loaded on first use."""

__all__ = [
    "ACQUISITIONS",
    "UCB",
    "Acquisition",
    "Ball",
    "Box",
    "CandidateSet",
    "EpsilonGreedy",
    "Gibbon",
    "JointEntropy",
    "KnowledgeGradient",
    "LogEI",
    "LogNEI",
    "MaxValueEntropy",
    "MaxVariance",
    "MeanPlusSigma",
    "Observed",
    "Portfolio",
    "PosteriorMean",
    "ProbabilityOfImprovement",
    "Proposal",
    "QLogEI",
    "QLogNEI",
    "Random",
    "Sobol",
    "Thompson",
    "TrustRegion",
    "UCBSchedule",
    "ball_bounds",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
