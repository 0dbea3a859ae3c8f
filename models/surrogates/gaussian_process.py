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
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_solve, solve_triangular

from ..errors import DomainError, NonFiniteError, NotFittedError, ObservationError, ParameterError
from .base import Array, Posterior, PosteriorGradient, ValueAndGradient
from .kernels import KERNELS, KernelName, squared_distances
from .marginal_likelihood import FIXED_NOISE_FLOOR, Hyperparameters, factorize, most_probable
from .paths import posterior_path

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

LARGEST_VALUE: Final = 1e140
"""Larger values cannot be squared with digits to spare."""
VARIANCE_FLOOR: Final = 1e-12
"""Smallest posterior variance, as a share of the prior's: the difference of two nearly equal numbers has no smaller digits."""
CHUNK: Final = 2048
"""Points predicted at once: bounds the memory of the (points, observations) matrices."""


class GaussianProcess:
    """Gaussian process in a box.

    Args:
        bounds: The box (d, 2), rows [low, high]; predictions outside of it are allowed.
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
            Variances per point, given to `fit`, come first.
        kernel: "matern52", or "rbf", BoTorch's default. Median regret of log EI after 50 evaluations of Hartmann-6, six seeds, noise known
            to be zero: 5e-4 with the former, 7e-2 with the latter; on Branin they are equal.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: The noise is negative, or the kernel unknown.
    """

    def __init__(self, bounds: ArrayLike, noise: float | None = None, kernel: KernelName = "matern52") -> None:
        box = np.array(bounds, dtype=np.float64)
        if box.ndim != 2 or box.shape[1] != 2 or len(box) == 0 or not np.isfinite(box).all() or not (box[:, 1] > box[:, 0]).all():
            raise DomainError(f"bounds of a Gaussian process must be finite rows [low, high] with low < high, got {box.tolist()}")
        if noise is not None and not 0 <= noise < np.inf:
            raise ParameterError(f"noise is {noise}; it is a variance: give a number of at least 0, or None to infer it")
        if kernel not in KERNELS:
            raise ParameterError(f"unknown kernel {kernel!r}; known are {', '.join(KERNELS)}")
        self.bounds: Array = box
        self.noise = noise
        self.kernel: KernelName = kernel
        self._low, self._edge = box[:, 0], box[:, 1] - box[:, 0]
        self._fitted: Hyperparameters | None = None
        self._u: Array = np.empty((0, len(box)))
        self._y: Array = np.empty(0)

    # --- learning -------------------------------------------------------------------------------------------------------------

    def fit(self, x: ArrayLike, y: ArrayLike, y_var: ArrayLike | None = None) -> None:
        """Learn from observations.

        Args:
            x: Points (n, d), n at least 1.
            y: Values (n,), or (n, 1).
            y_var: Variances (n,) of the noise of each value.

        Raises:
            ObservationError: The shapes do not fit together, a variance is negative, or a value is too large to be squared.
            NonFiniteError: NaN or infinity among them.
        """
        points, values = self._checked_points(x), _column(y, "values")
        if len(points) == 0 or len(points) != len(values):
            raise ObservationError(f"{len(points)} points and {len(values)} values; give as many values as points, at least one")
        if np.abs(values).max() > LARGEST_VALUE:
            raise ObservationError(f"a value of {np.abs(values).max():.3g} cannot be learned from; quarantine it, or rescale the objective")
        self._centre, self._unit = _location_and_scale(values)
        self._u = (points - self._low) / self._edge
        self._y = (values - self._centre) / self._unit
        known = self._known_noise(len(values), y_var)
        self._fitted = most_probable(KERNELS[self.kernel], self._u, self._y, known)
        self._factorize()

    def condition(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """A copy that has also observed y (p,) at points (p, d), with the same hyperparameters; see `Surrogate.condition`."""
        learned = self._learned()
        points = self._checked_points(x)
        if y is None:
            values = self.posterior(points).mean
        else:
            values = _column(y, "values")
            if len(values) != len(points):
                raise ObservationError(f"{len(points)} points and {len(values)} values; give as many values as points")
        copy = type(self)(self.bounds, self.noise, self.kernel)
        copy._centre, copy._unit = self._centre, self._unit
        copy._u = np.vstack([self._u, (points - self._low) / self._edge])
        copy._y = np.concatenate([self._y, (values - self._centre) / self._unit])
        noise = np.concatenate([learned.noise, np.full(len(points), np.median(learned.noise))])
        copy._fitted = Hyperparameters(learned.lengthscale, learned.mean, noise)
        copy._factorize()
        return copy

    # --- answering ------------------------------------------------------------------------------------------------------------

    @property
    def n_observations(self) -> int:
        """Number of observations known, fantasies included."""
        return len(self._y)

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
            half = solve_triangular(self._factor, cross.T, lower=True, check_finite=False, overwrite_b=True)
            variance[rows] = np.einsum("ij,ij->j", half, half)
        variance = np.maximum(1.0 - variance, VARIANCE_FLOOR)
        return Posterior(self._centre + self._unit * (learned.mean + mean), self._unit**2 * variance)

    def posterior_gradient(self, x: ArrayLike) -> PosteriorGradient:
        """Mean and variance of f at points (m, d), with their gradients; errors as `posterior`."""
        learned = self._learned()
        scaled = (self._checked_points(x) - self._low) / self._edge / learned.lengthscale
        known = self._u / learned.lengthscale
        squared = squared_distances(scaled, known)
        kernel = KERNELS[self.kernel]
        cross, slope = kernel.value(squared), kernel.slope(squared)
        solved = cho_solve((self._factor, True), cross.T, check_finite=False).T
        variance = 1.0 - np.einsum("ij,ij->i", cross, solved)
        # d r^2 / dx_k = 2 (x_k - X_k) / l_k in scaled coordinates; each product below is summed over the observations
        by_mean, by_variance = slope * self._weights, slope * solved
        mean_gradient = 2.0 * (scaled * by_mean.sum(axis=1, keepdims=True) - by_mean @ known)
        variance_gradient = -4.0 * (scaled * by_variance.sum(axis=1, keepdims=True) - by_variance @ known)
        variance_gradient[variance < VARIANCE_FLOOR] = 0.0
        to_box = self._unit / (self._edge * learned.lengthscale)
        return PosteriorGradient(
            self._centre + self._unit * (learned.mean + cross @ self._weights),
            self._unit**2 * np.maximum(variance, VARIANCE_FLOOR),
            mean_gradient * to_box,
            variance_gradient * to_box * self._unit,
        )

    def draw_path(self, generator: np.random.Generator, n_features: int = 1024) -> ValueAndGradient:
        """One function from the posterior, with its gradient; see `paths`."""
        learned = self._learned()
        path = posterior_path(KERNELS[self.kernel], learned, self._u, self._y, self._factor, n_features, generator)

        def in_the_box(x: Array) -> tuple[Array, Array]:
            value, gradient = path((self._checked_points(x) - self._low) / self._edge)
            return self._centre + self._unit * value, gradient * (self._unit / self._edge)

        return in_the_box

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

        learned = self._learned()
        covariance = get_covar_module_with_dim_scaled_prior(self._u.shape[1], use_rbf_kernel=self.kernel == "rbf")
        model = SingleTaskGP(
            torch.from_numpy(self._u),
            torch.from_numpy(self._y)[:, None],
            torch.from_numpy(learned.noise)[:, None],
            covar_module=covariance,
            outcome_transform=None,
        )
        model.covar_module.lengthscale = torch.from_numpy(learned.lengthscale)
        model.mean_module.constant = learned.mean
        model.eval()
        return model

    # --- private --------------------------------------------------------------------------------------------------------------

    def _learned(self) -> Hyperparameters:
        if self._fitted is None:
            raise NotFittedError("this Gaussian process has no observations; call fit(x, y)")
        return self._fitted

    def _factorize(self) -> None:
        """Cache what every prediction needs."""
        learned = self._learned()
        self._factor = factorize(KERNELS[self.kernel].matrix(self._u, self._u, learned.lengthscale), learned.noise)
        self._weights: Array = cho_solve((self._factor, True), self._y - learned.mean, check_finite=False)

    def _known_noise(self, n: int, y_var: ArrayLike | None) -> Array | None:
        """Noise variances (n,) of the standardized values, or None where they are to be inferred."""
        if y_var is not None:
            given = _column(y_var, "variances")
            if len(given) != n or (given < 0).any():
                raise ObservationError(f"y_var needs {n} variances of at least 0, got {len(given)} with smallest {given.min(initial=0):g}")
        elif self.noise is not None:
            given = np.full(n, self.noise)
        else:
            return None
        # Divided twice: the square of a tiny unit would underflow.
        return np.clip(given / self._unit / self._unit, FIXED_NOISE_FLOOR, 1.0 / FIXED_NOISE_FLOOR)

    def _checked_points(self, x: ArrayLike) -> Array:
        points = np.asarray(x, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != len(self.bounds):
            raise ObservationError(f"points have shape {points.shape}, the Gaussian process needs (n, {len(self.bounds)})")
        if not np.isfinite(points).all():
            raise NonFiniteError(f"points hold NaN or infinity, first in row {int(np.argwhere(~np.isfinite(points))[0][0])}")
        return points


def _column(values: ArrayLike, what: str) -> Array:
    """Values (n,) or (n, 1) as (n,), finite."""
    array: Any = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ObservationError(f"{what} have shape {array.shape}; give (n,) or (n, 1)")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{what} hold NaN or infinity, first at {int(np.argwhere(~np.isfinite(array))[0][0])}; leave those out")
    column: Array = array
    return column


def _location_and_scale(values: Array) -> tuple[float, float]:
    """Mean and standard deviation, safe for one value, equal values, and any magnitude."""
    size = float(np.abs(values).max())
    if size < 1.0 / LARGEST_VALUE:
        return float(values.mean()), 1.0  # all zero, for every purpose
    relative = values / size  # so that no square over- or underflows
    spread = float(relative.std(ddof=1)) if len(values) > 1 else 0.0
    # A spread within rounding of the values is no spread: blowing it up would turn rounding errors into an objective.
    unit = spread * size if spread > len(values) * np.finfo(np.float64).eps else size
    return float(relative.mean()) * size, unit
