"""No latent space, but a fixed pool: only the trajectories themselves are candidates.

    z = (row number),    x = rows[z]

For trajectories that must be measured exactly as they are, such as recorded ones; a surrogate has to look at the trajectories, since
neighbouring numbers mean nothing. This is the way of deep kernel learning on raw trajectories.

Source: Valleti, Vasudevan, Ziatdinov and Kalinin, Mach. Learn.: Sci. Technol. 5, 015012 (2024), 10.1088/2632-2153/ad1ed3.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from .base import Array, LatentModel, Progress

_ROWS_AT_ONCE: Final = 512


class Pool(LatentModel):
    """The latent model whose only codes are the numbers of the trajectories; equal trajectories have the number of the first."""

    kind: ClassVar[str] = "pool"

    n_latent: int = 1

    def _fit(self, rows: Array, shape: tuple[int, ...], seed: int, progress: Progress | None) -> None:
        del shape, seed, progress
        self._keep(rows.copy())

    def _encode(self, rows: Array) -> Array:
        """The number of each row, or of the pool's nearest one for a row that is not in it."""
        numbers = np.array([self._numbers.get(row.tobytes(), -1) for row in rows + 0.0], dtype=np.int64)
        unknown = np.flatnonzero(numbers < 0)
        squares = (self._rows**2).sum(axis=1)
        for start in range(0, len(unknown), _ROWS_AT_ONCE):
            part = unknown[start : start + _ROWS_AT_ONCE]
            numbers[part] = (squares[None, :] - 2.0 * rows[part] @ self._rows.T).argmin(axis=1)
        codes: Array = numbers[:, None].astype(np.float64)
        return codes

    def _decode(self, codes: Array) -> Array:
        """The row with the nearest number."""
        numbers = np.clip(np.rint(codes[:, 0]), 0, len(self._rows) - 1).astype(np.int64)
        rows: Array = self._rows[numbers]
        return rows

    def _prior(self, n: int, generator: np.random.Generator) -> Array:
        """Each row as likely as any other."""
        return generator.integers(len(self._rows), size=(n, 1)).astype(np.float64)

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return {"rows": self._rows}

    def _restore(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
        rows = arrays["rows"].astype(np.float64)
        if rows.ndim != 2 or rows.shape[1] != int(np.prod(shape)):
            raise ValueError(f"rows have shape {rows.shape}, trajectories {shape}")
        self._keep(rows)

    def _keep(self, rows: Array) -> None:
        self._rows: Array = np.ascontiguousarray(rows)
        # Adding 0 turns -0.0, which differs from 0.0 in its bytes only, into 0.0. Backwards, so that the first of equal rows wins.
        self._numbers = {(self._rows[index] + 0.0).tobytes(): index for index in range(len(rows) - 1, -1, -1)}
