"""How many latent dimensions do these trajectories need, and how much decoder noise leaves them?

A linear variational autoencoder with decoder noise sigma and weight beta of the Kullback-Leibler term keeps a principal direction with
eigenvalue lambda_j of the data's covariance exactly when

    lambda_j > beta sigma^2,    and then its posterior has the variance  beta sigma^2 / lambda_j,

and lets all others collapse onto the prior. With d dimensions kept, the error per value that is left is sqrt(sum_{j > d} lambda_j / D);
the decoder noise at which the likelihood is highest is just that (probabilistic principal components). A nonlinear model can do with
fewer dimensions, so this is an upper bound for them, and a good first guess for sigma.

Sources: Lucas, Tucker, Grosse and Norouzi, Don't blame the ELBO!, NeurIPS 2019, 10.48550/arXiv.1911.02469; Tipping and Bishop, J. R. Stat.
Soc. B 61, 611 (1999), 10.1111/1467-9868.00196.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import NonFiniteError, ParameterError, TrajectoryShapeError
from ..surrogates.base import Array


@dataclass(frozen=True, slots=True)
class LatentSpectrum:
    """Eigenvalues of the covariance of trajectories, and what they allow."""

    eigenvalues: Array
    """All min(n - 1, D) eigenvalues, descending, in squared units of the trajectory."""
    n_values: int
    """Values D of a trajectory: steps times channels."""

    @property
    def explained(self) -> Array:
        """Share of the total variance in the first 1, 2, ... directions."""
        total = float(self.eigenvalues.sum())
        shares: Array = np.cumsum(self.eigenvalues) / total if total > 0 else np.ones(len(self.eigenvalues))
        return shares

    def n_active(self, sigma: float, beta: float = 1.0) -> int:
        """Latent dimensions that stay active under decoder noise `sigma` and Kullback-Leibler weight `beta`.

        Raises:
            ParameterError: `sigma` or `beta` is not positive.
        """
        if not (sigma > 0 and beta > 0):
            raise ParameterError(f"sigma is {sigma} and beta {beta}; both must be positive")
        return int((self.eigenvalues > beta * sigma**2).sum())

    def n_for(self, share: float) -> int:
        """Fewest dimensions that explain a share of the variance, such as 0.95.

        Raises:
            ParameterError: `share` is not between 0 and 1.
        """
        if not 0 < share <= 1:
            raise ParameterError(f"share is {share}; it must be above 0 and at most 1")
        return int(np.searchsorted(self.explained, share * (1 - 1e-12)) + 1)

    def residual(self, n_latent: int) -> float:
        """Root mean squared error per value that `n_latent` linear dimensions leave; the best decoder noise for them.

        Raises:
            ParameterError: `n_latent` is negative.
        """
        if n_latent < 0:
            raise ParameterError(f"n_latent is {n_latent}; it must be at least 0")
        return float(np.sqrt(self.eigenvalues[n_latent:].sum() / self.n_values))


def latent_spectrum(trajectories: ArrayLike) -> LatentSpectrum:
    """Eigenvalues of the covariance of trajectories (n, T) or (n, T, C), n at least 2.

    Raises:
        TrajectoryShapeError: Another shape.
        NonFiniteError: NaN or infinity among them.
    """
    data = np.asarray(trajectories, dtype=np.float64)
    if data.ndim not in (2, 3) or len(data) < 2 or 0 in data.shape:
        raise TrajectoryShapeError(f"trajectories have shape {data.shape}; give (n, T) or (n, T, C) with at least two of them")
    if not np.isfinite(data).all():
        raise NonFiniteError("trajectories hold NaN or infinity; leave those out")
    rows = data.reshape(len(data), -1)
    centred = rows - rows.mean(axis=0)
    n, d = centred.shape
    # The smaller of the two Gram matrices has all eigenvalues that are not zero.
    gram = centred.T @ centred if d <= n else centred @ centred.T
    values = np.linalg.eigvalsh(gram)[::-1][: min(n - 1, d)] / (n - 1)
    return LatentSpectrum(np.maximum(values, 0.0), d)
