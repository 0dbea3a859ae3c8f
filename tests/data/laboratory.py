"""Evaluators for the tests: functions of a trajectory, good and bad, as users write them."""

import asyncio
import os
import sys
import time
from pathlib import Path

import numpy as np


def smooth(trajectory):
    """A smooth objective; its incumbent depends on the whole trajectory."""
    return -float(np.mean((trajectory - 0.3) ** 2))


def slow(trajectory):
    """The same, in the time that an instrument takes."""
    time.sleep(0.05)
    return smooth(trajectory)


def counted(trajectory):
    """Write down every call, so that a test can count them."""
    with Path(os.environ["LABORATORY_LOG"]).open("a") as file:
        file.write(f"{float(trajectory[0])!r}\n")
    time.sleep(float(os.environ.get("LABORATORY_SECONDS", "0")))
    return smooth(trajectory)


def pictures(trajectory):
    """A metric, a second one, and two arrays."""
    return {
        "objective": smooth(trajectory),
        "end": trajectory[-1],
        "image": np.outer(trajectory[:3], trajectory[:4]),
        "line": trajectory[:5],
    }


def film(trajectory):
    """A metric, and a polarization field that changes with time."""
    frames = np.random.default_rng(0).normal(size=(4, 3, 3, 2)) * trajectory[:4, None, None, None]
    return {"objective": smooth(trajectory), "polarization": frames}


def process(trajectory):
    """Say which process measured."""
    return {"objective": smooth(trajectory), "process": os.getpid(), "parent": os.getppid()}


class UnsayableError(Exception):
    """One that fails to say what it is."""

    def __str__(self):
        raise ValueError("nobody knows")


def temperamental(trajectory):
    """Do what the trajectory's first step says."""
    mood = int(trajectory[0])
    if mood == 1:
        raise RuntimeError("the sample is gone")
    if mood == 2:
        return "thirty"
    if mood == 3:
        return np.zeros((2, 2))
    if mood == 4:
        return {"objective": 1.0, "image": np.zeros((3, 3))}
    if mood == 5:
        return {"objective": 1.0, "image": np.zeros((4, 3))}
    if mood == 6:
        sys.exit("good bye")
    if mood == 7:
        os._exit(3)
    if mood == 8:
        time.sleep(120)
    if mood == 9:
        return {"objective": 1.0, "z": np.zeros(3)}
    if mood == 10:
        return {"a/b": 1.0}
    if mood == 11:
        return {"objective": 1.0 + 2.0j}
    if mood == 12:
        return None
    if mood == 13:
        print("measuring", len(trajectory), "steps")
        print("a warning", file=sys.stderr)
    if mood == 14:
        raise asyncio.CancelledError("somebody else's task")
    if mood == 15:
        raise RuntimeError("no file \udcff\x1b[2J" + "x" * 1_000_000)
    if mood == 16:
        raise UnsayableError
    return {-1: float("nan"), -2: float("inf"), -3: 1e300, -4: -float("inf")}.get(mood, smooth(trajectory))


def moody(trajectory):
    """Fail in a way that follows from the trajectory: no two the same, most of them good."""
    kinds = [0, 0, 0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, -1, -2, -3]
    return temperamental(np.concatenate([[kinds[int(abs(trajectory[1]) * 1e6) % len(kinds)]], trajectory[1:]]))


def empty(trajectory):
    """A program that measures nothing."""


def hangs(trajectory):
    """An instrument that is off."""
    time.sleep(120)


class Bench:
    """An attribute of an attribute."""

    @staticmethod
    def measure(trajectory):
        return smooth(trajectory)


NOT_CALLABLE = 3


def count_up(n, progress=None):
    """A long task."""
    for index in range(n):
        time.sleep(0.3)
        progress(index + 1, n, float(index))
    return os.getpid()


def fail(sentence, progress=None):
    """A long task that cannot be done."""
    from latentloop.loop.errors import ConfigError

    raise ConfigError(sentence)


class Device:
    """An instrument as a class: it must be prepared, counts what it fires, and comes to rest."""

    kind = "physical"

    def __init__(self, gain=1.0):
        self.gain = gain
        self.is_open = False
        self.n_fired = 0

    def accept_signal(self, signal):
        self.unit = signal.unit

    def prepare(self):
        self.is_open = True

    def measure(self, trajectory):
        if not self.is_open:
            raise RuntimeError("the device is closed")
        self.n_fired += 1
        return {"objective": self.gain * smooth(trajectory), "fired": self.n_fired, "line": trajectory[:5] * self.gain}

    def stop(self):
        self.is_resting = True

    def close(self):
        self.is_open = False


class PureDevice(Device):
    """The same, as a simulation; it forgets how often it was asked."""

    kind = "pure"

    def measure(self, trajectory):
        if not np.isfinite(trajectory).all():
            raise ValueError("the trajectory is not finite")
        return {**super().measure(trajectory), "fired": 0}


class Undecided:
    kind = "sometimes"

    def measure(self, trajectory):
        return 1.0


class Resting:
    """Writes down what is done to it."""

    kind = "physical"

    def __init__(self, log):
        self.log = Path(log)

    def note(self, text):
        with self.log.open("a") as file:
            file.write(f"{text}\n")

    def measure(self, trajectory):
        self.note(f"fired {trajectory[0]}")
        return 1.0

    def stop(self):
        self.note("stop")

    def close(self):
        self.note("close")


class Eventful:
    """Measures like `smooth`, but something happens at certain trials: that is what operators are for."""

    def __init__(self, kind="physical", vanishing=(), wild=(), glitch=(), wrong=1e6, log=None):
        self.kind = kind
        self.vanishing, self.wild, self.glitch, self.wrong = vanishing, wild, glitch, wrong
        self.log = None if log is None else Path(log)

    def measure_job(self, job):
        from latentloop.loop.errors import UnknownOutcomeError

        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{job.trial} {job.key}\n")
        if job.trial in self.vanishing:
            raise UnknownOutcomeError("the line went dead")
        is_first = not job.key.endswith("-2")
        if job.trial in self.wild or (job.trial in self.glitch and is_first):
            return float(self.wrong)
        return self.measure(job.trajectory)

    def measure(self, trajectory):
        return smooth(trajectory)


class Flaky:
    """Fails the first so many times that it is asked for each trial."""

    kind = "pure"

    def __init__(self, n_failures=1):
        self.n_failures, self.asked = n_failures, {}

    def measure_job(self, job):
        self.asked[job.trial] = self.asked.get(job.trial, 0) + 1
        if self.asked[job.trial] <= self.n_failures:
            raise RuntimeError("out of licences")
        return smooth(job.trajectory)

    def measure(self, trajectory):
        return smooth(trajectory)


class Patient:
    """Measures for as long as it is told to, or until it is stopped; writes down what happens to it."""

    def __init__(self, log, seconds=60.0, kind="physical"):
        from threading import Event

        self.kind = kind
        self.log, self.seconds, self.rest = Path(log), seconds, Event()

    def note(self, text):
        with self.log.open("a") as file:
            file.write(f"{text}\n")

    def measure_job(self, job):
        self.note(f"fired {job.trial}")
        if job.trial == 0 or self.log.with_suffix(".go").exists():
            return self.measure(job.trajectory)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:  # it does not come back early: an instrument at rest is not one that answers
            time.sleep(0.05)
        return self.measure(job.trajectory)

    def measure(self, trajectory):
        return smooth(trajectory)

    def stop(self):
        self.note("stop")

    def close(self):
        self.note("close")


class Together:
    """Measures many at once, and breaks down when there are too many; writes down what fires."""

    def __init__(self, log, kind="physical"):
        self.kind, self.log = kind, Path(log)

    def prepare(self):
        pass

    def measure(self, trajectory):
        self.note(trajectory)
        return self.measurement(trajectory)

    def measure_many(self, trajectories):
        for trajectory in trajectories:
            self.note(trajectory)
        raise RuntimeError("the amplifier tripped")

    def note(self, trajectory):
        with self.log.open("a") as file:
            file.write(f"{float(trajectory[0])!r}\n")

    def measurement(self, trajectory):
        from latentloop.loop.records import Measurement

        return Measurement({"objective": smooth(trajectory)})

    def close(self):
        pass


class Side:
    """Only waits: several may be measured at once."""

    is_concurrent = True

    def __init__(self, seconds=0.2):
        self.seconds, self.n_now, self.n_most = seconds, 0, 0

    def measure(self, trajectory):
        self.n_now += 1
        self.n_most = max(self.n_most, self.n_now)
        time.sleep(self.seconds)
        self.n_now -= 1
        return {"objective": smooth(trajectory), "most": self.n_most}


class Choosy(PureDevice):
    """An instrument that wants other trajectories than most campaigns have."""

    wants = {"units": {"value": "kV"}}  # noqa: RUF012 - as users write it
