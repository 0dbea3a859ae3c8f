"""Deep kernel learning that does not overfit, or says so.

A small network turns points into features in which a Gaussian process works,

    f ~ GP(c, s k(phi(x), phi(x'))),    phi(x) = u / l + network(u),    u = linear layer of x,

and twelve of them, each trained without a quarter of the observations (see `deep_kernel_training`), answer together (see `mixture`). Points
are latent vectors, or whole trajectories, of which the linear layer takes principal scores and tail means (see `input_layer`).

With few labels a network can be worse than no network. Its held-out log score is therefore compared with that of the plain Gaussian
process on the same inputs; where it is worse by more than a standard error, where its intervals are far too narrow, or where its features
have collapsed to a point, the plain one answers, and `report` says which and why. Fitting is a pure function of the data.

Sources: Wilson, Hu, Salakhutdinov and Xing 2016, 10.48550/arXiv.1511.02222; Valleti, Vasudevan, Ziatdinov and Kalinin, Mach. Learn.: Sci.
Technol. 5, 015012 (2024), 10.1088/2632-2153/ad1ed3 (on process trajectories); Ober, Rasmussen and van der Wilk 2021 (why it overfits),
10.48550/arXiv.2102.12108.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NotFittedError, ParameterError
from .base import Array
from .deep_kernel_training import DeepKernelPlan, HeldOut, shares, train_deep_kernels
from .feature_posterior import FeaturePosterior, leave_one_out
from .gaussian_process import last_refit
from .input_layer import Features, Inputs, Layer, check_inputs, chosen_layer
from .kernels import KERNELS, squared_distances
from .layered import LayeredSurrogate
from .marginal_likelihood import Hyperparameters, factorize, most_probable
from .mixture import Member, Mixture
from .plain import SEED, left_out, plain_member, without

FEWEST_OBSERVATIONS: Final = 20
"""With fewer there is nothing to hold out, and the plain Gaussian process is used."""
MOST_TRAINED_ON: Final = 150
"""Observations that the network learns from; the posterior is conditioned on all. More cost cubically and change little."""
COLLAPSED: Final = 0.999
"""Average correlation between distinct observations above which the features say nothing."""
OVERCONFIDENT: Final = 0.75
"""Share of held-out values inside their 95 % intervals below which a member is not believed."""
INTERVAL: Final = 1.959963984540054
"""Standard deviations on each side of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class DeepKernelReport:
    """What a deep kernel decided in `fit`, and why."""

    used: Literal["deep kernel", "gaussian process"]
    """Which of the two answers."""
    reason: str
    """Why, as a sentence."""
    held_out_nlpd: float
    """Average negative log predictive density of held-out standardized values, deep kernel; NaN when none was trained."""
    held_out_nlpd_gaussian_process: float
    """The same for the plain Gaussian process; NaN when nothing could be held out."""
    held_out_coverage: float
    """Share of held-out values inside the deep kernel's 95 % intervals; NaN when none was trained."""
    steps: tuple[int, ...]
    """The step of Adam at which each member was stopped; 0 is the plain Gaussian process."""


ALWAYS_UNTIL: Final = 20
"""Up to so many observations each new one is trained on; training takes seconds."""
REFIT_SHARE: Final = 10
"""After that, each tenth part."""


class DeepKernelSurrogate(LayeredSurrogate):
    """Gaussian process on features that small networks learn, with the plain Gaussian process to fall back to.

    Args:
        bounds: The box (d, 2), rows [low, high]; for trajectories d = steps times channels.
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
            Variances per point, given to `fit`, come first.
        features: Turns latent vectors (n, d) into the trajectories that are looked at instead, such as a latent model's `decode`.
        inputs: "latent" points are used as they are; of a "trajectory" principal scores and tail means; "auto" takes points of more
            than 32 coordinates, and what `features` returns, for trajectories.
        n_channels: Channels of a trajectory, side by side in each step.
        hidden: Widths of the network's hidden layers.
        max_steps: Most steps of Adam.
        patience: Steps without a better held-out score after which training stops.
        learning_rate: Of Adam.
        weight_decay: Of the network's weights.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: A parameter is out of range.
    """

    def __init__(
        self,
        bounds: ArrayLike,
        noise: float | None = None,
        features: Features | None = None,
        inputs: Inputs = "auto",
        n_channels: int = 1,
        hidden: tuple[int, ...] = (32, 16),
        max_steps: int = 120,
        patience: int = 30,
        learning_rate: float = 0.01,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(bounds, noise)
        check_inputs(inputs, n_channels)
        if not hidden or min(hidden) < 1 or max_steps < 1 or patience < 1 or not learning_rate > 0 or not weight_decay >= 0:
            raise ParameterError("hidden, max_steps, patience and learning_rate must be positive, and weight_decay at least 0")
        self.features = features
        self.inputs: Inputs = inputs
        self.n_channels = n_channels
        self.plan = DeepKernelPlan(tuple(hidden), max_steps, patience, learning_rate, weight_decay)
        self._report: DeepKernelReport | None = None

    @property
    def report(self) -> DeepKernelReport:
        """Which model answers, and why.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        if self._report is None:
            raise NotFittedError("this deep kernel has no observations; call fit(x, y)")
        return self._report

    @property
    def fallback(self) -> str:
        """Why the plain Gaussian process answers, as a sentence; empty where the deep kernel does."""
        return "" if self.report.used == "deep kernel" else f"the plain Gaussian process answered instead of dkl: {self.report.reason}"

    def _scheduled(self, n: int) -> int:
        return last_refit(n, ALWAYS_UNTIL, REFIT_SHARE)

    def _layer(self, x: Array) -> Layer:
        return chosen_layer(self.inputs, self.bounds, x, self.features, self.n_channels)

    def _learn(self, layer: Layer, x: Array, y: Array, noise: Array | None) -> Mixture:
        mixture, self._report = fit_deep_kernel(layer, x, y, noise, self.plan)
        return mixture


def fit_deep_kernel(layer: Layer, x: Array, y: Array, noise: Array | None, plan: DeepKernelPlan) -> tuple[Mixture, DeepKernelReport]:
    """Train deep kernels and the plain Gaussian process, and choose between them.

    Args:
        layer: The linear layer.
        x: Points (n, D).
        y: Standardized values (n,).
        noise: Known noise variances (n,) of standardized values, or None.
        plan: How to train.

    Returns:
        What answers, conditioned on all observations, and the report of the choice.
    """
    kernel = KERNELS["matern52"]
    u = layer(x)
    low, edge = layer.bounds[:, 0], layer.bounds[:, 1] - layer.bounds[:, 0]
    plain = most_probable(kernel, (u - low) / edge, y, noise)
    fallback = Mixture([plain_member(u, y, plain, edge)])
    nothing = DeepKernelReport("gaussian process", "", np.nan, np.nan, np.nan, ())
    if len(y) < FEWEST_OBSERVATIONS:
        return fallback, replace(nothing, reason=f"{len(y)} observations are too few to hold some out; {FEWEST_OBSERVATIONS} are needed")
    if np.ptp(y) == 0:
        return fallback, replace(nothing, reason="all values are equal: there is nothing to learn")

    order = np.random.default_rng(SEED).permutation(len(y))[:MOST_TRAINED_ON]
    known = None if noise is None else noise[order]
    folds = left_out(len(order))
    starts = [without(u[order], y[order], known, fold, low, edge) for fold in folds]
    kernels, held_out = train_deep_kernels(u[order], y[order], known, folds, starts, edge, plan, SEED)
    densities, coverage = _scores(held_out, y[order])
    densities_plain = _scores_of_plain(u[order], y[order], folds, starts, low, edge)
    nlpd, nlpd_plain = float(densities.mean()), float(densities_plain.mean())
    doubt = float((densities - densities_plain).std(ddof=1)) / math.sqrt(len(order))
    report = DeepKernelReport(
        used="deep kernel",
        reason=f"its held-out log score exceeds that of the Gaussian process by {nlpd_plain - nlpd:.3g} +- {doubt:.2g} per observation",
        held_out_nlpd=nlpd,
        held_out_nlpd_gaussian_process=nlpd_plain,
        held_out_coverage=coverage,
        steps=tuple(each.step for each in kernels),
    )
    everywhere = [np.full(len(y), each.noise[0]) if noise is None else noise for each in kernels]
    members = [
        Member(each.network, FeaturePosterior(kernel, each.network(u), y, variances, each.mean, each.scale))
        for each, variances in zip(kernels, everywhere, strict=True)
    ]
    why = objection(nlpd - nlpd_plain, doubt, coverage, max(prior_correlation(each.network(u)) for each in kernels))
    if why is None:
        return Mixture(members), report
    return fallback, replace(report, used="gaussian process", reason=why)


def objection(loss: float, doubt: float, coverage: float, correlation: float) -> str | None:
    """Why a deep kernel should not be used, as a sentence; None if there is no reason.

    Args:
        loss: By how much its held-out negative log density is higher than that of the plain Gaussian process, per observation.
        doubt: Standard error of that difference.
        coverage: Share of held-out values in its 95 % intervals.
        correlation: Largest average prior correlation between distinct observations among its members.
    """
    if not loss < doubt:  # also where it is NaN
        return f"the held-out log score of the deep kernel is lower by {loss:.3g} +- {doubt:.2g} per observation"
    if coverage < OVERCONFIDENT:
        return f"the deep kernel is overconfident: its 95 % intervals hold {100 * coverage:.0f} % of the held-out values"
    if correlation > COLLAPSED:
        return "the features of the deep kernel have collapsed to a point"
    return None


def prior_correlation(features: Array) -> float:
    """Average prior correlation between distinct observations with features (n, k)."""
    n = len(features)
    total = float(KERNELS["matern52"].value(squared_distances(features, features)).sum())
    return (total - n) / (n * (n - 1))


def _scores_of_plain(u: Array, y: Array, folds: NDArray[np.int64], starts: list[Hyperparameters], low: Array, edge: Array) -> Array:
    """The counterpart of the deep kernels' held-out scores: leave-one-out by processes that did not learn from the observation."""
    unit, weights, scores = (u - low) / edge, shares(folds, len(y)), np.zeros(len(y))
    for weight, start in zip(weights, starts, strict=True):
        factor = factorize(start.scale * KERNELS["matern52"].matrix(unit, unit, start.lengthscale), np.full(len(y), np.median(start.noise)))
        mean, variance = leave_one_out(factor, y, start.mean)
        scores += weight * _scores(HeldOut(mean, variance), y)[0]
    return scores


def _scores(predicted: HeldOut, values: Array) -> tuple[Array, float]:
    """Negative log predictive densities (n,), and the coverage of the 95 % intervals."""
    misses = (values - predicted.mean) / np.sqrt(predicted.variance)
    density = 0.5 * np.log(2 * np.pi * predicted.variance) + 0.5 * misses**2
    return density, float((np.abs(misses) < INTERVAL).mean())
