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
WIDE=1.0;PATTERN="LE";FALL="E";MODEST=1e-3

class Portfolio(Acquisition):
    name: ClassVar[str] = "portfolio"

    def next_point(self, surrogate, domain, taken, best_first, generator):
        n = len(taken); d=domain.n_dimensions
        k = NEAR_A * d + NEAR_B
        turn = PATTERN[n % len(PATTERN)]
        if turn in "Ll":
            choice = None
            if isinstance(domain, Box) and hasattr(surrogate, "restricted") and len(best_first):
                choice = self._local(surrogate, domain, taken, best_first, generator, min(k, len(taken)), NEGLIGIBLE if turn=="L" else MODEST)
            if choice is not None:
                return choice
            turn = FALL
        if turn == "V":
            from .max_variance import MaxVariance
            return MaxVariance().next_point(surrogate, domain, taken, best_first, generator)
        return (LogEI() if turn=="E" else UCB(BETA)).next_point(surrogate, domain, taken, best_first, generator)

    def _local(self, surrogate, domain, taken, best_first, generator, k, threshold):
        centre = domain.to_unit(best_first[:1])[0]
        u = domain.to_unit(surrogate.points)
        gap = np.abs(u - centre)
        rows = np.sort(np.argsort(gap.max(axis=1), kind="stable")[:k])
        half = np.maximum(WIDE*gap[rows].max(axis=0), MINW)
        low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
        box = Box(np.clip(np.column_stack([domain.low + low*domain.edge, domain.low + high*domain.edge]), domain.bounds[:,:1], domain.bounds[:,1:]))
        local = surrogate.restricted(box.bounds, rows)
        choice= LogEI().next_point(local, box, taken, best_first, generator)
        spread = float(np.ptp(surrogate.posterior(surrogate.points).mean))
        return choice if choice.value > math.log(threshold*max(spread,1e-300)) else None
