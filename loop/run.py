"""Runs and resumes campaigns: puts configuration, trajectories, latent model, executor, store and controller together.

>>> from latentloop import run_campaign
>>> history = run_campaign("quick", "campaigns/first")
>>> history.incumbent
"""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .campaign import Campaign
from .config import CampaignConfig, apply_override, config_from_mapping, load_config
from .controller import Controller, Observer, StopFlag
from .errors import ConfigError, StoreError
from .executors.worker import EvaluatorSpec
from .latent_training import TrainedModel, describe, latent_space, make_model, train
from .optimizer import environment
from .protocols import Executor
from .records import EvaluatorKind, TrajectorySet, Trial
from .registry import ACQUISITIONS, EXECUTORS, SURROGATES
from .safety import Envelope
from .store.campaign_store import CampaignStore
from .store.history import History
from .threads import set_model_threads
from .trajectory_source import load_trajectories


class SilentObserver:
    """Watches and says nothing."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def training(self, done: int, total: int, loss: float) -> None:
        """Say nothing."""

    def trial(self, trial: Trial, history: History) -> None:
        """Say nothing."""


def run_campaign(
    source: str | Path | CampaignConfig,
    store: str | Path,
    *,
    overrides: Iterable[str] = (),
    observer: Observer | None = None,
    should_stop: StopFlag | None = None,
) -> History:
    """Run a new campaign to its end.

    Args:
        source: a configuration, the path of a YAML file, or a preset's name.
        store: folder of the new store; must not exist.
        overrides: ``key=value`` changes of the configuration.
        observer: told how it goes.
        should_stop: set it to stop after the measurements under way.

    Returns:
        What the journal holds at the end.

    Raises:
        ConfigError: the configuration cannot be run.
        StoreError: there is something at ``store`` already, or it cannot be written.
        EvaluatorError: the evaluator cannot be prepared.
    """
    config = source if isinstance(source, CampaignConfig) else load_config(str(source), overrides)
    watching = observer or SilentObserver()
    CampaignStore.require_free(store)
    watching.stage("loading trajectories")
    trajectories = load_trajectories(config)
    n_latent = require_choices(config, trajectories)
    spec, kind = evaluator_spec(config, trajectories=trajectories)
    watching.stage(f"starting {config.executor.name} workers")
    executor = make_executor(config, spec)
    try:
        made = CampaignStore.create(store, config.model_dump(mode="json"), environment(), n_latent, trajectories)
        return _drive(made, config, trajectories, executor, kind, config.budget.trials, watching, should_stop or StopFlag())
    finally:
        executor.close()


def open_campaign(
    store: str | Path,
    *,
    trials: int | None = None,
    executor: str | None = None,
    observer: Observer | None = None,
    should_stop: StopFlag | None = None,
) -> History:
    """Resume a campaign: after an interruption, a kill, or with a larger budget.

    Args:
        store: the campaign's folder.
        trials: total number of trials, the earlier ones included; None keeps the budget.
        executor: ``local`` or ``ray``; None keeps the configured one.
        observer: told how it goes.
        should_stop: set it to stop after the measurements under way.

    Raises:
        StoreError: there is no campaign, it is damaged, or another process drives it.
        ConfigError: fewer trials than are recorded already.
    """
    opened = CampaignStore.open(store)
    watching = observer or SilentObserver()
    changes = [] if executor is None else [f"executor.name={executor}"]
    config = with_overrides(config_from_mapping(opened.history.configuration, str(store)), changes)
    budget = opened.history.budget if trials is None else trials
    if budget < len(opened.history.trials):
        raise StoreError(f"{store} holds {len(opened.history.trials)} trials already; --trials is the total, so ask for more than that")
    if opened.history.last_session == "finished" and len(opened.history.trials) == budget:
        return opened.history  # nothing is left to do
    opened.lock.take().release()  # a campaign that another process drives is refused before any work
    watching.stage("loading trajectories")
    trajectories = opened.trajectories() or load_trajectories(config)
    spec, kind = evaluator_spec(config, trajectories=trajectories)
    watching.stage(f"starting {config.executor.name} workers")
    workers = make_executor(config, spec)
    try:
        return _drive(opened, config, trajectories, workers, kind, budget, watching, should_stop or StopFlag())
    finally:
        workers.close()


def with_overrides(config: CampaignConfig, overrides: Iterable[str]) -> CampaignConfig:
    """Return a configuration with ``key=value`` changes."""
    data = config.model_dump(mode="json")
    for override in overrides:
        apply_override(data, override)
    return config_from_mapping(data)


def require_choices(config: CampaignConfig, trajectories: TrajectorySet) -> int:
    """Check the parameters of what is chosen by name, before anything takes long; return the latent dimension.

    Raises:
        ConfigError: parameters that a chosen thing does not take.
    """
    chosen = config.optimizer
    SURROGATES.accept(chosen.surrogate.name, chosen.surrogate.parameters, "bounds", "noise")
    ACQUISITIONS.create(chosen.acquisition.name, chosen.acquisition.parameters)
    return make_model(config).n_latent or trajectories.values[0].size  # 0: a model that takes trajectories as they are


def evaluator_spec(
    config: CampaignConfig, keep_arrays: bool = True, trajectories: TrajectorySet | None = None
) -> tuple[EvaluatorSpec, EvaluatorKind]:
    """Return the evaluator as it travels to workers, and its kind.

    Args:
        config: names it.
        keep_arrays: False leaves a measurement's arrays on the workers.
        trajectories: what is measured are trajectories like these; needed where the configuration has a safety envelope.

    Raises:
        ConfigError: parameters that it does not take, a metric that it does not measure, trajectories that it cannot apply, an envelope
            that does not fit them.
    """
    chosen = config.evaluator
    if trajectories is None and config.safety.is_bounded:
        raise ConfigError("an evaluator behind a safety envelope needs to know the trajectories; pass them to evaluator_spec")
    if config.trajectories.box is not None and config.safety.is_bounded:
        raise ConfigError("safety bounds trajectories over time, and this campaign has none; bound its parameters in trajectories.box")
    signal = None if trajectories is None else trajectories.signal
    envelope = None if signal is None else Envelope.from_config(config.safety, signal)
    spec = EvaluatorSpec(
        chosen.name, chosen.parameters, chosen.timeout, config.executor.threads_per_worker, keep_arrays, signal=signal, envelope=envelope
    )
    made = spec.make()
    metrics, wanted = getattr(made, "metrics", None), config.objective.metric
    if metrics is not None and wanted not in metrics:  # an evaluator that cannot say beforehand has no such attribute
        raise ConfigError(f"objective.metric: evaluator {chosen.name!r} measures no {wanted!r}; known are {', '.join(metrics)}")
    return spec, made.kind


def make_executor(config: CampaignConfig, spec: EvaluatorSpec) -> Executor:
    """Start the configured executor."""
    chosen = config.executor
    factory = EXECUTORS.load(chosen.name)
    made: Executor = factory(spec, n_workers=chosen.workers, address=chosen.address)
    return made


def _drive(
    store: CampaignStore,
    config: CampaignConfig,
    trajectories: TrajectorySet,
    executor: Executor,
    kind: EvaluatorKind,
    budget: int,
    observer: Observer,
    should_stop: StopFlag,
) -> History:
    """Take the store's lock, make sure there is a latent model, and run the controller."""
    store.drive()
    try:
        store.append("started", {"budget": budget, "executor": config.executor.name, "workers": executor.n_workers, **_process()})
        try:
            state, reason = _work(store, config, trajectories, executor, kind, budget, observer, should_stop)
            store.settle()  # the arrays are whole before the journal says that the campaign has ended
        except KeyboardInterrupt:
            with suppress(StoreError):
                store.append("ended", {"state": "interrupted", "reason": "stopped at once by the operator"})
            raise
        except Exception as error:
            with suppress(StoreError):
                store.append("ended", {"state": "failed", "reason": str(error) or type(error).__name__})
            raise
        store.append("ended", {"state": state, "reason": reason})
    finally:
        store.release()
    return store.history


def _work(
    store: CampaignStore,
    config: CampaignConfig,
    trajectories: TrajectorySet,
    executor: Executor,
    kind: EvaluatorKind,
    budget: int,
    observer: Observer,
    should_stop: StopFlag,
) -> tuple[str, str]:
    """Do the work of a session; return how it ended, and why."""
    if not store.history.models:
        _train_first(store, config, trajectories, executor, observer)
    set_model_threads(config.executor.threads_per_worker)  # proposals are the same on every resume only with the same threads
    version = max(store.history.models)
    data, encoded, curve = store.model(version)
    trained = TrainedModel(data, encoded, curve, seconds=0.0)
    space, box = latent_space(config, trained.restore(), encoded)
    store.require_arrays(budget, len(box), trajectories)
    store.project(budget)
    campaign = Campaign(config, space, box, version, kind, trajectories.signal)
    campaign.restore(store.history.trials, store.history.told, store.history.avoided)
    observer.stage("measuring")
    controller = Controller(campaign, store, executor, config.executor.batch, observer)
    return controller.run(should_stop), controller.reason


def _train_first(store: CampaignStore, config: CampaignConfig, trajectories: TrajectorySet, executor: Executor, observer: Observer) -> None:
    """Train version 0 of the latent model and store it."""
    observer.stage(f"training the latent model ({config.latent.model.name})")
    if config.trajectories.file is not None:
        store.write_trajectories(trajectories)
    trained = executor.run(train, config, trajectories, 0, config.executor.threads_per_worker, progress=observer.training)
    _, box = latent_space(config, trained.restore(), trained.encoded)
    facts = {**describe(trained, box, config.latent.model.name), "trajectories_sha256": trajectories.digest()}
    store.write_model(0, trained.data, trained.encoded, trained.curve, facts)


def _process() -> dict[str, Any]:
    return {"process": os.getpid(), "host": socket.gethostname()}
