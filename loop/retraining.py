"""Retraining the latent model during a campaign: every so many completed trials, with more weight on what turned out to be good.

Version v learns from the first ``v * every`` completed trials and the earlier measurements, starting from version v - 1; that is a function
of the journal and the stored trajectories alone, so that a campaign that was killed anywhere repeats it to the last bit. The event that
makes the new version count holds the new codes of all trials so far: what was measured stays as it is, and is looked at anew (see
`standing`). The box follows the newly encoded data, and never leaves out a trial that is learned from.
"""

from time import perf_counter
from typing import Any

import numpy as np

from .campaign import Campaign
from .config import CampaignConfig
from .latent_training import TrainedModel, describe, latent_space, restore_model
from .outliers import tamed
from .prior import prior_trajectories
from .protocols import Executor, Progress
from .records import FloatArray, TrajectorySet, Trial
from .restoration import restored_campaign
from .seeding import derive_seed
from .standing import EarlierPoint, Place, place_to, places_of, standing_of
from .store.campaign_store import CampaignStore
from .store.history import History
from .threads import set_model_threads


def is_due(config: CampaignConfig, history: History) -> bool:
    """Say whether the next version of the latent model is due before the next proposal."""
    chosen = config.latent.retrain
    return chosen is not None and len(history.told) >= chosen.every * (max(history.models) + 1)


def renewed(
    campaign: Campaign, store: CampaignStore, trajectories: TrajectorySet, executor: Executor, progress: Progress | None = None
) -> Campaign:
    """Retrain, store the new version, and return the campaign as it goes on with it.

    Args:
        campaign: as it stands.
        store: driven by this process.
        trajectories: those that the first version was trained on.
        executor: where the training runs.
        progress: called while it runs.
    """
    config, history = campaign.config, store.history
    chosen = config.latent.retrain
    assert chosen is not None
    version = max(history.models) + 1
    earlier = standing_of(history).earlier
    before = prior_trajectories(store)
    told = [history.trials[number] for number in history.told[: chosen.every * version]]
    explored = np.concatenate([before, np.array([store.trajectory(trial) for trial in told])])
    values = np.array([*(point.objective for point in earlier), *(trial.objective for trial in told)])
    data, _, _ = store.model(version - 1)
    trained = executor.run(
        go_on_training, config, data, trajectories, explored, values, version, config.executor.threads_per_worker, progress=progress
    )
    set_model_threads(config.executor.threads_per_worker)
    box, codes, earlier_codes = _look_anew(config, store, trained, trajectories, earlier, before, float(tamed(values).var()))
    facts: dict[str, Any] = {
        **describe(trained, box, config.latent.model.name),
        "trajectories_sha256": trajectories.digest(),
        "learned_from": len(values),
        "codes": {str(number): place_to(place) for number, place in codes.items()},
    }
    if earlier:
        facts["earlier_codes"] = [place_to(place) for place in earlier_codes]
    store.write_model(version, trained.data, trained.encoded, trained.curve, facts)
    return restored_campaign(store, config, history, campaign.kind, trajectories)


def go_on_training(
    config: CampaignConfig,
    data: bytes,
    trajectories: TrajectorySet,
    explored: FloatArray,
    values: FloatArray,
    version: int,
    n_threads: int,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train a version of the latent model from the one before; a pure function of its arguments, so that it runs here or as a Ray task.

    Args:
        config: holds the length of the training and the seed.
        data: the version before, as bytes.
        trajectories: those that the first version was trained on.
        explored: measured trajectories, shape (m, T[, channels]).
        values: their objectives, shape (m,).
        version: number of the new model.
        n_threads: threads that training may take.
        progress: called at the end with (1, 1, loss).
    """
    from ..models.latent import VAE
    from ..models.latent.retraining import retrain

    set_model_threads(n_threads)
    start = perf_counter()
    chosen = config.latent.retrain
    model = restore_model(data)
    assert chosen is not None
    assert isinstance(model, VAE)
    seed = derive_seed(config.seed, "training", version)
    new = retrain(model, trajectories.values, explored, values, goal=config.objective.goal, epochs=chosen.epochs, seed=seed)
    curve = new.training_curve
    assert curve is not None
    if progress is not None:
        progress(1, 1, float(curve[-1]))
    encoded = np.asarray(new.encode(trajectories.values), dtype=np.float64)
    return TrainedModel(new.to_bytes(), encoded, np.asarray(curve, dtype=np.float64), perf_counter() - start)


def _look_anew(
    config: CampaignConfig,
    store: CampaignStore,
    trained: TrainedModel,
    trajectories: TrajectorySet,
    earlier: tuple[EarlierPoint, ...],
    before: FloatArray,
    spread: float,
) -> tuple[FloatArray, dict[int, Place | None], list[Place | None]]:
    """Return the box, and where the trials and the earlier measurements stand in the new latent space."""
    trials: list[Trial] = store.history.trials
    measured = np.concatenate([before, np.array([store.trajectory(trial) for trial in trials])])
    model = trained.restore()
    places, _ = places_of(model, measured, trajectories.values, spread)
    _, box = latent_space(config, model, trained.encoded)
    if config.latent.box is None:
        kept = np.array([place.z for place in places if place is not None]).reshape(-1, len(box))
        box = np.column_stack([np.vstack([kept, box[:, :1].T]).min(axis=0), np.vstack([kept, box[:, 1:].T]).max(axis=0)])
    else:
        places = [None if place is None or ((place.z < box[:, 0]) | (place.z > box[:, 1])).any() else place for place in places]
    n = len(earlier)
    return box, {trial.number: place for trial, place in zip(trials, places[n:], strict=True)}, places[:n]
