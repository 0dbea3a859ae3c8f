"""Knowledge gradient: how much higher the best posterior mean is expected to be after one more measurement.

    a(x) = E_Z[max_i (m_i + t_i(x) Z)] - max_i m_i,    t_i(x) = cov(f(x), f(a_i)) / sqrt(s^2(x) + noise),

over places a_i: the best known points and a space-filling choice of the box, and x itself. Unlike expected improvement it values a
measurement for what it teaches about other points. The expectation over the normal Z is by Gauss-Hermite quadrature; the maximum is
piecewise linear in Z, so the error falls with the number of nodes.

Source: Frazier, Powell and Dayanik 2009, 10.1287/ijoc.1080.0314; Scott, Frazier and Powell 2011 (on continuous boxes), 10.1137/100801275.
"""

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from scipy.stats import qmc

from .cached_posterior import CachedPosterior
from .monte_carlo import BotorchAcquisition

if TYPE_CHECKING:
    import torch
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models import SingleTaskGP

N_NODES: Final = 48
N_KNOWN: Final = 32
"""Best known points among the places."""
SPACE_EXPONENT: Final = 6
"""2^6 space-filling places."""


class KnowledgeGradient(BotorchAcquisition):
    """Knowledge gradient over a set of places and the point itself."""

    name: ClassVar[str] = "knowledge_gradient"
    integrates_pending: ClassVar[bool] = False

    def function(self, model: "SingleTaskGP", known: "torch.Tensor", pending: "torch.Tensor | None") -> "AcquisitionFunction":
        """See `BotorchAcquisition.function`."""
        import torch

        del pending
        order = torch.argsort(model.posterior(known).mean[:, 0], descending=True, stable=True)
        filling = qmc.Sobol(known.shape[1], scramble=True, rng=np.random.default_rng(0)).random_base2(SPACE_EXPONENT)
        return gradient_of_knowledge(model, torch.cat([known[order[:N_KNOWN]], torch.from_numpy(filling)]))


def gradient_of_knowledge(model: "SingleTaskGP", places: "torch.Tensor") -> "AcquisitionFunction":
    """The knowledge gradient as a BoTorch function of points (m, 1, d).

    Args:
        model: With noise of each observation.
        places: Points (k, d) whose posterior means count.
    """
    import torch
    from botorch.acquisition.analytic import AnalyticAcquisitionFunction

    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    node, weight = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
    noises = model.likelihood.noise.detach()
    noise = noises.median()
    with torch.no_grad():
        cached = CachedPosterior(model, noises)
        observed = cached.standardized(model.train_targets[None])
        half_places = cached.halved(places)
        mean_places = cached.prior_mean(places) + (half_places.T @ observed)[:, 0]
        best = mean_places.amax()

    class _Knowledge(AnalyticAcquisitionFunction):
        def forward(self, X: torch.Tensor) -> torch.Tensor:
            x = X[:, 0]
            half = cached.halved(x)
            mean = cached.prior_mean(x) + (half.T @ observed)[:, 0]
            variance = (cached.prior_variance(x) - half.square().sum(dim=0)).clamp_min(0.0)
            covariance = cached.covariance(x, places) - half.T @ half_places
            means = torch.cat([mean[:, None], mean_places.expand(len(x), -1)], dim=1)
            change = torch.cat([variance[:, None], covariance], dim=1) / (variance[:, None] + noise).clamp_min(1e-12).sqrt()
            after = means[:, :, None] + change[:, :, None] * node
            value: torch.Tensor = after.amax(dim=1) @ weight
            gain: torch.Tensor = value - best
            return gain

    return _Knowledge(model)
