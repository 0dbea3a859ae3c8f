"""`latentloop check-evaluator`, and evaluators given as classes."""

import subprocess

import numpy as np
import pytest
from latentloop.loop.errors import ConfigError, EvaluatorError
from latentloop.loop.evaluators.python import PythonEvaluator
from latentloop.loop.executors.worker import EvaluatorSpec, Worker
from latentloop.loop.records import Job, Signal
from latentloop.loop.run import run_campaign


@pytest.fixture
def check(command):
    program, environment = command

    def run(*arguments):
        return subprocess.run([program, "check-evaluator", *arguments], capture_output=True, text=True, env=environment)

    return run


def test_a_good_evaluator_passes(check, tmp_path):
    np.save(tmp_path / "waves.npy", np.zeros((3, 50, 2)))
    done = check("laboratory:Device", "--trajectory", str(tmp_path / "waves.npy"), "--set", "arguments={gain: 2.0}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks are good" in done.stdout
    assert "line (5, 2)" in done.stdout
    assert "skipped" in done.stdout


def test_a_bad_one_fails_and_one_that_is_not_there_is_an_error(check):
    done = check("laboratory:empty", "--steps", "20")
    assert done.returncode == 1
    assert "returned None" in done.stdout
    assert "failed" in done.stdout
    for arguments in (["laboratory:banana"], ["banana"], ["laboratory:smooth", "--set", "kind"], ["laboratory:Undecided"]):
        done = check(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("error: ")


def test_what_does_not_say_that_it_is_pure_is_fired_once_and_with_finite_numbers_only(check, tmp_path, monkeypatch):
    log = tmp_path / "fired"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.py").write_text(
        "import numpy as np\n"
        "def measure(x):\n"
        f"    with open({str(log)!r}, 'a') as file:\n"
        "        file.write(f'{np.isfinite(x).all()}\\n')\n"
        "    return float(x[0])\n"
    )
    done = check("bench:measure", "--steps", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks are good, " in done.stdout
    assert log.read_text() == "True\n"
    check("bench:measure", "--steps", "20", "--set", "kind=pure")
    assert len(log.read_text().splitlines()) > 2


def test_the_evaluator_of_a_campaign_is_checked_with_one_of_its_trajectories(check, tmp_path):
    (tmp_path / "campaign.yaml").write_text(
        "name: x\n"
        "trajectories: {family: {name: legendre, parameters: {degree: 3, n_steps: 30}}, n: 40, unit: V}\n"
        "latent: {model: {name: pca, parameters: {n_latent: 2}}}\n"
        "evaluator: {name: python, parameters: {target: 'laboratory:smooth'}}\n"
    )
    done = check(str(tmp_path / "campaign.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    refused = check(str(tmp_path / "campaign.yaml"), "--set", "kind=pure")
    assert refused.returncode == 2
    assert "stand in" in refused.stderr
    missing = check("laboratory:smooth", "--trajectory", str(tmp_path / "waves.npy"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: --trajectory: there is no file")


def test_a_class_is_made_prepared_told_the_signal_and_closed():
    signal = Signal(np.arange(4.0), "V", "ms", ("E",))
    spec = EvaluatorSpec("python", {"target": "laboratory:Device", "arguments": {"gain": 3.0}}, signal=signal)
    worker = Worker(spec, "here")
    device = worker.evaluator._object
    assert (device.unit, device.gain, device.is_open) == ("V", 3.0, True)
    (outcome,) = worker.measure([Job(0, np.full(4, 0.3))])
    assert outcome.result.metrics == {"objective": 0.0, "fired": 1.0}
    worker.stop()
    assert device.is_resting
    worker.close()
    assert not device.is_open


def test_the_kind_is_what_a_class_says_unless_the_configuration_says_otherwise():
    assert PythonEvaluator("laboratory:Device").kind == "physical"
    assert PythonEvaluator("laboratory:Device", kind="pure").kind == "pure"
    assert PythonEvaluator("laboratory:PureDevice").kind == "pure"
    assert PythonEvaluator("laboratory:smooth").kind == "pure"
    with pytest.raises(EvaluatorError, match="its kind is 'sometimes'"):
        _ = PythonEvaluator("laboratory:Undecided").kind


def test_what_cannot_be_used_says_so():
    with pytest.raises(ValueError, match="no entry point 'banana'"):
        PythonEvaluator("banana")
    with pytest.raises(EvaluatorError, match="`arguments` are for a class"):
        PythonEvaluator("laboratory:smooth", arguments={"gain": 1}).prepare()
    with pytest.raises(EvaluatorError, match="cannot be made: TypeError"):
        PythonEvaluator("laboratory:Device", arguments={"banana": 1}).prepare()
    with pytest.raises(EvaluatorError, match="it must be a function of a trajectory, or have `measure`"):
        PythonEvaluator("laboratory:NOT_CALLABLE").prepare()


def test_an_entry_point_is_a_target_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    facts = tmp_path / "bench-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[latentloop.evaluators]\nbench = laboratory:Device\n")
    evaluator = PythonEvaluator("bench", arguments={"gain": 2.0})
    assert evaluator.kind == "physical"
    evaluator.prepare()
    assert evaluator.measure(np.full(4, 1.3)).metrics["objective"] == pytest.approx(-2.0)


def test_a_campaign_runs_on_a_class_and_a_physical_one_is_not_fired_twice(config, tmp_path, target):
    history = run_campaign(config(**target("Device")), tmp_path / "x")
    assert [trial.metrics["fired"] for trial in history.trials] == [1, 2, 3, 4, 5, 6]


def test_a_gentle_wave_needs_steps_and_channels():
    from latentloop.loop.evaluators.contract import trajectory_for_check

    with pytest.raises(ConfigError, match="at least 2 steps"):
        trajectory_for_check(1, 1)
    assert trajectory_for_check(5, 3).shape == (5, 3)
    assert np.abs(trajectory_for_check(99, 1)[[0, -1]]).max() == 0.0
