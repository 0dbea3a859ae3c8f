import numpy as np
import pytest
from latentloop.models.latent import VAE
from latentloop.simulators.trajectories import published_trajectories

SMALL = {"hidden": (16,), "epochs": 20, "batch_size": 32}


@pytest.fixture(scope="session")
def trajectories() -> np.ndarray:
    """400 trajectories of 60 steps."""
    return published_trajectories(400)[:, ::15]


@pytest.fixture(scope="session")
def vae(trajectories: np.ndarray) -> VAE:
    return VAE(**SMALL).fit(trajectories, seed=3)
