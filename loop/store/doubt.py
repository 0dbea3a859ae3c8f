"""Physical trials whose intent was in events that are damaged: they may have fired, so they are never proposed as if they had not.

Their trajectory was written before the event, so it is known which they were. Each becomes an armed trial that nobody dispatches; the
controller then settles it like every physical trial that a driver left armed: as unknown, for the operator to say what became of it.
"""

from collections.abc import Callable

import numpy as np

from ..errors import StoreError
from ..records import FloatArray
from .campaign_store import CampaignStore

ORIGIN = "doubtful"
"""What such trials have as their acquisition."""


def arm_doubtful(store: CampaignStore, encode: Callable[[FloatArray], FloatArray], box: FloatArray, model_version: int) -> list[int]:
    """Journal the doubtful trials of a store as armed; return their numbers.

    Args:
        store: driven by this process.
        encode: latent vectors (n, d) of trajectories (n, T[, channels]).
        box: the box that is searched, shape (d, 2).
        model_version: version of the latent model.
    """
    armed = []
    for number in list(store.evidence.doubtful):
        if number != len(store.history.trials):  # earlier ones were settled before a kill, later ones were never written
            continue
        reason = "events that may have armed it are damaged"
        try:
            trajectory = store.payload(number, "trajectory")
            z = np.clip(encode(trajectory[None])[0], box[:, 0], box[:, 1])
        except StoreError:
            z, reason = box.mean(axis=1), f"{reason}, and so is its trajectory: the point is not the one it had"
        unknown = dict.fromkeys(("acquisition_value", "distance", "consistency"))
        data = {"trial": number, "z": z.tolist(), "acquisition": ORIGIN, **unknown, "model_version": model_version, "reason": reason}
        store.append("armed", data)
        store.publish(number)
        armed.append(number)
    return armed
