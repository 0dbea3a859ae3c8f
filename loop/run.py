"""Runs and resumes campaigns: puts configuration, trajectories, latent model, executor, store and controller together.

>>> from latentloop import run_campaign
>>> history = run_campaign("quick", "campaigns/first")
>>> history.incumbent
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .campaign import Campaign
from .config import CampaignConfig, apply_override, config_from_mapping, load_config
from .controller import Controller
from .environment import environment
from .errors import StoreError
from .latent_training import describe, latent_space, train
from .observer import Observer, StopFlag
from .plug_ins import named
from .preparation import budget_warning, evaluator_spec, make_executor, require_choices
from .prior import read_prior, take_up
from .process import host_name
from .protocols import Executor
from .records import EvaluatorKind, TrajectorySet, Trial
from .registry import ACQUISITIONS, EXECUTORS, LATENT_MODELS, SURROGATES, Registry
from .restoration import restored_campaign
from .retraining import is_due, renewed
from .store.campaign_store import CampaignStore
from .store.doubt import arm_doubtful
from .store.faults import reach
from .store.history import History
from .store.lease import Patience
from .store.mending import has_wrong_columns, rewrite_columns
from .surrogate_choice import require_choice
from .takeover import require_idle_parents
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
    prior: str | Path | None = None,
    observer: Observer | None = None,
    should_stop: StopFlag | None = None,
) -> History:
    """Run a new campaign to its end.

    Args:
        source: a configuration, the path of a YAML file, or a preset's name.
        store: folder of the new store; must not exist.
        overrides: ``key=value`` changes of the configuration.
        prior: earlier measurements to start from, another campaign's folder or a .csv file; instead of ``prior`` in the configuration.
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
    config = _with_prior(config, prior, trajectories)
    spec, kind = evaluator_spec(config, trajectories=trajectories, store=store)
    if spec.envelope is not None and (warning := spec.envelope.reach(trajectories.values, trajectories.times)):
        watching.stage(f"warning: {warning}")
    if warning := budget_warning(config, n_latent):
        watching.stage(f"warning: {warning}")
    watching.stage(f"starting {config.executor.name} workers")
    executor = make_executor(config, spec)
    try:
        settled = config.model_copy(update={"durability": config.durability or ("power" if kind == "physical" else "process")})
        made = CampaignStore.create(store, settled.model_dump(mode="json"), environment(), n_latent, trajectories)
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
        if has_wrong_columns(opened):
            opened.drive(_patience(watching, should_stop or StopFlag()))
            try:
                rewrite_columns(opened)
            finally:
                opened.release()
        return opened.history  # nothing is left to do
    require_choice(config.optimizer.surrogate, config.optimizer.acquisition, is_pool=config.latent.is_pool)
    stopping = should_stop or StopFlag()
    opened.drive(_patience(watching, stopping))  # a campaign that another process drives is refused before any work
    opened.release()
    watching.stage("loading trajectories")
    trajectories = opened.trajectories() or load_trajectories(config)
    spec, kind = evaluator_spec(config, trajectories=trajectories, store=store)
    if kind == "physical":
        require_idle_parents(opened)
    watching.stage(f"starting {config.executor.name} workers")
    workers = make_executor(config, spec)
    try:
        return _drive(opened, config, trajectories, workers, kind, budget, watching, stopping)
    finally:
        workers.close()


def _with_prior(config: CampaignConfig, prior: str | Path | None, trajectories: TrajectorySet) -> CampaignConfig:
    """Return a configuration whose earlier measurements a resume from another folder finds too; they are read once, to see."""
    named = config.prior if prior is None else str(prior)
    if named is None:
        return config
    whole = named if "://" in named else str(Path(named).absolute())
    changed = config.model_copy(update={"prior": whole})
    read_prior(changed, trajectories)
    return changed


def with_overrides(config: CampaignConfig, overrides: Iterable[str]) -> CampaignConfig:
    """Return a configuration with ``key=value`` changes."""
    data = config.model_dump(mode="json")
    for override in overrides:
        apply_override(data, override)
    return config_from_mapping(data)


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
    store.drive(_patience(observer, should_stop))
    try:
        facts = {"budget": budget, "executor": config.executor.name, "workers": executor.n_workers, "kind": kind, **_process()}
        facts["environment"] = environment(config.executor.threads_per_worker)
        store.begin(facts, config.executor.lease_seconds)
        try:
            with named(*_chosen(config)):
                state, reason = _work(store, config, trajectories, executor, kind, budget, observer, should_stop)
            store.settle()  # the arrays are whole before the journal says that the campaign has ended
            reach("ending")
        except KeyboardInterrupt:
            with suppress(StoreError):
                store.append("ended", {"state": "interrupted", "reason": "stopped at once by the operator"})
            raise
        except Exception as error:
            with suppress(StoreError):
                store.append("ended", {"state": "failed", "reason": str(error) or type(error).__name__})
            raise
        store.end(state, reason)
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
    if config.prior is not None and not store.history.prior:
        observer.stage("taking up earlier measurements")
        for sentence in take_up(store, config, read_prior(config, trajectories), trajectories):
            observer.stage(sentence)
    set_model_threads(config.executor.threads_per_worker)  # proposals are the same on every resume only with the same threads
    campaign = restored_campaign(store, config, store.history, kind, trajectories)
    store.require_arrays(budget, len(campaign.box), trajectories)
    store.project(budget)
    if kind == "physical" and arm_doubtful(store, campaign.space.model.encode, campaign.box, campaign.model_version):
        campaign = restored_campaign(store, config, store.history, kind, trajectories)
    observer.stage("measuring")

    def renew(current: Campaign) -> Campaign:
        if not is_due(config, store.history):
            return current
        observer.stage("retraining the latent model")
        return renewed(current, store, trajectories, executor, progress=observer.training)

    controller = Controller(campaign, store, executor, config.executor.batch, observer, renew=renew)
    return controller.run(should_stop), controller.reason


def _chosen(config: CampaignConfig) -> list[tuple[Registry, str]]:
    """Return what of a campaign may be code of the user's own and runs in the driver; an evaluator's exceptions are failed trials."""
    chosen = config.optimizer
    return [
        (SURROGATES, chosen.surrogate.name),
        (ACQUISITIONS, chosen.acquisition.name),
        (LATENT_MODELS, config.latent.model.name),
        (EXECUTORS, config.executor.name),
    ]


def _train_first(store: CampaignStore, config: CampaignConfig, trajectories: TrajectorySet, executor: Executor, observer: Observer) -> None:
    """Train version 0 of the latent model and store it."""
    observer.stage(f"training the latent model ({config.latent.model.name})")
    if config.trajectories.file is not None:
        store.write_trajectories(trajectories)
    trained = executor.run(train, config, trajectories, 0, config.executor.threads_per_worker, progress=observer.training)
    _, box = latent_space(config, trained.restore(), trained.encoded)
    facts = {**describe(trained, box, config.latent.model.name), "trajectories_sha256": trajectories.digest()}
    store.write_model(0, trained.data, trained.encoded, trained.curve, facts)


def _patience(observer: Observer, should_stop: StopFlag) -> Patience:
    """Return what says whom one waits for, once, and waits until told to stop."""
    said: list[str] = []

    def wait(sentence: str) -> bool:
        if sentence not in said:
            said.append(sentence)
            observer.stage(sentence)
        return not should_stop.is_set

    return wait


def _process() -> dict[str, Any]:
    return {"process": os.getpid(), "host": host_name()}
