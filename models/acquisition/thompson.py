"""Thompson sampling.

    x* = argmax_x f(x),    f drawn from the posterior,

so that a point is proposed as often as it is believed to be the best one. The draw is a smooth function of the whole box, not a list of
values on a grid, and can be climbed with its gradient. Each point of a batch has a draw of its own.

Sources: Thompson 1933, 10.1093/biomet/25.3-4.285; Wilson et al. 2020 (pathwise draws), 10.48550/arXiv.2002.09309.
"""

from typing import ClassVar

import numpy as np

from ..surrogates.base import Array, Surrogate
from .base import ScoredAcquisition
from .scores import PathScore, Score


class Thompson(ScoredAcquisition):
    """The maximum of a function drawn from the posterior."""

    name: ClassVar[str] = "thompson"

    def score(self, surrogate: Surrogate, known: Array, generator: np.random.Generator) -> Score:
        """See `ScoredAcquisition.score`."""
        del known
        return PathScore(surrogate.draw_path(generator))
