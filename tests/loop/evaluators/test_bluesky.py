"""Devices with Bluesky's protocols: simulated ones of ophyd and ophyd-async, a flyer, and an EPICS controller on loopback."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bluesky")
pytest.importorskip("ophyd_async")

import beamline
from latentloop.loop.errors import ConfigError, EvaluatorError, UnknownOutcomeError
from latentloop.loop.evaluators.bluesky import BlueskyEvaluator
from latentloop.loop.evaluators.contract import check_evaluator, trajectory_for_check
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Signal
from latentloop.loop.store.campaign_store import CampaignStore

DATA = Path(__file__).resolve().parents[2] / "data"
WAVE = np.array([0.0, 0.5, 1.0, 0.0])
SIGNAL = Signal(np.arange(4.0), "V", "ms", ("E",))
FLYING = {
    "devices": "beamline:flying",
    "drive": ["generator"],
    "read": ["detector"],
    "metrics": {"objective": "detector", "top": "max response"},
}
STEPPING = {
    "devices": "beamline:ophyd_devices",
    "drive": ["x"],
    "read": ["gauss"],
    "metrics": {"objective": "max gauss", "end": "gauss"},
    "arrays": {"line": "gauss"},
    "rest": {"x": 0.0},
}
ASYNC = {"devices": "beamline:async_devices", "drive": ["motor"], "read": ["peak"], "metrics": {"objective": "mean peak-value"}}


@pytest.fixture
def evaluator():
    made = []

    def make(parameters, signal=SIGNAL, **more):
        made.append(BlueskyEvaluator(**{**parameters, **more}))
        if signal is not None:
            made[-1].accept_signal(signal)
        made[-1].prepare()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def forget():
    beamline.GENERATOR.log.clear()
    for axis in beamline.AXES.values():
        axis.visited.clear()


def test_a_waveform_is_prepared_flown_and_collected(evaluator):
    made = evaluator(FLYING, arrays={"response": "response"})
    found = made.measure(WAVE)
    assert found.metrics == {"objective": -np.mean((WAVE - 0.3) ** 2), "top": 2.0}
    np.testing.assert_array_equal(found.arrays["response"], 2 * WAVE)
    assert beamline.GENERATOR.log == ["check", "prepare", "kickoff", "complete", "collect"]


def test_axes_follow_a_trajectory_step_by_step(evaluator):
    found = evaluator(STEPPING).measure(WAVE)
    peak = np.exp(-((WAVE - 0.3) ** 2) / 2)
    np.testing.assert_allclose(found.arrays["line"], peak)
    assert found.metrics == {"objective": pytest.approx(peak.max()), "end": pytest.approx(peak[-1])}
    assert beamline.AXES["x"].visited == WAVE.tolist()


def test_two_channels_move_two_axes(evaluator):
    signal = Signal(SIGNAL.times, "", "ms", ("x", "y"))
    evaluator(STEPPING, signal, drive=["x", "y"]).measure(np.stack([WAVE, -WAVE], axis=1))
    assert beamline.AXES["y"].visited == (-WAVE).tolist()


def test_steps_are_taken_when_their_time_has_come(evaluator):
    made = evaluator(STEPPING, seconds_per_time_unit=0.1)
    begun = time.monotonic()
    made.measure(WAVE)
    assert time.monotonic() - begun >= 0.3


def test_parameters_are_set_at_once_and_read_once(evaluator):
    found = evaluator(STEPPING, drive=["x", "y"], mode="parameters").measure(np.array([0.3, 1.5]))
    assert found.metrics == {"objective": 1.0, "end": 1.0}
    assert (beamline.AXES["x"].visited, beamline.AXES["y"].visited) == ([0.3], [1.5])


def test_a_motor_of_ophyd_async_follows_a_trajectory(evaluator):
    assert evaluator(ASYNC).measure(WAVE).metrics == {"objective": pytest.approx(-np.mean((WAVE - 0.3) ** 2))}


@pytest.mark.parametrize("parameters", [FLYING, STEPPING, ASYNC], ids=["flyer", "ophyd", "ophyd-async"])
def test_what_a_device_refuses_is_not_begun(evaluator, parameters):
    made = evaluator(parameters)
    with pytest.raises(RuntimeError, match=r"nothing was fired: [\w-]+ refuses .*beyond"):
        made.measure(np.array([0.0, 0.5, 3.0, 0.0]))
    assert "kickoff" not in beamline.GENERATOR.log
    assert beamline.AXES["x"].visited in ([], [0.0])  # to rest
    assert made.measure(WAVE).metrics


def test_a_plan_that_takes_too_long_is_unknown_and_its_devices_are_stopped(evaluator):
    made = evaluator(FLYING, devices="beamline:slow_devices", timeout=0.5, metrics={"objective": "detector"})
    with pytest.raises(UnknownOutcomeError, match=r"did not end within 0\.5 s"):
        made.measure(WAVE)
    assert "stop" in made._known["generator"].log


def test_stop_ends_a_plan_under_way(evaluator):
    made = evaluator(FLYING, devices="beamline:slow_devices", metrics={"objective": "detector"})
    failed = []

    def measure():
        try:
            made.measure(WAVE)
        except RuntimeError as error:
            failed.append(error)

    thread = threading.Thread(target=measure)
    thread.start()
    while "kickoff" not in made._known["generator"].log:
        time.sleep(0.01)
    made.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert failed
    assert "stop" in made._known["generator"].log


def test_stop_and_close_bring_the_devices_to_rest(evaluator):
    made = evaluator(STEPPING)
    made.measure(np.array([0.0, 0.5, 1.0, 1.0]))
    made.stop()
    assert beamline.AXES["x"].position == 0.0
    assert beamline.AXES["x"].n_stops > 0


@pytest.mark.parametrize(
    ("parameters", "more", "sentence"),
    [
        (STEPPING, {"drive": ["nowhere"]}, "has no device 'nowhere'"),
        (STEPPING, {"drive": ["gauss"]}, "does not move"),
        (STEPPING, {"mode": "fly"}, "does not fly"),
        (STEPPING, {"drive": ["x", "y"]}, "the trajectories have 1 channels, and drive names 2"),
        (FLYING, {"read": ["generator"]}, "cannot be read"),
    ],
)
def test_devices_that_do_not_fit_are_refused_before_anything_moves(evaluator, parameters, more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        evaluator(parameters, **more)


def test_units_are_compared(evaluator):
    with pytest.raises(ConfigError, match="device 'motor' is in V, the trajectories are in kV"):
        evaluator(ASYNC, Signal(SIGNAL.times, "kV", "ms", ("E",)))


def test_what_makes_no_sense_is_refused(evaluator):
    for wrong, sentence in (
        ({"devices": "beamline"}, "must read module:attribute"),
        ({"metrics": {}}, "at least one"),
        ({"metrics": {"a": "median x"}}, "must be a key of the readings"),
        ({"timeout": 0.0}, "larger than 0"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            EvaluatorSpec("bluesky", {**STEPPING, **wrong}).make()
    with pytest.raises(EvaluatorError, match="cannot be made: KeyError"):
        evaluator(STEPPING, devices="beamline:epics_devices")
    with pytest.raises(EvaluatorError, match="must be a mapping of names to devices"):
        evaluator(STEPPING, devices="laboratory:NOT_CALLABLE")
    made = evaluator(STEPPING, metrics={"objective": "absent"})
    with pytest.raises(ValueError, match="there is no reading 'absent'; there are gauss"):
        made.measure(WAVE)
    with pytest.raises(ValueError, match="3 steps for 4 times"):
        made.measure(WAVE[:3])


def test_without_bluesky_the_way_to_it_is_said(evaluator, monkeypatch):
    monkeypatch.setitem(sys.modules, "bluesky.run_engine", None)  # what Python keeps of a module that is not there
    with pytest.raises(EvaluatorError, match=r"pip install 'latentloop\[lab\]'"):
        evaluator(STEPPING)


@pytest.mark.parametrize("parameters", [FLYING, STEPPING, ASYNC], ids=["flyer", "ophyd", "ophyd-async"])
@pytest.mark.parametrize("kind", ["pure", "physical"])
def test_bluesky_keeps_the_contract(parameters, kind):
    wave = trajectory_for_check(10, 1)
    checks = check_evaluator(EvaluatorSpec("bluesky", {**parameters, "kind": kind}).make, wave, Signal(np.arange(10.0), "V", "ms", ("E",)))
    assert [check for check in checks if not check.is_good] == []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def controller(tmp_path):
    """An EPICS controller on loopback, on ports of its own; returns the environment of its clients."""
    prefix = f"latentloop-{os.getpid()}:"
    environment = {
        **os.environ,
        "EPICS_CA_SERVER_PORT": str(free_port()),
        "EPICS_CA_REPEATER_PORT": str(free_port()),
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "OPHYD_CONTROL_LAYER": "caproto",
        "FILM_PREFIX": prefix,
        "PYTHONPATH": str(DATA),
    }
    with (tmp_path / "controller.log").open("w") as log:
        process = subprocess.Popen([sys.executable, DATA / "input_output_controller.py", prefix], env=environment, stdout=log, stderr=log)
        yield environment
        process.terminate()
        process.wait(10)


def test_a_campaign_drives_a_film_behind_an_epics_controller(controller, mapping, tmp_path):
    pytest.importorskip("caproto")
    parameters = {
        "devices": "beamline:epics_devices",
        "drive": ["field"],
        "read": ["answer"],
        "metrics": {"objective": "mean film_answer"},
        "rest": {"field": 0.0},
        "connect_seconds": 30.0,
    }
    bounds = {"amplitude": [-50, 50]}
    campaign = {**mapping(budget={"trials": 4}, safety={"bounds": bounds}), "evaluator": {"name": "bluesky", "parameters": parameters}}
    (tmp_path / "film.yaml").write_text(json.dumps(campaign))
    program = Path(sys.executable).with_name("latentloop")
    ran = subprocess.run(
        [program, "run", "film.yaml", "--store", "film"],
        cwd=tmp_path,
        env=controller,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr + (tmp_path / "controller.log").read_text()
    store = CampaignStore.open(tmp_path / "film")
    assert store.history.counts() == {"completed": 4}
    for trial in store.history.trials:
        assert trial.objective == pytest.approx(-np.mean((store.trajectory(trial) - 0.3) ** 2))
