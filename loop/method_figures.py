"""How well a campaign's models do: the figures of a report that judge the method, and not the material.

How many latent dimensions the trajectories allow, whether the surrogate knows how wrong it is, how its length scales settled, where it
wants to measure next, and, with a ground truth at hand, what it has understood of the landscape.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .campaign import Campaign
from .config import CampaignConfig
from .errors import ConfigError
from .figures import (
    ReportFigure,
    draw_acquisition_surface,
    draw_calibration,
    draw_eigenvalues,
    draw_latent_space,
    draw_length_scales,
    draw_objective_comparison,
)
from .outliers import tamed
from .records import TrajectorySet, Trial
from .seeding import generator
from .store.foreign import read_ground_truth
from .store.history import History

if TYPE_CHECKING:
    from ..models.diagnostics import LatentSpectrum

_ACQUISITION_GRID = 80
_MOST_OBSERVATIONS = 300
"""Observations that a diagnosis learns from: the newest ones. Beyond, twenty fits take longer than all else in a report."""
_FITS_DRAWN = 16
"""Fits of the length scales over a campaign."""
_SHARE = 0.95
"""Share of the variance that the suggested number of latent dimensions explains."""
_SIGMA_OF_A_VAE = 0.1


@dataclass(frozen=True, slots=True)
class DimensionSuggestion:
    """What the eigenvalues of the trajectories say about a latent model."""

    spectrum: "LatentSpectrum"
    sigma: float
    """Decoder noise of the configured model, in units of the trajectories."""
    beta: float
    """Weight of the Kullback-Leibler term of the configured model."""
    n_latent: int
    """Dimensions of the configured model."""
    n_active: int
    """Dimensions that stay active with that noise."""
    n_suggested: int
    """Fewest linear dimensions that explain 95 % of the variance."""
    sigma_suggested: float
    """Decoder noise that suits so many dimensions best, in units of the trajectories."""

    @property
    def sentences(self) -> list[str]:
        """The suggestion in words."""
        explained = self.spectrum.explained
        used = f"{100 * float(explained[min(self.n_latent, len(explained)) - 1]):.1f} %" if self.n_latent else "nothing"
        return [
            f"configured: {self.n_latent} latent dimensions with decoder noise {self.sigma:.3g}; so many linear ones explain {used} "
            f"of the variance and leave an error of {self.spectrum.residual(self.n_latent):.3g} per value",
            f"with that noise {self.n_active} dimensions stay active" + (", the others collapse" if self.n_active < self.n_latent else ""),
            f"suggested: {self.n_suggested} dimensions explain {100 * _SHARE:.0f} % of the variance; decoder noise "
            f"{self.sigma_suggested:.3g} suits them best; a nonlinear model may do with fewer",
        ]


def suggest_dimension(config: CampaignConfig, trajectories: TrajectorySet) -> DimensionSuggestion:
    """Return what the eigenvalues of the training trajectories say about the configured latent model."""
    from ..models.diagnostics import latent_spectrum

    spectrum = latent_spectrum(trajectories.values)
    chosen = config.latent.model
    n_latent = int(chosen.parameters.get("n_latent", 2))
    suggested = spectrum.n_for(_SHARE)
    sigma = spectrum.residual(n_latent)  # of probabilistic principal components
    if chosen.name == "vae":
        sigma = float(chosen.parameters.get("sigma", _SIGMA_OF_A_VAE))
        if chosen.parameters.get("scaling") == "range":  # its noise is that of trajectories between -1 and 1
            sigma *= float(np.ptp(trajectories.values)) / 2
    sigma = max(sigma, float(np.finfo(np.float64).tiny))
    beta = float(chosen.parameters.get("kl_weight", 1.0))
    return DimensionSuggestion(
        spectrum, sigma, beta, n_latent, spectrum.n_active(sigma, beta), suggested, max(spectrum.residual(suggested), 0.0)
    )


def dimension_figure(config: CampaignConfig, trajectories: TrajectorySet) -> ReportFigure:
    """Return the figure of the eigenvalues, with the suggestion in words."""
    found = suggest_dimension(config, trajectories)
    return ReportFigure(
        "Latent dimensions",
        f"Eigenvalues of the training trajectories. {found.sentences[1].capitalize()}; {found.sentences[2]}.",
        draw_eigenvalues(
            found.spectrum.eigenvalues,
            n_values=found.spectrum.n_values,
            sigma=found.sigma,
            beta=found.beta,
            n_latent=found.n_latent,
            unit=trajectories.unit,
        ),
    )


def calibration_figure(campaign: Campaign) -> ReportFigure:
    """Return the figure of leave-one-out predictions beside what was measured."""
    from ..models.diagnostics import leave_one_out_calibration

    heading = "Calibration of the surrogate"
    x, y = (rows[-_MOST_OBSERVATIONS:] for rows in campaign.optimizer.observations)
    if len(y) < 5 or np.ptp(y) == 0:
        return ReportFigure(heading, "", None, absent="there are too few different measurements to predict some from others")
    noise = campaign.config.optimizer.noise or 0.0
    found = leave_one_out_calibration(campaign.optimizer.new_surrogate, x, tamed(campaign.optimizer.sign * y), noise=noise)
    sign = campaign.optimizer.sign
    return ReportFigure(
        heading,
        "Each measurement as it is predicted from the others, and how often intervals of each level hold.",
        draw_calibration(sign * found.measured, sign * found.mean, found.std, objective_name=campaign.config.objective.metric),
    )


def length_scale_figure(campaign: Campaign) -> ReportFigure:
    """Return the figure of a Gaussian process's length scales, learned anew from ever more of the observations."""
    from ..models.surrogates import GaussianProcess

    heading = "Length scales over the campaign"
    x, y = campaign.optimizer.observations
    if len(y) < 4:
        return ReportFigure(heading, "", None, absent="there are too few measurements to learn length scales from")
    last = min(len(y), _MOST_OBSERVATIONS)
    marks = np.unique(np.rint(np.geomspace(3, last, _FITS_DRAWN)).astype(int))
    scales, noise = [], []
    for n in marks:
        surrogate = GaussianProcess(campaign.box, campaign.config.optimizer.noise)
        surrogate.fit(x[:n], tamed(campaign.optimizer.sign * y[:n]))
        learned = surrogate.hyperparameters
        scales.append(learned.lengthscale)
        noise.append(float(np.sqrt(np.median(learned.noise))))
    parameters = campaign.config.trajectories.box
    return ReportFigure(
        heading,
        "How far a measurement reaches in each direction, as a Gaussian process of the codes learned it from ever more measurements.",
        draw_length_scales(
            marks.astype(np.float64),
            np.array(scales),
            noise=np.array(noise) if campaign.config.optimizer.noise is None else None,
            names=None if parameters is None else list(parameters),
        ),
    )


def acquisition_figure(campaign: Campaign, n_trials: int) -> ReportFigure:
    """Return the figure of the expected improvement over a two-dimensional box, with the point that would be measured next."""
    from ..models.acquisition import LogEI

    heading = "Where to measure next"
    x, y = campaign.optimizer.observations
    if len(campaign.box) != 2 or len(y) < 3:
        why = "the box has not two dimensions" if len(campaign.box) != 2 else "there are too few measurements"
        return ReportFigure(heading, "", None, absent=why)
    axes = [np.linspace(low, high, _ACQUISITION_GRID) for low, high in campaign.box]
    first, second = np.meshgrid(*axes)
    points = np.column_stack([first.ravel(), second.ravel()])
    surrogate = campaign.optimizer.surrogate
    score = LogEI().score(surrogate, x, generator(campaign.config.seed, "report"))
    values = np.asarray(score.value(points), dtype=np.float64).reshape(first.shape)
    pending = campaign.optimizer.pending
    (candidate,) = campaign.propose(1, n_trials)
    return ReportFigure(
        heading,
        f"Logarithm of the expected improvement, and the point that {candidate.acquisition} would choose next.",
        draw_acquisition_surface(
            axes[0], axes[1], values, observed=x, pending=pending, proposed=candidate.z[None], name="log expected improvement"
        ),
    )


def comparison_figure(campaign: Campaign, history: History, path: str) -> ReportFigure:
    """Return the figure of the surrogate beside a ground truth that `latentloop ground-truth` has measured.

    Raises:
        ConfigError: the ground truth is that of another problem or of another latent space.
    """
    truth = read_ground_truth(path)
    _require_same(truth.configuration, history.configuration, path)
    heading = "Ground truth beside the surrogate"
    if len(truth.axes) != 2:
        return ReportFigure(heading, "", None, absent=f"the ground truth has {len(truth.axes)} dimensions, and the figure two")
    if campaign.model_version:
        return ReportFigure(heading, "", None, absent="the latent model was retrained, and the ground truth is that of the first one")
    x, y = truth.axes
    first, second = np.meshgrid(x, y)
    observed, measured = campaign.optimizer.observations
    if not len(measured):
        return ReportFigure(heading, "", None, absent="no trial has completed yet")
    mean, variance = campaign.optimizer.posterior(np.column_stack([first.ravel(), second.ravel()]))
    finite = truth.objective[np.isfinite(truth.objective)]
    best = float(measured.max() if history.goal == "maximize" else measured.min())
    extreme = float(finite.max() if history.goal == "maximize" else finite.min())
    share = 1 - abs(extreme - best) / max(float(np.ptp(finite)), float(np.finfo(np.float64).tiny))
    return ReportFigure(
        heading,
        f"The objective on a grid, and what {len(measured)} measurements made of it. The best of them reaches {100 * share:.1f} % of the "
        f"range of the {finite.size:,} points of the grid.",
        draw_objective_comparison(
            x,
            y,
            truth.objective.T,
            mean.reshape(first.shape),
            std=np.sqrt(variance).reshape(first.shape),
            explored=observed,
            goal=history.goal,
            objective_name=campaign.config.objective.metric,
        ),
    )


def pool_figure(campaign: Campaign, trials: list[Trial]) -> ReportFigure:
    """Return a map of a pool: its trajectories by their first two principal scores, with those that were measured."""
    from ..models.latent import PCA

    rows = campaign.space.decode(campaign.space.encoded)
    flat = rows.reshape(len(rows), -1)
    scores = PCA(n_latent=min(2, *flat.shape)).fit(flat).encode(flat)
    numbers = campaign.space.encoded[:, 0].astype(int).tolist()
    place = dict(zip(numbers, scores, strict=True))
    placed = [replace(trial, z=place[int(trial.z[0])]) for trial in trials]
    figure = draw_latent_space(
        placed,
        training=scores,
        bounds=np.stack([scores.min(axis=0), scores.max(axis=0)], axis=1),
        goal=campaign.config.objective.goal,
        objective_name=campaign.config.objective.metric,
    )
    figure.update_xaxes(title_text="first principal score")
    figure.update_yaxes(title_text="second principal score")
    explanation = "Every trajectory of the pool by its first two principal scores, and those that were measured."
    return ReportFigure("Pool of trajectories", explanation, figure)


def _require_same(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: str) -> None:
    """Raise ConfigError for a ground truth that was measured in another latent space, or of another objective."""
    for key in ("seed", "trajectories", "latent", "evaluator", "objective"):
        one, other = _without_defaults(theirs.get(key)), _without_defaults(ours.get(key))
        if one != other:
            raise ConfigError(
                f"the ground truth {path} was measured with another `{key}` than this campaign has; measure one with this campaign's own "
                "configuration: latentloop ground-truth"
            )


def _without_defaults(section: Any) -> Any:
    """Return a section without what is absent, so that a key of a later release does not make two of them differ."""
    if not isinstance(section, Mapping):
        return section
    return {key: _without_defaults(value) for key, value in section.items() if value not in (None, [], {}, ())}
