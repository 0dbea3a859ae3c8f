"""The plans of the evaluator `bluesky`: generators of messages for a RunEngine, one run per trial.

Before the first message that moves something, every Checkable device is asked about every value that it is to take.
"""

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from importlib import import_module
from time import monotonic
from typing import Any

import numpy as np

from ..records import FloatArray

Plan = Generator[Any, Any, None]
_AFTERWARDS = "afterwards"
"""Stream of what is read after a flight; the flyer names its own."""


def flight(flyer: Any, read: Sequence[Any], values: FloatArray) -> Plan:
    """Have a device play a waveform: prepare, kickoff, complete, collect; then read the detectors.

    Args:
        flyer: Preparable and Flyable.
        read: Readable devices.
        values: shape (T,) or (T, channels), or (T, 1).
    """
    stubs = import_module("bluesky.plan_stubs")
    waveform = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values

    def fly() -> Plan:
        yield from stubs.prepare(flyer, waveform, wait=True)
        yield from stubs.kickoff(flyer, wait=True)
        yield from stubs.complete(flyer, wait=True)
        if hasattr(flyer, "collect") or hasattr(flyer, "collect_pages"):
            yield from stubs.collect(flyer)
        yield from stubs.trigger_and_read(read, name=_AFTERWARDS)

    yield from _asked(flyer, [waveform])
    yield from _run(fly(), [flyer, *read])


def walk(driven: Sequence[Any], read: Sequence[Any], values: FloatArray, seconds: FloatArray) -> Plan:
    """Set the devices to each row of values when it is due, and read the detectors after each.

    Args:
        driven: Movable devices.
        read: Readable devices.
        values: shape (T, devices).
        seconds: when each row is due, from the first, shape (T,).
    """
    stubs = import_module("bluesky.plan_stubs")

    def steps() -> Plan:
        begun = monotonic()
        for due, row in zip(seconds.tolist(), values.tolist(), strict=True):
            if due > monotonic() - begun:
                yield from stubs.sleep(due - (monotonic() - begun))
            yield from stubs.mv(*[item for pair in zip(driven, row, strict=True) for item in pair])
            yield from stubs.trigger_and_read(read)

    for device, column in zip(driven, values.T, strict=True):
        yield from _asked(device, column.tolist())
    yield from _run(steps(), [*driven, *read])


def note(readings: dict[str, list[Any]], name: str, document: Mapping[str, Any]) -> None:
    """Take up the readings in a document of a run: name of the reading -> its values in order."""
    if name == "event":
        for key, value in document["data"].items():
            readings.setdefault(key, []).append(value)
    elif name == "event_page":
        for key, values in document["data"].items():
            readings.setdefault(key, []).extend(values)


def _run(plan: Plan, devices: Sequence[Any]) -> Plan:
    """Stage what can be staged, and make the plan a run."""
    preprocessors = import_module("bluesky.preprocessors")
    staged = [device for device in {id(each): each for each in devices}.values() if hasattr(device, "stage")]
    yield from preprocessors.stage_wrapper(preprocessors.run_wrapper(plan), staged)


def _asked(device: Any, values: Sequence[Any]) -> Plan:
    """Ask a device that is Checkable about every value; raises ValueError when it refuses one."""
    check = getattr(device, "check_value", None)
    if not callable(check):
        return
    stubs = import_module("bluesky.plan_stubs")
    for value in values:
        try:
            said = check(value)
            if inspect.isawaitable(said):
                for task in (yield from stubs.wait_for([_once(said)])):
                    task.result()
        except Exception as error:
            shown = np.array2string(np.asarray(value), threshold=5)
            raise ValueError(f"nothing was fired: {device.name} refuses {shown}: {error}") from error


def _once(value: Any) -> Callable[[], Any]:
    """Return what `wait_for` wants: a function that gives something to await."""

    async def awaited() -> Any:
        return await value

    return awaited
