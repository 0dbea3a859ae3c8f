"""FerroSIM: a ferroelectric as a square lattice of polarization vectors that follow an electric field.

Start with `FerroSim(FerroSimParameters.published()).simulate(field)`. The names below are imported when they are first
used: parameters and observables come without the compiler that the simulator needs.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .disorder import continued_polarization as continued_polarization
    from .disorder import random_bond as random_bond
    from .disorder import random_field as random_field
    from .disorder import random_polarization as random_polarization
    from .disorder import uniform_polarization as uniform_polarization
    from .energy import Energy as Energy
    from .energy import clean_equivalent as clean_equivalent
    from .hysteresis import coercive_field as coercive_field
    from .hysteresis import loop_area as loop_area
    from .hysteresis import remnant_polarization as remnant_polarization
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
    "Energy": "energy",
    "FerroSim": "simulator",
    "FerroSimParameters": "parameters",
    "PolarizationHistory": "simulator",
    "clean_equivalent": "energy",
    "coercive_field": "hysteresis",
    "continued_polarization": "disorder",
    "curl": "observables",
    "curl_map": "observables",
    "domain_wall_length": "observables",
    "loop_area": "hysteresis",
    "mean_polarization": "observables",
    "normalized_curl": "observables",
    "random_bond": "disorder",
    "random_field": "disorder",
    "random_polarization": "disorder",
    "remnant_polarization": "hysteresis",
    "total_polarization": "observables",
    "uniform_polarization": "disorder",
}

__all__ = [
    "Energy",
    "FerroSim",
    "FerroSimParameters",
    "PolarizationHistory",
    "clean_equivalent",
    "coercive_field",
    "continued_polarization",
    "curl",
    "curl_map",
    "domain_wall_length",
    "loop_area",
    "mean_polarization",
    "normalized_curl",
    "random_bond",
    "random_field",
    "random_polarization",
    "remnant_polarization",
    "total_polarization",
    "uniform_polarization",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
