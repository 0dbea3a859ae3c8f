"""Real servers: `latentloop serve` in a process of its own, at a free port, with a laboratory of evaluators."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from latentloop.client import Client
from latentloop.loop.config import config_from_mapping
from latentloop.loop.run import run_campaign
from latentloop.loop.service.tokens import TokenFile

DATA = Path(__file__).resolve().parents[2] / "data"
if str(DATA) not in sys.path:
    sys.path.append(str(DATA))  # `laboratory` lies there

REDUCED = {
    "trajectories": {
        "family": {"name": "damped_sinusoid", "parameters": {"n_steps": 20, "n_times": 40}},
        "n": 40,
        "unit": "V",
        "channels": ["E"],
    },
    "latent": {"model": {"name": "pca", "parameters": {"n_latent": 2}}},
    "evaluator": "smooth",
    "optimizer": {"acquisition": "random", "n_initial": 3},
    "budget": {"trials": 6},
}
SETTINGS = {
    "evaluators": {
        name: {"evaluator": {"name": "python", "parameters": {"target": f"laboratory:{name}"}}} for name in ("smooth", "slow", "pictures")
    }
    | {
        "simulator": {"evaluator": {"name": "ferrosim", "parameters": {"preset": "small"}}, "adjustable": ["*"]},
        "chamber": {"evaluator": {"name": "python", "parameters": {"target": "laboratory:slow", "kind": "physical"}}},
        "bench": {"evaluator": {"name": "pull", "parameters": {}}},
    },
    "limits": {"campaigns": 40, "running": 6, "requests_per_second": 1000, "burst": 2000, "body_bytes": 20_000, "body_seconds": 2.0},
}


def full(**changes):
    """Return a whole configuration for the command line."""
    sections = {**REDUCED, "name": "small", "seed": 3, "evaluator": {"name": "python", "parameters": {"target": "laboratory:smooth"}}}
    return config_from_mapping({**sections, **changes})


class RealServer:
    """A server in a process of its own."""

    def __init__(self, root, settings=None, *options, has_authentication=True):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.log = self.root.parent / f"{self.root.name}.log"
        config = self.root.parent / f"{self.root.name}.yaml"
        config.write_text(yaml.safe_dump({**SETTINGS, **(settings or {})}))
        self.options = ["--config", str(config), *options, *([] if has_authentication else ["--no-auth"])]
        self.tokens = TokenFile(self.root)
        self.has_authentication = has_authentication
        self.process = None
        self.port = 0
        self._made = {}

    def start(self):
        environment = {**os.environ, "PYTHONPATH": str(DATA), "OMP_NUM_THREADS": "1"}
        environment.pop("LABORATORY_LOG", None)
        program = Path(sys.executable).with_name("latentloop")
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            arguments = [program, "serve", "--root", self.root, "--port", str(self.port), *self.options]
            self.process = subprocess.Popen(list(map(str, arguments)), stdout=log, stderr=subprocess.STDOUT, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            said = self.log.read_bytes()[before:].decode()
            found = re.search(r"serves .* at http://127\.0\.0\.1:(\d+)", said)
            if found and "startup complete" in said:
                self.port = int(found[1])
                return self
            assert self.process.poll() is None, said
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def token(self, role="admin", campaigns=None):
        key = (role, None if campaigns is None else tuple(campaigns))
        if key not in self._made:
            self._made[key] = self.tokens.create(f"a {role}", role, campaigns)
        return self._made[key]

    def client(self, role="admin", campaigns=None):
        return Client(self.url, self.token(role, campaigns) if self.has_authentication else None, timeout=30)

    def headers(self, role="admin", campaigns=None):
        return {"Authorization": f"Bearer {self.token(role, campaigns)}"}

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """Stop it as people do; return how long that took."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return time.monotonic() - start

    def end_drivers(self):
        """End the campaigns' processes, which outlive the server."""
        for record in (self.root / ".latentloop" / "launches").glob("*.json"):
            process = yaml.safe_load(record.read_text())["process"]
            command = Path(f"/proc/{process}/cmdline")
            if command.exists() and str(self.root) in command.read_text():
                os.kill(process, signal.SIGKILL)


def until(condition, seconds=30.0, pause=0.05):
    """Wait for a condition and return what it gives; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(pause)


@pytest.fixture(scope="session")
def wait_until():
    return until


@pytest.fixture(scope="session")
def reduced():
    return REDUCED


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with two finished campaigns, `first` and `second`, for tests that change neither."""
    root = tmp_path_factory.mktemp("service") / "root"
    root.mkdir()
    run_campaign(full(), root / "first")
    run_campaign(full(seed=4, budget={"trials": 4}), root / "second")
    made = RealServer(root).start()
    yield made
    made.stop()
    made.end_drivers()


@pytest.fixture
def new_server(tmp_path):
    """Return a function that starts a server of the test's own."""
    made = []

    def make(settings=None, *options, **more):
        server = RealServer(tmp_path / "root", settings, *options, **more).start()
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process.poll() is None:
            server.stop()
        server.end_drivers()


@pytest.fixture(scope="session")
def make_campaign():
    """Return a function that runs a small campaign in this process."""

    def make(store, **changes):
        return run_campaign(full(**changes), store)

    return make
