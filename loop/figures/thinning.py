"""Which rows of a long set to draw: a browser shows a few thousand SVG points with ease, and no eye needs more.

Rows are taken at even distances, the first and the last included, so that the choice is the same every time and keeps the order.
"""

import numpy as np
import numpy.typing as npt

MAX_POINTS = 2000
"""Points of one set that a figure draws."""


def thinned_rows(n: int, limit: int = MAX_POINTS) -> npt.NDArray[np.int64]:
    """Return at most ``limit`` row numbers out of ``range(n)``, ascending, evenly spread, with both ends.

    Raises:
        ValueError: if ``limit`` is below 2.
    """
    if limit < 2:
        raise ValueError(f"a thinned set needs at least 2 rows to keep both ends, not {limit}")
    if n <= limit:
        return np.arange(n, dtype=np.int64)
    return np.linspace(0, n - 1, limit).astype(np.int64)
