"""Wild readings: drawn in and doubted, so that they do not hide all others, and left out once the readings beside them refute them.

Surrogates are made for values of one size. One of 1e6 among values about 1 (a sensor that failed, a simulation that diverged) makes all
others look equal. Order statistics say which values are usual; a tenth of the readings, or a single one, cannot move those however wild
they are. With the k-th lowest and the k-th highest of n values, k = max(1, n / 10) + 1,

    R = y_(n+1-k) - y_(k)                               the range of the usual values
    y -> y_(n+1-k) + R (3 + log(1 + log(1 + e / R)))    where y lies e beyond 3 R above them, and below them likewise
    standard error of such a value                      its distance from the usual ones, after that

The map keeps the order, is smooth, and follows every shift and scale of the values. What it draws in is taken for uncertain by as much as
it is wild. A true objective of many magnitudes hardly suffers: after a few more readings on the flank of a peak the range has grown, and
nothing is beyond it.

A wild reading that is too good still calls for measurements beside it. Where d + 1 of these, closer than 2 % of the box's edges, all stay
below 2 % of its height, it is *refuted*: surrogates do not see it, and it is not looked around any more. A true peak has flanks.

Source: the rule is our own; for the idea Huber and Ronchetti, Robust Statistics, Wiley 2009, 10.1002/9780470434697, chapter 1.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from .records import FloatArray

LARGEST: Final = 1e130
"""Larger values are cut: their squares, which every model takes, would overflow."""
FEWEST: Final = 3
"""With fewer readings nobody can say which of them is wild."""
TRIMMED: Final = 10
"""One of so many readings at each end, and at least one, does not count for what is usual."""
BEYOND: Final = 3.0
"""Ranges beyond the usual values from which on a value is drawn in."""
FLANK: Final = 0.02
"""Share of its height that readings beside a true peak show at least."""
ALL_UNTIL: Final = 40
"""Up to so many readings, each new one has a say in what is usual; after that, when there are a quarter more."""
BESIDE: Final = 0.02
"""Readings closer than this share of the box's edges, in every coordinate, lie beside each other."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Which values are usual."""

    low: float
    """Lowest of them."""
    high: float
    """Highest of them."""
    unit: float
    """Their range; infinite where nothing can be said."""

    @classmethod
    def of(cls, values: FloatArray) -> Self:
        """What is usual among values (n,)."""
        n = len(values)
        if n < FEWEST:
            return cls(0.0, 0.0, np.inf)
        y = np.sort(np.clip(values, -LARGEST, LARGEST))
        cut = max(1, n // TRIMMED)
        low, high = float(y[cut]), float(y[n - 1 - cut])
        if high > low:
            return cls(low, high, high - low)
        # Nearly all are equal: the smallest difference from them is the yardstick.
        apart = np.abs(y - low)
        return cls(low, high, float(apart[apart > 0].min(initial=np.inf)))

    def excess(self, values: FloatArray) -> FloatArray:
        """How far each of the values (n,) lies beyond the limits; 0 for nearly all."""
        if not np.isfinite(self.unit):
            return np.zeros(len(values))
        y, margin = np.clip(values, -LARGEST, LARGEST), BEYOND * self.unit
        return np.asarray(np.maximum(np.maximum(self.low - margin - y, y - self.high - margin), 0.0))

    def tamed(self, values: FloatArray) -> FloatArray:
        """Values (n,), those beyond the limits drawn in."""
        y, excess = np.clip(values, -LARGEST, LARGEST), self.excess(values)
        if not (excess > 0).any():
            return y
        distance = self.unit * (BEYOND + np.log1p(np.log1p(excess / self.unit)))
        return np.where(excess > 0, np.where(y > self.high, self.high + distance, self.low - distance), y)

    def doubt(self, values: FloatArray) -> FloatArray:
        """Variances (n,) that values get because they are beyond the limits; 0 for nearly all."""
        y = self.tamed(values)
        distance = np.maximum(np.maximum(self.low - y, y - self.high), 0.0)
        return np.where(self.excess(values) > 0, distance**2, 0.0)


def last_usual(n: int) -> int:
    """How many of n readings, the first ones, say what is usual: all of few, and of many the last power of 1.25 or so."""
    scheduled = ALL_UNTIL
    while scheduled + scheduled // 4 <= n:
        scheduled += scheduled // 4
    return min(n, scheduled)


def tamed(values: FloatArray) -> FloatArray:
    """Values (n,) with wild ones drawn in."""
    return Usual.of(values).tamed(values)


def refuted(u: FloatArray, values: FloatArray, usual: Usual) -> npt.NDArray[np.bool_]:
    """Which readings (n,) lie beyond the limits while those beside them show no sign of it.

    Args:
        u: points (n, d) in units of the box's edges.
        values: what was read there, (n,).
        usual: which values are usual.
    """
    found = np.zeros(len(u), dtype=np.bool_)
    height = np.abs(np.clip(values, -LARGEST, LARGEST) - 0.5 * (usual.low + usual.high))
    for index in np.flatnonzero(usual.excess(values) > 0):
        beside = np.abs(u - u[index]).max(axis=1) < BESIDE
        beside[index] = False
        found[index] = beside.sum() > u.shape[1] and bool((height[beside] < FLANK * height[index]).all())
    return found
