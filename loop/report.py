"""The report of a campaign: one HTML file, with the figures, the configuration and a table of trials."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from .campaign import Campaign
from .config import CampaignConfig, config_from_mapping
from .errors import ConfigError, StoreError
from .figures import (
    ReportContent,
    ReportFigure,
    SurrogateGrid,
    draw_best_trajectory,
    draw_drift,
    draw_incumbent_trace,
    draw_latent_grid,
    draw_latent_space,
    draw_polarization,
    draw_training_curve,
    render_report,
)
from .method_figures import acquisition_figure, calibration_figure, comparison_figure, dimension_figure, length_scale_figure, pool_figure
from .prior import prior_summary
from .records import FloatArray, Trial, TrialState
from .restoration import restored_campaign
from .safety import Envelope
from .status import fallback_summary
from .store.campaign_store import CampaignStore
from .store.history import History
from .threads import set_model_threads
from .trajectory_source import load_trajectories

_SURROGATE_GRID = 60
_TRAJECTORY_GRID = 9
_POLARIZATION = "polarization"


def write_report(store: str | Path, output: str | Path, ground_truth: str | Path | None = None) -> Path:
    """Write the report of a campaign, running or not.

    Args:
        store: the campaign's folder.
        output: the HTML file to write; an existing one is replaced.
        ground_truth: what `latentloop ground-truth` measured for the same configuration, to be shown beside the surrogate.

    Returns:
        The file written.

    Raises:
        StoreError: there is no campaign, or ``output`` cannot be written.
        ConfigError: the ground truth is that of another problem.
    """
    opened = CampaignStore.open(store)
    page = render_report(report_content(opened, None if ground_truth is None else str(ground_truth)))
    target = Path(output)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the report to {target}: {error.strerror}") from error
    return target


def report_content(store: CampaignStore, ground_truth: str | None = None) -> ReportContent:
    """Return what the report of a campaign shows; ``ground_truth`` is the path of one."""
    history = store.history
    config = config_from_mapping(history.configuration, str(store.path), is_record=True)
    return ReportContent(
        name=config.name,
        state=store.state(),
        goal=history.goal,
        trials=history.trials,
        incumbent=history.incumbent,
        figures=_figures(store, config, ground_truth),
        configuration_yaml=config.to_yaml(),
        environment=history.environment,
        objective_name=config.objective.metric,
        budget=history.budget,
        seconds=history.seconds,
        written_at=time.time(),
        store=str(store.path),
    )


def _figures(store: CampaignStore, config: CampaignConfig, ground_truth: str | None) -> list[ReportFigure]:
    """Return the figures in the order in which a reader wants them."""
    history = store.history
    trace = ReportFigure(
        "Objective against trial",
        f"Every measured trial, the best value so far as a line, and what the surrogate expected as bars (95 %)."
        f"{_earlier(history)}{_fallback(history)}",
        draw_incumbent_trace(history.trials, goal=history.goal, objective_name=config.objective.metric),
    )
    if not history.models:
        return [trace, ReportFigure("Latent space", "", None, absent="the latent model has not been trained yet")]
    set_model_threads(config.executor.threads_per_worker)
    _, encoded, curve = store.model(max(history.models))
    try:
        campaign = restored_campaign(store, config, history, "pure", None)
    except ConfigError as error:  # a package that it was run with is not installed here: show what needs none
        best = history.incumbent
        return [
            trace,
            *_best_trial(store, config, None if best is None else history.trials[best.trial]),
            *_drift(config, history.trials),
            ReportFigure("Latent space and surrogate", "", None, absent=f"they cannot be computed here: {error}"),
        ]
    best = history.incumbent
    # The incumbent as the newest latent model has it: a slice of the surrogate goes through it.
    z = None if best is None else campaign.optimizer.incumbent.z if campaign.optimizer.incumbent is not None else None
    judged = [calibration_figure(campaign), length_scale_figure(campaign), *_drift(config, history.trials)]
    if ground_truth is not None:
        judged.insert(0, comparison_figure(campaign, history, ground_truth))
    if config.trajectories.box is not None:
        return [
            trace,
            _parameter_space(campaign, config, history.trials, campaign.box, z),
            *judged,
            acquisition_figure(campaign, len(history.trials)),
        ]
    trajectory, *polarization = _best_trial(store, config, None if best is None else history.trials[best.trial])
    if config.latent.is_pool:
        return [trace, trajectory, pool_figure(campaign, history.trials), *polarization, judged[0]]
    return [
        trace,
        trajectory,
        ReportFigure(
            "Latent space",
            "Training trajectories and explored points, with what the surrogate believes: its mean and its uncertainty."
            + (
                f" Points of earlier versions of the latent model stand where version {campaign.model_version} has them."
                if campaign.model_version
                else ""
            ),
            draw_latent_space(
                _placed(campaign, history.trials),
                training=encoded,
                bounds=campaign.box,
                surrogate=_surrogate_grid(campaign, campaign.box, z),
                goal=history.goal,
                objective_name=config.objective.metric,
            ),
        ),
        _latent_grid(campaign, config, campaign.box, z),
        *polarization,
        *judged,
        acquisition_figure(campaign, len(history.trials)),
        dimension_figure(config, store.trajectories() or load_trajectories(config)),
        ReportFigure(
            "Training of the latent model",
            "Loss after each epoch; for a VAE the negative evidence lower bound per trajectory.",
            None if curve is None else draw_training_curve(curve),
            absent=f"the latent model {config.latent.model.name!r} is fitted in one step and has no training curve",
        ),
    ]


def _drift(config: CampaignConfig, trials: list[Trial]) -> list[ReportFigure]:
    """Return the figure of the control trials, where there are any."""
    if config.objective.control is None:
        return []
    text = "Readings of one fixed trajectory, measured again and again: what changes is the instrument."
    return [ReportFigure("Drift", text, draw_drift(trials, objective_name=config.objective.metric))]


def _earlier(history: History) -> str:
    """Return a sentence about the measurements that a campaign started from; empty for none."""
    found = prior_summary(history)
    if found is None:
        return ""
    left_out = f" ({found['n_skipped']} were left out)" if found["n_skipped"] else ""
    return (
        f" It started from {found['n_points']} earlier measurements of {found['source']}{left_out}, the best of them {found['best']:.6g}."
    )


def _fallback(history: History) -> str:
    """Return a sentence about another model that answered instead of the chosen surrogate; empty where none did."""
    found = fallback_summary(history.trials)
    if found is None:
        return ""
    return f" For {found['n_trials']} trials, the last of them trial {found['last']}, {found['reason']}."


def _placed(campaign: Campaign, trials: list[Trial]) -> list[Trial]:
    """Return the trials where the newest latent model has them, without those that it has nowhere."""
    return [replace(trial, z=place.z) for trial in trials if (place := campaign.standing.place(trial)) is not None]


def _grid(box: FloatArray, n: int, rest: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return x, y and the points (ny * nx, d) of a grid over the first two latent coordinates, the others held at ``rest``."""
    x = np.linspace(box[0, 0], box[0, 1], n)
    y = np.linspace(box[1, 0], box[1, 1], n) if len(box) > 1 else np.zeros(1)
    points = np.tile(rest, (len(x) * len(y), 1))
    first, second = np.meshgrid(x, y)
    points[:, 0] = first.ravel()
    if len(box) > 1:
        points[:, 1] = second.ravel()
    return x, y, points


def _surrogate_grid(campaign: Campaign, box: FloatArray, z: FloatArray | None) -> SurrogateGrid | None:
    """Return the surrogate on a grid: the whole box for d <= 2, else a slice through the incumbent."""
    if z is None:
        return None
    x, y, points = _grid(box, _SURROGATE_GRID, z)
    mean, variance = campaign.optimizer.posterior(points)
    if len(box) == 1:
        return SurrogateGrid(x, np.empty(0), mean, np.sqrt(variance))
    shape = (len(y), len(x))
    return SurrogateGrid(x, y, mean.reshape(shape), np.sqrt(variance).reshape(shape))


def _parameter_space(
    campaign: Campaign, config: CampaignConfig, trials: list[Trial], box: FloatArray, z: FloatArray | None
) -> ReportFigure:
    """Return the figure of a campaign over plain parameters: the latent-space figure with the parameters' names on its axes."""
    figure = draw_latent_space(
        trials, bounds=box, surrogate=_surrogate_grid(campaign, box, z), goal=config.objective.goal, objective_name=config.objective.metric
    )
    names = list(config.trajectories.box or {})
    figure.update_xaxes(title_text=names[0])
    if len(names) > 1:
        figure.update_yaxes(title_text=names[1])
    return ReportFigure("Parameter space", "Explored points, with what the surrogate believes: its mean and its uncertainty.", figure)


def _latent_grid(campaign: Campaign, config: CampaignConfig, box: FloatArray, z: FloatArray | None) -> ReportFigure:
    x, y, points = _grid(box, _TRAJECTORY_GRID, box.mean(axis=1) if z is None else z)
    decoded = np.asarray(campaign.space.decode(points))
    return ReportFigure(
        "Decoded trajectories across the latent space",
        "What the decoder makes of points on a grid; fainter where they lie far from the training data.",
        draw_latent_grid(
            x,
            y,
            decoded.reshape(len(y), len(x), *decoded.shape[1:]),
            distance=campaign.space.distance(points).reshape(len(y), len(x)),
            bounds=box[:2] if len(box) > 1 else None,
            incumbent=z,
            channels=config.trajectories.channels,
            n_latent=len(box),
        ),
    )


def _best_trial(store: CampaignStore, config: CampaignConfig, best: Trial | None) -> list[ReportFigure]:
    """Return the figures of the incumbent: its trajectory, and its polarization where the evaluator gave one."""
    absent = "no trial has completed yet"
    if best is None:
        return [ReportFigure("Best trajectory", "", None, absent=absent)]
    completed = [trial for trial in store.history.trials if trial.state is TrialState.COMPLETED]
    # What the initial design alone had found; the first completed trial where the design gave nothing.
    initial = [trial for trial in completed if trial.acquisition == "initial"] or completed[:1]
    first = (max if store.history.goal == "maximize" else min)(initial, key=lambda trial: trial.objective)
    figures = [
        ReportFigure(
            "Best trajectory",
            "The trajectory of the best trial, with the best of the initial design for contrast.",
            draw_best_trajectory(
                store.trajectory(best),
                times=store.times(),
                trial=best.number,
                objective=best.objective,
                initial=store.trajectory(first) if first.number != best.number else None,
                bounds=_bounds(store, config, store.trajectory(best)),
                initial_trial=first.number if first.number != best.number else None,
                channels=config.trajectories.channels,
                unit=config.trajectories.unit,
                time_unit=config.trajectories.time_unit,
                objective_name=config.objective.metric,
            ),
        )
    ]
    field = store.field(best, _POLARIZATION)
    if field is not None and field.ndim == 3 and field.shape[2] == 2 and np.isfinite(field).all():
        from ..simulators.ferrosim.observables import curl_map

        figures.append(
            ReportFigure(
                "Polarization of the best trial",
                "Polarization at the last step as arrows, over its discrete curl.",
                draw_polarization(field, curl_map(field), trial=best.number),
            )
        )
    return figures


def _bounds(store: CampaignStore, config: CampaignConfig, trajectory: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return the lowest and the highest value that the safety envelope allows at each step, each of the trajectory's shape."""
    if not config.safety.is_bounded:
        return None
    signal = store.signal()
    envelope = Envelope.from_config(config.safety, signal)
    if envelope is None:
        return None
    lower, upper = envelope.limits(signal.times)
    return lower.reshape(trajectory.shape), upper.reshape(trajectory.shape)
