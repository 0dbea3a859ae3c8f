"""Is this model any good? Measures of latent spaces and surrogates, computed from models and data, never from hope."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibration import Calibration, calibration_of, leave_one_out_calibration
    from .dimension import LatentSpectrum, latent_spectrum

_HOMES = {
    "Calibration": "calibration",
    "LatentSpectrum": "dimension",
    "calibration_of": "calibration",
    "latent_spectrum": "dimension",
    "leave_one_out_calibration": "calibration",
}
"""Public name -> the module it lives in; loaded on first use."""

__all__ = [
    "Calibration",
    "LatentSpectrum",
    "calibration_of",
    "latent_spectrum",
    "leave_one_out_calibration",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
