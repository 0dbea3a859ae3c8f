"""The surrogate that is taken when nobody says which.

Where points stand for trajectories that are known (a latent space with its decoder) it is the Gaussian process on the decoded trajectories,
elsewhere that on the points; beyond 1,500 observations a sparse one of either. An acquisition function that computes with the exact
Gaussian process on the points gets that, however many observations there are. On the published problem the former reaches the optimum in
fewer than half as many evaluations.
"""

from numpy.typing import ArrayLike

from .base import Surrogate
from .gaussian_process import GaussianProcess
from .input_layer import Features, decoded_rows
from .pca_gaussian_process import PCAGaussianProcess
from .sparse import EXACT_UNTIL, SparseGaussianProcess
from .standardization import checked_box


def automatic_surrogate(
    bounds: ArrayLike,
    noise: float | None = None,
    features: Features | None = None,
    n_observations: int = 0,
    needs_exact_gp: bool = False,
) -> Surrogate:
    """Return `gp_pca` where `features` turns points into something longer than they are; otherwise `gp`, or `sparse` for many observations.

    Args:
        bounds: The box (d, 2), rows [low, high].
        noise: Variance of a measurement's noise in squared units of y, 0 for a deterministic objective; None to infer it.
        features: Turns latent vectors (n, d) into trajectories.
        n_observations: How many there are to learn from.
        needs_exact_gp: Whether it has to serve an acquisition function that computes with `gp` alone; then it is `gp`.

    Raises:
        DomainError: The bounds are not a box.
        ParameterError: The noise is negative.
    """
    box = checked_box(bounds)
    if needs_exact_gp:
        return GaussianProcess(box, noise)
    if features is not None and decoded_rows(features, box.mean(axis=1)[None]).shape[1] > len(box):
        return PCAGaussianProcess(box, noise, features=features)
    return SparseGaussianProcess(box, noise) if n_observations > EXACT_UNTIL else GaussianProcess(box, noise)
