"""Numbers as the journal's JSON holds them."""

import math
from typing import Any


def number(value: float | str | None) -> float:
    """Return a journal's number: JSON knows neither NaN nor infinity, so they are written as null and as text."""
    return math.nan if value is None else float(value)


def jsonable(value: float) -> float | str | None:
    """Return a number as the journal writes it; the inverse of `number`."""
    if math.isfinite(value):
        return float(value)
    return None if math.isnan(value) else str(value)


def nested_tuple(values: Any) -> Any:
    """Return nested lists as tuples; anything else stays as it is."""
    return tuple(nested_tuple(value) for value in values) if isinstance(values, list) else values
