"""No latent space at all: the numbers themselves are searched.

    z = x,    x = z

For campaigns over a few parameters (a coupling, a temperature) instead of trajectories: everything that works on a latent space works on
their box. The "trajectories" to fit are any points that span the box, such as its corners.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Array, LatentModel, Progress


class Identity(LatentModel):
    """The latent model that changes nothing; its dimension is that of the data."""

    kind: ClassVar[str] = "identity"

    n_latent: int = 0

    def _fit(self, rows: Array, shape: tuple[int, ...], seed: int, progress: Progress | None) -> None:
        del shape, seed, progress
        self.n_latent = rows.shape[1]

    def _encode(self, rows: Array) -> Array:
        return rows.copy()

    def _decode(self, codes: Array) -> Array:
        return codes.copy()

    def _prior(self, n: int, generator: np.random.Generator) -> Array:
        """Uniform in the box of the data."""
        low, high = self.bounds.T
        return generator.uniform(low, high, (n, self.n_latent))

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return {"n_latent": np.array([self.n_latent], dtype=np.int64)}

    def _restore(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
        if arrays["n_latent"].shape != (1,) or int(arrays["n_latent"][0]) != int(np.prod(shape)):
            raise ValueError(f"n_latent is {arrays['n_latent']}, not the size of {shape}")
        self.n_latent = int(arrays["n_latent"][0])
