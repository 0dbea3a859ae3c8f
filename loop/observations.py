"""What an optimizer knows: points told, on their way, spent and infeasible, checked as they come in.

Everything that an optimizer proposes follows from these arrays, in their order, and from the number of points asked so far.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..models.acquisition.domains import SAME_POINT
from .records import FloatArray

if TYPE_CHECKING:
    from ..models.acquisition import CandidateSet


SMALLEST, LARGEST = 1e-290, 1e290
"""Between these lie the edges of a box whose points can be told apart, and whose squares are numbers."""


class Observations:
    """The points of one optimizer.

    Args:
        bounds: the box, shape (d, 2) with rows [low, high].
        rounds: whether points come back rounded, such as in single precision; fixed candidates are known by every bit.
    """

    def __init__(self, bounds: FloatArray, rounds: bool = True) -> None:
        self._bounds = bounds
        self._rounds = rounds
        none = np.empty((0, len(bounds)))
        self.x: FloatArray = none
        """Points told (n, d), in the order of telling."""
        self.y: FloatArray = np.empty(0)
        """Their values (n,)."""
        self.y_var: FloatArray = np.empty(0)
        """Variances of these (n,), NaN where not known."""
        self.y_extra: FloatArray = np.empty(0)
        """Variances (n,) that come on top of those, known or not."""
        self.pending: FloatArray = none
        """Points asked and neither told nor discarded (p, d)."""
        self.spent: FloatArray = none
        """Fixed candidates that were discarded."""
        self.infeasible: FloatArray = none
        """Points that gave nothing."""

    @property
    def taken(self) -> FloatArray:
        """All points that must not be asked again (m, d)."""
        return np.concatenate([self.x, self.pending, self.spent, self.infeasible])

    @property
    def is_flat(self) -> bool:
        """Whether all values are equal, but for rounding; also where there are none."""
        return not len(self.y) or bool(np.ptp(self.y) <= len(self.y) * np.finfo(np.float64).eps * np.abs(self.y).max())

    def tell(self, X: npt.ArrayLike, y: npt.ArrayLike, y_var: npt.ArrayLike | None = None, y_extra: npt.ArrayLike | None = None) -> None:
        """Add observations; see `Optimizer.tell`."""
        x = self.checked(X)
        values = _column(y, len(x), "y")
        variances = np.full(len(x), math.nan) if y_var is None else _column(y_var, len(x), "y_var", unknown=True)
        extra = np.zeros(len(x)) if y_extra is None else _column(y_extra, len(x), "y_extra")
        if (variances < 0).any() or (extra < 0).any():
            raise ValueError("y_var and y_extra must hold variances, which are not negative")
        self.x = np.concatenate([self.x, x])
        self.y = np.concatenate([self.y, values])
        self.y_var = np.concatenate([self.y_var, variances])
        self.y_extra = np.concatenate([self.y_extra, extra])
        self._forget_pending(x)

    def wait_for(self, x: FloatArray) -> None:
        """Make points (q, d) pending."""
        self.pending = np.concatenate([self.pending, x])

    def discard(self, X: npt.ArrayLike, *, infeasible: bool, spend: bool) -> None:
        """Free pending points (q, d), and remember them as infeasible, or else as spent."""
        x = self.checked(X)
        self._forget_pending(x)
        if infeasible:
            self.infeasible = np.concatenate([self.infeasible, x])
        elif spend:
            self.spent = np.concatenate([self.spent, x])

    def move_pending(self, old: npt.ArrayLike, new: npt.ArrayLike) -> None:
        """Put the pending point ``new`` (d,) in the place of ``old`` (d,); see `Optimizer.move_pending`."""
        (before,), (after,) = self.checked(old), self.checked(new)
        rows = np.flatnonzero((self.pending == before).all(axis=1))
        if not len(rows):
            raise ValueError(f"point {before.tolist()} is not pending; ask for it first")
        self.pending = self.pending.copy()
        self.pending[rows[0]] = after

    def state(self) -> dict[str, Any]:
        """Return all of this as JSON-able values; `restore` reads them."""
        return {
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "y_var": [None if math.isnan(value) else value for value in self.y_var.tolist()],
            "y_extra": self.y_extra.tolist(),
            "pending": self.pending.tolist(),
            "spent": self.spent.tolist(),
            "infeasible": self.infeasible.tolist(),
        }

    def restore(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        y_var: Sequence[float | None] | None,
        y_extra: npt.ArrayLike | None,
        pending: npt.ArrayLike,
        spent: npt.ArrayLike,
        infeasible: npt.ArrayLike,
    ) -> None:
        """Take over what `state` returned; None for unknown variances and for none on top."""
        self.x, self.pending, self.spent, self.infeasible = (
            np.asarray(points, dtype=np.float64).reshape(-1, len(self._bounds)) for points in (x, pending, spent, infeasible)
        )
        self.y = np.asarray(y, dtype=np.float64).reshape(-1)
        variances = [None] * len(self.y) if y_var is None else y_var
        self.y_var = np.array([math.nan if value is None else value for value in variances], dtype=np.float64)
        self.y_extra = np.zeros(len(self.y)) if y_extra is None else np.asarray(y_extra, dtype=np.float64).reshape(-1)

    def checked(self, X: npt.ArrayLike) -> FloatArray:
        """Return points of the box as (q, d) float64.

        Raises:
            ValueError: another shape, not finite, or outside the box.
        """
        x = np.atleast_2d(numbers(X, "points")) + 0.0
        x = x.reshape(0, len(self._bounds)) if np.ndim(X) == 1 and not x.size else x
        if x.ndim != 2 or x.shape[1] != len(self._bounds):
            raise ValueError(f"points must have shape (q, {len(self._bounds)}), not {np.shape(X)}")
        if not np.isfinite(x).all():
            raise ValueError("points must be finite")
        low, high = self._bounds.T
        outside = ((x < low - slack(self._bounds)) | (x > high + slack(self._bounds))).any(axis=1)
        if outside.any():
            raise ValueError(
                f"point {x[outside][0].tolist()} lies outside the box {self._bounds.tolist()}; widen the bounds, or leave it out"
            )
        return x

    def stop_waiting(self, n: int) -> None:
        """Take the last n of the pending points out of them: they were never handed out."""
        self.pending = self.pending[: len(self.pending) - n]

    def _forget_pending(self, x: FloatArray) -> None:
        """Take each of the points out of the pending ones, once: the equal one, or in a box the one that it is but for rounding."""
        for point in x:
            rows = np.flatnonzero((self.pending == point).all(axis=1))
            if not len(rows) and self._rounds and len(self.pending):
                gap = (np.abs(self.pending - point) / (self._bounds[:, 1] - self._bounds[:, 0])).max(axis=1)
                rows = np.flatnonzero(gap == gap.min()) if gap.min() < SAME_POINT else rows
            if len(rows):
                self.pending = np.delete(self.pending, rows[0], axis=0)


def checked_box(bounds: npt.ArrayLike) -> FloatArray:
    """Return a box (d, 2), or raise ValueError where it is none."""
    box = numbers(bounds, "bounds").copy()  # whoever gave it may go on to change it
    if box.ndim != 2 or box.shape[1] != 2 or not len(box):
        raise ValueError(f"bounds must have shape (d, 2) with rows [low, high], not {box.shape}")
    if not np.isfinite(box).all() or (box[:, 0] >= box[:, 1]).any():
        raise ValueError(f"bounds must be finite with low < high in every row, not {box.tolist()}")
    with np.errstate(over="ignore"):
        edge = box[:, 1] - box[:, 0]
    if not ((edge > SMALLEST) & (edge < LARGEST)).all():
        raise ValueError(
            f"the edges of a box must be longer than {SMALLEST:g} and shorter than {LARGEST:g}, not {edge.tolist()}; rescale them"
        )
    return box


def slack(bounds: FloatArray) -> FloatArray:
    """How far rounding may bring a point (d,) outside of a box (d, 2)."""
    return np.asarray(1e-9 * (bounds[:, 1] - bounds[:, 0]))


def candidate_set(candidates: npt.ArrayLike, bounds: FloatArray) -> "CandidateSet":
    """Return fixed candidates (n, d), or raise ValueError where they are none."""
    from ..models.acquisition import CandidateSet

    rows = np.ascontiguousarray(numbers(candidates, "candidates")) + 0.0
    if rows.ndim != 2 or rows.shape[1] != len(bounds) or not len(rows):
        raise ValueError(f"candidates must have shape (n, {len(bounds)}) with n at least 1, not {rows.shape}")
    if not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ValueError(f"candidate {row} holds NaN or infinity: {rows[row].tolist()}; leave it out")
    outside = ((rows < bounds[:, 0] - slack(bounds)) | (rows > bounds[:, 1] + slack(bounds))).any(axis=1)
    if outside.any():  # asked for, it could not be told
        row = int(np.argmax(outside))
        raise ValueError(f"candidate {row} lies outside the box {bounds.tolist()}: {rows[row].tolist()}; widen the bounds, or leave it out")
    return CandidateSet(rows)


def _column(values: npt.ArrayLike, n: int, name: str, *, unknown: bool = False) -> FloatArray:
    """Return n finite numbers; NaN as well where they may be unknown."""
    column = numbers(values, name)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    column = np.atleast_1d(column) + 0.0
    if column.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},) or ({n}, 1) to match the points, not {np.shape(values)}")
    if not (np.isfinite(column) | (unknown & np.isnan(column))).all():
        raise ValueError(f"{name} must be finite; discard the points of readings that are not")
    return column


def numbers(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return an array of real numbers, or raise ValueError that names the argument."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must hold no masked numbers; leave those out")
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be real numbers, in rows of one length: {error}") from error
