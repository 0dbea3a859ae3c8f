"""Where a search may look: a box, or a fixed set of candidates.

Both know which points are taken (measured, on their way, or excluded) and never offer them again: a second measurement at a point of a
deterministic objective teaches nothing, and two instruments at the same point waste one.
"""

from copy import copy
from hashlib import blake2b
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DomainError
from ..surrogates.base import Array

SAME_POINT: Final = 1e-6
"""Points of a box closer than this share of its edges, in every coordinate, count as one."""

_DIGEST: Final = 16
"""Bytes of a row's digest: two of 2^64 rows would share one."""


class Box:
    """All points with low <= x <= high.

    Args:
        bounds: (d, 2), rows [low, high], finite, low < high.

    Raises:
        DomainError: The bounds are not a box.
    """

    def __init__(self, bounds: ArrayLike) -> None:
        box = np.array(bounds, dtype=np.float64)
        if box.ndim != 2 or box.shape[1] != 2 or len(box) == 0:
            raise DomainError(f"bounds have shape {box.shape}; give (d, 2), rows [low, high]")
        if not np.isfinite(box).all() or not (box[:, 1] > box[:, 0]).all():
            raise DomainError(f"bounds must be finite with low < high in every row, got {box.tolist()}")
        self.bounds: Array = box
        self.low: Array = box[:, 0]
        self.edge: Array = box[:, 1] - box[:, 0]

    @property
    def n_dimensions(self) -> int:
        """Number of coordinates d."""
        return len(self.low)

    def to_unit(self, x: Array) -> Array:
        """Points (n, d) of the box as points of the unit cube."""
        unit: Array = (x - self.low) / self.edge
        return unit

    def from_unit(self, u: Array) -> Array:
        """Points (n, d) of the unit cube as points of the box, never outside of it by rounding."""
        return np.clip(self.low + u * self.edge, self.bounds[:, 0], self.bounds[:, 1])

    def pull_back(self, u: Array, gradient: Array) -> Array:  # noqa: ARG002 - other shapes have another slope everywhere
        """Gradients (n, d) by the coordinates of the unit cube at u (n, d), from those by the coordinates of the points."""
        pulled: Array = gradient * self.edge
        return pulled

    def is_taken(self, x: Array, taken: Array) -> NDArray[np.bool_]:
        """Whether each of the points (n, d) coincides with one of the taken points (m, d); (n,)."""
        if len(taken) == 0:
            return np.zeros(len(x), dtype=np.bool_)
        gap = np.abs(self.to_unit(x)[:, None, :] - self.to_unit(taken)[None, :, :]).max(axis=2)
        same: NDArray[np.bool_] = (gap < SAME_POINT).any(axis=1)
        return same


class CandidateSet:
    """A fixed set of points; proposals are exactly its rows.

    Args:
        rows: Candidates (n, d), finite.
        excluded: Which of them (n,) must not be proposed; None for none.

    Raises:
        DomainError: The rows are no (n, d) array of finite numbers, or `excluded` does not fit to them.
    """

    def __init__(self, rows: ArrayLike, excluded: ArrayLike | None = None) -> None:
        self.rows: Array = np.ascontiguousarray(rows, dtype=np.float64)
        if self.rows.ndim != 2 or 0 in self.rows.shape:
            raise DomainError(f"candidates have shape {self.rows.shape}; give (n, d) with at least one row")
        if not np.isfinite(self.rows).all():
            bad = int(np.argwhere(~np.isfinite(self.rows))[0][0])
            raise DomainError(f"candidate {bad} holds NaN or infinity; drop such rows")
        mask = np.zeros(len(self.rows), dtype=np.bool_) if excluded is None else np.asarray(excluded)
        if mask.shape != (len(self.rows),) or mask.dtype != np.bool_:
            raise DomainError(f"excluded is {mask.dtype} of shape {mask.shape}; give one boolean per candidate ({len(self.rows)},)")
        self.excluded: NDArray[np.bool_] = mask.copy()
        # Every row is hashed once: thousands of trajectories are sixty megabytes, too much to compare at every ask.
        self._numbers: dict[bytes, list[int]] = {}
        for number, key in enumerate(_keys(self.rows)):
            self._numbers.setdefault(key, []).append(number)
        self._repeated = [np.array(numbers) for numbers in self._numbers.values() if len(numbers) > 1]

    @property
    def n_dimensions(self) -> int:
        """Number of coordinates d."""
        return int(self.rows.shape[1])

    def available(self, taken: Array) -> NDArray[np.int64]:
        """Indices of the candidates that are neither excluded nor equal, number for number, to a taken point (m, d).

        Of rows that are equal to each other only the first one counts.
        """
        free = ~self.excluded
        free[self._equal_to(taken)] = False
        for numbers in self._repeated:
            free[numbers[free[numbers]][1:]] = False
        return np.flatnonzero(free).astype(np.int64)

    def without(self, points: Array) -> Self:
        """The same candidates, with those excluded that equal one of the points (m, d)."""
        fewer = copy(self)
        fewer.excluded = self.excluded.copy()
        fewer.excluded[self._equal_to(points)] = True
        return fewer

    def _equal_to(self, points: Array) -> list[int]:
        """Numbers of the rows that are equal to one of the points (m, d)."""
        return [number for key in _keys(points) for number in self._numbers.get(key, ())]


Domain: TypeAlias = Box | CandidateSet


def _keys(rows: Array) -> list[bytes]:
    """A digest of each row (n, d); adding 0 turns -0.0, which differs from 0.0 in its bytes only, into 0.0."""
    return [blake2b((row + 0.0).tobytes(), digest_size=_DIGEST).digest() for row in rows]
