"""An arbitrary waveform generator with acquisition, driven by SCPI commands through PyVISA (extra ``lab``).

For each trial: clear the status, set up, download one waveform per channel, and only when the error queue is empty trigger; wait for
``*OPC?``, read back, and look at the error queue once more. The commands are yours, as templates::

    {channel}  number of the channel, from 1        {values}  the waveform as comma-separated numbers
    {steps}    number of steps                      {block}   the waveform as an IEEE 488.2 block of 32-bit floats, at the end
    {rate}     steps per second

What goes wrong before the trigger is a failure; a connection that is lost from the trigger on makes the trial ``unknown``. Whatever an
instrument did not answer in time it may answer later: after such trouble its output is brought to rest, and the next trial connects anew.

Source: IEEE Std 488.2-1992, sections 7.7.6 and 8.7.9 (blocks), 10.18 (``*OPC?``); SCPI-1999, volume 2, 21.8 (error queue).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError, EvaluatorError, UnknownOutcomeError
from ..records import EvaluatorKind, FloatArray, Measurement, Signal
from .declaration import require_wanted

Format = Literal["ascii", "real32", "real64"]

REDUCTIONS: Mapping[str, Callable[[FloatArray], float]] = {
    "mean": lambda values: float(values.mean()),
    "max": lambda values: float(values.max()),
    "min": lambda values: float(values.min()),
    "last": lambda values: float(values[-1]),
    "range": lambda values: float(np.ptp(values)),
    "rms": lambda values: float(np.sqrt(np.mean(values**2))),
    "sum": lambda values: float(values.sum()),
}
"""How an array that was read becomes a metric."""

_DATATYPES: Mapping[str, str] = {"real32": "f", "real64": "d"}
_MOST_ERRORS = 50
_EVEN = 1e-6


class ScpiEvaluator:
    """Downloads, triggers, reads back.

    Args:
        address: VISA resource of the generator, for example ``TCPIP0::192.168.0.5::5025::SOCKET``.
        read_address: VISA resource of what acquires; empty for the same.
        setup: commands before the download.
        download: commands per channel.
        trigger: commands that fire.
        read: name of an array -> query for it.
        read_format: how arrays come back.
        metrics: name of a metric -> query for one number.
        reductions: name of a metric -> ``<how> <array>``, for example ``mean response``; see `REDUCTIONS`.
        rest: commands that bring the output to rest, for `stop` and `close`.
        full_scale: the trajectory's value that the generator calls 1; values are divided by it, and one beyond it is not sent.
        seconds_per_time_unit: of the trajectory's times, for ``{rate}``.
        sample_rate: [low, high] that the generator can play, in steps per second.
        timeout: seconds for each answer, the one to ``*OPC?`` after the trigger included.
        error_query: asks for one entry of the error queue; empty where there is none.
        kind: ``physical``, unless it is a simulation.
        backend: of PyVISA: ``@py``, ``@ivi``, or ``FILE@sim``.
        termination: end of each line.
    """

    def __init__(
        self,
        address: str,
        read_address: str = "",
        setup: Sequence[str] = (),
        download: Sequence[str] = ("SOUR{channel}:DATA:VOL:CLE", "SOUR{channel}:DATA:ARB latentloop,{values}"),
        trigger: Sequence[str] = ("*TRG",),
        read: dict[str, str] | None = None,
        read_format: Format = "ascii",
        metrics: dict[str, str] | None = None,
        reductions: dict[str, str] | None = None,
        rest: Sequence[str] = (),
        full_scale: float | None = None,
        seconds_per_time_unit: float = 1.0,
        sample_rate: tuple[float, float] | None = None,
        timeout: float = 10.0,
        error_query: str = "SYST:ERR?",
        kind: EvaluatorKind = "physical",
        backend: str = "@py",
        termination: str = "\n",
    ) -> None:
        self.read, self.queries, self.reductions = dict(read or {}), dict(metrics or {}), dict(reductions or {})
        if not self.queries and not self.reductions:
            raise ValueError("name at least one metric in `metrics` or `reductions`; there is nothing to optimize otherwise")
        for name, words in self.reductions.items():
            how, _, array = words.partition(" ")
            if how not in REDUCTIONS or array not in self.read:
                known = f"{', '.join(REDUCTIONS)} of {', '.join(self.read) or 'an array in `read`'}"
                raise ValueError(f"reduction {name!r} reads {words!r}; known are {known}")
        if full_scale is not None and not full_scale > 0:
            raise ValueError(f"full_scale must be larger than 0, not {full_scale}")
        if not timeout > 0 or not seconds_per_time_unit > 0:
            raise ValueError("timeout and seconds_per_time_unit must be larger than 0")
        if not trigger:
            raise ValueError("trigger must hold at least one command")
        for line in (*setup, *download, *trigger):
            _fill(line, channel=1, values="", steps=0, rate=0.0)
        self.address, self.read_address = address, read_address
        self.setup, self.download, self.trigger, self.rest = tuple(setup), tuple(download), tuple(trigger), tuple(rest)
        self.read_format: Format = read_format
        self.full_scale, self.timeout, self.error_query = full_scale, timeout, error_query
        self.sample_rate = sample_rate
        self.seconds_per_time_unit, self.backend, self.termination = seconds_per_time_unit, backend, termination
        self._kind: EvaluatorKind = kind
        self._rate: float | None = None
        self._manager: Any = None
        self._generator: Any = None
        self._reader: Any = None
        self._visa_error: type[Exception] = OSError

    @property
    def kind(self) -> EvaluatorKind:
        """As configured."""
        return self._kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return (*self.queries, *self.reductions)

    def accept_signal(self, signal: Signal) -> None:
        """Take up the sample rate.

        Raises:
            ConfigError: a command wants ``{rate}``, and the times are not evenly spaced; or the rate is not one that can be played.
        """
        if self.sample_rate is not None:
            seconds = replace(signal, times=signal.times * self.seconds_per_time_unit, time_unit="s")
            require_wanted({"sample_rate": self.sample_rate}, seconds, self.address)
        steps = np.diff(signal.times) * self.seconds_per_time_unit
        is_even = len(steps) > 0 and float(np.ptp(steps)) <= _EVEN * float(steps.mean())
        self._rate = 1.0 / float(steps.mean()) if is_even else None
        if self._rate is None and self._wants_rate():
            raise ConfigError("a command wants {rate}, and the trajectories' times are not evenly spaced; resample them")

    def prepare(self) -> None:
        """Connect, and ask who is there.

        Raises:
            EvaluatorError: PyVISA is missing, or nobody answers at the address.
        """
        try:
            visa = import_module("pyvisa")
        except ImportError as error:
            raise EvaluatorError("the evaluator scpi needs PyVISA: pip install 'latentloop[lab]'") from error
        if self._generator is not None:
            return
        self._visa_error = visa.errors.Error
        try:
            self._manager = visa.ResourceManager(self.backend)
            self._generator = self._opened(self.address)
            self._reader = self._opened(self.read_address) if self.read_address else self._generator
        except (self._visa_error, OSError, ValueError) as error:
            self.close()
            raise EvaluatorError(f"cannot talk to {self.address}: {error}; is it on, and is the address right?") from error

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Download, trigger, read back.

        Args:
            trajectory: shape (T,) or (T, channels).

        Raises:
            ValueError: a value beyond full scale, or not finite; nothing was sent.
            RuntimeError: the instrument complains, or cannot be talked to; nothing was fired unless the message says so.
            UnknownOutcomeError: the connection was lost, or nobody answered, from the trigger on.
        """
        values = self._scaled(np.asarray(trajectory, dtype=np.float64))
        try:
            self.prepare()
        except EvaluatorError as error:
            raise RuntimeError(f"{error}; nothing was fired") from error
        try:
            self._load(values)
        except (self._visa_error, OSError) as error:
            self.close()
            raise RuntimeError(f"{self.address}: {error}; nothing was fired") from error
        complaints = self._complaints()
        if complaints:
            raise RuntimeError(f"{self.address} complains of the waveform, nothing was fired: {'; '.join(complaints)}")
        try:
            for line in self.trigger:
                self._generator.write(_fill(line, channel=1, values="", steps=len(values), rate=self._rate))
            self._generator.query("*OPC?")
        except (self._visa_error, OSError) as error:
            self.close()
            raise UnknownOutcomeError(f"{self.address} did not say that it is done after the trigger: {error}") from error
        try:
            arrays = {name: self._array(query) for name, query in self.read.items()}
            metrics = {name: float(self._reader.query(query)) for name, query in self.queries.items()}
        except (self._visa_error, OSError, ValueError) as error:
            self.close()
            raise RuntimeError(f"it was fired, and its reading is lost: {error}") from error
        complaints = self._complaints()
        if complaints:
            raise RuntimeError(f"it was fired, and {self.address} complains: {'; '.join(complaints)}")
        for name, words in self.reductions.items():
            how, _, array = words.partition(" ")
            metrics[name] = REDUCTIONS[how](arrays[array])
        return Measurement(metrics=metrics, arrays=arrays)

    def stop(self) -> None:
        """Send the commands that bring the output to rest."""
        generator = self._generator
        if generator is not None:
            with suppress(self._visa_error, OSError):
                for line in self.rest:
                    generator.write(line)

    def close(self) -> None:
        """Bring the output to rest, and disconnect."""
        self.stop()
        for resource in (self._reader if self._reader is not self._generator else None, self._generator, self._manager):
            if resource is not None:
                with suppress(self._visa_error, OSError):
                    resource.close()
        self._reader = self._generator = self._manager = None

    def _opened(self, address: str) -> Any:
        resource = self._manager.open_resource(address, read_termination=self.termination, write_termination=self.termination)
        resource.timeout = self.timeout * 1e3
        resource.query("*IDN?")
        return resource

    def _load(self, values: FloatArray) -> None:
        """Send everything that comes before the trigger."""
        for resource in {id(self._generator): self._generator, id(self._reader): self._reader}.values():
            resource.write("*CLS")
        for line in self.setup:
            self._generator.write(_fill(line, channel=1, values="", steps=len(values), rate=self._rate))
        for channel in range(values.shape[1]):
            column = values[:, channel]
            for line in self.download:
                if "{block}" in line:
                    head = _fill(line.replace("{block}", ""), channel=channel + 1, values="", steps=len(column), rate=self._rate)
                    self._generator.write_binary_values(head, column.tolist(), datatype="f", is_big_endian=True)
                else:
                    text = ",".join(f"{value:.9g}" for value in column) if "{values}" in line else ""
                    self._generator.write(_fill(line, channel=channel + 1, values=text, steps=len(column), rate=self._rate))
        self._generator.query("*OPC?")

    def _scaled(self, trajectory: FloatArray) -> FloatArray:
        """Return the values to send, shape (T, channels)."""
        values = trajectory[:, np.newaxis] if trajectory.ndim == 1 else trajectory
        if not np.isfinite(values).all():
            raise ValueError("the trajectory is not finite; nothing was sent")
        if self.full_scale is None:
            return values
        scaled = values / self.full_scale
        if np.abs(scaled).max() > 1.0:
            step = int(np.abs(scaled).max(axis=1).argmax())
            raise ValueError(
                f"the trajectory is {values[step].tolist()} at step {step}, beyond full_scale {self.full_scale:g}; nothing was sent"
            )
        return np.asarray(scaled)

    def _array(self, query: str) -> FloatArray:
        if self.read_format == "ascii":
            found = self._reader.query_ascii_values(query)
        else:
            found = self._reader.query_binary_values(query, datatype=_DATATYPES[self.read_format], is_big_endian=True)
        return np.asarray(found, dtype=np.float64)

    def _complaints(self) -> list[str]:
        """Return what is in the error queues, and empty them."""
        found: list[str] = []
        if not self.error_query:
            return found
        for resource in {id(self._generator): self._generator, id(self._reader): self._reader}.values():
            try:
                for _ in range(_MOST_ERRORS):
                    entry = str(resource.query(self.error_query)).strip()
                    if int(entry.partition(",")[0]) == 0:
                        break
                    found.append(entry)
            except (self._visa_error, OSError, ValueError) as error:
                self.close()
                return [*found, f"{self.error_query} gave no answer: {error}"]
        return found

    def _wants_rate(self) -> bool:
        return any("{rate" in line for line in (*self.setup, *self.download, *self.trigger))


def _fill(line: str, *, channel: int, values: str, steps: int, rate: float | None) -> str:
    """Return a command with its places filled; raises ValueError for a place that is not known."""
    try:
        return line.format(channel=channel, values=values, steps=steps, rate=0.0 if rate is None else rate, block="")
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"command {line!r} has a place that is not known ({error}); known are channel, values, block, steps, rate"
        ) from error
