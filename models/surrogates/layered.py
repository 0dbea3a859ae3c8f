"""The shell of every surrogate that is a mixture of Gaussian processes behind an input layer.

    x -> u = layer(x) -> mixture of Gaussian processes of u -> standardized values -> values in units of y

A surrogate of this kind says what the layer is and how the mixture is learned (`_learn`); observations, units, predictions, gradients,
paths and fantasies are the same for all of them. Fitting is a pure function of the data.
"""

from abc import ABC, abstractmethod
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ..errors import NotFittedError, ObservationError
from .base import Array, Posterior, PosteriorGradient, ValueAndGradient
from .input_layer import Layer, box_layer
from .mixture import Mixture
from .plain import completed
from .standardization import Standardization, checked_box, checked_column, checked_noise, checked_points, checked_values, known_variances


class LayeredSurrogate(ABC):
    """Base of the surrogates that learn an input layer and a mixture.

    Args:
        bounds: The box (d, 2), rows [low, high].
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
            Variances per point, given to `fit`, come first.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: The noise is negative.
    """

    def __init__(self, bounds: ArrayLike, noise: float | None = None) -> None:
        self.bounds: Array = checked_box(bounds)
        self.noise = checked_noise(noise)
        self._known: tuple[Layer, Mixture, Standardization] | None = None
        self._lesson: tuple[tuple[Array, Array], tuple[Layer, Mixture, Standardization]] | None = None

    def fit(self, x: ArrayLike, y: ArrayLike, y_var: ArrayLike | None = None, extra: ArrayLike | None = None) -> None:
        """Learn from observations.

        Args:
            x: Points (n, d), n at least 1.
            y: Values (n,), or (n, 1).
            y_var: Variances (n,) of the noise of each value; NaN where unknown.
            extra: Variances (n,) to be added to those, known or inferred.

        Raises:
            ObservationError: The shapes do not fit together, a variance is negative, or a value is too large to be squared.
            NonFiniteError: NaN or infinity among them.
        """
        points = checked_points(x, len(self.bounds))
        values = checked_values(y, len(points))
        is_alike = y_var is None and extra is None  # every observation knows as much of its noise as the others
        n_first = self._scheduled(len(values)) if is_alike else len(values)
        first = (points[:n_first], values[:n_first])
        if not is_alike or self._lesson is None or not all(map(np.array_equal, self._lesson[0], first)):
            units = Standardization.of(first[1])
            known, inferred = known_variances(n_first, self.noise, y_var, extra)
            layer, y_first = self._layer(first[0]), units.apply(first[1])
            noise = None if is_alike and self.noise is None else units.variances(known)
            if noise is not None and inferred.any():
                noise = completed(layer, first[0], y_first, np.where(inferred, units.variances(known, 0.0), noise), inferred)
            mixture = self._learn(layer, first[0], y_first, noise)
            self._lesson = (first, (layer, mixture, units)) if is_alike else None
        else:
            layer, mixture, units = self._lesson[1]
        if n_first < len(values):
            mixture = mixture.extended(layer(points[n_first:]), units.apply(values[n_first:]))
        self._known = (layer, mixture, units)

    def condition(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """A copy that has also observed y (p,) at points (p, d), what was learned otherwise unchanged; see `Surrogate.condition`."""
        layer, mixture, units = self._learned()
        points = checked_points(x, len(self.bounds))
        values = None
        if y is not None:
            column = checked_column(y, "values")
            if len(column) != len(points):
                raise ObservationError(f"{len(points)} points and {len(column)} values; give as many values as points")
            values = units.apply(column)
        grown = copy(self)
        grown._known = (layer, mixture.extended(layer(points), values), units)
        return grown

    @property
    def n_observations(self) -> int:
        """Number of observations known, fantasies included."""
        return 0 if self._known is None else self._known[1].n_observations

    @property
    def noise_variance(self) -> float:
        """Variance of a typical observation's noise, in squared units of y."""
        _, mixture, units = self._learned()
        return mixture.noise * units.unit**2

    def posterior(self, x: ArrayLike) -> Posterior:
        """Mean and variance of f at points (m, d).

        Raises:
            NotFittedError: `fit` has not been called.
            ObservationError: `x` is not (m, d).
            NonFiniteError: NaN or infinity in `x`.
        """
        layer, mixture, units = self._learned()
        belief = mixture.posterior(layer(checked_points(x, len(self.bounds))))
        return Posterior(units.centre + units.unit * belief.mean, units.unit**2 * belief.variance)

    def posterior_gradient(self, x: ArrayLike) -> PosteriorGradient:
        """Mean and variance of f at points (m, d), with their gradients; errors as `posterior`."""
        layer, mixture, units = self._learned()
        points = checked_points(x, len(self.bounds))
        belief = mixture.posterior_gradient(layer(points))
        return PosteriorGradient(
            units.centre + units.unit * belief.mean,
            units.unit**2 * belief.variance,
            units.unit * layer.pullback(points, belief.mean_gradient),
            units.unit**2 * layer.pullback(points, belief.variance_gradient),
        )

    def draw_path(self, generator: np.random.Generator, n_features: int = 1024) -> ValueAndGradient:
        """One function from the posterior, with its gradient; see `paths`."""
        layer, mixture, units = self._learned()
        path = mixture.draw_path(generator, n_features)

        def in_the_box(x: Array) -> tuple[Array, Array]:
            points = checked_points(x, len(self.bounds))
            value, gradient = path(layer(points))
            return units.centre + units.unit * value, units.unit * layer.pullback(points, gradient)

        return in_the_box

    def _scheduled(self, n: int) -> int:
        """How many of n observations, the first ones, are learned from; the others are only conditioned on."""
        return n

    def _layer(self, x: Array) -> Layer:
        """The layer for points (n, d)."""
        del x
        return box_layer(self.bounds)

    @abstractmethod
    def _learn(self, layer: Layer, x: Array, y: Array, noise: Array | None) -> Mixture:
        """A mixture that knows all observations.

        Args:
            layer: The layer.
            x: Points (n, d).
            y: Standardized values (n,).
            noise: Known noise variances (n,) of standardized values, or None to infer a common one.
        """

    def _learned(self) -> tuple[Layer, Mixture, Standardization]:
        if self._known is None:
            raise NotFittedError(f"this {type(self).__name__} has no observations; call fit(x, y)")
        return self._known
