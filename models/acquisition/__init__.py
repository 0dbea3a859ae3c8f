"""Where to measure next: acquisition functions by name, and their maximization with pending points known."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Acquisition, Observed, Proposal
    from .domains import Box, CandidateSet
    from .log_ei import LogEI
    from .max_variance import MaxVariance
    from .names import ACQUISITIONS
    from .portfolio import Portfolio
    from .random import Random
    from .thompson import Thompson
    from .ucb import UCB

_HOMES = {
    "ACQUISITIONS": "names",
    "Acquisition": "base",
    "Box": "domains",
    "CandidateSet": "domains",
    "LogEI": "log_ei",
    "MaxVariance": "max_variance",
    "Observed": "base",
    "Portfolio": "portfolio",
    "Proposal": "base",
    "Random": "random",
    "Thompson": "thompson",
    "UCB": "ucb",
}
"""Public name -> the module it lives in; loaded on first use."""

__all__ = [
    "ACQUISITIONS",
    "UCB",
    "Acquisition",
    "Box",
    "CandidateSet",
    "LogEI",
    "MaxVariance",
    "Observed",
    "Portfolio",
    "Proposal",
    "Random",
    "Thompson",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
