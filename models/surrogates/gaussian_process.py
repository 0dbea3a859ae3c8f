"""Gaussian-process regression: the standard surrogate.

For observations y = f(x) + noise, f ~ GP(c, k), the posterior of f is normal with

    mean(x)     = c + k(x, X) K^-1 (y - c)
    variance(x) = k(x, x) - k(x, X) K^-1 k(X, x),    K = k(X, X) + diag(noise).

The model is that of BoTorch's SingleTaskGP (see `marginal_likelihood`), on the unit cube and with standardized values; `to_botorch`
hands out that very object with the learned hyperparameters. Mean and variance come from one cached Cholesky factor, which makes ten
thousand predictions, and the hundreds of small ones during the search for the next point, a matter of milliseconds. Fitting is a pure
function of the data: fixed starts, no warm start, no random number, no clock.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, MIT Press 2006, section 2.2.
"""

import warnings
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve
from scipy.linalg.blas import dtrmm
from scipy.linalg.lapack import dtrtri

from ..errors import NotFittedError, ObservationError, ParameterError
from .base import Array, Posterior, PosteriorGradient
from .kernels import KERNELS, KernelName, squared_distances
from .marginal_likelihood import COMMON_SPREAD, FIXED_NOISE_FLOOR, Hyperparameters, factorize, most_probable
from .paths import BoxPath, posterior_path
from .standardization import Standardization, checked_box, checked_column, checked_noise, checked_points, checked_values, known_variances

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

VARIANCE_FLOOR: Final = 1e-12
"""Smallest posterior variance, as a share of the prior's: the difference of two nearly equal numbers has no smaller digits."""
CHUNK: Final = 256
"""Points predicted at once: a (points, observations) matrix then stays in the processor's cache."""
ALWAYS_UNTIL: Final = 40
"""Up to so many observations, each new one is learned from; after that, each twentieth part."""
REFIT_SHARE: Final = 20
RARELY_FROM: Final = 200


class GaussianProcess:
    """Gaussian process in a box.

    Args:
        bounds: The box (d, 2), rows [low, high]; predictions outside of it are allowed.
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
            Variances per point, given to `fit`, come first.
        kernel: "matern52", or "rbf", BoTorch's default. Median regret of log EI after 50 evaluations of Hartmann-6, six seeds, noise known
            to be zero: 5e-4 with the former, 7e-2 with the latter; on Branin they are equal.
        lengthscale_spread: How uncertain the common length scale is beforehand: standard deviation of its logarithm, above 0.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: The noise is negative, the kernel unknown, or the spread not above 0.
    """

    def __init__(
        self, bounds: ArrayLike, noise: float | None = None, kernel: KernelName = "matern52", lengthscale_spread: float = COMMON_SPREAD
    ) -> None:
        box = checked_box(bounds)
        if kernel not in KERNELS:
            raise ParameterError(f"unknown kernel {kernel!r}; known are {', '.join(KERNELS)}")
        if not 0 < lengthscale_spread < np.inf:
            raise ParameterError(f"lengthscale_spread is {lengthscale_spread}; it must be above 0")
        self.bounds: Array = box
        self.lengthscale_spread = lengthscale_spread
        self.noise = checked_noise(noise)
        self.kernel: KernelName = kernel
        self._low, self._edge = box[:, 0], box[:, 1] - box[:, 0]
        self._fitted: Hyperparameters | None = None
        self._u: Array = np.empty((0, len(box)))
        self._y: Array = np.empty(0)
        self._known: Array = np.empty(0)
        self._inferred: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._lesson: tuple[Array, Array, Array, NDArray[np.bool_]] | None = None

    # --- learning -------------------------------------------------------------------------------------------------------------

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
        points = self._checked_points(x)
        values = checked_values(y, len(points))
        known, inferred = known_variances(len(values), self.noise, y_var, extra)
        self._known, self._inferred = known, inferred
        n_learned = last_refit(len(values))
        self._learn(points[:n_learned], values[:n_learned], known[:n_learned], inferred[:n_learned])
        learned = self._learned()
        self._u = (points - self._low) / self._edge
        self._y = self._units.apply(values)
        noise = self._units.variances(known, 0.0) + learned.common * inferred
        noise = np.maximum(noise, FIXED_NOISE_FLOOR)
        self._factorize(noise)

    def condition(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """A copy that has also observed y (p,) at points (p, d), with the same hyperparameters; see `Surrogate.condition`."""
        learned = self._learned()
        points = self._checked_points(x)
        if y is None:
            values = self.posterior(points).mean
        else:
            values = checked_column(y, "values")
            if len(values) != len(points):
                raise ObservationError(f"{len(points)} points and {len(values)} values; give as many values as points")
        grown = copy(self)
        new = (points - self._low) / self._edge
        grown._u = np.vstack([self._u, new])
        grown._y = np.concatenate([self._y, self._units.apply(values)])
        noise = np.full(len(points), np.median(learned.noise))
        grown._fitted = replace(learned, noise=np.concatenate([learned.noise, noise]))
        grown._inferred = np.concatenate([self._inferred, np.full(len(points), self._inferred.any())])
        grown._known = np.concatenate([self._known, noise * self._units.unit**2 * ~grown._inferred[-len(points) :]])
        # Only the new rows of the factor and of its inverse are computed: p n^2 operations instead of n^3.
        kernel = KERNELS[self.kernel]
        border = dtrmm(1.0, self._inverse, kernel.matrix(new, self._u, learned.lengthscale).T, lower=1).T
        corner = factorize(kernel.matrix(new, new, learned.lengthscale) - border @ border.T, noise / learned.scale)
        corner_inverse = dtrtri(corner, lower=1)[0]
        n, n_all = len(self._y), len(grown._y)
        grown._factor, grown._inverse = np.zeros((n_all, n_all), order="F"), np.zeros((n_all, n_all), order="F")
        grown._factor[:n, :n], grown._factor[n:, :n], grown._factor[n:, n:] = self._factor, border, corner
        grown._inverse[:n, :n], grown._inverse[n:, n:] = self._inverse, corner_inverse
        grown._inverse[n:, :n] = -corner_inverse @ dtrmm(1.0, self._inverse, border.T, lower=1, trans_a=1).T
        grown._weights = cho_solve((grown._factor, True), grown._y - learned.mean, check_finite=False)
        return grown

    def restricted(self, bounds: ArrayLike, rows: ArrayLike) -> Self:
        """A Gaussian process of its own in a smaller box, learned from some of the observations.

        Args:
            bounds: The smaller box (d, 2); observations may lie outside of it.
            rows: Numbers of the observations to learn from, in the order of fitting and conditioning.
        """
        self._learned()
        chosen = np.asarray(rows, dtype=np.int64)
        local = type(self)(bounds, self.noise, self.kernel, self.lengthscale_spread)
        known, inferred = self._known[chosen], self._inferred[chosen]
        values = self._units.centre + self._units.unit * self._y[chosen]
        local.fit(self._low + self._u[chosen] * self._edge, values, np.where(inferred, np.nan, known), np.where(inferred, known, 0.0))
        return local

    def to_unit(self, x: ArrayLike) -> Array:
        """Points (m, d) of the box as points of the unit cube, in which `to_botorch` works."""
        unit: Array = (self._checked_points(x) - self._low) / self._edge
        return unit

    @property
    def points(self) -> Array:
        """Points (n, d) observed, those conditioned on included."""
        return self._low + self._u * self._edge

    # --- answering ------------------------------------------------------------------------------------------------------------

    @property
    def n_observations(self) -> int:
        """Number of observations known, fantasies included."""
        return len(self._y)

    @property
    def noise_variance(self) -> float:
        """Variance of a typical observation's noise, in squared units of y."""
        return float(np.median(self._learned().noise)) * self._units.unit**2

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What was learned: length scales in units of the box's edges, mean and noise for standardized values."""
        return self._learned()

    def posterior(self, x: ArrayLike) -> Posterior:
        """Mean and variance of f at points (m, d).

        Raises:
            NotFittedError: `fit` has not been called.
            ObservationError: `x` is not (m, d).
            NonFiniteError: NaN or infinity in `x`.
        """
        learned = self._learned()
        points = (self._checked_points(x) - self._low) / self._edge
        mean, variance = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), CHUNK):
            rows = slice(start, start + CHUNK)
            cross = KERNELS[self.kernel].matrix(points[rows], self._u, learned.lengthscale)
            mean[rows] = cross @ self._weights
            half = dtrmm(1.0, self._inverse, cross.T, lower=1, overwrite_b=1)
            variance[rows] = np.vecdot(half.T, half.T)
        variance = np.maximum(1.0 - variance, VARIANCE_FLOOR)
        return Posterior(self._units.centre + self._units.unit * (learned.mean + mean), self._units.unit**2 * learned.scale * variance)

    def posterior_gradient(self, x: ArrayLike) -> PosteriorGradient:
        """Mean and variance of f at points (m, d), with their gradients; errors as `posterior`."""
        learned = self._learned()
        scaled = (self._checked_points(x) - self._low) / self._edge / learned.lengthscale
        known = self._u / learned.lengthscale
        cross, slope = KERNELS[self.kernel].value_and_slope(squared_distances(scaled, known))
        half = dtrmm(1.0, self._inverse, cross.T, lower=1)
        variance = 1.0 - np.einsum("ij,ij->j", half, half)
        solved = dtrmm(1.0, self._inverse, half, lower=1, trans_a=1, overwrite_b=1).T
        # d r^2 / dx_k = 2 (x_k - X_k) / l_k in scaled coordinates; each product below is summed over the observations
        by_mean, by_variance = slope * self._weights, slope * solved
        mean_gradient = 2.0 * (scaled * by_mean.sum(axis=1, keepdims=True) - by_mean @ known)
        variance_gradient = -4.0 * (scaled * by_variance.sum(axis=1, keepdims=True) - by_variance @ known)
        variance_gradient[variance < VARIANCE_FLOOR] = 0.0
        to_box = self._units.unit / (self._edge * learned.lengthscale)
        return PosteriorGradient(
            self._units.centre + self._units.unit * (learned.mean + cross @ self._weights),
            self._units.unit**2 * learned.scale * np.maximum(variance, VARIANCE_FLOOR),
            mean_gradient * to_box,
            variance_gradient * to_box * self._units.unit * learned.scale,
        )

    def draw_path(self, generator: np.random.Generator, n_features: int = 512) -> BoxPath:
        """One function from the posterior, with its gradient; see `paths`."""
        learned = self._learned()
        path = posterior_path(KERNELS[self.kernel], learned, self._u, self._y, self._factor, n_features, generator)
        return BoxPath(path, self._low, self._edge, self._units.centre, self._units.unit)

    def to_botorch(self) -> "SingleTaskGP":
        """The same model as a BoTorch SingleTaskGP on points of the unit cube, predicting standardized values.

        Its inputs are (x - low) / (high - low). For acquisition functions that need a BoTorch model.
        """
        import torch

        with warnings.catch_warnings():
            # linear_operator scripts a function at import, which newer versions of PyTorch deprecate; nothing of ours can mend that
            warnings.simplefilter("ignore", DeprecationWarning)
            from botorch.models import SingleTaskGP
            from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
            from gpytorch.kernels import ScaleKernel
            from gpytorch.settings import min_fixed_noise

        learned = self._learned()
        covariance = ScaleKernel(get_covar_module_with_dim_scaled_prior(self._u.shape[1], use_rbf_kernel=self.kernel == "rbf"))
        with min_fixed_noise(double_value=FIXED_NOISE_FLOOR):
            model = SingleTaskGP(
                torch.from_numpy(self._u),
                torch.from_numpy(self._y)[:, None],
                torch.from_numpy(learned.noise)[:, None],
                covar_module=covariance,
                outcome_transform=None,
            )
        # The kernel's own bound on length scales is not ours.
        model.covar_module.base_kernel.raw_lengthscale_constraint.lower_bound.fill_(0.0)
        model.covar_module.base_kernel.lengthscale = torch.from_numpy(learned.lengthscale)
        model.covar_module.outputscale = learned.scale
        model.mean_module.constant = learned.mean
        model.eval()
        return model

    # --- private --------------------------------------------------------------------------------------------------------------

    def _learned(self) -> Hyperparameters:
        if self._fitted is None:
            raise NotFittedError("this Gaussian process has no observations; call fit(x, y)")
        return self._fitted

    def _learn(self, points: Array, values: Array, known: Array, inferred: NDArray[np.bool_]) -> None:
        """Hyperparameters for these observations; kept as long as they are asked for again, which changes time and not results."""
        asked = (points, values, known, inferred)
        if self._lesson is not None and all(map(np.array_equal, self._lesson, asked)):
            return
        self._units = Standardization.of(values)
        noise = self._units.variances(known, 0.0)
        u = (points - self._low) / self._edge
        self._fitted = most_probable(KERNELS[self.kernel], u, self._units.apply(values), noise, inferred, self.lengthscale_spread)
        self._lesson = asked

    def _factorize(self, noise: Array) -> None:
        """Cache what every prediction needs: the factor of k(X, X) + diag(noise) / s, its inverse, and K^-1 (y - c)."""
        learned = self._learned()
        self._factor = factorize(KERNELS[self.kernel].matrix(self._u, self._u, learned.lengthscale), noise / learned.scale)
        self._inverse = dtrtri(self._factor, lower=1)[0]
        ones = cho_solve((self._factor, True), np.ones_like(self._y), check_finite=False)
        self._fitted = replace(learned, mean=float(ones @ self._y / ones.sum()), noise=noise)
        self._weights: Array = cho_solve((self._factor, True), self._y - self._fitted.mean, check_finite=False)

    def _checked_points(self, x: ArrayLike) -> Array:
        return checked_points(x, len(self.bounds))


def last_refit(n: int, always_until: int = ALWAYS_UNTIL, share: int = REFIT_SHARE) -> int:
    """How many of n observations, the first ones, hyperparameters are learned from: the largest number of a fixed schedule up to n.

    Args:
        n: Observations.
        always_until: Up to so many, each new one is learned from.
        share: After that, each so-manieth part, and twice that part from 200 on, when little is left to learn about so few numbers.
    """
    if n <= always_until:
        return n
    scheduled = always_until
    while True:
        step = scheduled // share * (2 if scheduled >= RARELY_FROM else 1)
        if scheduled + step > n:
            return scheduled
        scheduled += step
