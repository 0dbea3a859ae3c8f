"""Measurement around a simulator: what an instrument would have reported instead of the truth, and when.

    reading = truth * (1 + m * N(0, 1)) + a * N(0, 1)

and, now and then, no reading at all (a dropout, NaN) or the last one once more (a stuck reading). Reading number k depends
on the seed and on k alone (and, if stuck, on the reading before), not on how readings are grouped into calls.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import ParameterError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MeasurementNoise:
    """How an instrument errs."""

    additive: float = 0.0
    """Standard deviation a of the additive noise, in units of the reading."""
    multiplicative: float = 0.0
    """Standard deviation m of the relative noise."""
    dropout: float = 0.0
    """Probability that a reading is lost (NaN)."""
    stuck: float = 0.0
    """Probability that the instrument reports its previous reading again."""
    latency: float = 0.0
    """Shortest time from request to reading, seconds."""
    latency_spread: float = 0.0
    """Mean of the exponentially distributed time on top, seconds."""

    def __post_init__(self) -> None:
        for name in ("additive", "multiplicative", "latency", "latency_spread"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be finite and not negative")
        for name in ("dropout", "stuck"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ParameterError(f"{name} is {getattr(self, name)}; a probability lies between 0 and 1")


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What came of n measurements."""

    values: FloatArray
    """Readings (n,); NaN where lost."""
    latency: FloatArray
    """Time from request to reading (n,), seconds. Nobody waits here: whoever emulates an instrument sleeps that long."""
    is_dropped: BoolArray
    """Which were lost (n,)."""
    is_stuck: BoolArray
    """Which repeat the one before (n,)."""


class NoisyInstrument:
    """An instrument with a memory: it counts its readings and can get stuck on the last one.

    Args:
        noise: how it errs.
        seed: seed of all its errors.
    """

    def __init__(self, noise: MeasurementNoise, seed: int) -> None:
        if seed < 0:
            raise ParameterError(f"seed is {seed}; it must be 0 or larger")
        self._noise = noise
        self._seed = seed
        self._n_readings = 0
        self._previous = math.nan

    @property
    def n_readings(self) -> int:
        """Readings taken so far."""
        return self._n_readings

    def read(self, truth: npt.ArrayLike) -> Readings:
        """Measure one true value after the other.

        Args:
            truth: true values (n,), or a single one.

        Returns:
            The readings. The first reading ever cannot be stuck; a stuck reading repeats what was last reported.
        """
        values = np.atleast_1d(np.asarray(truth, dtype=np.float64)).ravel()
        n = len(values)
        readings, latency = np.empty(n), np.empty(n)
        is_dropped, is_stuck = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        for k, value in enumerate(values):
            generator = np.random.default_rng([self._seed, self._n_readings])
            relative, absolute = generator.normal(size=2)
            dropped, stuck = generator.uniform(size=2) < (self._noise.dropout, self._noise.stuck)
            latency[k] = self._noise.latency + self._noise.latency_spread * generator.exponential()
            is_dropped[k] = dropped
            is_stuck[k] = stuck and not dropped and not math.isnan(self._previous)
            reading = value * (1.0 + self._noise.multiplicative * relative) + self._noise.additive * absolute
            readings[k] = math.nan if dropped else self._previous if is_stuck[k] else reading
            self._previous = self._previous if dropped else float(readings[k])
            self._n_readings += 1
        return Readings(readings, latency, is_dropped, is_stuck)
