"""Climbing from many starts at once.

Projected quasi-Newton ascent in the unit cube: each climb keeps its own estimate H of the inverse curvature and goes along

    p = H g,    on the coordinates that are free (not held at a bound by the gradient),

as far as the value rises by a fair share of what the slope promises; a step that does not is shortened to where a parabola through what is
known has its top. H is updated by BFGS. All climbs take their steps together, so that one call of the function serves every one of them:
for a Gaussian process a call with eight points costs little more than with one. A climb ends where its next step promises next to nothing.

Sources: Nocedal and Wright, Numerical Optimization, 2006, chapters 3 and 6; Bertsekas 1982 (projection), 10.1137/0320018.
"""

from typing import Final

import numpy as np

from ..surrogates.base import Array, ValueAndGradient

SUFFICIENT: Final = 1e-4
"""Share of the rise promised by the slope that a step must bring (Armijo)."""
SHORTENED: Final = (0.1, 0.5)
"""A step that brought too little is shortened at most and at least so far."""
SHORTEST: Final = 1e-6
"""A climb whose step has been shortened so far ends."""
LONGEST: Final = 0.25
"""Longest first move in any coordinate, as a share of the box: beyond it lie other peaks."""
FLAT: Final = 1e-7
"""A projected slope, in units of the value per edge of the box, that counts as none."""
ENOUGH: Final = 1e-8
"""A promised rise, in units of the value, that counts as none. Without this limit climbs go on for twice as many steps, to summits that
are less than 1e-7 higher (1,000 searches on four test functions and on decoded trajectories)."""


def climb(function: ValueAndGradient, starts: Array, max_iterations: int) -> Array:
    """Ends (k, d) of climbs from starts (k, d) in the unit cube.

    Args:
        function: Values and gradients at points (m, d) of the unit cube, with slopes of order one; NaN and infinity count as cliffs.
        starts: Where to begin.
        max_iterations: Calls of the function, at most.
    """
    k, d = starts.shape
    x = starts.copy()
    value, gradient = _finite(*function(x))
    curvature = np.tile(np.eye(d), (k, 1, 1))
    step = np.ones(k)
    fresh = np.ones(k, dtype=np.bool_)
    rows = np.flatnonzero(np.isfinite(value))
    for _ in range(max_iterations):
        here, uphill, size = x[rows], gradient[rows], step[rows]
        held = ((here <= 0.0) & (uphill < 0.0)) | ((here >= 1.0) & (uphill > 0.0))
        slope = np.where(held, 0.0, uphill)
        direction = np.where(held, 0.0, np.matmul(curvature[rows], slope[:, :, None])[:, :, 0])
        lost = _dot(direction, slope) <= 0.0
        direction[lost] = slope[lost]
        longest = np.abs(direction).max(axis=1)
        direction *= (LONGEST / np.maximum(longest, LONGEST) * size)[:, None]
        # A climb that has not moved yet knows nothing of the curvature, and its step no scale.
        worthwhile = fresh[rows] | (_dot(direction, slope) > ENOUGH)
        worthwhile &= (np.abs(slope).max(axis=1) > FLAT) & (size > SHORTEST)
        if not worthwhile.all():
            rows, here, uphill, direction = rows[worthwhile], here[worthwhile], uphill[worthwhile], direction[worthwhile]
            if len(rows) == 0:
                break
        ahead = np.clip(here + direction, 0.0, 1.0)
        there, slope_there = _finite(*function(ahead))
        move = ahead - here
        promised, rise = _dot(move, uphill), there - value[rows]
        risen = (rise >= SUFFICIENT * promised) & np.isfinite(there) & (move != 0.0).any(axis=1)
        step[rows] = np.where(risen, 1.0, step[rows] * _shortened(promised, rise))
        done = rows[risen]
        _update(curvature, fresh, done, move[risen], uphill[risen] - slope_there[risen])
        x[done], value[done], gradient[done] = ahead[risen], there[risen], slope_there[risen]
    return x


def _shortened(promised: Array, rise: Array) -> Array:
    """Shares (r,) of steps that brought a `rise` (r,) instead of the rise `promised` (r,) by the slope: the tops of parabolas."""
    size = np.abs(promised) + np.finfo(np.float64).tiny
    return 0.5 * size / np.clip(promised - rise, 0.5 / SHORTENED[1] * size, 0.5 / SHORTENED[0] * size)


def _update(
    curvature: Array,
    fresh: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]",
    rows: "np.ndarray[tuple[int, ...], np.dtype[np.intp]]",
    move: Array,
    change: Array,
) -> None:
    """BFGS for the climbs `rows` that bent downwards along their moves (r, d), their gradients falling by `change` (r, d)."""
    bend, size = _dot(move, change), _dot(change, change)
    bent = bend > 1e-10 * np.sqrt(size * _dot(move, move))
    if not bent.all():
        rows, move, change, bend, size = rows[bent], move[bent], change[bent], bend[bent], size[bent]
    if len(rows) == 0:
        return
    inverse = curvature[rows]
    first = fresh[rows]
    if first.any():
        inverse[first] *= (bend[first] / size[first])[:, None, None]
        fresh[rows] = False
    # (1 - s y' / b) H (1 - y s' / b) + s s' / b, multiplied out; s the move, y the change, b = s' y
    bent_back = np.matmul(inverse, change[:, :, None])[:, :, 0]
    weight = (1.0 + _dot(change, bent_back) / bend) / bend
    along = (0.5 * weight)[:, None] * move - bent_back / bend[:, None]
    outer = along[:, :, None] * move[:, None, :]
    curvature[rows] = inverse + outer + outer.transpose(0, 2, 1)


def _dot(a: Array, b: Array) -> Array:
    """Inner products (r,) of the rows of a and b (r, d)."""
    products: Array = np.vecdot(a, b)
    return products


def _finite(value: Array, gradient: Array) -> tuple[Array, Array]:
    """Values and gradients with those that are not finite made cliffs."""
    good = np.isfinite(value) & np.isfinite(gradient).all(axis=1)
    return np.where(good, value, -np.inf), np.where(good[:, None], gradient, 0.0)
