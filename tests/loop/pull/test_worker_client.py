"""The instrument's client, copied alone onto a computer with nothing but Python: killed, cut off, raced and stopped."""

import ast
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.config import SafetyConfig
from latentloop.loop.pull import worker_client
from latentloop.loop.pull.queue import PullQueue
from latentloop.loop.pull.server import PullServer
from latentloop.loop.records import Signal
from latentloop.loop.safety import Envelope

TOKEN = "correct-horse"
CLIENT = Path(worker_client.__file__)

BENCH = """
import os, sys, time

class Bench:
    def __init__(self, gain=1.0, seconds=0.0):
        self.gain, self.seconds = gain, seconds
        self.is_stopped = False
    def note(self, text):
        with open("log", "a") as file:
            file.write(text + "\\n")
    def prepare(self):
        self.note("prepare")
    def measure(self, trajectory):
        self.note(f"fire {trajectory[0]}")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not self.is_stopped:
            time.sleep(0.01)
        if trajectory[1] == 13.0:
            raise RuntimeError("the sample is gone")
        return {"objective": self.gain * sum(trajectory), "line": trajectory, "lost": float("nan")}
    def stop(self):
        self.is_stopped = True
        self.note("stop")
    def close(self):
        self.note("close")

def plain(trajectory):
    assert "numpy" not in sys.modules
    return sum(trajectory)
"""


def document(trial, *values):
    return {"trial": trial, "key": f"campaign-{trial}-abc", "trajectory": [float(trial), *(values or (0.5, 0.0))], "times": [0.0, 1.0, 2.0]}


def until(found, seconds=20.0):
    end = time.monotonic() + seconds
    while not (what := found()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return what


class Laboratory:
    """A queue, its server, and an instrument's computer: a folder with the client, the bench and a token."""

    def __init__(self, folder):
        self.queue = PullQueue(folder / "pull")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.listen = f"127.0.0.1:{free.getsockname()[1]}"
        self.server = None
        self.processes = []
        self.computer = folder / "computer"
        self.computer.mkdir()
        shutil.copy(CLIENT, self.computer / "client.py")
        (self.computer / "my_bench.py").write_text(BENCH)
        (self.computer / "token").write_text(TOKEN + "\n")

    def up(self):
        self.server = PullServer(self.queue, "film", self.listen, TOKEN)

    def down(self):
        self.server.close()
        self.server = None

    def client(self, *options, evaluator="my_bench:Bench"):
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "client.py", f"http://{self.listen}", "--evaluator", evaluator, "--token-file", "token", *options],
            cwd=self.computer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def log(self):
        path = self.computer / "log"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def fired(self):
        return [line for line in self.log() if line.startswith("fire")]

    def offer(self, trial, *values, seconds=60.0, **more):
        self.queue.offer({**document(trial, *values), **more}, seconds)

    def state(self, trial):
        return self.queue.look(document(trial)["key"]).state

    def result(self, trial):
        return self.queue.look(document(trial)["key"]).result

    def finished(self, trial):
        def found():
            self.queue.keep(document(trial)["key"])
            return self.result(trial)

        return until(found)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        if self.server is not None:
            self.server.close()


@pytest.fixture
def laboratory(tmp_path):
    made = Laboratory(tmp_path)
    yield made
    made.close()


def test_the_client_is_one_file_for_old_interpreters_without_anything_installed():
    tree = ast.parse(CLIENT.read_text(), feature_version=(3, 9))
    imported = {name.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported - {"numpy"} <= set(sys.stdlib_module_names)


def test_copied_alone_it_measures_and_ends(laboratory):
    laboratory.up()
    for trial in (1, 2):
        laboratory.offer(trial)
    laboratory.offer(3, 13.0, 0.0)
    process = laboratory.client("--name", "bench 3", "--set", "gain=2", "--trials", "3")
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 0, said
    assert laboratory.result(1)["metrics"] == {"objective": 3.0, "lost": None}
    assert laboratory.result(1)["arrays"] == {"line": [1.0, 0.5, 0.0]}
    assert laboratory.result(3)["failure"] == "RuntimeError: the sample is gone"
    assert laboratory.queue.look(document(2)["key"]).instrument == "bench 3"
    assert laboratory.log() == ["prepare", "fire 1.0", "fire 2.0", "fire 3.0", "stop", "close"]
    laboratory.offer(4)
    assert laboratory.client("--trials", "1", evaluator="my_bench:plain").wait(30) == 0
    assert laboratory.result(4)["metrics"] == {"objective": 4.5}


def test_the_command_line_is_the_same_client(laboratory):
    laboratory.up()
    laboratory.offer(1)
    program = Path(sys.executable).with_name("latentloop")
    command = [program, "worker", f"http://{laboratory.listen}", "--evaluator", "my_bench:Bench", "--token-file", "token"]
    ran = subprocess.run(
        [*command, "--name", "bench 3", "--set", "gain=2", "--trials", "1"],
        cwd=laboratory.computer,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert laboratory.result(1)["metrics"]["objective"] == 3.0
    assert laboratory.queue.look(document(1)["key"]).instrument == "bench 3"
    assert (laboratory.computer / "latentloop-worker-bench-3" / "fired" / document(1)["key"]).exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--evaluator", "my_bench"], "must read module:attribute"),
        (["--evaluator", "absent:Bench"], "No module named 'absent'"),
        (["--evaluator", "my_bench:Nothing"], "has no attribute 'Nothing'"),
        (["--evaluator", "my_bench:time"], "must be a function of a trajectory"),
        (["--set", "gain"], "must read key=value"),
        (["--token-file", "absent"], "cannot read the token"),
        (["--campaign", "other"], "there is no campaign 'other'"),
    ],
)
def test_what_cannot_be_is_said(laboratory, options, sentence):
    laboratory.up()
    process = laboratory.client(*options)
    assert sentence in process.communicate(timeout=30)[0]
    assert process.returncode != 0
    assert laboratory.fired() == []


def test_killed_while_it_measures_it_never_fires_that_trial_again(laboratory):
    laboratory.up()
    laboratory.offer(1, seconds=1.0)
    process = laboratory.client("--set", "seconds=60")
    until(laboratory.fired)
    process.kill()
    process.wait()
    time.sleep(1.2)
    laboratory.offer(1)
    laboratory.offer(2)
    assert laboratory.client("--trials", "1").wait(30) == 0
    assert laboratory.fired() == ["fire 1.0", "fire 2.0"]
    assert (laboratory.state(1), laboratory.state(2)) == ("started", "finished")


def test_a_key_that_has_fired_here_is_not_fired_again_even_when_the_server_says_so(laboratory, tmp_path):
    laboratory.up()
    laboratory.offer(1)
    assert laboratory.client("--trials", "1").wait(30) == 0
    shutil.rmtree(laboratory.queue.folder)  # a store brought back from a backup of the time before
    laboratory.offer(1)
    laboratory.offer(2)
    assert laboratory.client("--trials", "1").wait(30) == 0
    assert laboratory.fired() == ["fire 1.0", "fire 2.0"]
    assert laboratory.result(1)["is_unknown"]


def test_a_result_is_kept_while_the_network_is_away_and_sent_by_the_next_client(laboratory):
    laboratory.up()
    laboratory.offer(1)
    process = laboratory.client("--set", "seconds=1")
    until(laboratory.fired)
    laboratory.down()
    unsent = laboratory.computer / f"latentloop-worker-{socket.gethostname()}" / "unsent"
    until(lambda: list(unsent.glob("*.json")))
    process.kill()
    process.wait()
    assert json.loads(next(unsent.iterdir()).read_text())["metrics"]["objective"] == 1.5
    laboratory.up()
    laboratory.client()
    assert laboratory.finished(1)["metrics"]["objective"] == 1.5
    until(lambda: not list(unsent.iterdir()))
    assert laboratory.fired() == ["fire 1.0"]


def test_a_client_outlives_a_server_that_comes_and_goes(laboratory):
    laboratory.client()
    time.sleep(0.5)
    laboratory.up()
    laboratory.offer(1)
    laboratory.finished(1)
    laboratory.down()
    time.sleep(0.5)
    laboratory.up()
    laboratory.offer(2)
    laboratory.finished(2)
    assert laboratory.fired() == ["fire 1.0", "fire 2.0"]


def test_two_clients_that_race_fire_each_trial_once(laboratory):
    laboratory.up()
    for trial in range(20):
        laboratory.offer(trial)
    clients = [laboratory.client("--name", name, "--set", "seconds=0.02") for name in ("a", "b")]
    for trial in range(20):
        laboratory.finished(trial)
    assert all(client.poll() is None for client in clients)
    assert sorted(laboratory.fired()) == sorted(f"fire {float(trial)}" for trial in range(20))
    assert {laboratory.queue.look(document(trial)["key"]).instrument for trial in range(20)} == {"a", "b"}


def test_heartbeats_keep_a_long_measurement_alive_and_bring_the_stop(laboratory):
    laboratory.up()
    laboratory.offer(1, seconds=0.8)
    laboratory.client("--set", "seconds=60")
    until(laboratory.fired)
    key = document(1)["key"]
    time.sleep(2.0)
    assert laboratory.queue.look(key).expires_at > time.time()
    laboratory.queue.ask_to_stop(key)
    assert laboratory.finished(1)["metrics"]["objective"] == 1.5
    assert "stop" in laboratory.log()


def test_ctrl_c_awaits_the_measurement_and_a_second_one_does_not(laboratory):
    laboratory.up()
    laboratory.offer(1)
    process = laboratory.client("--set", "seconds=1")
    until(laboratory.fired)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert laboratory.result(1)["metrics"]["objective"] == 1.5
    laboratory.offer(2)
    process = laboratory.client("--set", "seconds=60")
    until(lambda: len(laboratory.fired()) == 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert laboratory.result(2) == {
        "metrics": None,
        "errors": {},
        "arrays": {},
        "failure": "stopped at once at the instrument",
        "is_unknown": True,
    }
    process = laboratory.client()
    until(lambda: laboratory.log().count("prepare") == 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert laboratory.log()[-2:] == ["stop", "close"]


SIGNAL = Signal(times=np.array([0.0, 1.0, 3.0]), unit="V", time_unit="ms", channels=("E",))


@pytest.mark.parametrize(
    ("bounds", "trajectory", "figure"),
    [
        ({"amplitude": [-1.0, 1.0]}, [0.0, 1.1, 0.0], "value of channel E is 1.1"),
        ({"amplitude": [-1.0, 2.0]}, [0.0, -1.1, 0.0], "negative value of channel E is 1.1"),
        ({"slew_rate": 1.0}, [0.0, 1.5, 0.0], "slew rate of channel E is 1.5"),
        ({"curvature": 1.0}, [0.0, 1.5, 0.0], "curvature of channel E is 1.5"),
        ({"mean_power": 0.5}, [0.0, 1.5, 0.0], "mean power of channel E is 0.75"),
        ({"dose": 2.0}, [0.0, 1.5, 0.0], "dose of channel E is 2.25"),
        ({"start_tolerance": 0.0}, [0.1, 1.0, 0.0], "first value of channel E is 0.1"),
        ({"end_tolerance": 0.1}, [0.0, 1.0, -0.2], "last value of channel E is 0.2"),
        ({"amplitude": [-1.0, 1.0]}, [0.0, float("nan"), 0.0], "not finite"),
    ],
)
def test_the_client_itself_keeps_to_the_envelope(bounds, trajectory, figure):
    envelope = Envelope.from_config(SafetyConfig.model_validate({"bounds": bounds}), SIGNAL)
    trial = {"trajectory": trajectory, "times": SIGNAL.times.tolist(), "envelope": worker_client_document(envelope)}
    assert figure in worker_client.violation(trial)
    if np.isfinite(trajectory).all():
        assert envelope.check(np.array(trajectory), SIGNAL.times) is not None
    good = {**trial, "trajectory": [0.0, 0.4, 0.0]}
    assert worker_client.violation(good) == ""
    assert envelope.check(np.array(good["trajectory"]), SIGNAL.times) is None


def worker_client_document(envelope):
    """Return an envelope as it arrives: through JSON."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(envelope)))


def test_a_trial_outside_its_envelope_is_not_fired_by_the_client(laboratory):
    laboratory.up()
    envelope = {"channels": ["E"], "bounds": [{"amplitude": [-1.0, 1.0]}]}
    laboratory.offer(1, 5.0, 0.0, envelope=envelope)
    laboratory.offer(2, envelope={"channels": ["E"], "bounds": [{"amplitude": [-3.0, 3.0]}]})
    assert laboratory.client("--trials", "1").wait(30) == 0
    assert "above the bound 1 of its safety envelope" in laboratory.result(1)["failure"]
    assert laboratory.fired() == ["fire 2.0"]


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(3))
def test_killed_at_random_moments_again_and_again_no_trial_fires_twice(laboratory, round_):
    import random

    generator = random.Random(round_)
    laboratory.up()
    for trial in range(30):
        laboratory.offer(trial, seconds=1.0)
    for _ in range(12):
        process = laboratory.client("--set", "seconds=0.03")
        time.sleep(generator.uniform(0.15, 0.6))
        process.kill()
        process.wait()
        for trial in range(30):
            laboratory.queue.keep(document(trial)["key"])
    fired = laboratory.fired()
    assert fired
    assert len(fired) == len(set(fired))
