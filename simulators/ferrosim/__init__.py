"""FerroSIM: a ferroelectric as a square lattice of polarization vectors that follow an electric field.

Start with `FerroSim(FerroSimParameters.published()).simulate(field)`. The names below are imported when they are first
used: parameters and observables come without the compiler that the simulator needs.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .energy import clean_equivalent as clean_equivalent
    from .observables import curl as curl
    from .observables import curl_map as curl_map
    from .observables import domain_wall_length as domain_wall_length
    from .observables import mean_polarization as mean_polarization
    from .observables import normalized_curl as normalized_curl
    from .observables import total_polarization as total_polarization
    from .parameters import FerroSimParameters as FerroSimParameters
    from .simulator import FerroSim as FerroSim
    from .simulator import PolarizationHistory as PolarizationHistory

_HOME = {
    "FerroSim": "simulator",
    "FerroSimParameters": "parameters",
    "PolarizationHistory": "simulator",
    "clean_equivalent": "energy",
    "curl": "observables",
    "curl_map": "observables",
    "domain_wall_length": "observables",
    "mean_polarization": "observables",
    "normalized_curl": "observables",
    "total_polarization": "observables",
}

__all__ = [
    "FerroSim",
    "FerroSimParameters",
    "PolarizationHistory",
    "clean_equivalent",
    "curl",
    "curl_map",
    "domain_wall_length",
    "mean_polarization",
    "normalized_curl",
    "total_polarization",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
