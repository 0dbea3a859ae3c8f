"""Figures of one channel over time: slew, curvature, mean power, dose, and the part of it in a band of frequencies.

A channel is x (T,), at times (T,) that rise. Between its steps it is taken as a polygon.
"""

import numpy as np

from .records import FloatArray


def slew(x: FloatArray, times: FloatArray) -> FloatArray:
    """Return dx/dt between the steps, shape (T - 1,)."""
    return np.asarray(np.diff(x) / np.diff(times))


def curvature(x: FloatArray, times: FloatArray) -> FloatArray:
    """Return the second divided difference at each inner step, shape (T - 2,)."""
    return np.asarray(2.0 * np.diff(slew(x, times)) / (times[2:] - times[:-2]))


def mean_power(x: FloatArray, times: FloatArray) -> float:
    """Return the mean of x**2 over time."""
    if len(x) < 2:
        return float(x[0] ** 2)
    a, b = x[:-1], x[1:]
    return float(((a * a + a * b + b * b) / 3.0) @ np.diff(times) / (times[-1] - times[0]))


def dose(x: FloatArray, times: FloatArray) -> float:
    """Return the integral of |x|; where the sign changes between two steps it is too large, never too small."""
    size = np.abs(x)
    return float((size[:-1] + size[1:]) @ np.diff(times) / 2.0)


def is_even(times: FloatArray) -> bool:
    """Whether there are steps, and all of one length."""
    steps = np.diff(times)
    return len(times) > 1 and bool(np.ptp(steps) <= 1e-6 * steps.mean())


def band_rms(x: FloatArray, times: FloatArray, band: tuple[float, float]) -> float:
    """Return the root mean square of the part of x with frequencies in a band; x is zero before and after. NaN for uneven times."""
    if not is_even(times):
        return float("nan")
    T, dt = len(x), float(times[-1] - times[0]) / (len(x) - 1)
    nyquist = 0.5 / dt
    low, high = min(band[0], nyquist), min(band[1], nyquist)
    n = 1 << (2 * T - 1).bit_length()
    peak = float(np.abs(x).max())
    if peak == 0.0:
        return 0.0
    spectrum = np.fft.rfft(x / peak, n)  # so that the square of no number is too large
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, n)[:T]
    lags = np.arange(1, T)
    weights = (np.sin(2.0 * np.pi * high * lags * dt) - np.sin(2.0 * np.pi * low * lags * dt)) / (np.pi * lags)
    energy = 2.0 * dt * (high - low) * correlation[0] + 2.0 * weights @ correlation[1:]
    return peak * float(np.sqrt(max(0.0, energy) / T))
