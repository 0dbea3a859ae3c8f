"""Devices that speak the Bluesky protocols, driven by a RunEngine (extra ``lab``).

Three ways to apply a trajectory x(t):

    fly         the device is Preparable and Flyable: prepare(x) -> kickoff -> complete -> collect (a waveform generator)
    step        Movable devices, one per channel: set x(t_k) at each step, when its time has come, and read the detectors
    parameters  Movable devices, one per entry of x: set all of them at once, then read the detectors (a box of parameters)

Every device that is Checkable is asked about every value before anything moves; what it refuses has not fired. A plan that fails, is
stopped or takes too long has its devices stopped, and `rest` brings them back. Units that a device declares must be the campaign's.

Source: the protocols in `bluesky.protocols`; event model documents ``event`` and ``event_page``.
"""

import asyncio
import inspect
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from time import monotonic, sleep
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError, EvaluatorError, UnknownOutcomeError
from ..records import EvaluatorKind, FloatArray, Measurement, Signal
from .bluesky_plan import flight, note, walk
from .python import found_target
from .scpi import REDUCTIONS

Mode = Literal["auto", "fly", "step", "parameters"]
_STOP_SECONDS = 10.0


class BlueskyEvaluator:
    """Runs one plan per trial.

    Args:
        devices: ``module:attribute`` of a mapping of names to devices, or of a function that makes one; called where the RunEngine runs.
        drive: names of what is driven: the flyer, or one Movable for each channel, or one for each parameter.
        read: names of the Readable devices that are read.
        metrics: name of a metric -> ``<how> <key>`` of the readings, for example ``mean detector``; a key alone is its last reading.
        arrays: name of an array -> key of the readings: the values of all steps, or the last reading where it is an array itself.
        mode: how a trajectory is applied; ``auto`` flies what is Preparable and Flyable, and steps otherwise.
        rest: name of a device -> value that brings it to rest, set by `stop`, `close`, and after a plan that did not end well.
        seconds_per_time_unit: of the trajectory's times; 0 takes the steps as fast as the devices allow.
        timeout: seconds for a whole plan.
        connect_seconds: time for the devices to connect.
        kind: ``physical``, unless the devices are simulations.
    """

    def __init__(
        self,
        devices: str,
        drive: Sequence[str],
        read: Sequence[str],
        metrics: dict[str, str],
        arrays: dict[str, str] | None = None,
        mode: Mode = "auto",
        rest: dict[str, float] | None = None,
        seconds_per_time_unit: float = 0.0,
        timeout: float = 600.0,
        connect_seconds: float = 10.0,
        kind: EvaluatorKind = "physical",
    ) -> None:
        if ":" not in devices:
            raise ValueError(f"devices must read module:attribute, not {devices!r}")
        if not drive or not metrics:
            raise ValueError("name at least one device in `drive` and one metric in `metrics`")
        for name, words in metrics.items():
            if len(words.split()) not in (1, 2) or (len(words.split()) == 2 and words.split()[0] not in REDUCTIONS):
                raise ValueError(
                    f"metric {name!r} reads {words!r}; it must be a key of the readings, or one of {', '.join(REDUCTIONS)} and a key"
                )
        if seconds_per_time_unit < 0 or not timeout > 0 or not connect_seconds > 0:
            raise ValueError("seconds_per_time_unit must be at least 0, timeout and connect_seconds larger than 0")
        self.devices, self.drive, self.read = devices, tuple(drive), tuple(read)
        self.reductions, self.arrays, self.rest = dict(metrics), dict(arrays or {}), dict(rest or {})
        self.mode: Mode = mode
        self.seconds_per_time_unit, self.timeout, self.connect_seconds = seconds_per_time_unit, timeout, connect_seconds
        self._kind: EvaluatorKind = kind
        self._signal: Signal | None = None
        self._known: dict[str, Any] = {}
        self._engine: Any = None
        self._resting = threading.Lock()

    @property
    def kind(self) -> EvaluatorKind:
        """As configured."""
        return self._kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return tuple(self.reductions)

    def accept_signal(self, signal: Signal) -> None:
        """Take up times, units and channels; `prepare` compares them with what the devices declare."""
        self._signal = signal

    def prepare(self) -> None:
        """Start a RunEngine, make the devices and connect them.

        Raises:
            EvaluatorError: Bluesky is missing, or the devices cannot be made or reached.
            ConfigError: a device is not of the kind that the mode needs, or has another unit.
        """
        if self._engine is not None:
            return
        try:
            engine = import_module("bluesky.run_engine")
        except ImportError as error:
            raise EvaluatorError("the evaluator bluesky needs Bluesky: pip install 'latentloop[lab]'") from error
        # Signals are the command line's business, and a measurement runs in no main thread.
        self._engine = engine.RunEngine({}, context_managers=[], during_task=import_module("bluesky.utils").DuringTask())
        try:
            self._known = self._made()
            self._connect()
            if self.mode == "auto":
                self.mode = "fly" if self._flies(self.drive[0]) else "step"
            self._require_protocols()
            self._require_units()
        except BaseException:
            self.close()
            raise

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Run the plan.

        Args:
            trajectory: shape (T,) or (T, channels); in mode ``parameters`` (n,).

        Raises:
            ValueError: the trajectory is not finite, or does not fit the devices; nothing moved.
            RuntimeError: a device refused a value, and nothing moved; or something failed on the way.
            UnknownOutcomeError: the plan did not end in time.
        """
        if self._engine is None:
            self.prepare()
        values = self._columns(np.asarray(trajectory, dtype=np.float64))
        readings: dict[str, list[Any]] = {}
        expired = threading.Event()
        watch = threading.Timer(self.timeout, self._expire, args=(expired,))
        watch.start()
        is_good = False
        try:
            driven, read = [self._known[name] for name in self.drive], [self._known[name] for name in self.read]
            plan = flight(driven[0], read, values) if self.mode == "fly" else walk(driven, read, values, self._seconds(len(values)))
            self._engine(plan, lambda name, document: note(readings, name, document))
            is_good = True
        except Exception as error:
            if expired.is_set():
                raise UnknownOutcomeError(f"the plan did not end within {self.timeout:g} s; its devices were stopped") from error
            raise RuntimeError(f"the plan failed: {type(error).__name__}: {error}") from error
        finally:
            watch.cancel()
            if not is_good:
                self._rest()
        return self._measurement(readings)

    def stop(self) -> None:
        """Abort the plan under way, stop every device that can be stopped, and set `rest`."""
        if self._engine is None:
            return
        self._abort()
        self._rest()

    def close(self) -> None:
        """Bring the devices to rest, and end the RunEngine; the devices themselves are not ours to destroy."""
        engine = self._engine
        if engine is None:
            return
        self.stop()
        self._engine, self._known = None, {}
        loop = engine.loop
        loop.call_soon_threadsafe(loop.stop)
        deadline = monotonic() + _STOP_SECONDS
        while loop.is_running() and monotonic() < deadline:
            sleep(0.01)
        if not loop.is_running():
            loop.close()

    def _made(self) -> dict[str, Any]:
        """Return the devices by name."""
        found = found_target(self.devices)
        try:
            found = found() if callable(found) else found
        except Exception as error:
            raise EvaluatorError(f"the devices {self.devices} cannot be made: {type(error).__name__}: {error}") from error
        if not isinstance(found, Mapping):
            raise EvaluatorError(f"{self.devices} gives a {type(found).__name__}; it must be a mapping of names to devices")
        missing = [name for name in (*self.drive, *self.read, *self.rest) if name not in found]
        if missing:
            raise ConfigError(f"{self.devices} has no device {missing[0]!r}; it has {', '.join(found)}")
        return {name: found[name] for name in dict.fromkeys((*self.drive, *self.read, *self.rest))}

    def _connect(self) -> None:
        for name, device in self._known.items():
            try:
                if inspect.iscoroutinefunction(getattr(device, "connect", None)):  # ophyd-async
                    if not device.name:
                        device.set_name(name)
                    self._finished(device.connect(timeout=self.connect_seconds), self.connect_seconds + 1.0)
                elif callable(getattr(device, "wait_for_connection", None)):  # ophyd
                    device.wait_for_connection(timeout=self.connect_seconds)
            except Exception as error:
                raise EvaluatorError(f"device {name!r} does not connect within {self.connect_seconds:g} s: {error}; is it on?") from error

    def _flies(self, name: str) -> bool:
        return all(callable(getattr(self._known[name], method, None)) for method in ("prepare", "kickoff", "complete"))

    def _require_protocols(self) -> None:
        """Raise ConfigError for a device that cannot do what the mode needs."""
        for name in self.drive:
            if self.mode == "fly" and not self._flies(name):
                raise ConfigError(f"device {name!r} does not fly: it needs prepare, kickoff and complete (Preparable and Flyable)")
            if self.mode != "fly" and not callable(getattr(self._known[name], "set", None)):
                raise ConfigError(f"device {name!r} does not move: it needs set (Movable)")
        for name in self.read:
            if not callable(getattr(self._known[name], "read", None)):
                raise ConfigError(f"device {name!r} cannot be read: it needs read and describe (Readable)")
        n_channels = None if self._signal is None or self.mode == "parameters" else len(self._signal.channels)
        if self.mode == "fly" and len(self.drive) != 1:
            raise ConfigError(f"one device flies a trajectory with all its channels; drive names {len(self.drive)}")
        if self.mode == "step" and n_channels is not None and n_channels != len(self.drive):
            raise ConfigError(f"the trajectories have {n_channels} channels, and drive names {len(self.drive)} devices; name one for each")

    def _require_units(self) -> None:
        """Raise ConfigError for a driven device that declares another unit than the trajectories have."""
        if self._signal is None or not self._signal.unit or self.mode == "parameters":
            return
        for name in self.drive:
            describe = getattr(self._known[name], "describe", None)
            described = self._finished(describe()) if callable(describe) else {}
            units = {key.get("units") for key in described.values()} - {None, ""}
            if units and units != {self._signal.unit}:
                raise ConfigError(
                    f"device {name!r} is in {', '.join(sorted(units))}, the trajectories are in {self._signal.unit}; change one of them"
                )

    def _columns(self, trajectory: FloatArray) -> FloatArray:
        """Return the values with shape (T, devices)."""
        if not np.isfinite(trajectory).all():
            raise ValueError("the trajectory is not finite; nothing was fired")
        values = trajectory[np.newaxis] if self.mode == "parameters" else trajectory[:, np.newaxis] if trajectory.ndim == 1 else trajectory
        if self.mode != "fly" and (values.ndim != 2 or values.shape[1] != len(self.drive)):
            raise ValueError(f"values of shape {trajectory.shape} do not fit {len(self.drive)} devices; nothing was fired")
        if self.mode == "step" and self._signal is not None and len(values) != len(self._signal.times):
            raise ValueError(f"{len(values)} steps for {len(self._signal.times)} times; nothing was fired")
        return values

    def _seconds(self, n_steps: int) -> FloatArray:
        """Return when each step is due, in seconds from the first."""
        if self._signal is None or self.mode == "parameters":
            return np.zeros(n_steps)
        return np.asarray((self._signal.times - self._signal.times[0]) * self.seconds_per_time_unit)

    def _measurement(self, readings: Mapping[str, list[Any]]) -> Measurement:
        def column(key: str) -> FloatArray:
            if key not in readings:
                raise ValueError(f"there is no reading {key!r}; there are {', '.join(sorted(readings)) or 'none'}")
            last = np.asarray(readings[key][-1])
            return np.asarray(last if last.ndim else readings[key], dtype=np.float64)

        metrics = {}
        for name, words in self.reductions.items():
            how, _, key = words.rpartition(" ")
            metrics[name] = REDUCTIONS[how.strip() or "last"](column(key))
        return Measurement(metrics=metrics, arrays={name: column(key) for name, key in self.arrays.items()})

    def _expire(self, expired: threading.Event) -> None:
        expired.set()
        self._abort()

    def _abort(self) -> None:
        with suppress(Exception):  # it has ended meanwhile
            if self._engine.state != "idle":
                self._engine.abort("stopped")

    def _rest(self) -> None:
        """Stop the devices and set what brings them to rest; without the RunEngine, which may be busy with the plan that is aborted."""
        with self._resting:
            for name, device in self._known.items():
                if callable(getattr(device, "stop", None)):
                    with suppress(Exception):  # the others must be stopped too
                        self._finished(device.stop())
                if name in self.rest:
                    with suppress(Exception):
                        self._finished(device.set(self.rest[name]))

    def _finished(self, value: Any, seconds: float = _STOP_SECONDS) -> Any:
        """Return what a device's answer comes to: at once, awaited in the RunEngine's loop, or a status that is waited for."""
        if inspect.isawaitable(value):
            return asyncio.run_coroutine_threadsafe(_awaited(value), self._engine.loop).result(seconds)
        if callable(getattr(value, "add_callback", None)):
            done = threading.Event()
            value.add_callback(lambda _: done.set())
            done.wait(seconds)
        return value


async def _awaited(value: Any) -> Any:
    return await value
