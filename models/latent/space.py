"""The latent space of a campaign: a model, the codes of known trajectories, and the box to search in.

A decoder answers for every code, also far from anything it has learned from, and what it says there is worth little. So the box comes
from the encoded data, and two numbers tell how far a code strays:

    distance(z)    = (distance to the k-th nearest encoded trajectory) / (typical such distance among the encoded trajectories),
    consistency(z) = | encode(decode(z)) - z |,

the first about 1 inside the data, the second near 0 where the decoder and the encoder agree. Coordinates are divided by the spread of
the encoded data before distances are taken, so that both directions count alike.
"""

from collections.abc import Callable
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..errors import ParameterError
from .base import Array, LatentModel

N_NEIGHBOURS: Final = 5
"""Which neighbour's distance counts: the nearest alone would make a lone outlier of the data look like home ground."""


class LatentSpace:
    """A box of latent vectors, and how far any of them lies from the encoded data.

    Args:
        model: Fitted latent model.
        encoded: Codes (n, d) of known trajectories, n at least 2.
        quantile: The box spans the quantiles [quantile, 1 - quantile] of each coordinate; 0 is the full range. Below 0.5.
        margin: Share of its width by which the box is widened on each side.

    Raises:
        ParameterError: A parameter is out of range, there are fewer than two codes, or the codes do not span a box.
    """

    def __init__(self, model: LatentModel, encoded: ArrayLike, quantile: float = 0.0, margin: float = 0.0) -> None:
        if not 0 <= quantile < 0.5:
            raise ParameterError(f"quantile of the latent box is {quantile}; it must be at least 0 and below 0.5")
        if not 0 <= margin < np.inf:
            raise ParameterError(f"margin of the latent box is {margin}; it must be at least 0")
        self.model = model
        self.encoded: Array = model.checked_codes(encoded).copy()
        if len(self.encoded) < 2:
            raise ParameterError(f"a latent space needs at least 2 encoded trajectories, got {len(self.encoded)}")
        low, high = np.quantile(self.encoded, [quantile, 1 - quantile], axis=0)
        if not (high > low).all():
            flat = np.flatnonzero(high <= low).tolist()
            raise ParameterError(f"the encoded data do not vary along latent dimension {flat}; lower n_latent, or give more varied data")
        widening = margin * (high - low)
        self._bounds: Array = np.stack([low - widening, high + widening], axis=1)
        spread = self.encoded.std(axis=0)
        self._unit: Array = np.where(spread > 0, spread, 1.0)
        self._tree = cKDTree(self.encoded / self._unit)
        self._k = min(N_NEIGHBOURS, len(self.encoded) - 1)
        # Among the data themselves the nearest point is the point itself, hence one neighbour more.
        own, _ = self._tree.query(self.encoded / self._unit, k=[self._k + 1])
        self._spacing = max(float(np.median(own)), float(np.finfo(np.float64).tiny))

    @classmethod
    def from_trajectories(cls, model: LatentModel, X: ArrayLike, quantile: float = 0.0, margin: float = 0.0) -> Self:
        """The space around trajectories (n, T) or (n, T, C); the other arguments as for the class."""
        return cls(model, model.encode(X), quantile, margin)

    @property
    def bounds(self) -> Array:
        """The box (d, 2), rows [low, high]."""
        return self._bounds.copy()

    @property
    def n_latent(self) -> int:
        """Number of latent dimensions d."""
        return self.model.n_latent

    def contains(self, Z: ArrayLike) -> NDArray[np.bool_]:
        """Whether each code of Z (n, d) lies in the box, edges included; (n,)."""
        codes = self.model.checked_codes(Z)
        inside: NDArray[np.bool_] = np.all((codes >= self._bounds[:, 0]) & (codes <= self._bounds[:, 1]), axis=1)
        return inside

    def distance(self, Z: ArrayLike) -> Array:
        """How far each code of Z (n, d) lies from the encoded data; (n,), dimensionless.

        The distance to the fifth nearest encoded trajectory, in units of the median of that distance among the encoded trajectories:
        about 1 within the data, 10 means ten times as lonely as a typical trajectory.
        """
        codes = self.model.checked_codes(Z)
        reach, _ = self._tree.query(codes / self._unit, k=[self._k])
        lonely: Array = np.asarray(reach)[:, 0] / self._spacing
        return lonely

    def consistency(self, Z: ArrayLike) -> Array:
        """Euclidean length of encode(decode(z)) - z for each code of Z (n, d); (n,), in latent units."""
        codes = self.model.checked_codes(Z)
        gap: Array = np.linalg.norm(self.model.encode(self.model.decode(codes)) - codes, axis=1)
        return gap

    def decode(self, Z: ArrayLike) -> Array:
        """Trajectories (n, T) or (n, T, C) of codes (n, d)."""
        return self.model.decode(Z)

    @property
    def decoder(self) -> Callable[[Array], Array]:
        """`decode` as a function; see `LatentModel.decoder`."""
        return self.model.decoder
