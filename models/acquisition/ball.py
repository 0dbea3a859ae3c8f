"""A ball instead of a box: the ellipsoid that touches the box in the middle of its faces.

A decoder has learned from codes that are distributed like a Gaussian, which fill a ball: in d dimensions the corners of the box around
it are empty, and they are nearly all of the box when d is large. The unit cube is mapped onto the ball by

    w = v |v|_inf / |v|_2,    v = 2 u - 1,    point = centre + w edge / 2,

ray by ray and one to one, faces onto the surface, so that whatever looks around in the unit cube looks around in the ball, and a Sobol
set of the cube is spread over the ball: its radii |v|_inf have the distribution r^d of points that are uniform in a ball.

With the box at centre +- standard deviations times sqrt(q-quantile of chi-square with d degrees), the ball holds the share q of a Gaussian.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from ..errors import ParameterError
from ..surrogates.base import Array
from .domains import Box


class Ball(Box):
    """All points of the ellipsoid inscribed in a box.

    Args:
        bounds: The box (d, 2), rows [low, high], finite, low < high.

    Raises:
        DomainError: The bounds are not a box.
    """

    def __init__(self, bounds: ArrayLike) -> None:
        super().__init__(bounds)
        self.centre: Array = self.bounds.mean(axis=1)

    def to_unit(self, x: Array) -> Array:
        """Points (n, d) of the ball as points of the unit cube; those outside the ball lie outside the cube."""
        w = 2.0 * (x - self.centre) / self.edge
        longest, length = np.abs(w).max(axis=1, keepdims=True), np.linalg.norm(w, axis=1, keepdims=True)
        v = w * np.divide(length, longest, out=np.ones_like(length), where=longest > 0)
        unit: Array = (v + 1.0) / 2.0
        return unit

    def from_unit(self, u: Array) -> Array:
        """Points (n, d) of the unit cube as points of the ball."""
        v = 2.0 * u - 1.0
        longest, length = np.abs(v).max(axis=1, keepdims=True), np.linalg.norm(v, axis=1, keepdims=True)
        w = v * np.divide(longest, length, out=np.ones_like(length), where=length > 0)
        points: Array = np.clip(self.centre + w * self.edge / 2.0, self.bounds[:, 0], self.bounds[:, 1])
        return points

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """Gradients (n, d) by the coordinates of the unit cube at u (n, d), from those by the coordinates of the points."""
        v, slope = 2.0 * u - 1.0, gradient * self.edge
        size, rows = np.abs(v), np.arange(len(v))
        k = size.argmax(axis=1)
        longest, length = size[rows, k], np.linalg.norm(v, axis=1)
        away = length > 0  # in the very centre the map has no derivative; it is taken for that of the box
        m, n = np.where(away, longest, 1.0), np.where(away, length, 1.0)
        along = np.einsum("ij,ij->i", v, slope)
        pulled = slope * (m / n)[:, None] - v * (along * m / n**3)[:, None]
        pulled[rows, k] += np.sign(v[rows, k]) * along / n
        result: Array = pulled
        return result

    def contains(self, x: Array) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Whether points (n, d) lie in the ball, its surface included; (n,)."""
        inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = np.linalg.norm(2.0 * (x - self.centre) / self.edge, axis=1) <= 1.0 + 1e-12
        return inside


def ball_bounds(encoded: ArrayLike, quantile: float) -> Array:
    """The box (d, 2) around the ball that holds a share of a Gaussian with the mean and the spread of codes (n, d).

    Raises:
        ParameterError: The share is not between 0 and 1, or the codes do not vary.
    """
    codes = np.asarray(encoded, dtype=np.float64)
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile of the ball is {quantile}; it must be above 0 and below 1")
    centre, spread = codes.mean(axis=0), codes.std(axis=0)
    if not (spread > 0).all():
        raise ParameterError(f"the encoded data do not vary along latent dimension {np.flatnonzero(spread <= 0).tolist()}; lower n_latent")
    radius = spread * np.sqrt(chi2.ppf(quantile, codes.shape[1]))
    return np.stack([centre - radius, centre + radius], axis=1)
