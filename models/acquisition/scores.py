"""Acquisition values as functions of the point, with gradients.

Most acquisition functions depend on the posterior mean m(x) and variance v(x) only; then

    grad a(x) = da/dm grad m(x) + da/dv grad v(x),

and such a function states its value and its two derivatives, nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..surrogates.base import Array, Surrogate, ValueAndGradient

OfMoments: TypeAlias = Callable[[Array, Array], tuple[Array, Array, Array]]
"""Mean (m,), variance (m,) -> value, derivative by the mean, derivative by the variance, each (m,)."""


class Score(Protocol):
    """The acquisition value as a function of the point."""

    def value(self, x: Array) -> Array:
        """Values (m,) at points (m, d)."""
        ...

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (m,) and gradients (m, d) at points (m, d)."""
        ...


@dataclass(frozen=True, slots=True)
class MomentScore:
    """An acquisition value that depends on the posterior mean and variance only."""

    surrogate: Surrogate
    """Conditioned on everything pending."""
    function: OfMoments
    """Value and derivatives by mean and variance."""

    def value(self, x: Array) -> Array:
        """See `Score`."""
        belief = self.surrogate.posterior(x)
        return self.function(belief.mean, belief.variance)[0]

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """See `Score`."""
        belief = self.surrogate.posterior_gradient(x)
        value, by_mean, by_variance = self.function(belief.mean, belief.variance)
        return value, by_mean[:, None] * belief.mean_gradient + by_variance[:, None] * belief.variance_gradient


@dataclass(frozen=True, slots=True)
class PathScore:
    """A function drawn from the posterior as the value to maximize."""

    path: ValueAndGradient
    """The draw."""

    def value(self, x: Array) -> Array:
        """See `Score`."""
        # A path may offer its values without the gradients, where these cost more.
        value: Callable[[Array], Array] | None = getattr(self.path, "value", None)
        return self.path(x)[0] if value is None else value(x)

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """See `Score`."""
        return self.path(x)
