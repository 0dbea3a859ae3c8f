"""Several Gaussian processes that speak as one.

Each member has its own features and hyperparameters. Together they believe

    mean(x)     = average of the members' means
    variance(x) = average of their variances + variance of their means.

The second term is what a single model cannot know: how much the answer depends on the model. Fantasies (points on their way, without a
value) leave the means alone and let both terms shrink by the same factor: what will be measured there settles the members' differences
as far as it settles their doubts.

Source: Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using deep ensembles, NeurIPS 2017,
10.48550/arXiv.1612.01474 (the moments of the mixture).
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np

from .base import Array, Posterior, PosteriorGradient, ValueAndGradient
from .feature_network import FeatureMap
from .feature_posterior import Moments

CHUNK: Final = 2048
"""Points predicted at once: bounds the memory of the (points, observations) matrices."""


class Belief(Protocol):
    """What one member knows, as a function of its features; standardized values."""

    @property
    def n_observations(self) -> int:
        """Number of observations, fantasies included."""
        ...

    @property
    def typical_noise(self) -> float:
        """Noise variance of a typical observation."""
        ...

    def moments(self, phi: Array) -> Moments:
        """Belief at features (m, k)."""
        ...

    def gradients(self, phi: Array) -> tuple[Moments, Array, Array, Array]:
        """Belief at features (m, k), and the gradients (m, k) of mean, variance and variance without fantasies by the features."""
        ...

    def extended(self, features: Array, y: Array, *, is_fantasy: bool) -> Self:
        """A copy that has also observed values y (p,) at features (p, k)."""
        ...

    def draw_path(self, generator: np.random.Generator, n_features: int) -> ValueAndGradient:
        """One function of the features drawn from the posterior."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One Gaussian process of a mixture."""

    features: FeatureMap
    """Inputs -> features."""
    belief: Belief
    """What it knows."""


class Mixture:
    """The joint belief of at least one member, for standardized values at inputs (m, d)."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    @property
    def n_observations(self) -> int:
        """Observations known to each member, fantasies included."""
        return self.members[0].belief.n_observations

    @property
    def noise(self) -> float:
        """Noise variance of a typical observation, averaged over the members."""
        return float(np.mean([member.belief.typical_noise for member in self.members]))

    def posterior(self, u: Array) -> Posterior:
        """Mean and variance of the standardized function."""
        mean, variance = np.empty(len(u)), np.empty(len(u))
        for start in range(0, len(u), CHUNK):
            rows = slice(start, start + CHUNK)
            moments = [member.belief.moments(member.features(u[rows])) for member in self.members]
            means = np.array([each.mean for each in moments])
            doubt, doubt_real = (np.mean(all_of, axis=0) for all_of in zip(*((each.variance, each.variance_real) for each in moments)))
            mean[rows] = means.mean(axis=0)
            variance[rows] = doubt * (1.0 + means.var(axis=0) / doubt_real)
        return Posterior(mean, variance)

    def posterior_gradient(self, u: Array) -> PosteriorGradient:
        """The posterior with its gradients by the inputs."""
        beliefs, slopes = [], []
        for member in self.members:
            belief, *gradients = member.belief.gradients(member.features(u))
            beliefs.append((belief.mean, belief.variance, belief.variance_real))
            slopes.append([member.features.pullback(u, gradient) for gradient in gradients])
        means, doubts, doubts_real = (np.array(all_of) for all_of in zip(*beliefs))
        by_mean, by_doubt, by_doubt_real = (np.array(all_of).mean(axis=0) for all_of in zip(*slopes))
        mean, doubt, doubt_real, spread = means.mean(axis=0), doubts.mean(axis=0), doubts_real.mean(axis=0), means.var(axis=0)
        # d Var / dx = 2 average of (m_j - m) dm_j / dx: the gradient of m itself is multiplied by deviations that sum to zero
        by_spread = 2.0 * np.mean((means - mean)[:, :, None] * np.array([slope[0] for slope in slopes]), axis=0)
        by_ratio = (by_spread - (spread / doubt_real)[:, None] * by_doubt_real) / doubt_real[:, None]
        ratio = 1.0 + spread / doubt_real
        return PosteriorGradient(mean, doubt * ratio, by_mean, by_doubt * ratio[:, None] + doubt[:, None] * by_ratio)

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
