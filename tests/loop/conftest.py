"""A small campaign that takes a tenth of a second, and a laboratory of evaluators."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from latentloop.loop.config import config_from_mapping
from latentloop.models.threads import set_threads

set_threads(1)

DATA = Path(__file__).resolve().parents[1] / "data"
if str(DATA) not in sys.path:
    sys.path.append(str(DATA))  # `laboratory` lies there


def merged(base, changes):
    """Return a mapping with nested changes."""
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


BASE = {
    "name": "small",
    "seed": 3,
    "trajectories": {
        "family": {"name": "damped_sinusoid", "parameters": {"n_steps": 20, "n_times": 40}},
        "n": 40,
        "unit": "V",
        "channels": ["E"],
    },
    "latent": {"model": {"name": "pca", "parameters": {"n_latent": 2}}},
    "evaluator": {"name": "python", "parameters": {"target": "laboratory:smooth"}},
    "optimizer": {"acquisition": "random", "n_initial": 3},
    "budget": {"trials": 6},
    "executor": {"name": "local", "workers": 1},
}


@pytest.fixture
def mapping():
    """Return the small campaign as a raw mapping, with changes."""

    def make(**changes):
        return merged(BASE, changes)

    return make


@pytest.fixture
def config(mapping):
    """Return the small campaign as a configuration, with changes."""

    def make(**changes):
        return config_from_mapping(mapping(**changes))

    return make


@pytest.fixture
def target():
    """Return the section of an evaluator of the laboratory."""

    def make(function, **more):
        return {"evaluator": {"name": "python", "parameters": {"target": f"laboratory:{function}"}, **more}}

    return make


@pytest.fixture(scope="session")
def command():
    """Return the command line's program, and the environment to run it in."""
    program = Path(sys.executable).with_name("latentloop")
    environment = {**os.environ, "PYTHONPATH": str(DATA), "COLUMNS": "200"}
    environment.pop("LABORATORY_LOG", None)
    return program, environment


@pytest.fixture(scope="session")
def ray_cluster():
    """Start one Ray for all tests that need it: starting it takes longer than all they do."""
    os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"})
    import ray

    ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_server():
    """Start an S3 server on loopback; return the environment that leads to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).with_name("moto_server")
    with subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{url}/moto-api/").close()
                    break
                except OSError:
                    time.sleep(0.1)
            urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")).close()
            yield {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        finally:
            server.kill()


@pytest.fixture
def s3(s3_server, monkeypatch, request):
    """Return the URL of an empty prefix on object storage; the environment leads there."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{abs(hash(request.node.nodeid)):x}/campaign"
