"""Every built-in evaluator keeps the contract, and the suite finds those that do not."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.evaluators.contract import Check, check_evaluator, trajectory_for_check
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Measurement, Signal

DATA = Path(__file__).resolve().parents[1] / "data"
WAVE = trajectory_for_check(60, 1)
SIGNAL = Signal(np.arange(60.0), "V", "ms", ("E",))

BUILT_IN = {
    "ferrosim": (EvaluatorSpec("ferrosim", {"preset": "small", "hold_steps": 5}), WAVE),
    "ferrosim, two channels": (EvaluatorSpec("ferrosim", {"preset": "small", "hold_steps": 5}), trajectory_for_check(60, 2)),
    "ferrosim_parameters": (
        EvaluatorSpec("ferrosim_parameters", {"names": ["coupling", "frequency"], "lattice_size": 6, "steps": 800}),
        np.array([10.0, 0.2]),
    ),
    "python, class": (EvaluatorSpec("python", {"target": "laboratory:PureDevice", "arguments": {"gain": 2.0}}), WAVE),
    "python, physical class": (EvaluatorSpec("python", {"target": "laboratory:Device"}), WAVE),
    "command": (EvaluatorSpec("command", {"command": [sys.executable, str(DATA / "program.py")], "kind": "pure"}), WAVE),
    "command, by file": (EvaluatorSpec("command", {"command": [sys.executable, str(DATA / "program.py"), "file"], "arrays": "file"}), WAVE),
    "python, function": (EvaluatorSpec("python", {"target": "laboratory:smooth"}), WAVE),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_evaluator_keeps_the_contract(name):
    spec, trajectory = BUILT_IN[name]
    checks = check_evaluator(spec.make, trajectory, SIGNAL)
    assert len(checks) >= 12
    assert [check for check in checks if not check.is_good] == []


def found(make, trajectory=WAVE):
    return {check.name: check for check in check_evaluator(make, trajectory)}


def test_a_physical_evaluator_is_fired_exactly_once():
    import laboratory

    fired = []

    class Counting(laboratory.Device):
        def measure(self, trajectory):
            fired.append(trajectory)
            return Measurement({"objective": 1.0})

    checks = found(Counting)
    assert len(fired) == 1
    assert checks["a pure evaluator gives the same twice"].is_skipped
    assert checks["a bad trajectory is an error, or a reading that is not finite"].is_skipped


class Drifting:
    """Claims to be pure."""

    kind = "pure"

    def __init__(self):
        self.n = 0

    def prepare(self):
        pass

    def measure(self, trajectory):
        self.n += 1
        trajectory[:] = 0.0
        return Measurement({"objective": float(self.n)}, arrays={"line": np.zeros(self.n)})

    def close(self):
        del self.n


def test_the_suite_says_everything_that_an_evaluator_gets_wrong():
    bad = {name for name, check in found(Drifting).items() if not check.is_good}
    assert bad == {
        "it leaves the trajectory as it was",
        "a pure evaluator gives the same twice",
        "a bad trajectory is an error, or a reading that is not finite",
        "close may be called twice",
        "prepare works again after close",
    }


class Answers:
    kind = "pure"
    answer = None

    def prepare(self):
        pass

    def measure(self, trajectory):
        return self.answer

    def close(self):
        pass


ANSWERS = {
    "measure returns a Measurement": 3.0,
    "its names can stand in a store": Measurement({"a/b": 1.0}),
    "its numbers and arrays are finite": Measurement({"a": math.nan}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bad_answer_is_found(name):
    class Wrong(Answers):
        answer = ANSWERS[name]

    assert not found(Wrong)[name].is_good


@pytest.mark.parametrize(
    ("measurement", "detail"),
    [
        (Measurement({}), "there is no metric"),
        (Measurement({"a": 1.0}, {"b": 1.0}), "standard errors without a metric: b"),
        (Measurement({"a": 1.0}, arrays={"z": np.zeros(2)}), "would replace the store's own"),
    ],
)
def test_names_are_checked(measurement, detail):
    class Wrong(Answers):
        answer = measurement

    assert detail in found(Wrong)["its names can stand in a store"].detail


def test_what_is_announced_must_be_measured():
    class Wrong(Answers):
        metrics = ("charge", "objective")
        answer = Measurement({"objective": 1.0})

    check = found(Wrong)["it measures what it says beforehand"]
    assert (check.is_good, check.detail) == (False, "missing: charge")


def test_what_cannot_be_made_or_pickled_is_found():
    def nothing():
        raise RuntimeError("the cable is out")

    pickled, made = check_evaluator(nothing, WAVE)
    assert not pickled.is_good
    assert "at a module's level" in pickled.detail
    assert made == Check("the constructor makes it", False, "RuntimeError: the cable is out")
    spec = EvaluatorSpec("ferrosim", {"preset": "banana"})
    assert not found(spec.make)["the constructor makes it"].is_good


class Unready(Answers):
    def prepare(self):
        raise RuntimeError("the cable is out")


class Incomplete:
    kind = "sometimes"


def test_an_evaluator_that_is_not_ready_or_not_whole_is_found():
    checks = found(Unready)
    assert checks["prepare sets it up"].detail == "RuntimeError: the cable is out"
    assert "measure returns a Measurement" not in checks
    checks = found(Incomplete)
    assert checks["it has prepare, measure and close"].detail == "missing: prepare, measure, close"
    assert checks["kind is pure or physical"].detail == "'sometimes'"
