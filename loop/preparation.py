"""What a configuration chooses by name: checked before anything takes long, and made.

>>> spec, kind = evaluator_spec(config, trajectories=trajectories)
>>> executor = make_executor(config, spec)
"""

from pathlib import Path

from .config import CampaignConfig
from .errors import ConfigError
from .executors.worker import EvaluatorSpec
from .initial_design import design_size
from .latent_training import make_model
from .protocols import Executor
from .records import EvaluatorKind, TrajectorySet
from .registry import EXECUTORS
from .safety import Envelope
from .surrogate_choice import accept_surrogate, require_choice, takes_features


def require_choices(config: CampaignConfig, trajectories: TrajectorySet) -> int:
    """Check the parameters of what is chosen by name, before anything takes long; return the latent dimension.

    Raises:
        ConfigError: parameters that a chosen thing does not take, or a surrogate that cannot serve the acquisition function.
    """
    chosen = config.optimizer
    accept_surrogate(chosen.surrogate.name, chosen.surrogate.parameters)
    require_choice(chosen.surrogate, chosen.acquisition, is_pool=config.latent.is_pool)
    if config.latent.is_pool:
        _require_pool(config, trajectories)
    return make_model(config).n_latent or trajectories.values[0].size  # 0: a model that takes trajectories as they are


def _require_pool(config: CampaignConfig, trajectories: TrajectorySet) -> None:
    """Raise ConfigError for a pool that is too small, or a surrogate that would look at its rows' numbers."""
    name, n = config.optimizer.surrogate.name, len(trajectories.values)
    if not takes_features(name):
        raise ConfigError(f"optimizer.surrogate {name!r} sees only the numbers of the pool's trajectories; choose dkl, or gp_pca")
    if config.budget.trials > n:
        raise ConfigError(
            f"budget.trials is {config.budget.trials}, and the pool holds {n} trajectories, each measured once; ask for fewer"
        )


def budget_warning(config: CampaignConfig, n_latent: int) -> str:
    """Return what to say about a budget that leaves the optimizer nothing to propose, empty where it leaves it something."""
    trials, n_initial = config.budget.trials, config.optimizer.n_initial or design_size(n_latent)
    if trials > n_initial or config.prior is not None:
        return ""
    return (
        f"all {trials} trials are of the initial design (optimizer.n_initial: {n_initial}), and the optimizer proposes none; ask for more"
    )


def evaluator_spec(
    config: CampaignConfig, keep_arrays: bool = True, trajectories: TrajectorySet | None = None, store: str | Path | None = None
) -> tuple[EvaluatorSpec, EvaluatorKind]:
    """Return the evaluator as it travels to workers, and its kind.

    Args:
        config: names it.
        keep_arrays: False leaves a measurement's arrays on the workers.
        trajectories: what is measured are trajectories like these; needed where the configuration has a safety envelope.
        store: the campaign's store, for evaluators that keep something there; None where there is none.

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
    campaign = "" if store is None else str(store) if "://" in str(store) else str(Path(store).absolute())
    spec = EvaluatorSpec(
        chosen.name,
        chosen.parameters,
        chosen.timeout,
        config.executor.threads_per_worker,
        keep_arrays,
        signal=signal,
        envelope=envelope,
        campaign=campaign,
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
