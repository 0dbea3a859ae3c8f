"""Principal components: the linear baseline that every other latent model has to beat.

    z = (x - mean) V,    x ~ mean + z V^T,    V (T * C, d) the leading eigenvectors of the data's covariance.

Its eigenvalues also tell how many latent dimensions a variational autoencoder with decoder noise sigma can use: a dimension stays
active while its eigenvalue exceeds sigma^2.

Source: I. T. Jolliffe, Principal Component Analysis, Springer 2002, 10.1007/b98835.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFittedError, ParameterError
from .base import Array, LatentModel, Progress
from .decoder import Decoder


class PCA(LatentModel):
    """Linear latent model.

    Args:
        n_latent: Number of components d, at least 1 and at most min(n, T * C).
    """

    kind: ClassVar[str] = "pca"

    def __init__(self, n_latent: int = 2) -> None:
        if n_latent < 1:
            raise ParameterError(f"n_latent is {n_latent}; it must be at least 1")
        self.n_latent = n_latent

    @property
    def explained_variance(self) -> Array:
        """Variance of the training data along each component (d,), in squared units of the trajectory."""
        return self._learned()["explained_variance"].copy()

    @property
    def explained_variance_ratio(self) -> Array:
        """Share of the total variance along each component (d,)."""
        learned = self._learned()
        total = float(learned["total_variance"][0])
        share: Array = learned["explained_variance"] / total if total > 0 else np.zeros(self.n_latent)
        return share

    @property
    def decoder(self) -> Decoder:
        """`decode`, which is linear from end to end."""
        learned = self._learned()
        return Decoder(self.decode, [], "tanh", learned["components"], learned["mean"])

    def _fit(self, rows: Array, shape: tuple[int, ...], seed: int, progress: Progress | None) -> None:
        from sklearn import decomposition

        del shape, seed, progress  # a decomposition has neither randomness nor epochs
        if self.n_latent > min(rows.shape):
            raise ParameterError(
                f"n_latent is {self.n_latent}, but {rows.shape[0]} trajectories of {rows.shape[1]} values have at most "
                f"{min(rows.shape)} components; give more trajectories or ask for fewer components"
            )
        with np.errstate(invalid="ignore"):  # constant trajectories: scikit-learn divides their variance, 0, by its sum
            fitted = decomposition.PCA(self.n_latent, svd_solver="full").fit(rows)
        self._arrays: dict[str, Array] = {
            "mean": np.asarray(fitted.mean_, dtype=np.float64),
            "components": np.asarray(fitted.components_, dtype=np.float64),
            "explained_variance": np.asarray(fitted.explained_variance_, dtype=np.float64),
            "total_variance": np.array([rows.var(axis=0, ddof=1).sum()]),
        }

    def _encode(self, rows: Array) -> Array:
        learned = self._learned()
        codes: Array = (rows - learned["mean"]) @ learned["components"].T
        return codes

    def _decode(self, codes: Array) -> Array:
        learned = self._learned()
        rows: Array = codes @ learned["components"] + learned["mean"]
        return rows

    def _prior(self, n: int, generator: np.random.Generator) -> Array:
        """Normal with the variances of the data: the prior of probabilistic PCA, rotated to the components."""
        return generator.standard_normal((n, self.n_latent)) * np.sqrt(self._learned()["explained_variance"])

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return self._learned()

    def _restore(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
        width = int(np.prod(shape))
        wanted = {
            "mean": (width,),
            "components": (self.n_latent, width),
            "explained_variance": (self.n_latent,),
            "total_variance": (1,),
        }
        for name, form in wanted.items():
            if arrays[name].shape != form:
                raise ValueError(f"array {name} has shape {arrays[name].shape}, not {form}")
        self._arrays = {name: arrays[name].astype(np.float64) for name in wanted}

    def _learned(self) -> dict[str, Array]:
        learned: dict[str, Array] | None = getattr(self, "_arrays", None)
        if learned is None:
            raise NotFittedError("this PCA has not been fitted; call fit(X) or load a saved one")
        return learned
