"""Any program can measure, and none outlives its time."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.config import EvaluatorConfig
from latentloop.loop.errors import EvaluatorError, UnknownOutcomeError
from latentloop.loop.evaluators.command import CommandEvaluator
from latentloop.loop.executors.local import LocalExecutor
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Job, Signal
from latentloop.loop.run import run_campaign

DATA = Path(__file__).resolve().parents[2] / "data"
PROGRAM = [sys.executable, str(DATA / "program.py")]
WAVE = np.linspace(0, 1, 9)
SIGNAL = Signal(np.arange(9.0), "V", "ms", ("E",))


@pytest.fixture
def program():
    made = []

    def make(mood, *more, **parameters):
        evaluator = CommandEvaluator([*PROGRAM, mood, *more], **parameters)
        evaluator.accept_signal(SIGNAL)
        evaluator.prepare()
        made.append(evaluator)
        return evaluator

    yield make
    for evaluator in made:
        evaluator.close()


def is_alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(process, seconds=10):
    end = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(process)


def test_the_program_reads_the_trajectory_and_its_last_line_is_the_result(program):
    found = program("smooth").measure(WAVE)
    assert found.metrics == {"objective": -np.mean((WAVE - 0.3) ** 2)}
    np.testing.assert_array_equal(found.arrays["line"], WAVE[:5])
    assert program("number").measure(WAVE).metrics == found.metrics


def test_trial_times_and_standard_errors_pass_through(program):
    found = program("echo").measure_job(Job(17, WAVE, key="campaign-17"))
    assert (found.metrics["trial"], found.errors) == (17.0, {"objective": 0.5})
    np.testing.assert_array_equal(found.arrays["times"], SIGNAL.times)


def test_large_arrays_go_by_file_and_the_folder_is_gone_afterwards(program, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    values = np.random.default_rng(0).normal(size=(300, 2))
    evaluator = program("file", arrays="file")
    found = evaluator.measure(values[:, 0])
    np.testing.assert_array_equal(found.arrays["image"], np.outer(values[:, 0], values[:, 0]))
    assert list(tmp_path.iterdir()) == []
    assert program("large").measure(WAVE).arrays["image"].shape == (400, 400)


@pytest.mark.parametrize(
    ("mood", "error", "sentence"),
    [
        ("fails", RuntimeError, "ended with exit code 1: warming up / the film is broken"),
        ("dies", UnknownOutcomeError, "was ended by signal 9"),
        ("silent", ValueError, "answered nothing"),
        ("chatters", ValueError, "answered 'no JSON here', which is not JSON"),
    ],
)
def test_what_goes_wrong_says_so(program, mood, error, sentence):
    with pytest.raises(error, match=sentence):
        program(mood).measure(WAVE)


def test_at_the_timeout_the_whole_process_group_is_killed(program):
    begun = time.monotonic()
    with pytest.raises(UnknownOutcomeError, match=r"gave no result after 1 s and was killed.*: (\d+)$") as caught:
        program("hangs", timeout=1.0).measure(WAVE)
    assert time.monotonic() - begun < 8
    assert gone(int(str(caught.value).rpartition(" ")[2]))


def test_others_that_a_program_leaves_behind_are_killed_and_its_result_counts(program):
    begun = time.monotonic()
    found = program("leaves").measure(WAVE)
    assert time.monotonic() - begun < 8
    assert gone(int(found.metrics["child"]))


def test_a_flood_of_errors_is_read_and_not_kept(program, tmp_path):
    evaluator, failing = program("floods"), program("floods", str(tmp_path / "log"), "fails")
    tracemalloc.start()
    try:
        assert evaluator.measure(WAVE).metrics["objective"] < 0
        with pytest.raises(RuntimeError, match=r"ended with exit code 3: .*it is too hot$"):
            failing.measure(WAVE)
        assert tracemalloc.get_traced_memory()[1] < 4e6  # of 34 MB
    finally:
        tracemalloc.stop()


def test_a_program_that_never_stops_answering_is_killed(program, monkeypatch):
    monkeypatch.setattr("latentloop.loop.evaluators.command.LARGEST_ANSWER", 1_000_000)
    with pytest.raises(UnknownOutcomeError, match="answered more than 1 MB and was killed"):
        program("raves").measure(WAVE)


def test_the_exit_code_counts_also_of_a_program_that_closed_its_output_before(program):
    with pytest.raises(RuntimeError, match="ended with exit code 4"):
        program("closes").measure(WAVE)


def test_a_program_that_does_not_listen_to_all_of_a_large_trajectory_still_measures(tmp_path):
    script = tmp_path / "deaf.py"
    script.write_text("import sys\nsys.stdin.read(10)\nprint(1.5)\n")
    evaluator = CommandEvaluator([sys.executable, str(script)])
    assert evaluator.measure(np.linspace(0, 1, 200_000)).metrics == {"objective": 1.5}
    evaluator.close()


def test_when_the_timeout_of_the_evaluator_kills_the_worker_its_program_dies_too(tmp_path):
    log = tmp_path / "log"
    spec = EvaluatorSpec("command", {"command": [*PROGRAM, "waits", str(log)]}, timeout=2.0)
    executor = LocalExecutor(spec)
    executor.submit([Job(0, WAVE)])
    (outcome,) = executor.wait(30)
    assert outcome.result.is_unknown
    assert gone(int(log.read_text().split()[1]))
    executor.close()


def test_when_the_whole_driver_is_killed_the_program_dies_too(tmp_path):
    log = tmp_path / "log"
    code = (
        "import numpy as np\n"
        "from latentloop.loop.evaluators.command import CommandEvaluator\n"
        f"evaluator = CommandEvaluator({[*PROGRAM, 'waits', str(log)]!r})\n"
        "evaluator.prepare()\n"
        "evaluator.measure(np.zeros(5))\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 30
    while not (log.exists() and log.read_text().endswith("\n")) and time.monotonic() < end:
        time.sleep(0.02)
    process = int(log.read_text().split()[1])
    assert is_alive(process)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert gone(process)


def test_what_cannot_run_is_said_before_the_campaign_begins(tmp_path):
    with pytest.raises(EvaluatorError, match="there is no program banana-9"):
        CommandEvaluator(["banana-9"]).prepare()
    with pytest.raises(EvaluatorError, match="there is no folder"):
        CommandEvaluator(PROGRAM, cwd=str(tmp_path / "x")).prepare()
    with pytest.raises(ValueError, match="command must name a program"):
        CommandEvaluator([])
    with pytest.raises(ValueError, match="timeout must be larger than 0"):
        CommandEvaluator(PROGRAM, timeout=0)


def test_a_program_beside_the_campaign_is_found_in_its_folder(tmp_path):
    script = tmp_path / "bench"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {DATA / 'program.py'} number\n")
    script.chmod(0o755)
    evaluator = CommandEvaluator(["./bench"], cwd=str(tmp_path))
    evaluator.prepare()
    assert evaluator.measure(WAVE).metrics == {"objective": -np.mean((WAVE - 0.3) ** 2)}
    evaluator.close()


def test_a_campaign_runs_a_program_once_for_each_trial(config, tmp_path):
    log = tmp_path / "log"
    chosen = EvaluatorConfig(name="command", parameters={"command": [*PROGRAM, "smooth", str(log)]})
    made = config().model_copy(update={"evaluator": chosen})
    history = run_campaign(made, tmp_path / "x")
    assert history.counts() == {"completed": 6}
    keys = [line.split()[0] for line in log.read_text().splitlines()]
    assert [key.rpartition("-")[0] for key in keys] == [f"{history.identity}-{number}" for number in range(6)]
