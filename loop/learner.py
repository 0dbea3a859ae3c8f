"""What follows from an optimizer's observations: a fitted surrogate, and their values as they rank.

Readings far from all others are drawn in and doubted, and those that measurements beside them refute are not believed (see `outliers`).
Learning is a pure function of the observations; what was learned is kept until there is another one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .observations import Observations
from .outliers import Usual, last_usual, refuted
from .records import FloatArray


@dataclass(frozen=True, slots=True)
class Learned:
    """What follows from the observations."""

    surrogate: Any
    """Fitted to those that are believed."""
    values: FloatArray
    """Values (n,) of all of them as they rank, larger is better."""


class Learner:
    """Fits surrogates.

    Args:
        make: makes a surrogate that knows nothing yet, of the kind that the number of observations asks for.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._learned: Learned | None = None

    def forget(self) -> None:
        """Forget what was learned: there are other observations, not further ones."""
        self._learned = None

    @property
    def fallback(self) -> str:
        """Why another model than the chosen surrogate answered last, as a sentence; empty where none did."""
        return "" if self._learned is None else str(getattr(self._learned.surrogate, "fallback", ""))

    def learn(self, known: Observations, sign: float, box: FloatArray) -> Learned:
        """Return what follows from all observations.

        Args:
            known: the observations.
            sign: -1 where the objective is minimized, else 1.
            box: in which they lie, (d, 2).
        """
        if self._learned is None or len(self._learned.values) != len(known.x):
            values = sign * known.y
            # From the first so many: limits that moved with each observation would have surrogates learn all of them anew each time.
            usual = Usual.of(values[: last_usual(len(values))])
            low, high = box.T
            is_refuted = refuted((known.x - low) / (high - low), values, usual)
            # The old object only saves itself work that it has done before.
            surrogate = self._make()
            if self._learned is not None and type(self._learned.surrogate) is type(surrogate):
                surrogate = self._learned.surrogate
            values, extra, kept = usual.tamed(values), known.y_extra + usual.doubt(values), ~is_refuted
            noise: dict[str, FloatArray] = {}
            if np.isfinite(known.y_var[kept]).any():
                noise["y_var"] = known.y_var[kept]
            if extra[kept].any():
                noise["extra"] = extra[kept]
            surrogate.fit(known.x[kept], values[kept], **noise)
            # A refuted reading is a place where one has been, and nothing to look around.
            self._learned = Learned(surrogate, np.where(is_refuted, values[kept].min(), values))
        return self._learned
