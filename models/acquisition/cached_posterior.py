"""The posterior of a BoTorch model whose observations stay: one factor, computed once, serves every point and every set of values.

    mean(x)     = c + k(x, X) K^-1 (y - c)
    variance(x) = k(x, x) - |L^-1 k(X, x)|^2,    K = k(X, X) + diag(noise) = L L^T.

K depends on the points alone, so that sets of values y differ in their weights K^-1 (y - c) only, and a point costs n per set and n^2 in
all. BoTorch's models in batch mode hold a factor, and a product with it, for every set and every point.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from botorch.models import SingleTaskGP


class CachedPosterior:
    """Posterior of a model's function, given its observed points with a noise of choice.

    Args:
        model: Mean, kernel and observed points (n, d).
        noise: Variances (n,) of the noise at these.
    """

    def __init__(self, model: "SingleTaskGP", noise: "torch.Tensor") -> None:
        import torch
        from linear_operator.utils.cholesky import psd_safe_cholesky

        with torch.no_grad():
            self._kernel, self._mean = model.covar_module, model.mean_module
            self._known: torch.Tensor = model.train_inputs[0]
            self._factor = psd_safe_cholesky(self.covariance(self._known, self._known) + torch.diag(noise))

    def covariance(self, a: "torch.Tensor", b: "torch.Tensor") -> "torch.Tensor":
        """Prior covariances (m, k) of points (m, d) and (k, d)."""
        dense: torch.Tensor = self._kernel(a, b).to_dense()
        return dense

    def prior_mean(self, x: "torch.Tensor") -> "torch.Tensor":
        """Prior means (m,) at points (m, d)."""
        mean: torch.Tensor = self._mean(x)
        return mean

    def halved(self, x: "torch.Tensor") -> "torch.Tensor":
        """L^-1 k(X, x) of shape (n, m) for points (m, d): products of two such are what the observations take from a covariance."""
        import torch

        half: torch.Tensor = torch.linalg.solve_triangular(self._factor, self.covariance(self._known, x), upper=False)
        return half

    def standardized(self, values: "torch.Tensor") -> "torch.Tensor":
        """L^-1 (y - c) of shape (n, s) for sets of values (s, n); its product with `halved` is what they add to the mean."""
        import torch

        half: torch.Tensor = torch.linalg.solve_triangular(self._factor, (values - self.prior_mean(self._known)).T, upper=False)
        return half

    def prior_variance(self, x: "torch.Tensor") -> "torch.Tensor":
        """Prior variances (m,) at points (m, d)."""
        variance: torch.Tensor = self._kernel(x, diag=True)
        return variance
