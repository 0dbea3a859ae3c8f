"""Devices that speak the Bluesky protocols, simulated: for the evaluator `bluesky`."""

import asyncio
import os
import threading
import time

import numpy as np
from ophyd import Component, Device, EpicsSignal, EpicsSignalRO
from ophyd.sim import SynAxis, SynGauss, SynSignal
from ophyd.status import Status
from ophyd_async.core import AsyncStatus, StandardReadable, StandardReadableFormat, soft_signal_r_and_setter


class Generator:
    """A waveform generator that is Preparable, Flyable, Collectable and Checkable: it plays what it is given, and collects
    what the sample answered."""

    parent = None

    def __init__(self, name="generator", seconds=0.02, limit=2.0):
        self.name = name
        self.seconds = seconds
        self.limit = limit
        self.log = []
        self.waveform = np.zeros(1)
        self.is_over = threading.Event()

    def check_value(self, waveform):
        self.log.append("check")
        if np.abs(waveform).max() > self.limit:
            raise ValueError(f"beyond {self.limit} V")

    def prepare(self, waveform):
        self.log.append("prepare")
        self.waveform = np.array(waveform)
        return done()

    def kickoff(self):
        self.log.append("kickoff")
        self.is_over.clear()
        return done()

    def complete(self):
        status = Status()

        def play():
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                if self.is_over.wait(0.005):
                    status.set_exception(RuntimeError("the generator was stopped"))
                    return
            self.log.append("complete")
            status.set_finished()

        threading.Thread(target=play, daemon=True).start()
        return status

    def describe_collect(self):
        return {"primary": {"response": {"source": "sample", "dtype": "array", "shape": list(self.waveform.shape), "units": "uC"}}}

    def collect(self):
        self.log.append("collect")
        now = time.time()
        yield {"data": {"response": 2.0 * self.waveform}, "timestamps": {"response": now}, "time": now}

    def stop(self, *, success=False):
        self.log.append("stop")
        self.is_over.set()


def done():
    status = Status()
    status.set_finished()
    return status


GENERATOR = Generator()


def flying():
    """A generator, and a detector of what it played last."""
    detector = SynSignal(name="detector", func=lambda: -float(np.mean((GENERATOR.waveform - 0.3) ** 2)))
    return {"generator": GENERATOR, "detector": detector}


class Axis(SynAxis):
    """An axis with limits and a log of where it was."""

    def __init__(self, **more):
        super().__init__(**more)
        self.visited = []
        self.n_stops = 0

    def check_value(self, value):
        if abs(value) > 2.0:
            raise ValueError("beyond its limit 2")

    def set(self, value):
        self.visited.append(value)
        return super().set(value)

    def stop(self, *, success=False):
        self.n_stops += 1


AXES = {name: Axis(name=name) for name in ("x", "y")}


def ophyd_devices():
    """Two axes, and a detector that sees a peak at x = 0.3."""
    return {**AXES, "gauss": SynGauss("gauss", AXES["x"], "x", center=0.3, Imax=1.0, sigma=1.0)}


class AsyncPeak(StandardReadable):
    """A detector of ophyd-async that sees where a motor stands."""

    def __init__(self, motor):
        self.motor = motor
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.value, self._set = soft_signal_r_and_setter(float, 0.0)
        super().__init__()

    async def read(self):
        where = await self.motor.user_readback.get_value()
        self._set(-((where - 0.3) ** 2))
        return await super().read()


class AsyncMotor(StandardReadable):
    """A motor of ophyd-async, in V, with a limit that is asked for asynchronously."""

    def __init__(self):
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.user_readback, self._set_readback = soft_signal_r_and_setter(float, 0.0, units="V")
        super().__init__()

    async def check_value(self, value):
        if abs(value) > 2.0:
            raise ValueError("beyond its limit 2")

    @AsyncStatus.wrap
    async def set(self, value):
        await asyncio.sleep(0.001)
        self._set_readback(value)


def async_devices():
    """A motor and a detector of ophyd-async."""
    motor = AsyncMotor()
    return {"motor": motor, "peak": AsyncPeak(motor)}


def slow_devices():
    """A generator that plays for a minute."""
    return {"generator": Generator(seconds=60.0), "detector": SynSignal(name="detector", func=lambda: 0.0)}


class Film(Device):
    """What an input-output controller over EPICS offers: a field to set, and the sample's answer."""

    field = Component(EpicsSignal, "field")
    answer = Component(EpicsSignalRO, "answer")


def epics_devices():
    """A film behind an EPICS input-output controller."""
    film = Film(os.environ["FILM_PREFIX"], name="film")
    return {"field": film.field, "answer": film.answer}
