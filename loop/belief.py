"""What makes a reading hard to believe, and what makes it merely rare.

Not believable, and therefore quarantined: a value that is not finite or lies outside the plausible range, an array that is not finite or
stands at its rails, an instrument that gives one value again and again. A reading far from all others is only an *outlier*: the optimum of
a sharp peak is one. Its distance is robust and needs no model,

    |y - median| / (1.4826 MAD),    MAD = median |y_i - median|

so that it follows from the readings alone, also after a resume. An outlier is measured again where that is allowed; it stands when the
second reading lies nearer to the first than to the median. The second is the one that counts: the first was picked for being extreme.
"""

import math
from collections.abc import Sequence

import numpy as np

from .config import ObjectiveConfig, SaturationConfig
from .records import EvaluatorKind, FloatArray, Measurement

_NORMAL = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
_FEWEST = 10
"""Readings before which nothing is called an outlier."""


def doubt(result: Measurement, objective: ObjectiveConfig, kind: EvaluatorKind, recent: Sequence[float] = ()) -> str:
    """Return why a reading is not believable; empty when it is.

    Args:
        result: what was measured; it has the objective's metric.
        objective: names the metric, and says what is plausible.
        kind: of the evaluator.
        recent: the readings of the trials judged before, the last one last.
    """
    metric = objective.metric
    value = float(result.metrics[metric])
    if not math.isfinite(value):
        return f"metric {metric!r} is {value}"
    low, high = objective.plausible
    if not low <= value <= high:
        return f"metric {metric!r} is {value:g}, outside the plausible range [{low:g}, {high:g}] of objective.plausible"
    for name, values in result.arrays.items():
        if not np.isfinite(values).all():
            return f"array {name!r} holds values that are not finite"
        if name in objective.saturation and (found := _saturation(values, objective.saturation[name])):
            return f"array {name!r} {found} (objective.saturation)"
    if kind == "physical" and objective.stuck_after is not None:
        before = list(recent)[-(objective.stuck_after - 1) :]
        if len(before) == objective.stuck_after - 1 and all(each == value for each in before):
            return f"metric {metric!r} is {value:g}, {objective.stuck_after} times in a row: is it stuck? (objective.stuck_after)"
    return ""


def is_outlier(value: float, others: FloatArray, threshold: float) -> bool:
    """Whether a reading lies further from all others, shape (n,), than a number of robust standard deviations."""
    if len(others) < _FEWEST:
        return False
    middle = float(np.median(others))
    spread = _NORMAL * float(np.median(np.abs(others - middle)))
    return spread > 0.0 and abs(value - middle) > threshold * spread


def agrees(first: float, second: float, others: FloatArray) -> bool:
    """Whether a second reading lies nearer to the first than to the median of all others, shape (n,)."""
    middle = float(np.median(others)) if len(others) else math.nan
    return not abs(second - first) > 0.5 * abs(first - middle)


def _saturation(values: FloatArray, rails: SaturationConfig) -> str:
    """Return at which rail too many samples stand; empty for none."""
    if not values.size:
        return ""
    low = float(values.min()) if rails.low is None else rails.low
    high = float(values.max()) if rails.high is None else rails.high
    for name, rail, share in (("lower", low, float((values <= low).mean())), ("upper", high, float((values >= high).mean()))):
        if share > rails.share and values.size > 1:
            return f"stands at its {name} rail {rail:g} in {100 * share:.0f} % of its samples"
    return ""
