"""Training of a variational autoencoder: few, quick, reproducible epochs.

The loss of one trajectory is its negative evidence lower bound, with one posterior sample z ~ N(m, s^2),

    -ELBO = sum_t [ (x_t - decode(z)_t)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2 ] + w * KL(N(m, s^2) || N(0, 1)),

where w is 1 except during a warm-up. The whole data set is one tensor: a loader that gathers row by row costs more than the
arithmetic of nets this small. The learning rate follows one cycle (a short rise, a long cosine fall), which allows a peak ten times the
usual 1e-3. Gradient steps leave the decoder's last layer unfinished, because its inputs are strongly correlated; but given them it is a
linear regression, so it is solved exactly at the end (`finish`), worth ten units of the ELBO for the time of half an epoch. Every random
number comes from one private generator, in a fixed order: the same seed and thread count give the same weights to the last bit.

Sources: Kingma and Welling 2013, 10.48550/arXiv.1312.6114; Smith and Topin 2017 (one cycle), 10.48550/arXiv.1708.07120.
"""

import copy
import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from ..errors import TrainingDivergedError
from .base import Progress
from .network import VAENetwork

Schedule: TypeAlias = Literal["one_cycle", "constant"]

BETAS: Final = (0.9, 0.98)
"""Adam's decay rates. A run has a few thousand steps, so the second one forgets faster than the usual 0.999."""
CYCLE_START: Final = 0.04
"""Learning rate at the first step, as a share of the peak."""
CYCLE_END: Final = 0.01
"""Learning rate at the last step, as a share of the peak."""
CYCLE_RISE: Final = 0.1
"""Share of all steps that the rise takes."""
FINISH_ROWS: Final = 10_000
"""Posterior samples that the closing regression sees at least: a few trajectories are drawn over and over."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How to train; the fields are those of `VAE`, which documents them."""

    sigma: float
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    kl_weight: float
    kl_warmup: int
    patience: int | None
    validation_fraction: float
    least_squares_finish: bool


def train(network: VAENetwork, data: Tensor, plan: TrainingPlan, generator: torch.Generator, progress: Progress | None) -> list[float]:
    """Train a network in place.

    Args:
        network: Freshly built, float32.
        data: Trajectories (n, T * C), float32, on the network's device.
        plan: How.
        generator: Source of the order of the batches and of the posterior samples.
        progress: Called after each epoch.

    Returns:
        The negative ELBO per sample (KL weight 1) of each epoch: the mean over its batches as they were trained on, or over the
        validation data where a share of it is set aside for early stopping.

    Raises:
        TrainingDivergedError: The loss stopped being finite.
    """
    n_held = min(round(plan.validation_fraction * len(data)), len(data) - 1) if plan.patience is not None else 0
    order = torch.randperm(len(data), generator=generator)
    held, data = data[order[:n_held]], data[order[n_held:]]
    batch_size = min(plan.batch_size, len(data))
    n_batches = len(data) // batch_size
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=BETAS, fused=True)
    curve: list[float] = []
    best, best_epoch, best_weights = math.inf, 0, copy.deepcopy(network.state_dict()) if plan.patience is not None else {}
    for epoch in range(plan.epochs):
        weight = plan.kl_weight * (min(1.0, (epoch + 1) / (plan.kl_warmup + 1)) if plan.kl_warmup else 1.0)
        permutation = torch.randperm(len(data), generator=generator)
        total = 0.0
        for batch in range(n_batches):
            rate = _learning_rate(plan, (epoch * n_batches + batch) / (plan.epochs * n_batches))
            optimizer.param_groups[0]["lr"] = rate
            rows = data.index_select(0, permutation[batch * batch_size : (batch + 1) * batch_size])
            misfit, divergence = elbo_terms(network, rows, plan.sigma, generator)
            optimizer.zero_grad(set_to_none=True)
            (misfit + weight * divergence).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(misfit.detach()) + float(divergence.detach())
        if n_held:
            with torch.no_grad():
                misfit, divergence = elbo_terms(network, held, plan.sigma, generator)
            loss = float(misfit) + float(divergence)
        else:
            loss = total / n_batches
        loss += log_normalizer(data.shape[1], plan.sigma)
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the loss became {loss} in epoch {epoch + 1} of {plan.epochs}; lower learning_rate ({plan.learning_rate:g}), "
                f"or scale the trajectories (scaling='range')"
            )
        curve.append(loss)
        if progress is not None:
            progress(epoch + 1, plan.epochs, loss)
        if plan.patience is not None:
            if loss < best:
                best, best_epoch, best_weights = loss, epoch, copy.deepcopy(network.state_dict())
            elif epoch - best_epoch >= plan.patience:
                break
    if plan.patience is not None:
        network.load_state_dict(best_weights)
    if plan.least_squares_finish:
        finish(network, data, plan.sigma, generator)
    return curve


def finish(network: VAENetwork, data: Tensor, sigma: float, generator: torch.Generator) -> None:
    """Solve for the decoder's last layer, all else fixed.

    With features h of posterior samples (and a 1 for the bias) and residuals e = x - W h, the step D minimizes
    sum |e - D h|^2 / (2 sigma^2) + |D|^2 / 2: the ELBO with a unit normal prior around the trained weights, which few data leave alone.

    Args:
        network: Trained; its last layer is changed in place.
        data: Trajectories (n, T * C).
        sigma: Standard deviation of the likelihood.
        generator: Of the posterior samples.
    """
    n_draws = -(-FINISH_ROWS // len(data))
    with torch.no_grad():
        mean, std = network.encode(data)
        width = network.output.in_features + 1
        gram = torch.zeros(width, width, dtype=torch.float64)
        moment = torch.zeros(width, data.shape[1], dtype=torch.float64)
        for _ in range(n_draws):
            features = network.features(mean + std * torch.randn(mean.shape, generator=generator))
            residual = data - network.output(features)
            features = torch.cat([features, torch.ones(len(data), 1)], dim=1).double()
            gram += features.T @ features / n_draws
            moment += features.T @ residual.double() / n_draws
        step = torch.linalg.solve(gram + sigma**2 * torch.eye(width, dtype=torch.float64), moment).to(data.dtype)
        network.output.weight.add_(step[:-1].T)
        network.output.bias.add_(step[-1])


def elbo_terms(network: VAENetwork, rows: Tensor, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The two parts of the negative ELBO per sample, as means over the rows.

    Returns:
        The misfit, sum over time of (x - decode(z))^2 / (2 sigma^2), and the Kullback-Leibler divergence. The constant
        `log_normalizer` is left out.
    """
    mean, std = network.encode(rows)
    z = mean + std * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    misfit = torch.nn.functional.mse_loss(network.decode(z), rows, reduction="sum") / (2 * sigma**2 * len(rows))
    divergence = (0.5 * (mean.square() + std.square() - 1) - std.log()).sum() / len(rows)
    return misfit, divergence


def log_normalizer(n_inputs: int, sigma: float) -> float:
    """The constant part of the negative Gaussian log-density of `n_inputs` values."""
    return n_inputs * (math.log(sigma) + 0.5 * math.log(2 * math.pi))


def _learning_rate(plan: TrainingPlan, share: float) -> float:
    """Learning rate after a share (0 to 1) of all steps."""
    if plan.schedule == "constant":
        return plan.learning_rate
    if share < CYCLE_RISE:
        height = CYCLE_START + (1 - CYCLE_START) * (1 - math.cos(math.pi * share / CYCLE_RISE)) / 2
    else:
        height = CYCLE_END + (1 - CYCLE_END) * (1 + math.cos(math.pi * (share - CYCLE_RISE) / (1 - CYCLE_RISE))) / 2
    return plan.learning_rate * height
