"""Latent vector -> objective: models that predict with an uncertainty."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Posterior, Surrogate
    from .deep_kernel import DeepKernelReport, DeepKernelSurrogate
    from .gaussian_process import GaussianProcess

_HOMES = {
    "DeepKernelReport": "deep_kernel",
    "DeepKernelSurrogate": "deep_kernel",
    "GaussianProcess": "gaussian_process",
    "Posterior": "base",
    "Surrogate": "base",
}
"""Public name -> the module it lives in; loaded on first use."""

__all__ = [
    "DeepKernelReport",
    "DeepKernelSurrogate",
    "GaussianProcess",
    "Posterior",
    "Surrogate",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
