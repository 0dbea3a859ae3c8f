"""Memory for recorded frames, used again once nobody looks at the frames any more.

The frames of a batch take a hundred megabytes, and getting fresh memory from the system, page by page and zeroed, costs more than
recording them. So the memory of a history that has been dropped serves the next one of the same size; at most one such piece is kept.
"""

import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from .lanes import aligned_empty


class FrameMemory:
    """Hands out arrays and takes their memory back when the last view of them is gone."""

    def __init__(self) -> None:
        self._free: deque[npt.NDArray[np.uint8]] = deque(maxlen=1)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an uninitialized array."""
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        if n_bytes == 0:
            return np.empty(shape, dtype)
        try:
            piece = self._free.pop()
        except IndexError:
            piece = None
        if piece is None or len(piece) != n_bytes:
            piece = aligned_empty((n_bytes,), np.dtype(np.uint8))
        # Every view of this array, however derived, keeps this very object alive, because its own base is no array.
        array = np.frombuffer(piece.data, dtype=dtype)
        weakref.finalize(array, self._free.append, piece).atexit = False
        return array.reshape(shape)
