"""A campaign as its store has it: the newest latent model, and everything that has been told, from the journal alone."""

import numpy as np

from .campaign import Campaign
from .config import CampaignConfig
from .latent_training import latent_space, restore_model
from .records import EvaluatorKind, TrajectorySet
from .standing import facts_of
from .store.campaign_store import CampaignStore
from .store.history import History


def restored_campaign(
    store: CampaignStore, config: CampaignConfig, history: History, kind: EvaluatorKind, trajectories: TrajectorySet | None
) -> Campaign:
    """Return the campaign as it stood when its journal said no more than ``history``: whatever it proposes next follows from that alone.

    Args:
        store: where the latent models are; ``history`` knows at least one of them.
        config: its configuration.
        history: what the journal says, or said at some moment.
        kind: whether the evaluator is pure or physical.
        trajectories: those that it was trained on; None where no candidate is to be inspected.
    """
    version = max(history.models)
    data, encoded, _ = store.model(version)
    space, box = latent_space(config, restore_model(data), encoded)
    if version:
        box = np.array(history.models[version]["box"], dtype=np.float64)  # that of a retrained model was widened to the trials
    campaign = Campaign(config, space, box, version, kind, None if trajectories is None else trajectories.signal)
    campaign.restore(*facts_of(history))
    return campaign
