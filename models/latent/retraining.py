"""Retraining of a latent model during a campaign, with more weight on what turned out to be good.

The latent space was learned from trajectories of which most are of no interest. Training goes on for a part of an epoch on a sample in
which trajectory i appears with probability proportional to

    w_i = 1 / (k N + rank_i),    rank 0 for the best of N, k = 1e-3,

so that good trajectories get more room in the latent space and are decoded more precisely. The explored trajectories are among them,
with their measured ranks stretched to N; trajectories that nobody measured count as of any rank, with the average weight. The model given
is left as it was; what has been explored must be encoded anew by the model returned, since codes of two models have nothing in common.

Source: Tripp, Daxberger and Hernandez-Lobato, Sample-efficient optimization in the latent space of deep generative models via weighted
retraining, NeurIPS 2020, 10.48550/arXiv.2006.09191.
"""

import copy
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..errors import NonFiniteError, ObservationError, ParameterError
from .base import Array
from .training import TrainingPlan, train
from .vae import VAE

RANK_CONSTANT: Final = 1e-3
"""k of the publication: the best thousandth of the trajectories have about the same weight."""
LEARNING_RATE: Final = 1e-3
"""Of the fine-tuning: a tenth of the peak of the first training, whose optimizer state is gone."""


def rank_weights(
    y: ArrayLike, n: int, *, goal: Literal["maximize", "minimize"] = "maximize", k: float = RANK_CONSTANT
) -> tuple[Array, float]:
    """Weights of measured trajectories among n, and the weight of one that was not measured.

    Args:
        y: Measured values (m,), m at least 1, finite.
        n: Number of all trajectories, measured ones included.
        goal: Which way is better.
        k: The larger, the more even are the weights.

    Returns:
        Weights (m,), and the average weight over all ranks; the scale is arbitrary.

    Raises:
        ObservationError: No value, or more values than trajectories.
        NonFiniteError: NaN or infinity among the values.
        ParameterError: `k` is not positive.
    """
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or len(values) > n:
        raise ObservationError(f"values have shape {values.shape} for {n} trajectories; give (m,) with 1 <= m <= {n}")
    if not np.isfinite(values).all():
        raise NonFiniteError("values hold NaN or infinity; leave those trials out")
    if not 0 < k < np.inf:
        raise ParameterError(f"k is {k}; it must be positive")
    better = values if goal == "maximize" else -values
    # Equal values share the best of their ranks, whatever their order.
    rank = (better[None, :] > better[:, None]).sum(axis=1) * (n / len(values))
    return 1.0 / (k * n + rank), float(np.mean(1.0 / (k * n + np.arange(n))))


def retrain(
    model: VAE,
    X: ArrayLike,
    explored: ArrayLike,
    y: ArrayLike,
    *,
    goal: Literal["maximize", "minimize"] = "maximize",
    epochs: float = 1.0,
    k: float = RANK_CONSTANT,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
) -> VAE:
    """A new model that has gone on learning; a pure function of its arguments.

    Args:
        model: Trained; not changed.
        X: The trajectories (N, T) or (N, T, C) that it was trained on.
        explored: Trajectories (m, T) or (m, T, C) that were measured, decoded ones as well.
        y: Their values (m,).
        goal: Which way is better.
        epochs: Length of the training in passes over all trajectories; the publication takes 0.1 to 1.
        k: Rank constant.
        learning_rate: Of Adam, falling to a hundredth.
        seed: Of the sample, the order and the posterior samples.

    Returns:
        The new model, with the bounds of all trajectories. Encode the explored trajectories with it.

    Raises:
        NotFittedError, TrajectoryShapeError, NonFiniteError: As `VAE.encode`.
        ObservationError: Not as many values as explored trajectories.
        ParameterError: A parameter is out of range.
        TrainingDivergedError: The loss stopped being finite.
    """
    if not (0 < epochs < np.inf and 0 < learning_rate < np.inf):
        raise ParameterError(f"epochs is {epochs} and learning_rate {learning_rate}; both must be positive")
    rows = np.vstack([model.checked_trajectories(X), model.checked_trajectories(explored)])
    n_explored = len(np.asarray(explored))
    if n_explored != len(np.asarray(y)):
        raise ObservationError(f"{n_explored} explored trajectories and {len(np.asarray(y))} values; give as many values")
    measured, other = rank_weights(y, len(rows), goal=goal, k=k)
    weights = np.concatenate([np.full(len(rows) - n_explored, other), measured])
    n_drawn = max(1, round(epochs * len(rows)))
    drawn = np.random.default_rng(seed).choice(len(rows), n_drawn, p=weights / weights.sum())

    new = copy.deepcopy(model)
    network = new._trained().float().requires_grad_(True).train()
    data = torch.from_numpy(new._scaled(rows[drawn])).float()
    plan = TrainingPlan(
        sigma=new.sigma,
        epochs=1,  # the sample is as long as the training
        batch_size=new.batch_size,
        learning_rate=learning_rate,
        schedule="one_cycle",
        kl_weight=new.kl_weight,
        kl_warmup=0,
        patience=None,
        validation_fraction=0.0,
        least_squares_finish=False,  # it would fit the sample alone, and undo what short training preserves
    )
    curve = train(network, data, plan, torch.Generator().manual_seed(seed), None)
    new._keep(network)
    new._curve = np.append(new._curve, curve)
    codes = new._encode(rows)
    new._bounds = np.stack([codes.min(axis=0), codes.max(axis=0)], axis=1)
    return new
