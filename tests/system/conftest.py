"""Whole campaigns by the real program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "PYTHONPATH": str(DATA), "LABORATORY_LOG": str(tmp_path / "log")}


@pytest.fixture
def program():
    return str(Path(sys.executable).with_name("latentloop"))


@pytest.fixture
def call(program, environment, tmp_path):
    """Return a function that runs the program to its end."""

    def run(*arguments, code=0):
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=180, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def campaign(tmp_path):
    """Return a function that writes a small campaign and returns the file's name."""

    def write(trials, executor="local", workers=1, acquisition="random", model=None):
        data = {
            "name": "killed",
            "seed": 5,
            "trajectories": {"family": {"name": "damped_sinusoid", "parameters": {"n_steps": 20, "n_times": 40}}, "n": 40},
            "latent": {"model": model or {"name": "pca", "parameters": {"n_latent": 2}}},
            "evaluator": {"name": "python", "parameters": {"target": "laboratory:counted"}},
            "optimizer": {"acquisition": acquisition, "n_initial": 4},
            "budget": {"trials": trials},
            "executor": {"name": executor, "workers": workers},
        }
        (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(data))
        return "campaign.yaml"

    return write
