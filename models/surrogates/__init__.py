"""Latent vector -> objective: models that predict with an uncertainty."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .automatic import automatic_surrogate
    from .base import Posterior, Surrogate
    from .deep_kernel import DeepKernelReport, DeepKernelSurrogate
    from .ensemble import EnsembleSurrogate
    from .gaussian_process import GaussianProcess
    from .pca_gaussian_process import PCAGaussianProcess
    from .sparse import SparseGaussianProcess
    from .spherical_linear import SphericalLinear

_HOMES = {
    "DeepKernelReport": "deep_kernel",
    "DeepKernelSurrogate": "deep_kernel",
    "EnsembleSurrogate": "ensemble",
    "GaussianProcess": "gaussian_process",
    "PCAGaussianProcess": "pca_gaussian_process",
    "Posterior": "base",
    "SparseGaussianProcess": "sparse",
    "SphericalLinear": "spherical_linear",
    "Surrogate": "base",
    "automatic_surrogate": "automatic",
}
"""Public name -> the module it lives in; loaded on first use."""

__all__ = [
    "DeepKernelReport",
    "DeepKernelSurrogate",
    "EnsembleSurrogate",
    "GaussianProcess",
    "PCAGaussianProcess",
    "Posterior",
    "SparseGaussianProcess",
    "SphericalLinear",
    "Surrogate",
    "automatic_surrogate",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
