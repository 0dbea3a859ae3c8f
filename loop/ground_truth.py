"""The objective over the whole latent grid: what an optimizer should find, known beforehand.

Trains the latent model that a campaign with the same configuration would train, decodes a grid over its box and has every point measured.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from .campaign import Campaign
from .config import CampaignConfig
from .errors import ConfigError, StoreError
from .figures import draw_objective_map, write_figure
from .latent_training import latent_space, train
from .observer import Observer, StopFlag
from .preparation import evaluator_spec, make_executor
from .protocols import Executor
from .records import FloatArray, Job, TrialState
from .run import SilentObserver
from .store.foreign import write_ground_truth
from .threads import set_model_threads
from .trajectory_source import load_trajectories

CHUNK = 256
"""Trajectories per call to a worker: enough to fill a kernel's lanes and to be worth a Ray call."""
_CALLS_PER_WORKER = 2
_MAX_POINTS = 10_000_000


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The objective over a grid in the latent space."""

    axes: tuple[FloatArray, ...]
    """The grid's coordinates along each latent dimension."""
    objective: FloatArray
    """Shape (len(axes[0]), len(axes[1]), ...); NaN where a measurement failed."""
    encoded: FloatArray
    """Latent vectors of the training trajectories, shape (n, d)."""
    n_failed: int


def measure_ground_truth(
    config: CampaignConfig, n_grid: int = 100, observer: Observer | None = None, should_stop: StopFlag | None = None
) -> GroundTruth:
    """Measure the objective on ``n_grid`` points along each latent dimension.

    Raises:
        KeyboardInterrupt: ``should_stop`` was set; nothing has been written.
        ConfigError: the grid has fewer than 2 points along an axis, or more than ten million in all.
    """
    if n_grid < 2:
        raise ConfigError(f"the grid needs at least 2 points along each axis, not {n_grid}")
    watching = observer or SilentObserver()
    watching.stage("loading trajectories")
    trajectories = load_trajectories(config)
    spec, kind = evaluator_spec(config, keep_arrays=False, trajectories=trajectories)
    watching.stage(f"starting {config.executor.name} workers")
    executor = make_executor(config, spec)
    try:
        watching.stage(f"training the latent model ({config.latent.model.name})")
        trained = executor.run(train, config, trajectories, 0, config.executor.threads_per_worker, progress=watching.training)
        set_model_threads(config.executor.threads_per_worker)
        space, box = latent_space(config, trained.restore(), trained.encoded)
        if n_grid ** len(box) > _MAX_POINTS:
            raise ConfigError(f"a grid of {n_grid} points along {len(box)} dimensions is too large; choose a smaller --grid")
        axes = tuple(np.linspace(low, high, n_grid) for low, high in box)
        campaign = Campaign(config, space, box, 0, kind, trajectories.signal)
        watching.stage("measuring the grid")
        values = measure_points(campaign, executor, np.array(list(product(*axes))), watching, should_stop or StopFlag())
    finally:
        executor.close()
    return GroundTruth(axes, values.reshape([n_grid] * len(axes)), trained.encoded, int(np.isnan(values).sum()))


def measure_points(campaign: Campaign, executor: Executor, points: FloatArray, observer: Observer, should_stop: StopFlag) -> FloatArray:
    """Return the objective at latent points (n, d), shape (n,); NaN where a measurement failed or is not believable."""
    values = np.full(len(points), np.nan)
    chunks = [range(start, min(start + CHUNK, len(points))) for start in range(0, len(points), CHUNK)]
    n_left = {chunk.start: len(chunk) for chunk in chunks}
    waiting = iter(chunks)
    is_open: set[int] = set()
    envelope = "" if campaign.envelope is None else campaign.envelope.hash
    n_done = 0
    while n_left:
        if should_stop.is_set:
            raise KeyboardInterrupt
        while len(is_open) < _CALLS_PER_WORKER * executor.n_workers and (chunk := next(waiting, None)) is not None:
            decoded = campaign.space.decode(points[chunk.start : chunk.stop])
            executor.submit([Job(number, trajectory, envelope) for number, trajectory in zip(chunk, decoded, strict=True)])
            is_open.add(chunk.start)
        for outcome in executor.wait(1.0):
            judgement = campaign.judge(outcome)
            if judgement.state is TrialState.COMPLETED:
                values[outcome.trial] = judgement.objective
            start = outcome.trial - outcome.trial % CHUNK
            n_left[start] -= 1
            n_done += 1
            if not n_left[start]:
                del n_left[start]
                is_open.discard(start)
        observer.training(n_done, len(points), float("nan"))
    return values


def write_ground_truth_files(truth: GroundTruth, config: CampaignConfig, output: Path) -> Path:
    """Write the Zarr group ``output`` and its picture beside it; return the picture's path.

    Raises:
        StoreError: something is at ``output`` already, or the disk refused.
    """
    names = tuple(f"z{index}" for index in range(len(truth.axes)))
    best = _best(truth.objective, config.objective.goal)
    attributes = {
        "name": config.name,
        "metric": config.objective.metric,
        "goal": config.objective.goal,
        "best_z": None if best is None else [float(axis[index]) for axis, index in zip(truth.axes, best, strict=True)],
        "best_objective": None if best is None else float(truth.objective[best]),
        "configuration": config.model_dump(mode="json"),
    }
    write_ground_truth(output, list(truth.axes), truth.objective, names, attributes)
    picture = output.with_suffix(".html")
    x = truth.axes[0]
    y = truth.axes[1] if len(truth.axes) > 1 else np.empty(0)
    # For more than two dimensions the picture is the slice through the optimum.
    plane = truth.objective
    for index in reversed(() if best is None else best[2:]):
        plane = plane[..., index]
    figure = draw_objective_map(
        x,
        y,
        plane.T if plane.ndim == 2 else plane,
        training=truth.encoded[:, :2] if len(truth.axes) > 1 else None,
        goal=config.objective.goal,
        objective_name=config.objective.metric,
    )
    try:
        write_figure(figure, picture, title=f"{config.name}: ground truth", explanation=f"{config.objective.metric} over the latent space")
    except OSError as error:
        raise StoreError(f"cannot write {picture}: {error.strerror}") from error
    return picture


def _best(objective: FloatArray, goal: str) -> tuple[int, ...] | None:
    if np.isnan(objective).all():
        return None
    flat = np.nanargmax(objective) if goal == "maximize" else np.nanargmin(objective)
    return tuple(int(index) for index in np.unravel_index(flat, objective.shape))
