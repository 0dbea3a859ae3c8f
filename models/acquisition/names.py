"""The acquisition functions by name, without importing them.

A further one is one file and one line here.
"""

from collections.abc import Mapping
from typing import Final

ACQUISITIONS: Final[Mapping[str, str]] = {
    "log_ei": "latentloop.models.acquisition.log_ei:LogEI",
    "max_variance": "latentloop.models.acquisition.max_variance:MaxVariance",
    "portfolio": "latentloop.models.acquisition.portfolio:Portfolio",
    "random": "latentloop.models.acquisition.random:Random",
    "thompson": "latentloop.models.acquisition.thompson:Thompson",
    "ucb": "latentloop.models.acquisition.ucb:UCB",
}
"""Name -> `module:class`."""
