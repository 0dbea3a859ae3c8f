"""Training a latent model: a pure function of a configuration, so that it runs here or as a Ray task with the same result."""

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import CampaignConfig
from .errors import ConfigError
from .protocols import Progress
from .records import FloatArray, TrajectorySet
from .registry import LATENT_MODELS
from .seeding import derive_seed
from .threads import set_model_threads

if TYPE_CHECKING:
    from ..models.latent import LatentModel, LatentSpace


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A latent model as bytes, with what its training gave."""

    data: bytes
    encoded: FloatArray
    """Latent vectors of the training trajectories, shape (n, d)."""
    curve: FloatArray | None
    """Training loss per epoch (VAE: negative ELBO per sample), shape (epochs,); None for models without one."""
    seconds: float

    def restore(self) -> "LatentModel":
        """Return the model itself."""
        return restore_model(self.data)


def train(
    config: CampaignConfig, trajectories: TrajectorySet, version: int, n_threads: int, progress: Progress | None = None
) -> TrainedModel:
    """Train the configured latent model on the trajectories.

    Args:
        config: names the model and its parameters, and holds the seed.
        trajectories: what to train on.
        version: number of the model; each has a random stream of its own.
        n_threads: threads that training may take.
        progress: called after every epoch with (epochs done, epochs in all, loss).
    """
    set_model_threads(n_threads)
    start = perf_counter()
    model = make_model(config)
    try:
        model.fit(trajectories.values, seed=derive_seed(config.seed, "training", version), progress=progress)
    except ValueError as error:
        raise ConfigError(f"latent model {config.latent.model.name!r} cannot be trained: {error}") from error
    return TrainedModel(
        data=model.to_bytes(),
        encoded=np.asarray(model.encode(trajectories.values), dtype=np.float64),
        curve=None if model.training_curve is None else np.asarray(model.training_curve, dtype=np.float64),
        seconds=perf_counter() - start,
    )


def make_model(config: CampaignConfig) -> "LatentModel":
    """Return the configured latent model, untrained.

    Raises:
        ConfigError: parameters that it does not take, or a box of another dimension.
    """
    choice = config.latent.model
    model: LatentModel = LATENT_MODELS.create(choice.name, choice.parameters)
    _require_box(config, model.n_latent)
    return model


def restore_model(data: bytes) -> "LatentModel":
    """Return the latent model that `TrainedModel.data` holds."""
    from ..models.latent import latent_model_from_bytes

    return latent_model_from_bytes(data)


def latent_space(config: CampaignConfig, model: "LatentModel", encoded: FloatArray) -> "tuple[LatentSpace, FloatArray]":
    """Return the latent space and the box to search in it, shape (d, 2).

    Raises:
        ConfigError: the configured box has another dimension than the model.
    """
    from ..models.latent import LatentSpace

    space = LatentSpace(model, encoded, quantile=config.latent.quantile, margin=config.latent.margin)
    if config.latent.region == "ball" and config.latent.box is None:
        from ..models.acquisition import ball_bounds

        return space, ball_bounds(encoded, config.latent.ball_share)
    if config.latent.box is None:
        return space, np.asarray(space.bounds, dtype=np.float64)
    _require_box(config, model.n_latent)
    return space, np.asarray(config.latent.box, dtype=np.float64)


def _require_box(config: CampaignConfig, n_latent: int) -> None:
    box = config.latent.box
    if box is not None and n_latent and len(box) != n_latent:  # 0: not known before training
        raise ConfigError(f"latent.box has {len(box)} rows, the latent model {n_latent} dimensions; give one [low, high] for each")


def describe(trained: TrainedModel, box: FloatArray, name: str) -> dict[str, Any]:
    """Return what the journal keeps of a model besides its hash."""
    return {
        "kind": name,
        "n_latent": int(trained.encoded.shape[1]),
        "box": box.tolist(),
        "seconds": trained.seconds,
        "final_loss": None if trained.curve is None else float(trained.curve[-1]),
    }
