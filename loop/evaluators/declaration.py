"""What an evaluator says of the trajectories that it can apply, compared with the campaign's before anything is fired.

A declaration is a mapping with any of: ``channels`` (their names), ``units`` (``{"value": "V", "time": "ms"}``), ``steps`` (their number)
and ``sample_rate`` ([low, high], in steps per unit of time). An instrument server answers it to ``GET /``; a Python class has it as
``wants``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..records import Signal

_SLACK = 1e-9
"""Times are sums of floating-point steps."""


def require_wanted(wants: Any, signal: Signal, source: str) -> None:
    """Raise ConfigError where the campaign's trajectories are not what an evaluator wants.

    Args:
        wants: the declaration; whatever else it says is not looked at.
        signal: the campaign's trajectories.
        source: named in errors.
    """
    if not isinstance(wants, Mapping):
        raise ConfigError(f"{source} says that it wants {wants!r}; it must be a mapping with channels, units, steps or sample_rate")
    units = wants.get("units", {})
    channels = wants.get("channels")
    compared = {
        "channels": (list(channels) if isinstance(channels, (list, tuple)) else channels, list(signal.channels)),
        "unit": (units.get("value") if isinstance(units, Mapping) else None, signal.unit),
        "unit of time": (units.get("time") if isinstance(units, Mapping) else None, signal.time_unit),
        "number of steps": (wants.get("steps"), len(signal.times)),
    }
    for what, (theirs, ours) in compared.items():
        if theirs is not None and theirs != ours:
            raise ConfigError(f"{source} wants the {what} {theirs!r}, the campaign's trajectories have {ours!r}; change one of them")
    if wants.get("sample_rate") is not None:
        _require_rate(wants["sample_rate"], signal, source)


def _require_rate(wanted: Any, signal: Signal, source: str) -> None:
    try:
        low, high = (float(bound) for bound in wanted)
    except (TypeError, ValueError):
        raise ConfigError(f"{source} wants the sample rate {wanted!r}; it must read [low, high]") from None
    if len(signal.times) < 2:
        return
    rates = 1.0 / np.diff(signal.times)
    for rate in (float(rates.min()), float(rates.max())):
        if not low * (1.0 - _SLACK) <= rate <= high * (1.0 + _SLACK):
            unit = f" per {signal.time_unit}" if signal.time_unit else ""
            raise ConfigError(
                f"{source} wants {low:g} to {high:g} steps{unit}, the campaign's trajectories have {rate:g}; resample them, "
                "or change trajectories.times"
            )
