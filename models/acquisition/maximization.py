"""The search for the point of highest acquisition value.

In a box: a scrambled Sobol set and small steps around the best measured points are valued at once; quasi-Newton climbs with exact
gradients start from the most promising ones that lie apart; the best point that is not taken wins. The acquisition surface is multimodal,
with narrow peaks close to the incumbent late in a campaign, which a space-filling set alone misses. In a candidate set every row is valued.

Source: Sobol 1967, 10.1016/0041-5553(67)90144-9.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import qmc

from ..errors import DomainError, ModelError
from ..surrogates.base import Array
from .climbing import climb
from .domains import Box, CandidateSet
from .scores import Score

SOBOL_EXPONENT: Final = 9
"""2^9 = 512 space-filling points: enough for a few dimensions, cheap beside the climbs."""
N_ANCHORS: Final = 4
"""Best measured points that are looked around."""
ANCHOR_STEPS: Final = (1e-1, 1e-2, 1e-3)
"""Sizes of the steps around them, as shares of the box."""
STEPS_PER_SIZE: Final = 8
N_CLIMBS: Final = 8
CLIMB_APART: Final = 2e-2
"""Two climbs start at least so far apart (largest coordinate difference, share of the box)."""
MAX_ITERATIONS: Final = 60


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen point."""

    point: Array
    """The point (d,)."""
    value: float
    """Its acquisition value, NaN where points are not valued."""
    index: int | None = None
    """Its row in the candidate set; None in a box."""


def best_candidate(score: Score, domain: CandidateSet, taken: Array) -> Choice:
    """The available row of highest value; of equal ones the first."""
    free = domain.available(taken)
    values = _finite(score.value(domain.rows[free]))
    choice = int(np.argmax(values))
    return Choice(domain.rows[free[choice]].copy(), float(values[choice]), int(free[choice]))


def best_in_box(score: Score, domain: Box, taken: Array, anchors: Array, generator: np.random.Generator) -> Choice:
    """The point of highest value found that does not coincide with a taken point (m, d).

    Args:
        score: What to maximize.
        domain: The box.
        taken: Points that must not be returned.
        anchors: Measured points, best first.
        generator: Of the scrambling and of the steps around the anchors.
    """
    starts = _starts(domain, anchors, generator)
    values = _finite(score.value(domain.from_unit(starts)))
    # Climbing needs slopes of order one whatever the units of the objective.
    usual = values[np.isfinite(values)]
    scale = max(float(np.quantile(usual, 0.95) - np.median(usual)), float(np.ptp(usual)) * 1e-3) if len(usual) else 1.0
    scale = scale if scale > 0 and np.isfinite(scale) else 1.0

    def ascent(u: Array) -> tuple[Array, Array]:
        value, gradient = score.value_and_gradient(domain.from_unit(u))
        return value / scale, domain.pull_back(u, gradient) / scale

    summits = climb(ascent, _apart(starts, values), MAX_ITERATIONS)
    found = domain.from_unit(np.vstack([summits, starts]))
    worth = np.concatenate([_finite(score.value(domain.from_unit(summits))), values])
    for index in np.argsort(-worth, kind="stable"):
        if not domain.is_taken(found[index][None], taken)[0]:
            return Choice(found[index].copy(), float(worth[index]))
    raise DomainError("every point looked at in the box is already measured or pending; the box is too small for more points")


def _starts(domain: Box, anchors: Array, generator: np.random.Generator) -> Array:
    """Points of the unit cube from which to look: space-filling, and close to the anchors."""
    sobol = qmc.Sobol(domain.n_dimensions, scramble=True, rng=generator).random_base2(SOBOL_EXPONENT)
    if len(anchors) == 0:
        return np.asarray(sobol, dtype=np.float64)
    centres = domain.to_unit(anchors[:N_ANCHORS])
    steps = generator.standard_normal((len(centres), len(ANCHOR_STEPS), STEPS_PER_SIZE, domain.n_dimensions))
    near = centres[:, None, None, :] + steps * np.array(ANCHOR_STEPS)[None, :, None, None]
    starts: Array = np.clip(np.vstack([sobol, near.reshape(-1, domain.n_dimensions)]), 0.0, 1.0)
    return starts


def _apart(starts: Array, values: Array) -> Array:
    """The most promising starts that do not crowd on one peak."""
    chosen: list[Array] = []
    for index in np.argsort(-values, kind="stable"):
        if all(np.abs(starts[index] - other).max() > CLIMB_APART for other in chosen):
            chosen.append(starts[index])
            if len(chosen) == N_CLIMBS:
                break
    return np.array(chosen)


def _finite(values: Array) -> Array:
    """Values with NaN counted as the worst; all of them NaN is an error of the acquisition function, not a choice."""
    if np.isnan(values).all():
        raise ModelError("the acquisition function is NaN everywhere; check the observations for outliers")
    return np.nan_to_num(values, nan=-np.inf, neginf=-np.inf, posinf=np.finfo(np.float64).max)
