"""Numbers and arrays on their way into JSON, which knows neither NaN nor infinity: null stands for both."""

import math
from typing import Any

import numpy as np


def finite(value: Any) -> Any:
    """Return a float, or None for one that is not finite; what is no number comes back as it is."""
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def finite_list(values: Any) -> list[Any]:
    """Return an array as nested lists, with None for what is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if np.isfinite(array).all():
        nested: list[Any] = array.tolist()
        return nested
    holes = array.astype(object)
    holes[~np.isfinite(array)] = None
    return list(holes.tolist())
