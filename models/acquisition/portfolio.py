"""Explore globally and exploit locally, in turns."""

import math
from typing import ClassVar, Final

import numpy as np

from ..surrogates.base import Array, Surrogate
from .base import Acquisition
from .domains import Box, Domain
from .log_ei import LogEI
from .maximization import Choice
from .ucb import UCB

NEAR_A=5; NEAR_B=5; GLOBAL="log_ei"; BETA=4.0; PERIOD=2; MINW=1e-5; START=0; NEGLIGIBLE=1e-12
WIDE=1.0

class Portfolio(Acquisition):
    name: ClassVar[str] = "portfolio"

    def next_point(self, surrogate, domain, taken, best_first, generator):
        n = len(taken); d=domain.n_dimensions
        k = NEAR_A * d + NEAR_B
        if isinstance(domain, Box) and len(best_first) >= START and n % PERIOD and hasattr(surrogate, "restricted") and len(best_first):
            choice = self._local(surrogate, domain, taken, best_first, generator, min(k, len(taken)))
            if choice is not None:
                return choice
        return (LogEI() if GLOBAL=="log_ei" else UCB(BETA)).next_point(surrogate, domain, taken, best_first, generator)

    def _local(self, surrogate, domain, taken, best_first, generator, k):
        centre = domain.to_unit(best_first[:1])[0]
        u = domain.to_unit(surrogate.points)
        gap = np.abs(u - centre)
        rows = np.sort(np.argsort(gap.max(axis=1), kind="stable")[:k])
        half = np.maximum(WIDE*gap[rows].max(axis=0), MINW)
        low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
        box = Box(np.column_stack([domain.low + low*domain.edge, domain.low + high*domain.edge]))
        local = surrogate.restricted(box.bounds, rows)
        choice= LogEI().next_point(local, box, taken, best_first, generator)
        spread = float(np.ptp(surrogate.posterior(surrogate.points).mean))
        return choice if choice.value > math.log(NEGLIGIBLE*max(spread,1e-300)) else None
