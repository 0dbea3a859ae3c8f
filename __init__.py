"""Find the best process trajectory for an instrument or a simulator in as few experiments as possible.

A latent model learns a low-dimensional space of the trajectories that make sense, Bayesian optimization proposes points of that
space, their decoded trajectories are measured by an evaluator, and every trial streams into a Zarr store.

The names below are imported on first use: ``import latentloop`` alone loads neither torch nor ray.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .loop.client import Client
    from .loop.generator import LatentloopGenerator
    from .loop.optimizer import CandidatesExhausted, Optimizer
    from .loop.run import open_campaign, run_campaign
    from .loop.simulation import simulate_many
    from .models.latent import PCA, VAE, LatentModel, LatentSpace
    from .simulators.ferrosim import FerroSim, FerroSimParameters

__version__ = "0.1.0"

_HOMES = {
    "CandidatesExhausted": ".loop.optimizer",
    "Client": ".loop.client",
    "FerroSim": ".simulators.ferrosim",
    "FerroSimParameters": ".simulators.ferrosim",
    "LatentModel": ".models.latent",
    "LatentloopGenerator": ".loop.generator",
    "LatentSpace": ".models.latent",
    "Optimizer": ".loop.optimizer",
    "PCA": ".models.latent",
    "VAE": ".models.latent",
    "open_campaign": ".loop.run",
    "run_campaign": ".loop.run",
    "simulate_many": ".loop.simulation",
}

__all__ = [  # noqa: RUF022 - in the order of a campaign
    "FerroSim",
    "FerroSimParameters",
    "LatentModel",
    "VAE",
    "PCA",
    "LatentSpace",
    "Optimizer",
    "CandidatesExhausted",
    "LatentloopGenerator",
    "run_campaign",
    "open_campaign",
    "simulate_many",
    "Client",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


class _ClientModule(ModuleType):
    """``latentloop.client`` as users import it; its code lies in ``loop``, and is imported on first use."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(".loop.client", __package__), name)


client = sys.modules[f"{__name__}.client"] = _ClientModule(f"{__name__}.client", "The typed client of a server.")


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
