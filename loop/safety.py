"""The envelope that a trajectory must stay in before it is fired, with units.

Per channel x(t): amplitude, slew rate |dx/dt|, curvature |d2x/dt2| (divided differences between steps), mean power (1/D) int x^2 dt and
dose int |x| dt (the trajectory as a polygon; the dose of a piece that changes sign is taken too large, never too small), beginning and
end at zero, and the root mean square of the part of x in a forbidden band of frequencies [f1, f2],

    rms^2 = (1/T) sum_l r(l) s(l),    s(l) = (sin 2 pi f2 l dt - sin 2 pi f1 l dt) / (pi l),    r(l) = sum_j x_j x_(j+l)

which is the integral of the spectrum over the band, exactly, also for a band narrower than 1/D (Parseval). Of the whole: duration, sample
rate. `check` names the first figure that breaks its bound; `project` brings a trajectory in, and `hash` names the envelope.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from .config import BoundsConfig, SafetyConfig
from .errors import ConfigError
from .records import FloatArray, Signal, Violation
from .waveform import band_rms, curvature, dose, is_even, mean_power, slew

_CLOCK_SLACK = 1e-9
"""Times are sums of floating-point steps: duration and sample rate may miss a bound by this share."""
_INSET = 1e-9
"""`project` aims inside the bounds by this share, so that rounding does not put its result outside."""
_SMOOTHINGS = 500
"""Passes of smoothing that bring a curvature down before the trajectory is made smaller as a whole."""
_LOOKED_AT = 200
"""Trajectories of the many that say whether an envelope fits them."""

_NO_CHANNEL = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A forbidden band of frequencies."""

    low: float
    high: float
    rms: float
    """Largest root mean square of the part of the trajectory in it."""


@dataclass(frozen=True, slots=True)
class ChannelBounds:
    """What one channel must stay in; None for no bound. Meanings and units as in `BoundsConfig`."""

    amplitude: tuple[float, float] | None = None
    slew_rate: float | None = None
    curvature: float | None = None
    mean_power: float | None = None
    dose: float | None = None
    start_tolerance: float | None = None
    end_tolerance: float | None = None
    forbidden_bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bounds with units, for trajectories of certain channels."""

    channels: tuple[str, ...]
    bounds: tuple[ChannelBounds, ...]
    """One for each channel, in order."""
    duration: tuple[float, float] | None = None
    """[low, high] of the time from the first to the last step."""
    sample_rate: tuple[float, float] | None = None
    """[low, high] of the steps per unit of time."""
    unit: str = ""
    time_unit: str = ""

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.bounds):
            raise ConfigError(f"{len(self.bounds)} sets of bounds for {len(self.channels)} channels; give one each")

    @classmethod
    def from_config(cls, safety: SafetyConfig, signal: Signal) -> "Envelope | None":
        """Return the configured envelope of trajectories with such channels and units; None where nothing is bounded.

        Raises:
            ConfigError: an unknown channel, units that are not the trajectories' own, or a bound that no trajectory with these times keeps.
        """
        if not safety.is_bounded:
            return None
        for what, said, found in (
            ("value", safety.units.value, signal.unit),
            ("time", safety.units.time, signal.time_unit),
        ):
            if said is not None and said != found:
                raise ConfigError(
                    f"safety.units.{what} is {said!r}, the trajectories are in {found!r}; write the bounds in the trajectories' units"
                )
        unknown = sorted(set(safety.channel_bounds) - set(signal.channels))
        if unknown:
            raise ConfigError(f"safety.channel_bounds names {', '.join(unknown)}; the channels are {', '.join(signal.channels)}")
        bounds = tuple(_merged(safety.bounds, safety.channel_bounds.get(channel)) for channel in signal.channels)
        made = cls(signal.channels, bounds, safety.duration, safety.sample_rate, signal.unit, signal.time_unit)
        made._require_possible(signal.times)
        return made

    @property
    def hash(self) -> str:
        """SHA-256 of all bounds, channels and units."""
        return _digest(self)

    def check(self, trajectory: FloatArray, times: FloatArray) -> Violation | None:
        """Return what a trajectory breaks, or None.

        Args:
            trajectory: shape (T,) or (T, channels).
            times: time of each step, shape (T,).
        """
        values = trajectory[:, np.newaxis] if trajectory.ndim == 1 else trajectory
        if values.ndim != 2 or values.shape[1] != len(self.channels) or not len(values):
            found = float(values.shape[1]) if values.ndim == 2 else float(values.ndim)
            return Violation("number of channels", found, float(len(self.channels)), "", None, _NO_CHANNEL)
        if times.shape != (len(values),):
            return Violation("number of steps", float(len(values)), float(len(times)), "", None, _NO_CHANNEL)
        finite = np.isfinite(values)
        if not finite.all():
            step, column = (int(index) for index in np.argwhere(~finite)[0])
            return Violation("value", float(values[step, column]), float("inf"), self.unit, step, self.channels[column])
        found_in_time = self._check_times(times)
        if found_in_time is not None:
            return found_in_time
        for index, channel in enumerate(self.channels):
            with np.errstate(over="ignore", invalid="ignore"):
                found_in_channel = self._check_channel(np.ascontiguousarray(values[:, index]), times, self.bounds[index], channel)
            if found_in_channel is not None:
                return found_in_channel
        return None

    def reach(self, trajectories: FloatArray, times: FloatArray) -> str:
        """Say how many of the trajectories (n, T[, channels]) that a campaign learns from stay inside, where most do not; else nothing."""
        looked_at = trajectories[:: max(1, len(trajectories) // _LOOKED_AT)]
        broken = [found for found in (self.check(np.asarray(each, dtype=np.float64), times) for each in looked_at) if found is not None]
        if 2 * len(broken) <= len(looked_at):
            return ""
        n_kept = len(looked_at) - len(broken)
        how = "loosen it, bring other trajectories, or say safety.on_violation project"
        return f"{n_kept} of {len(looked_at)} trajectories looked at keep the safety envelope ({broken[0].sentence}); {how}"

    def limits(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and the highest value allowed at each step, each (T, channels); infinite where nothing bounds it.

        Amplitude, and from beginning and end at zero as far as the slew rate lets a trajectory go.
        """
        return self._limits(times, 1.0)

    def project(self, trajectory: FloatArray, times: FloatArray) -> FloatArray:
        """Return a trajectory nearby that keeps the bounds, where there is a simple one; the same for the same trajectory.

        Clipped to the limits, limited in slew rate, smoothed, and then made smaller as a whole for what is left (power, dose, forbidden
        bands). The caller checks the result: a channel that may not be zero cannot always be brought in.

        Args:
            trajectory: finite, shape (T,) or (T, channels).
            times: time of each step, shape (T,).
        """
        values = np.array(trajectory[:, np.newaxis] if trajectory.ndim == 1 else trajectory, dtype=np.float64)
        lower, upper = self._limits(times, 1.0 - 2.0 * _INSET)
        for index, bounds in enumerate(self.bounds):
            if self._check_channel(values[:, index], times, bounds, self.channels[index]) is None:
                continue
            x = _limited(values[:, index], lower[:, index], upper[:, index], times, bounds.slew_rate)
            x = _smoothed(x, times, bounds.curvature)
            values[:, index] = x * self._share(x, times, bounds)
        return values.reshape(trajectory.shape)

    def _limits(self, times: FloatArray, share: float) -> tuple[FloatArray, FloatArray]:
        """Return `limits` with slew rates of a share of their bounds."""
        lower = np.empty((len(times), len(self.channels)))
        upper = np.empty_like(lower)
        for index, bounds in enumerate(self.bounds):
            low, high = bounds.amplitude or (-np.inf, np.inf)
            reach = np.full(len(times), np.inf)
            for tolerance, anchor in ((bounds.start_tolerance, 0), (bounds.end_tolerance, -1)):
                if tolerance is not None:
                    away = np.abs(times - times[anchor])
                    rate = np.inf if bounds.slew_rate is None else share * bounds.slew_rate
                    reach = np.minimum(reach, np.where(away > 0, tolerance + np.where(away > 0, away, 1.0) * rate, tolerance))
            lower[:, index], upper[:, index] = np.maximum(low, -reach), np.minimum(high, reach)
        return lower, upper

    def _require_possible(self, times: FloatArray) -> None:
        violation = self._check_times(times)
        if violation is not None:
            raise ConfigError(f"no trajectory of this campaign can be fired: {violation.sentence}; change safety, or the trajectories")
        if any(bounds.forbidden_bands for bounds in self.bounds) and not is_even(times):
            raise ConfigError("safety.bounds.forbidden_bands needs evenly spaced times; resample the trajectories, or leave it out")
        lower, upper = self.limits(times)
        if (lower > upper).any():
            step, channel = (int(index) for index in np.argwhere(lower > upper)[0])
            raise ConfigError(
                f"no trajectory can be fired: amplitude and beginning or end at zero leave channel {self.channels[channel]} no value "
                f"at step {step}; widen safety.bounds.amplitude, or leave start_tolerance and end_tolerance out"
            )

    def _check_times(self, times: FloatArray) -> Violation | None:
        if self.duration is not None:
            found = _outside(float(times[-1] - times[0]), self.duration)
            if found is not None:
                return Violation("duration", *found, self.time_unit, None, _NO_CHANNEL)
        if self.sample_rate is not None and len(times) > 1:
            steps = np.diff(times)
            for step in (int(np.argmin(steps)), int(np.argmax(steps))):
                found = _outside(float(1.0 / steps[step]), self.sample_rate)
                if found is not None:
                    return Violation("sample rate", *found, _unit("", self.time_unit, -1), step, _NO_CHANNEL)
        return None

    def _check_channel(self, x: FloatArray, times: FloatArray, bounds: ChannelBounds, channel: str) -> Violation | None:
        if bounds.amplitude is not None:
            low, high = bounds.amplitude
            for step, limit, broken in (
                (int(x.argmin()), low, x.min() < low),
                (int(x.argmax()), high, x.max() > high),
            ):
                if broken:
                    return Violation("amplitude", float(x[step]), limit, self.unit, step, channel)
        for figure, tolerance, step in (
            ("first value", bounds.start_tolerance, 0),
            ("last value", bounds.end_tolerance, len(x) - 1),
        ):
            if tolerance is not None and abs(x[step]) > tolerance:
                return Violation(figure, float(x[step]), float(np.copysign(tolerance, x[step])), self.unit, step, channel)
        if bounds.slew_rate is not None and len(x) > 1:
            rate = np.abs(slew(x, times))
            step = int(rate.argmax())
            if not rate[step] <= bounds.slew_rate:  # so that NaN, from numbers too large, is a violation
                return Violation("slew rate", float(rate[step]), bounds.slew_rate, _unit(self.unit, self.time_unit, -1), step, channel)
        if bounds.curvature is not None and len(x) > 2:
            bend = np.abs(curvature(x, times))
            step = int(bend.argmax())
            if not bend[step] <= bounds.curvature:
                unit = _unit(self.unit, self.time_unit, -2)
                return Violation("curvature", float(bend[step]), bounds.curvature, unit, step + 1, channel)
        if bounds.mean_power is not None and not (power := mean_power(x, times)) <= bounds.mean_power:
            return Violation("mean power", power, bounds.mean_power, f"{self.unit}²" if self.unit else "", None, channel)
        if bounds.dose is not None and not (found := dose(x, times)) <= bounds.dose:
            return Violation("dose", found, bounds.dose, _unit(self.unit, self.time_unit, 1), None, channel)
        for band in bounds.forbidden_bands:
            rms = band_rms(x, times, (band.low, band.high))
            if not rms <= band.rms:
                figure = f"root mean square in the forbidden band {band.low:g} to {band.high:g} {_unit('', self.time_unit, -1)}".rstrip()
                return Violation(figure, rms, band.rms, self.unit, None, channel)
        return None

    @staticmethod
    def _share(x: FloatArray, times: FloatArray, bounds: ChannelBounds) -> float:
        """Return the factor in [0, 1] that brings curvature, power, dose and bands within their bounds."""
        shares = [1.0]
        if bounds.curvature is not None and len(x) > 2:
            shares.append(_ratio(bounds.curvature, float(np.abs(curvature(x, times)).max())))
        if bounds.mean_power is not None:
            shares.append(float(np.sqrt(_ratio(bounds.mean_power, mean_power(x, times)))))
        if bounds.dose is not None:
            shares.append(_ratio(bounds.dose, dose(x, times)))
        shares += [_ratio(band.rms, band_rms(x, times, (band.low, band.high))) for band in bounds.forbidden_bands]
        share = min(shares)
        return 1.0 if share >= 1.0 else share * (1.0 - _INSET)


@lru_cache(maxsize=64)  # asked for at every measurement
def _digest(envelope: Envelope) -> str:
    return hashlib.sha256(json.dumps(asdict(envelope), sort_keys=True).encode()).hexdigest()


def _merged(common: BoundsConfig, own: BoundsConfig | None) -> ChannelBounds:
    """Return a channel's bounds: the common ones, with those that it sets itself in their place."""
    fields = common.model_dump()
    if own is not None:
        fields.update({name: value for name, value in own.model_dump().items() if name in own.model_fields_set})
    return ChannelBounds(**{**fields, "forbidden_bands": tuple(Band(**band) for band in fields["forbidden_bands"])})


def _outside(value: float, bounds: Sequence[float]) -> tuple[float, float] | None:
    """Return value and broken bound, or None; times are sums of rounded steps, so a tiny share does not count."""
    low, high = bounds
    if value < low * (1.0 - _CLOCK_SLACK):
        return value, low
    return (value, high) if value > high * (1.0 + _CLOCK_SLACK) else None


def _ratio(bound: float, value: float) -> float:
    return 1.0 if value <= bound else bound / value


def _unit(unit: str, time_unit: str, power: int) -> str:
    """Return a unit times a power of the unit of time; empty where one of both is not known."""
    if power == 1:
        return f"{unit}·{time_unit}" if unit and time_unit else ""
    below = time_unit + ("²" if power == -2 else "")
    if not time_unit:
        return f"{unit}/step{'²' if power == -2 else ''}" if unit else ""
    return f"{unit or '1'}/{below}"


def _limited(x: FloatArray, lower: FloatArray, upper: FloatArray, times: FloatArray, slew_rate: float | None) -> FloatArray:
    """Return x between its limits, each step within the reach of the one before."""
    clipped = np.clip(x, lower, upper)
    if slew_rate is None:
        return clipped
    # Limits change no faster than the slew rate allows, so a step that is limited from the one before still finds a value.
    reach = np.diff(times) * slew_rate * (1.0 - _INSET)
    for step, away in enumerate(reach.tolist(), start=1):
        low, high = max(lower[step], clipped[step - 1] - away), min(upper[step], clipped[step - 1] + away)
        clipped[step] = min(max(clipped[step], low), high)
    return clipped


def _smoothed(x: FloatArray, times: FloatArray, most: float | None) -> FloatArray:
    """Return x smoothed until its curvature is small enough or it has been smoothed long enough; ends stay, slew and size do not grow."""
    if most is None or len(x) < 3 or not is_even(times):
        return x
    for _ in range(_SMOOTHINGS):
        if np.abs(curvature(x, times)).max() <= most:
            break
        inner = (x[:-2] + 2.0 * x[1:-1] + x[2:]) / 4.0
        x = np.concatenate([x[:1], inner, x[-1:]])
    return x
