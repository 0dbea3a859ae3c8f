"""The acquisition functions by name, without importing them.

A further one is one file and one line here.
"""

from collections.abc import Mapping
from typing import Final

ACQUISITIONS: Final[Mapping[str, str]] = {
    "epsilon_greedy": "latentloop.models.acquisition.epsilon_greedy:EpsilonGreedy",
    "gibbon": "latentloop.models.acquisition.max_value_entropy:Gibbon",
    "joint_entropy": "latentloop.models.acquisition.joint_entropy:JointEntropy",
    "knowledge_gradient": "latentloop.models.acquisition.knowledge_gradient:KnowledgeGradient",
    "log_ei": "latentloop.models.acquisition.log_ei:LogEI",
    "log_nei": "latentloop.models.acquisition.monte_carlo:LogNEI",
    "max_value_entropy": "latentloop.models.acquisition.max_value_entropy:MaxValueEntropy",
    "max_variance": "latentloop.models.acquisition.max_variance:MaxVariance",
    "mean_plus_sigma": "latentloop.models.acquisition.mean_plus_sigma:MeanPlusSigma",
    "pi": "latentloop.models.acquisition.probability_of_improvement:ProbabilityOfImprovement",
    "portfolio": "latentloop.models.acquisition.portfolio:Portfolio",
    "posterior_mean": "latentloop.models.acquisition.posterior_mean:PosteriorMean",
    "q_log_ei": "latentloop.models.acquisition.monte_carlo:QLogEI",
    "q_log_nei": "latentloop.models.acquisition.monte_carlo:QLogNEI",
    "random": "latentloop.models.acquisition.random:Random",
    "sobol": "latentloop.models.acquisition.sobol:Sobol",
    "thompson": "latentloop.models.acquisition.thompson:Thompson",
    "trust_region": "latentloop.models.acquisition.trust_region:TrustRegion",
    "ucb": "latentloop.models.acquisition.ucb:UCB",
    "ucb_schedule": "latentloop.models.acquisition.ucb_schedule:UCBSchedule",
}
"""Name -> `module:class`."""
