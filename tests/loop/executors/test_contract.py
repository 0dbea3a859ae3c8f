"""One suite for all executors: here, in a child process, on Ray."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.errors import ConfigError, EvaluatorError
from latentloop.loop.executors.local import LocalExecutor
from latentloop.loop.executors.ray import RayExecutor
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Failure, Job, Measurement

DATA = str(Path(__file__).resolve().parents[2] / "data")
KINDS = ["local", "child", "ray"]
KILLABLE = ["child", "ray"]


def spec(function, timeout=None, keep_arrays=True):
    return EvaluatorSpec("python", {"target": f"laboratory:{function}"}, timeout, keep_arrays=keep_arrays, search_path=(DATA,))


@pytest.fixture(scope="module")
def kept():
    """Executors on Ray that several tests share: starting a worker there takes a second or two."""
    made = {}
    yield made
    for executor in made.values():
        executor.close()


@pytest.fixture
def executor(request, kept):
    """Return a function that starts an executor of a kind; those that are not kept are closed at the end."""
    started = []

    def start(kind, function, timeout=None, n_workers=1, **more):
        if kind != "ray":
            made = LocalExecutor(spec(function, timeout or 30.0 if kind == "child" else None, **more), n_workers=n_workers)
            started.append(made)
            return made
        request.getfixturevalue("ray_cluster")
        is_kept = timeout is None and function in ("smooth", "temperamental")
        if is_kept and function in kept:
            return kept[function]
        made = RayExecutor(spec(function, timeout, **more), n_workers=n_workers)
        if is_kept:
            kept[function] = made
        else:
            started.append(made)
        return made

    yield start
    for made in started:
        made.close()


def maker(kind, request):
    """Return the class of a kind of executor; for Ray, with a running cluster."""
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
        return RayExecutor
    return LocalExecutor


def moods(*codes):
    return [Job(number, np.array([float(code), 0.1, 0.2, 0.3])) for number, code in enumerate(codes)]


def collect(executor, n, seconds=60):
    """Return n outcomes by the number of their trial."""
    found = {}
    end = time.monotonic() + seconds
    while len(found) < n and time.monotonic() < end:
        for outcome in executor.wait(0.2):
            assert outcome.trial not in found
            found[outcome.trial] = outcome
    assert len(found) == n, f"{len(found)} of {n} outcomes after {seconds} s"
    assert executor.wait(0.0) == []
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_job_comes_back_once_with_its_measurement(executor, kind):
    import laboratory

    made = executor(kind, "pictures")
    jobs = [Job(number, np.linspace(0, number, 9)) for number in range(7)]
    for job in jobs[:5]:
        made.submit([job])
    made.submit(jobs[5:])
    found = collect(made, 7)
    for job in jobs:
        result = found[job.trial].result
        expected = laboratory.pictures(job.trajectory)
        assert result.metrics == {"objective": expected["objective"], "end": expected["end"]}
        np.testing.assert_array_equal(result.arrays["image"], expected["image"])
        np.testing.assert_array_equal(result.arrays["line"], expected["line"])
        assert found[job.trial].seconds >= 0
        assert found[job.trial].worker


@pytest.mark.parametrize("kind", ["local", "child"])
def test_arrays_stay_on_the_worker_when_only_numbers_are_wanted(executor, kind):
    made = executor(kind, "pictures", keep_arrays=False)
    made.submit([Job(0, np.linspace(0, 1, 9))])
    assert collect(made, 1)[0].result.arrays == {}


@pytest.mark.parametrize("kind", KINDS)
def test_trajectories_of_several_channels_keep_their_shape(executor, kind):
    made = executor(kind, "smooth")
    values = np.arange(24.0).reshape(3, 4, 2)
    made.submit([Job(number, trajectory) for number, trajectory in enumerate(values)])
    found = collect(made, 3)
    assert [found[number].result.metrics["objective"] for number in range(3)] == [-np.mean((row - 0.3) ** 2) for row in values]


BAD = {
    1: "RuntimeError: the sample is gone",
    2: "returned 'thirty'; a number",
    3: "returned an array of shape (2, 2)",
    6: "SystemExit: good bye",
    9: "an array named 'z' would replace the store's own",
    10: "the name 'a/b' cannot stand in the store",
    11: "complex",
    12: "returned None; a number",
    14: "CancelledError: somebody else's task",
    15: "no file \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2Jxxx",
    16: "UnsayableError: it cannot be shown: ValueError",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_wrong_in_an_evaluator_is_a_failure_with_its_reason_and_the_next_job_runs(executor, kind):
    made = executor(kind, "temperamental")
    codes = [code for bad in BAD for code in (bad, 0)]
    made.submit(moods(*codes))
    found = collect(made, len(codes))
    for number, code in enumerate(codes):
        result = found[number].result
        if code:
            assert isinstance(result, Failure)
            assert BAD[code] in result.reason
            assert len(result.reason) < 3000
            assert not result.is_unknown
        else:
            assert isinstance(result, Measurement)


@pytest.mark.parametrize("kind", KINDS)
def test_readings_that_are_not_finite_come_back_as_they_are(executor, kind):
    made = executor(kind, "temperamental")
    made.submit(moods(-1, -2, -3, -4))
    values = [collect_value.result.metrics["objective"] for _, collect_value in sorted(collect(made, 4).items())]
    assert np.isnan(values[0])
    assert values[1:] == [np.inf, 1e300, -np.inf]


@pytest.mark.parametrize("kind", KILLABLE)
def test_an_evaluator_that_ends_its_process_is_replaced(executor, kind):
    made = executor(kind, "temperamental")
    for job in moods(7, 0, 7, 0):
        made.submit([job])
    found = collect(made, 4)
    for number in (0, 2):
        assert isinstance(found[number].result, Failure)
        assert found[number].result.is_unknown
        assert "exit code 3" in found[number].result.reason or "worker was lost" in found[number].result.reason
    for number in (1, 3):
        assert isinstance(found[number].result, Measurement)


@pytest.mark.parametrize("kind", KILLABLE)
def test_an_evaluator_that_never_returns_is_given_up_after_its_timeout_and_replaced(executor, kind):
    made = executor(kind, "temperamental", timeout=1.0)
    start = time.monotonic()
    for job in moods(8, 0):
        made.submit([job])
    found = collect(made, 2)
    assert 1.0 <= time.monotonic() - start < 20
    assert found[0].result.is_unknown
    assert "no result after 1 s" in found[0].result.reason
    assert isinstance(found[1].result, Measurement)
    made.submit([Job(2, np.zeros(4))])
    assert isinstance(collect(made, 1)[2].result, Measurement)


@pytest.mark.parametrize("kind", KILLABLE)
def test_a_timeout_holds_for_one_measurement_and_not_for_a_batch(executor, kind):
    made = executor(kind, "slow", timeout=0.6)
    made.submit([Job(number, np.zeros(4)) for number in range(16)])
    assert all(isinstance(outcome.result, Measurement) for outcome in collect(made, 16).values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_evaluator_prints_does_not_disturb(executor, kind):
    made = executor(kind, "temperamental")
    made.submit(moods(13, 13, 0))
    assert all(isinstance(outcome.result, Measurement) for outcome in collect(made, 3).values())


@pytest.mark.parametrize(
    ("kind", "function", "words"),
    [
        *((kind, "nowhere", "no attribute 'nowhere'") for kind in KINDS),
        ("local", "NOT_CALLABLE", "is a int; it must be a function"),
        ("child", "Bench.nothing", "no attribute 'nothing'"),
    ],
)
def test_an_evaluator_that_cannot_be_prepared_is_an_error_at_once(executor, kind, function, words):
    with pytest.raises(EvaluatorError, match=words):
        executor(kind, function)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_module_is_an_error_at_once(request, kind):
    bad = EvaluatorSpec("python", {"target": "no_such_module:f"}, 5.0 if kind == "child" else None)
    make = maker(kind, request)
    with pytest.raises(EvaluatorError, match="No module named 'no_such_module'"):
        make(bad, n_workers=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_parameter_is_a_configuration_error(request, kind):
    bad = EvaluatorSpec("ferrosim", {"banana": 1}, 5.0 if kind == "child" else None)
    make = maker(kind, request)
    with pytest.raises(ConfigError, match="no parameter 'banana'"):
        make(bad, n_workers=1)


@pytest.mark.parametrize("kind", ["local", "child"])
def test_an_attribute_of_an_attribute_is_reached_with_dots(executor, kind):
    made = executor(kind, "Bench.measure")
    made.submit(moods(0))
    assert isinstance(collect(made, 1)[0].result, Measurement)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_a_simulator_equal_its_single_runs(executor, request, kind):
    chosen = EvaluatorSpec("ferrosim", {"preset": "small", "hold_steps": 5}, 30.0 if kind == "child" else None)
    made = RayExecutor(chosen, n_workers=1) if kind == "ray" and request.getfixturevalue("ray_cluster") else LocalExecutor(chosen)
    try:
        trajectories = np.random.default_rng(0).normal(0, 0.3, (5, 40))
        made.submit([Job(number, trajectory) for number, trajectory in enumerate(trajectories)])
        together = collect(made, 5)
        for number, trajectory in enumerate(trajectories):
            made.submit([Job(number, trajectory)])
        apart = collect(made, 5)
        for number in range(5):
            assert together[number].result.metrics == apart[number].result.metrics
            np.testing.assert_array_equal(together[number].result.arrays["polarization"], apart[number].result.arrays["polarization"])
    finally:
        made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_task_tells_its_progress_and_gives_its_result(executor, kind):
    made = executor(kind, "smooth")
    told = []
    from laboratory import count_up

    process = made.run(count_up, 3, progress=lambda *facts: told.append(facts))
    assert (process == os.getpid()) == (kind != "ray")
    assert told[-1] == (3, 3, 2.0)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert len({done for done, _, _ in told}) >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_a_long_task_comes_back_as_itself(executor, kind):
    from laboratory import fail

    made = executor(kind, "smooth")
    with pytest.raises(ConfigError, match="n_latent is 30"):
        made.run(fail, "n_latent is 30")
    with pytest.raises(ConfigError, match="again"):
        made.run(fail, "again")


@pytest.mark.parametrize("kind", KINDS)
def test_closing_twice_is_no_harm_and_ends_the_processes(executor, kind):
    made = executor(kind, "process")
    made.submit(moods(0))
    process = int(collect(made, 1)[0].result.metrics["process"])
    made.close()
    made.close()
    if kind == "local":
        assert process == os.getpid()
        return
    end = time.monotonic() + 20
    while Path(f"/proc/{process}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    if sys.platform == "linux":
        assert not Path(f"/proc/{process}").exists()


def test_local_measures_in_the_order_of_submission(executor):
    made = executor("local", "smooth")
    for job in reversed(moods(0, 0, 0)):
        made.submit([job])
    found = []
    while len(found) < 3:
        found += made.wait(5)
    assert [outcome.trial for outcome in found] == [2, 1, 0]


@pytest.mark.parametrize("kind", ["local", "child"])
def test_a_measurement_does_not_keep_its_caller_waiting(executor, kind):
    made = executor(kind, "slow")
    made.submit(moods(0))
    begun = time.monotonic()
    assert made.wait(0) == []
    assert time.monotonic() - begun < 0.04
    assert [outcome.trial for outcome in made.wait(5)] == [0]


def test_an_evaluator_that_only_waits_is_called_by_as_many_threads_as_there_are_workers(executor):
    made = executor("local", "Side", n_workers=3)
    assert made.n_workers == 3
    for job in moods(0, 0, 0, 0):
        made.submit([job])
    found = []
    while len(found) < 4:
        found += made.wait(5)
    assert max(outcome.result.metrics["most"] for outcome in found) == 3.0
    assert executor("local", "smooth", n_workers=3).n_workers == 1


def test_a_physical_batch_that_breaks_down_is_unknown_and_fires_nothing_twice(executor, tmp_path):
    for kind in ("physical", "pure"):
        log = tmp_path / kind

        class Spec(EvaluatorSpec):
            def make(self):
                from laboratory import Together

                return Together(**self.parameters)

        made = LocalExecutor(Spec("together", {"log": str(log), "kind": kind}))
        made.submit(moods(0, 0, 0))
        found = made.wait(10)
        made.close()
        if kind == "physical":
            assert log.read_text().count("\n") == 3
            assert all(outcome.result.is_unknown and "the amplifier tripped" in outcome.result.reason for outcome in found)
        else:
            assert log.read_text().count("\n") == 6
            assert all("objective" in outcome.result.metrics for outcome in found)


def test_ray_workers_work_at_the_same_time_and_one_that_is_killed_is_replaced_under_its_name(executor):
    made = executor("ray", "process", n_workers=2)
    assert made.n_workers == 2
    for job in moods(*[0] * 12):
        made.submit([job])
    found = collect(made, 12)
    processes = {int(outcome.result.metrics["process"]) for outcome in found.values()}
    assert len(processes) == 2
    assert {outcome.worker for outcome in found.values()} == {"ray-0", "ray-1"}
    os.kill(min(processes), signal.SIGKILL)
    for job in moods(*[0] * 8):
        made.submit([job])
    found = collect(made, 8)
    lost = [outcome for outcome in found.values() if isinstance(outcome.result, Failure)]
    assert len(lost) == 1
    assert lost[0].result.is_unknown
    for job in moods(*[0] * 8):
        made.submit([job])
    found = collect(made, 8)
    assert min(processes) not in {outcome.result.metrics["process"] for outcome in found.values()}
    assert {outcome.worker for outcome in found.values()} <= {"ray-0", "ray-1"}


def test_a_child_process_ends_with_its_parent_even_while_it_measures(tmp_path):
    code = (
        "import sys, os\n"
        f"sys.path.append({DATA!r})\n"
        "import numpy as np\n"
        "from latentloop.loop.executors.local import LocalExecutor\n"
        "from latentloop.loop.executors.worker import EvaluatorSpec\n"
        "from latentloop.loop.records import Job\n"
        f"made = LocalExecutor(EvaluatorSpec('python', {{'target': 'laboratory:temperamental'}}, 100.0, search_path=({DATA!r},)))\n"
        "print(made.processes[0].number, flush=True)\n"
        "made.submit([Job(0, np.array([8.0, 0.0]))])\n"
        "made.wait(0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.kill()
        parent.wait()
    end = time.monotonic() + 15
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
