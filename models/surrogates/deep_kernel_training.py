"""Training of deep kernels.

Every member of the ensemble leaves out a part of the observations, starts as the plain Gaussian process of the others, and follows Adam
down the negative log posterior density per observation (marginal likelihood, priors around the start, weight decay). A deep kernel can
drive that as low as it likes and be wrong everywhere else, so training stops where the *held-out* leave-one-out log score is best,

    score_i = log N(y_i; mu_i, v_i),    mu_i = y_i - [K^-1 (y - c)]_i / [K^-1]_ii,    v_i = 1 / [K^-1]_ii.

K is over all observations; mean and variance are those of the mixture of the members that never trained on observation i. So each value
is predicted from all others, in closed form, by kernels that have not seen it.

Sources: Wilson, Hu, Salakhutdinov and Xing 2016, 10.48550/arXiv.1511.02222; Ober, Rasmussen and van der Wilk 2021 (the overfitting),
10.48550/arXiv.2102.12108; Rasmussen and Williams 2006, section 5.4.2 (leave-one-out in closed form).
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from .base import Array
from .feature_network import FeatureNetwork
from .marginal_likelihood import Hyperparameters

SMALLEST_NOISE: Final = 1e-4
"""Smallest noise variance that is inferred, as a share of the variance of y: networks never explain everything."""
NOISE_PRIOR: Final = (-4.0, 1.0)
"""Mean and standard deviation of the log of an inferred noise variance."""
DIRECT_SPREAD: Final = 1.5
"""Standard deviation of the logs of the length scales around those of the plain Gaussian process."""
SCALE_SPREAD: Final = 1.0
"""Standard deviation of the log of the prior variance around that of the plain Gaussian process."""
CHECK_EVERY: Final = 2
"""Steps between two looks at the held-out score, which costs about half a step."""
HALF_LOG_TWO_PI: Final = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, slots=True)
class DeepKernelPlan:
    """How deep kernels are trained."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    max_steps: int
    """Most steps of Adam."""
    patience: int
    """Steps without a better held-out score in any member after which training ends."""
    learning_rate: float
    """Of Adam."""
    weight_decay: float
    """Factor of half the sum of squared weights in the loss per observation."""


@dataclass(frozen=True, slots=True)
class DeepKernel:
    """One trained member."""

    network: FeatureNetwork
    """Inputs -> features."""
    mean: float
    """Constant prior mean."""
    scale: float
    """Prior variance."""
    noise: Array
    """Noise variances (n,) of all observations."""
    step: int
    """The step at which the held-out score was best; 0 is the plain Gaussian process."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Leave-one-out predictions of all observations, by the members that never trained on them; standardized, noise included."""

    mean: Array
    """Means (n,)."""
    variance: Array
    """Variances (n,)."""


def train_deep_kernels(
    u: Array,
    y: Array,
    noise: Array | None,
    folds: NDArray[np.int64],
    starts: list[Hyperparameters],
    edge: Array,
    plan: DeepKernelPlan,
    seed: int,
) -> tuple[list[DeepKernel], HeldOut]:
    """Train one deep kernel per fold, all in one batch.

    Args:
        u: Inputs (n, d).
        y: Standardized values (n,).
        noise: Known noise variances (n,), or None to infer a common one.
        folds: Indices (members, h) of the observations that each member leaves out.
        starts: The plain Gaussian process of the others, for each member; length scales in units of `edge`.
        edge: Edges (d,) of the box of the inputs.
        plan: How to train.
        seed: Of the networks' initial weights.

    Returns:
        The members at their best step, and held-out predictions for scoring them: those of each half of a fold are made at the step
        that was best on its other half, so that choosing the step does not flatter the score.
    """
    model = _Batch(u, y, noise, folds, starts, edge, plan, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
    history: list[tuple[torch.Tensor, torch.Tensor]] = []
    best = np.inf
    last_gain = 0
    snapshots: list[list[torch.Tensor]] = []
    for step in range(0, plan.max_steps + 1):
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                history.append(model.held_out())
                snapshots.append([tensor.detach().clone() for tensor in model.parameters()])
            score = float(_negative_log_density(model.y, *history[-1]).mean())
            if score < best:
                best, last_gain = score, step
            if step - last_gain >= plan.patience or not np.isfinite(score):
                break
        optimizer.zero_grad()
        loss = model.loss()
        if not bool(torch.isfinite(loss)):
            break
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    means = torch.stack([mean for mean, _ in history])
    variances = torch.stack([variance for _, variance in history])
    scores = torch.nan_to_num(_negative_log_density(model.y, means, variances), nan=torch.inf).numpy()
    chosen = int(scores.mean(axis=1).argmin())
    members = [model.exported(snapshots[chosen], m, chosen * CHECK_EVERY) for m in range(len(folds))]
    return members, _crossed(means.numpy(), variances.numpy(), scores)


class _Batch:
    """The parameters of all members, stacked along the first axis, and what is computed from them."""

    def __init__(
        self,
        u: Array,
        y: Array,
        noise: Array | None,
        folds: NDArray[np.int64],
        starts: list[Hyperparameters],
        edge: Array,
        plan: DeepKernelPlan,
        seed: int,
    ) -> None:
        n, d = u.shape
        self.plan = plan
        self.u, self.y = torch.from_numpy(u), torch.from_numpy(y)
        self.known_noise = None if noise is None else torch.from_numpy(noise)
        kept = np.array([np.setdiff1d(np.arange(n), fold) for fold in folds])
        self.kept, self.folds = torch.from_numpy(kept), torch.from_numpy(folds)
        self.share = torch.from_numpy(shares(folds, n))
        generator = torch.Generator().manual_seed(seed)
        widths = [d, *plan.hidden, d]
        self.weights, self.biases = [], []
        for layer, (before, after) in enumerate(pairwise(widths)):
            # The last layer starts at zero, so that training starts at the plain Gaussian process.
            size = 0.0 if layer == len(widths) - 2 else 1.0
            self.weights.append(size * _normal((len(folds), before, after), generator) / math.sqrt(before))
            self.biases.append(0.5 * size * _normal((len(folds), 1, after), generator))
        self.direct = torch.from_numpy(np.array([-np.log(start.lengthscale * edge) for start in starts]))
        self.mean = torch.tensor([start.mean for start in starts], dtype=torch.float64)
        self.log_scale = torch.tensor([math.log(start.scale) for start in starts], dtype=torch.float64)
        self.first_direct, self.first_log_scale = self.direct.clone(), self.log_scale.clone()
        inferred = [max(float(np.median(start.noise)), SMALLEST_NOISE) for start in starts]
        self.log_noise = torch.tensor(np.log(inferred), dtype=torch.float64)
        for parameter in self.parameters():
            parameter.requires_grad_()

    def parameters(self) -> list[torch.Tensor]:
        """All of them, in the order that `exported` reads."""
        return [*self.weights, *self.biases, self.direct, self.mean, self.log_scale, self.log_noise]

    def loss(self) -> torch.Tensor:
        """Negative log posterior density per observation, summed over the members."""
        n = self.kept.shape[1]
        factor = torch.linalg.cholesky(self._covariance(self.u[self.kept], self._noise(self.kept)))
        residual = (self.y[self.kept] - self.mean[:, None])[..., None]
        white = torch.linalg.solve_triangular(factor, residual, upper=False)
        log_determinant = torch.log(torch.diagonal(factor, dim1=1, dim2=2)).sum(dim=1)
        density = -0.5 * (white**2).sum(dim=(1, 2)) - log_determinant
        # What the plain Gaussian process learned is the middle of the priors: a network needs evidence to move away from it.
        density = density - 0.5 * (((self.direct - self.first_direct) / DIRECT_SPREAD) ** 2).sum(dim=1)
        density = density - 0.5 * ((self.log_scale - self.first_log_scale) / SCALE_SPREAD) ** 2
        if self.known_noise is None:
            density = density - 0.5 * ((self.log_noise - NOISE_PRIOR[0]) / NOISE_PRIOR[1]) ** 2
        decay = sum((weight**2).sum(dim=(1, 2)) for weight in self.weights)
        return torch.as_tensor(-density / n + 0.5 * self.plan.weight_decay * decay).sum()

    def held_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and variances (n,) of each observation given all others, by the mixture of the members that left it out."""
        everything = torch.arange(len(self.y)).expand(len(self.folds), -1)
        factor, info = torch.linalg.cholesky_ex(self._covariance(self.u[everything], self._noise(everything)))
        identity = torch.eye(len(self.y), dtype=torch.float64)
        inverse_factor = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
        residual = self.y - self.mean[:, None]
        weights = (inverse_factor.transpose(1, 2) @ (inverse_factor @ residual[..., None]))[..., 0]
        precision = (inverse_factor**2).sum(dim=1)
        means = (self.y - weights / precision).masked_fill((info != 0)[:, None], torch.nan)
        mean = (self.share * means).sum(dim=0)
        return mean, (self.share * (1.0 / precision + (means - mean) ** 2)).sum(dim=0)

    def exported(self, values: list[torch.Tensor], member: int, step: int) -> DeepKernel:
        """One member with the parameters `values`, as arrays."""
        n_layers = len(self.weights)
        arrays = [value[member].numpy().copy() for value in values]
        direct, mean, log_scale, log_noise = arrays[2 * n_layers :]
        biases = tuple(bias[0] for bias in arrays[n_layers : 2 * n_layers])
        network = FeatureNetwork(np.exp(direct), tuple(arrays[:n_layers]), biases)
        n = len(self.y)
        noise = np.full(n, max(math.exp(float(log_noise)), SMALLEST_NOISE)) if self.known_noise is None else self.known_noise.numpy().copy()
        return DeepKernel(network, float(mean), math.exp(float(log_scale)), noise, step)

    def _noise(self, rows: torch.Tensor) -> torch.Tensor:
        """Noise variances (members, n) of observations with these indices."""
        if self.known_noise is not None:
            return self.known_noise[rows]
        return torch.exp(self.log_noise).clamp_min(SMALLEST_NOISE)[:, None].expand(rows.shape)

    def _covariance(self, u: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Covariances (members, n, n) of observations at inputs (members, n, d): Matern 5/2 of the features."""
        hidden = u
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if layer < len(self.weights) - 1:
                hidden = torch.tanh(hidden)
        features = hidden + u * torch.exp(self.direct)[:, None, :]
        norm = (features**2).sum(dim=2)
        squared = norm[:, :, None] + norm[:, None, :] - 2.0 * features @ features.transpose(1, 2)
        root = torch.sqrt(5.0 * squared.clamp_min(1e-14))  # the slope of the root at 0 is infinite
        kernel = (1.0 + root + root * root / 3.0) * torch.exp(-root)
        return torch.exp(self.log_scale)[:, None, None] * kernel + torch.diag_embed(noise)


def _crossed(means: Array, variances: Array, scores: Array) -> HeldOut:
    """Predictions of each half of the observations at the step that is best on the other half; all given arrays are (checks, n)."""
    mean, variance = np.empty(means.shape[1]), np.empty(means.shape[1])
    for half in (0, 1):
        chosen = int(scores[:, 1 - half :: 2].mean(axis=1).argmin())
        mean[half::2], variance[half::2] = means[chosen, half::2], variances[chosen, half::2]
    return HeldOut(mean, variance)


def shares(folds: NDArray[np.int64], n: int) -> Array:
    """Weight (members, n) of each member in the held-out prediction of each observation: equal ones, of those that left it out."""
    left_out = np.zeros((len(folds), n))
    np.put_along_axis(left_out, folds, 1.0, axis=1)
    weights: Array = left_out / left_out.sum(axis=0)
    return weights


def _negative_log_density(values: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Negative log density of values under normal predictions, any shape."""
    return HALF_LOG_TWO_PI + 0.5 * torch.log(variance) + 0.5 * (values - mean) ** 2 / variance


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)
