"""Expected improvement under noise and over batches, by BoTorch.

    log_nei     log E[EI(x; best of f at the measured points)], over what the noisy points may really be worth,
    q_log_ei    log E[max_j max(f(x_j) - best, 0)], over the pending and chosen points x_j and x together,
    q_log_nei   log E[max(f(x) - best, 0)], with best over the measured points, as in log_nei, and over the pending and chosen ones as well:
                what x adds to them (BoTorch's incremental form; the same point is largest as with the maximum over x and x_j).

The expectations are quasi-Monte-Carlo averages with fixed base samples, hence smooth. The points of a batch are chosen one by one, with the
expectation over all that are on their way, not with their posterior means as in `base`. They need a Gaussian process, whose `to_botorch`
they maximize.

Sources: Letham, Karrer, Ottoni and Bakshy 2019, 10.1214/18-BA1110; Ament, Daulton, Eriksson, Balandat and Bakshy 2023,
10.48550/arXiv.2310.20708.
"""

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ..errors import NotFittedError, ParameterError
from ..surrogates.base import Array, Surrogate
from ..surrogates.gaussian_process import GaussianProcess
from ..surrogates.marginal_likelihood import FIXED_NOISE_FLOOR
from .base import Acquisition
from .cached_posterior import CachedPosterior
from .domains import Box, Domain
from .maximization import Choice, best_candidate, best_in_box

if TYPE_CHECKING:
    import torch
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models import SingleTaskGP
    from botorch.sampling.normal import SobolQMCNormalSampler

N_SAMPLES: Final = 128
"""Base samples of an expectation over batches."""
N_FANTASIES: Final = 20
"""Draws of the measured points' true values, for one point (BoTorch's choice)."""
FANTASY_NOISE: Final = 1e-7
"""Noise variance of these draws, of standardized values: they are taken for exact (BoTorch's choice)."""
LEAST_VARIANCE: Final = 1e-12
"""Smallest variance of a standardized value (BoTorch's choice)."""
CHUNK: Final = 256
"""Points valued at once: a tensor of samples for each."""


class BotorchScore:
    """One of BoTorch's acquisition functions as a value to maximize.

    Args:
        function: Of points (m, 1, d) of the unit cube.
        bounds: The box (d, 2) that the unit cube stands for.
    """

    def __init__(self, function: "AcquisitionFunction", bounds: Array) -> None:
        self.function = function
        self.low, self.edge = bounds[:, 0], bounds[:, 1] - bounds[:, 0]

    def value(self, x: Array) -> Array:
        """See `Score`."""
        import torch

        u = torch.from_numpy((x - self.low) / self.edge)[:, None, :]
        with torch.no_grad():
            parts = [self.function(u[start : start + CHUNK]) for start in range(0, len(u), CHUNK)]
        return np.concatenate([part.numpy().reshape(-1) for part in parts])

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """See `Score`."""
        import torch

        u = torch.from_numpy((x - self.low) / self.edge)[:, None, :].requires_grad_(True)
        value = self.function(u).reshape(-1)
        (slope,) = torch.autograd.grad(value.sum(), u)
        return value.detach().numpy().copy(), slope[:, 0, :].numpy() / self.edge


class BotorchAcquisition(Acquisition):
    """An acquisition function that BoTorch computes, for a Gaussian process."""

    needs_exact_gp: ClassVar[bool] = True
    integrates_pending: ClassVar[bool] = True

    def next_point(
        self, surrogate: Surrogate | None, domain: Domain, taken: Array, best_first: Array, generator: np.random.Generator
    ) -> Choice:
        """See `Acquisition.next_point`."""
        if surrogate is None:
            raise NotFittedError(f"acquisition {self.name!r} needs a surrogate with observations; measure initial points first")
        if not isinstance(surrogate, GaussianProcess):
            raise ParameterError(f"acquisition {self.name!r} needs the surrogate 'gp'; with {type(surrogate).__name__} take log_ei")
        import torch

        waiting = surrogate.to_unit(taken[len(best_first) :])
        from gpytorch.settings import min_fixed_noise

        smallest = min_fixed_noise(double_value=FIXED_NOISE_FLOOR)
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), smallest:
            # BoTorch warns about noise as small as a simulator's and about observations that are not standardized any more
            warnings.simplefilter("ignore")
            torch.manual_seed(int(generator.integers(2**31)))
            model = surrogate.to_botorch()
            pending = torch.from_numpy(waiting) if len(waiting) else None
            score = BotorchScore(self.function(model, model.train_inputs[0], pending), surrogate.bounds)
            if isinstance(domain, Box):
                return best_in_box(score, domain, taken, best_first, generator)
            return best_candidate(score, domain, taken)

    @abstractmethod
    def function(self, model: "SingleTaskGP", known: "torch.Tensor", pending: "torch.Tensor | None") -> "AcquisitionFunction":
        """BoTorch's function of points (m, 1, d).

        Args:
            model: Of points of the unit cube and standardized values.
            known: Points (n, d) measured.
            pending: Points (p, d) on their way or chosen, or None.
        """


class LogNEI(BotorchAcquisition):
    """Log noisy expected improvement of one point; what is pending counts as measured, with its posterior mean."""

    name: ClassVar[str] = "log_nei"
    integrates_pending: ClassVar[bool] = False

    def function(self, model: "SingleTaskGP", known: "torch.Tensor", pending: "torch.Tensor | None") -> "AcquisitionFunction":
        """See `BotorchAcquisition.function`."""
        del pending
        return noisy_improvement(model, known)


def noisy_improvement(model: "SingleTaskGP", known: "torch.Tensor") -> "AcquisitionFunction":
    """BoTorch's LogNoisyExpectedImprovement of points (m, 1, d), at a cost that more observations bear.

    The observed points are the same in each draw of their values, so that all draws share one factor and one variance; BoTorch's own keeps
    both once for each draw and each point: 7 GB for 400 observations.

    Args:
        model: With noise of each observation.
        known: Its points (n, d).
    """
    import torch
    from botorch.acquisition.analytic import AnalyticAcquisitionFunction, _log_ei_helper
    from botorch.sampling.normal import SobolQMCNormalSampler
    from botorch.utils.safe_math import logmeanexp

    with torch.no_grad():
        # The draws (s, n) are independent of what `forward` is asked.
        values = SobolQMCNormalSampler(torch.Size([N_FANTASIES]))(model.posterior(known)).squeeze(-1)
        best = values.amax(dim=-1)
        cached = CachedPosterior(model, torch.full_like(known[:, 0], FANTASY_NOISE))
        drawn = cached.standardized(values)

    class _NoisyImprovement(AnalyticAcquisitionFunction):
        def forward(self, X: torch.Tensor) -> torch.Tensor:
            x = X[:, 0]
            half = cached.halved(x)
            mean = cached.prior_mean(x)[:, None] + half.T @ drawn
            sigma = (cached.prior_variance(x) - half.square().sum(dim=0)).clamp_min(LEAST_VARIANCE).sqrt()[:, None]
            value: torch.Tensor = logmeanexp(_log_ei_helper((mean - best) / sigma) + sigma.log(), dim=-1)
            return value

    return _NoisyImprovement(model)


class QLogEI(BotorchAcquisition):
    """Log expected improvement of a batch over the best known posterior mean."""

    name: ClassVar[str] = "q_log_ei"

    def function(self, model: "SingleTaskGP", known: "torch.Tensor", pending: "torch.Tensor | None") -> "AcquisitionFunction":
        """See `BotorchAcquisition.function`."""
        from botorch.acquisition.logei import qLogExpectedImprovement

        best = model.posterior(known).mean.max().detach()
        return qLogExpectedImprovement(model, best, sampler=_sampler(), X_pending=pending)


class QLogNEI(BotorchAcquisition):
    """Log noisy expected improvement of a batch."""

    name: ClassVar[str] = "q_log_nei"

    def function(self, model: "SingleTaskGP", known: "torch.Tensor", pending: "torch.Tensor | None") -> "AcquisitionFunction":
        """See `BotorchAcquisition.function`."""
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement

        return qLogNoisyExpectedImprovement(model, known, sampler=_sampler(), X_pending=pending, prune_baseline=True)


def _sampler() -> "SobolQMCNormalSampler":
    import torch
    from botorch.sampling.normal import SobolQMCNormalSampler

    return SobolQMCNormalSampler(torch.Size([N_SAMPLES]), seed=int(torch.randint(2**31, (1,)).item()))
