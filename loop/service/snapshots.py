"""Takes snapshots of campaigns for the studio: what a figure needs, thinned to what a figure can show.

A latent model's bytes and the meaning of the trajectories are read once per version and kept.
"""

import asyncio
from dataclasses import replace

import numpy as np

from ..config import config_from_mapping
from ..errors import LatentloopError
from ..figures.thinning import thinned_rows
from ..messages import EnvelopeMessage
from ..numbers import finite_list
from ..records import FloatArray, Signal, TrialState
from ..safety import Envelope
from ..store.history import History
from .belief import Snapshot
from .watch import CampaignWatch

MOST_TRIALS = 1_500
"""Trials that a snapshot holds: what a page can show, and a Gaussian process can learn in a second or two."""
_NEWEST = 100


class Snapshots:
    """Takes snapshots of one server's campaigns."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, int], tuple[bytes, FloatArray, FloatArray | None]] = {}
        self._signals: dict[str, Signal] = {}

    async def take(self, watch: CampaignWatch, trial: int | None = None) -> Snapshot:
        """Return a snapshot of a campaign; ``trial`` is among its trials whatever is left out."""
        history = watch.history
        version = max(history.models) if history.models else None
        weights, encoded, curve = b"", None, None
        if version is not None:
            key = (history.identity, version)
            if key not in self._models:
                if len(self._models) > 16:
                    self._models.clear()
                self._models[key] = await asyncio.to_thread(watch.store.model, version)
            weights, encoded, curve = self._models[key]
        signal = await self.signal(watch)
        best = history.incumbent
        read = {number for number in (trial, None if best is None else best.trial) if number is not None}
        payloads = watch.store.evidence.payloads
        return Snapshot(
            path=watch.path,
            history=thinned(history, trial),
            n_trials=len(history.trials),
            signal=signal,
            version=version,
            weights=weights,
            encoded=encoded,
            curve=curve,
            digests={number: dict(payloads.get(number, {})) for number in read},
        )

    async def signal(self, watch: CampaignWatch) -> Signal | None:
        """Return what the trajectories' numbers mean; None while nothing says so."""
        key = watch.history.identity
        if key not in self._signals:
            try:
                self._signals[key] = await asyncio.to_thread(watch.store.signal)
            except LatentloopError:
                return None
        return self._signals[key]

    async def limits(self, watch: CampaignWatch) -> EnvelopeMessage | None:
        """Return what the safety envelope allows at each step; None where there is none."""
        signal = await self.signal(watch)
        config = config_from_mapping(watch.history.configuration, watch.name, is_record=True)
        if signal is None or not config.safety.is_bounded:
            return None
        envelope = Envelope.from_config(config.safety, signal)
        if envelope is None:
            return None
        lower, upper = (np.asarray(limit, dtype=np.float64) for limit in envelope.limits(signal.times))
        shape = (len(signal.times),) if len(signal.channels) == 1 else (len(signal.times), len(signal.channels))
        return EnvelopeMessage(lower=finite_list(lower.reshape(shape)), upper=finite_list(upper.reshape(shape)))


def thinned(history: History, trial: int | None = None) -> History:
    """Return a history with no more trials than a figure shows: improvements, the newest, and others at even distances."""
    n = len(history.trials)
    if n <= MOST_TRIALS:
        return replace(history, notes=[], commands=set())
    sign = 1.0 if history.goal == "maximize" else -1.0
    keep = {*thinned_rows(n, MOST_TRIALS - _NEWEST).tolist(), *range(n - _NEWEST, n)}
    best = -np.inf
    for position in history.told:
        value = sign * history.trials[position].objective
        if value > best:
            best = value
            keep.add(position)
    if trial is not None and 0 <= trial < n:
        keep.add(trial)
    chosen = sorted(keep)
    position_of = {number: position for position, number in enumerate(chosen)}
    return replace(
        history,
        trials=[history.trials[number] for number in chosen],
        told=[position_of[number] for number in history.told if number in position_of],
        avoided=[position_of[number] for number in history.avoided if number in position_of],
        approved=set(),
        commands=set(),
        notes=[],
        wanted=[],
        measured=[],
        controls=[],
        held=set(),
    )


def newest_completed(history: History) -> int | None:
    """Return the number of the newest completed trial."""
    return next((trial.number for trial in reversed(history.trials) if trial.state is TrialState.COMPLETED), None)
