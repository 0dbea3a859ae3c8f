"""Trajectory <-> latent vector.

A latent model learns a low-dimensional code of the trajectories that make sense. Optimization happens among the codes, and each
code that is proposed is decoded back to a trajectory.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import LatentModel, Progress
    from .checkpoint import latent_model_from_bytes, load_latent_model
    from .identity import Identity
    from .pca import PCA
    from .pool import Pool
    from .retraining import rank_weights, retrain
    from .space import LatentSpace
    from .vae import VAE

_HOMES = {
    "Identity": "identity",
    "LatentModel": "base",
    "LatentSpace": "space",
    "PCA": "pca",
    "Pool": "pool",
    "Progress": "base",
    "VAE": "vae",
    "latent_model_from_bytes": "checkpoint",
    "load_latent_model": "checkpoint",
    "rank_weights": "retraining",
    "retrain": "retraining",
}
"""Public name -> the module it lives in; loaded on first use."""

__all__ = [
    "PCA",
    "VAE",
    "Identity",
    "LatentModel",
    "LatentSpace",
    "Pool",
    "Progress",
    "latent_model_from_bytes",
    "load_latent_model",
    "rank_weights",
    "retrain",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
