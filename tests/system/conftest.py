"""Whole campaigns by the real program."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
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


CHROMIUM = shutil.which("chromium")
BROWSER_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync"
)


class Serving:
    """`latentloop serve` on a root of its own; it can be killed and started again at the same port."""

    def __init__(self, program, root, environment, *options):
        self.program, self.root, self.environment, self.options = program, root, environment, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [self.program, "serve", "--root", str(self.root), "--port", str(self.port), *self.options]
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=2):
                    return self
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert self.process.poll() is None, (self.root / "server.log").read_text()
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """Return a function that serves a new root, where evaluators of tests/data/laboratory.py are known as slow, pictures and eventful.

    The last one is an instrument: what became of its trials 1 and 2 nobody knows, and trial 3 reads 11. ``settings`` is the text of
    another server.yaml, ``arrays`` are files beside it.
    """
    running = []

    def serve(*options, settings=None, arrays=()):
        root = tmp_path_factory.mktemp("root")
        evaluators = {
            name: {"evaluator": {"name": "python", "parameters": {"target": f"laboratory:{name}"}}} for name in ("slow", "pictures")
        }
        evaluators["none"] = {"evaluator": {"name": "python", "parameters": {"target": "laboratory:none_such"}}}
        eventful = {"target": "laboratory:Eventful", "arguments": {"vanishing": [1, 2], "wild": [3], "wrong": 11.0}}
        evaluators["eventful"] = {"evaluator": {"name": "python", "parameters": eventful}}
        evaluators["ferrosim"] = {"evaluator": {"name": "ferrosim"}, "adjustable": ["*"]}
        (root / "server.yaml").write_text(settings or yaml.safe_dump({"evaluators": evaluators}))
        for name, values in dict(arrays).items():
            np.save(root / name, values)
        environment = {**os.environ, "PYTHONPATH": str(DATA), "OMP_NUM_THREADS": "1"}
        program = str(Path(sys.executable).with_name("latentloop"))
        running.append(Serving(program, root, environment, "--config", str(root / "server.yaml"), *options))
        return running[-1].start()

    yield serve
    for server in running:
        for campaign in server.root.glob("*/journal"):
            subprocess.run([server.program, "stop", str(campaign.parent)], capture_output=True, check=False, timeout=60)
        server.stop()


@pytest.fixture(scope="module")
def browser():
    """Return Debian's chromium, driven by Playwright."""
    if CHROMIUM is None:
        assert os.environ.get("LATENTLOOP_REQUIRE_BROWSER") != "1", "chromium is required here and is missing"
        pytest.skip("no chromium here; install Debian's package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture
def opened(browser):
    """Return a function that opens an address; whatever the console says fails the test, but for what is expected there."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    said = []
    expected = []

    def open_page(address):
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text} {message.location['url']}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.goto(address)
        return page

    open_page.expected, open_page.said = expected, said
    yield open_page
    context.close()
    loud = [text for text in said if not text.startswith(("verbose", "debug", "info"))]
    assert not [text for text in loud if not any(pattern.search(text) for pattern in expected)]
