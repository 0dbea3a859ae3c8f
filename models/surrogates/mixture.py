"""Several Gaussian processes that speak as one.

Each member has its own features and hyperparameters. Together they believe

    mean(x)     = average of the members' means
    variance(x) = average of their variances + variance of their means.

The second term is what a single model cannot know: how much the answer depends on the model. Fantasies (points on their way, given the
joint mean) leave the mean alone; the members agree on them, so that both terms shrink there.

Source: Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using deep ensembles, NeurIPS 2017,
10.48550/arXiv.1612.01474 (the moments of the mixture).
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from .base import Array, Posterior, PosteriorGradient, ValueAndGradient
from .feature_network import FeatureMap
from .feature_posterior import FeaturePosterior

CHUNK: Final = 2048
"""Points predicted at once: bounds the memory of the (points, observations) matrices."""


@dataclass(frozen=True, slots=True)
class Member:
    """One Gaussian process of a mixture."""

    features: FeatureMap
    """Inputs -> features."""
    belief: FeaturePosterior
    """What it knows."""


class Mixture:
    """The joint belief of at least one member, for standardized values at inputs (m, d)."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    @property
    def n_observations(self) -> int:
        """Observations known to each member, fantasies included."""
        return len(self.members[0].belief.y)

    @property
    def noise(self) -> float:
        """Noise variance of a typical observation: the average over the members of their medians."""
        return float(np.mean([np.median(member.belief.noise) for member in self.members]))

    def posterior(self, u: Array) -> Posterior:
        """Mean and variance of the standardized function."""
        mean, variance = np.empty(len(u)), np.empty(len(u))
        for start in range(0, len(u), CHUNK):
            rows = slice(start, start + CHUNK)
            moments = [member.belief.moments(member.features(u[rows])) for member in self.members]
            mean[rows] = np.mean([each.mean for each in moments], axis=0)
            variance[rows] = np.mean([each.variance for each in moments], axis=0) + np.var([each.imagined for each in moments], axis=0)
        return Posterior(mean, variance)

    def posterior_gradient(self, u: Array) -> PosteriorGradient:
        """The posterior with its gradients by the inputs."""
        answers = []
        for member in self.members:
            belief, by_mean, by_variance, by_imagined = member.belief.gradients(member.features(u))
            pulled = [member.features.pullback(u, gradient) for gradient in (by_mean, by_variance, by_imagined)]
            answers.append((belief, pulled))
        imagined = np.array([belief.imagined for belief, _ in answers])
        deviation = imagined - imagined.mean(axis=0)
        # d Var / dx = 2 average of (m_j - m) dm_j / dx: the gradient of m itself is multiplied by deviations that sum to zero
        by_spread = 2.0 * np.mean([gap[:, None] * pulled[2] for gap, (_, pulled) in zip(deviation, answers, strict=True)], axis=0)
        return PosteriorGradient(
            np.mean([belief.mean for belief, _ in answers], axis=0),
            np.mean([belief.variance for belief, _ in answers], axis=0) + (deviation**2).mean(axis=0),
            np.mean([pulled[0] for _, pulled in answers], axis=0),
            np.mean([pulled[1] for _, pulled in answers], axis=0) + by_spread,
        )

    def extended(self, u: Array, y: Array | None) -> Self:
        """A copy that has also observed standardized values y (p,) at inputs (p, d); without `y` the joint mean, as fantasies."""
        values = self.posterior(u).mean if y is None else y
        return type(self)(
            [Member(each.features, each.belief.extended(each.features(u), values, is_fantasy=y is None)) for each in self.members]
        )

    def draw_path(self, generator: np.random.Generator, n_features: int) -> ValueAndGradient:
        """One function of the inputs: a draw from the posterior of a member that is drawn itself."""
        member = self.members[int(generator.integers(len(self.members)))]
        path = member.belief.draw_path(generator, n_features)

        def of_inputs(u: Array) -> tuple[Array, Array]:
            value, gradient = path(member.features(u))
            return value, member.features.pullback(u, gradient)

        return of_inputs
