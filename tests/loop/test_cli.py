"""The command line as people use it: the real program, in a process of its own where signals, start and end matter."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray
import yaml
import zarr
from latentloop.loop.cli import main


class Done:
    """What came of a call of the program."""

    def __init__(self, code, stdout, stderr):
        self.code, self.stdout, self.stderr = code, stdout, stderr


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Return a function that calls the program in this process, where its libraries are loaded already."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0, **more):
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["latentloop", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        done = Done(caught.value.code or 0, *capsys.readouterr())
        assert done.code == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def program(command, tmp_path):
    """Return a function that runs the program in a process of its own, as people do."""
    path, environment = command

    def run(*arguments, code=0, **more):
        done = subprocess.run(
            [path, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, **more},
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def campaign(mapping, tmp_path):
    """Return a function that writes the small campaign as a file and returns its name."""

    def write(**changes):
        (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(mapping(**changes)))
        return "campaign.yaml"

    return write


@pytest.fixture
def start(command, tmp_path):
    """Return a function that starts the program and returns its process."""
    path, environment = command
    processes = []

    def run(*arguments, **more):
        process = subprocess.Popen(
            [path, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**environment, **more},
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_trials(store, n, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(list((store / "journal").glob("0*.json"))) > 3 + 2 * n:  # created, started, model; armed and completed for each
            return
        time.sleep(0.02)
    raise AssertionError(f"not {n} trials after {seconds} s")


def test_run_status_resume_and_report_tell_one_story(program, campaign, tmp_path):
    name = campaign()
    done = program("run", name, "--store", "x", "--report", "first.html")
    for words in (
        "latentloop run campaign.yaml -> x",
        "finished after 6 of 6 trials (6 completed)",
        "incumbent: ",
        "store: x",
        "report: first.html",
    ):
        assert words in done.stdout
    facts = json.loads(program("status", "x", "--json").stdout)
    assert {"name", "state", "n_trials", "counts", "incumbent", "seconds"} <= set(facts)
    assert (facts["name"], facts["state"], facts["n_trials"], facts["counts"]) == ("small", "finished", 6, {"completed": 6})
    assert set(facts["incumbent"]) >= {"trial", "z", "objective"}
    assert facts["seconds"] > 0
    with xarray.open_zarr(tmp_path / "x", group="trials", consolidated=False) as found:
        best = int(found.objective.values.argmax())
        assert facts["incumbent"]["trial"] == best
        assert facts["incumbent"]["objective"] == float(found.objective[best])
        assert facts["incumbent"]["z"] == found.z[best].values.tolist()
        assert found.z.dims == ("trial", "latent")
        assert found.trajectory.shape == (6, 20)
    assert f"{facts['incumbent']['objective']:.6g}" in done.stdout
    program("resume", "x", "--trials", 8)
    facts = json.loads(program("status", "x", "--json").stdout)
    assert (facts["n_trials"], facts["counts"]) == (8, {"completed": 8})
    table = program("status", "x").stdout
    assert "8 of 8" in table
    assert "finished" in table
    program("report", "x", "-o", "deep/report.html")
    page = (tmp_path / "deep/report.html").read_text()
    assert "small" in page
    assert "laboratory:smooth" in page
    assert 'src="http' not in page


def test_options_and_set_change_the_configuration(call, campaign):
    call("run", campaign(), "--store", "x", "--trials", 4, "--seed", 9, "--set", "acquisition=ucb", "--set", "optimizer.n_initial=2")
    facts = json.loads(call("status", "x", "--json").stdout)
    assert facts["n_trials"] == 4
    journal = call("status", "x").stdout
    assert "4 of 4" in journal


def test_the_seed_decides(call, campaign):
    name, best = campaign(), []
    for store, seed in (("a", 1), ("b", 1), ("c", 2)):
        call("run", name, "--store", store, "--trials", 3, "--seed", seed)
        best.append(json.loads(call("status", store, "--json").stdout)["incumbent"]["z"])
    assert best[0] == best[1] != best[2]


def test_status_while_a_campaign_runs_and_a_graceful_stop_and_resume(call, start, campaign, tmp_path):
    log = tmp_path / "log"
    process = start(
        "run", campaign(budget={"trials": 100}, **slow_evaluator()), "--store", "x", LABORATORY_LOG=str(log), LABORATORY_SECONDS="0.1"
    )
    wait_for_trials(tmp_path / "x", 3)
    facts = json.loads(call("status", "x", "--json").stdout)
    assert facts["state"] == "running"
    assert 3 <= facts["n_trials"] < 40  # recorded ones, never the budget
    assert sum(facts["counts"].values()) == facts["n_trials"]
    second = call("resume", "x", code=2)
    assert f"is being driven by process {process.pid}" in second.stderr
    call("report", "x", "-o", "running.html")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "stopping after the measurements under way" in output
    assert "continue with: latentloop resume x" in output
    assert "Traceback" not in output
    facts = json.loads(call("status", "x", "--json").stdout)
    assert facts["state"] == "interrupted"
    assert set(facts["counts"]) == {"completed"}
    call("resume", "x", "--trials", facts["n_trials"] + 2, LABORATORY_LOG=str(log))
    assert json.loads(call("status", "x", "--json").stdout)["state"] == "finished"
    assert len(log.read_text().splitlines()) == facts["n_trials"] + 2  # every measurement ran once


def slow_evaluator():
    return {"evaluator": {"name": "python", "parameters": {"target": "laboratory:counted"}}}


def test_a_second_signal_stops_at_once_and_leaves_a_store_that_goes_on(call, start, campaign, tmp_path):
    changes = {**slow_evaluator(), "budget": {"trials": 4}}
    process = start("run", campaign(**changes), "--store", "x", LABORATORY_LOG=str(tmp_path / "log"), LABORATORY_SECONDS="20")
    end = time.monotonic() + 60
    while not (tmp_path / "log").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=15)
    assert time.monotonic() - begin < 10
    assert process.returncode == 130, output
    assert "Traceback" not in output
    facts = json.loads(call("status", "x", "--json").stdout)
    assert (facts["state"], facts["counts"]) == ("interrupted", {"armed": 1})
    call("resume", "x", LABORATORY_LOG=str(tmp_path / "log"))
    facts = json.loads(call("status", "x", "--json").stdout)
    assert (facts["state"], facts["counts"]) == ("finished", {"completed": 4})


def test_before_the_first_result_there_is_no_incumbent(call, campaign, tmp_path):
    call("run", campaign(**{"evaluator": {"parameters": {"target": "laboratory:empty"}}}), "--store", "x", "--trials", 3, code=1)
    facts = json.loads(call("status", "x", "--json").stdout)
    assert (facts["incumbent"], facts["counts"], facts["state"]) == (None, {"failed": 3}, "finished")
    assert "none yet" in call("status", "x").stdout
    call("report", "x", "-o", "x.html")
    assert "no trial has completed yet" in (tmp_path / "x.html").read_text()


def test_init_run_makes_a_campaign_of_ones_own(call, tmp_path):
    (tmp_path / "mine.yaml").write_text(call("init", "quick").stdout)
    done = call("run", "mine.yaml", "--store", "x", "--trials", 3, "--set", "latent.model.parameters.epochs=2")
    assert "finished after 3 of 3 trials" in done.stdout


def test_presets_and_schema_are_listed(program):
    listed = program("presets").stdout
    assert "quick" in listed
    assert "ferrosim-curl" in listed
    schema = json.loads(program("schema").stdout)
    assert "trajectories" in schema["properties"]
    assert schema["additionalProperties"] is False


def test_help_names_every_command(program):
    listed = program("--help").stdout
    for name in ("run", "resume", "status", "report", "presets", "init", "schema", "ground-truth"):
        assert name in listed
    for name in ("run", "resume"):
        assert "--trials" in program(name, "--help").stdout


def test_ground_truth_measures_the_whole_grid(call, campaign, tmp_path):
    done = call("ground-truth", campaign(), "-o", "truth.zarr", "--grid", 5)
    assert "points: 25, failed: 0" in done.stdout
    group = zarr.open_group(tmp_path / "truth.zarr", mode="r")
    values = group["objective"][:]
    assert values.shape == (5, 5)
    assert np.isfinite(values).all()
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert group.attrs["best_objective"] == values.max()
    assert group.attrs["best_z"] == [group["z0"][row], group["z1"][column]]
    assert "plotly" in (tmp_path / "truth.html").read_text().lower()
    with xarray.open_zarr(tmp_path / "truth.zarr", consolidated=False) as found:
        assert found.objective.dims == ("z0", "z1")
    call("run", campaign(), "--store", "x")  # the same latent space: the campaign's points lie in the grid's box
    z = zarr.open_group(tmp_path / "x", mode="r")["trials/z"][:]
    assert (z[:, 0] >= group["z0"][0]).all()
    assert (z[:, 0] <= group["z0"][-1]).all()


def test_ground_truth_stops_when_it_is_told_to_and_leaves_nothing(start, campaign, tmp_path):
    process = start(
        "ground-truth",
        campaign(**slow_evaluator()),
        "-o",
        "truth.zarr",
        "--grid",
        100,
        LABORATORY_LOG=str(tmp_path / "log"),
        LABORATORY_SECONDS="0.01",
    )
    end = time.monotonic() + 60
    while not (tmp_path / "log").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert not (tmp_path / "truth.zarr").exists()


BAD = {
    "a missing file": (("run", "nowhere.yaml", "--store", "x"), "neither a configuration file nor a preset; presets are"),
    "a folder as configuration": (("run", ".", "--store", "x"), "is a folder, not a configuration file"),
    "an unknown preset": (("init", "banana"), "unknown preset 'banana'; known are"),
    "an unknown key": (("run", "campaign.yaml", "--store", "x", "--set", "banana=1"), "unknown key 'banana'; known here are name"),
    "a wrong type": (("run", "campaign.yaml", "--store", "x", "--set", "n_initial=few"), "optimizer.n_initial"),
    "an unknown acquisition": (("run", "campaign.yaml", "--store", "x", "--set", "acquisition=banana"), "known are "),
    "an unknown executor": (
        ("run", "campaign.yaml", "--store", "x", "--executor", "banana"),
        "unknown executor 'banana'; known are local, ray",
    ),
    "no trials": (("run", "campaign.yaml", "--store", "x", "--trials", "0"), "--trials"),
    "a negative seed": (("run", "campaign.yaml", "--store", "x", "--seed", "-1"), "--seed"),
    "a seed that is too large": (
        ("run", "campaign.yaml", "--store", "x", "--seed", str(2**32)),
        "seed: input should be less than 4294967296",
    ),
    "trials that are no number": (("run", "campaign.yaml", "--store", "x", "--trials", "many"), "valid integer"),
    "a store below a file": (("run", "campaign.yaml", "--store", "campaign.yaml/x"), "campaign.yaml is not a folder"),
    "a store that is a file": (("run", "campaign.yaml", "--store", "campaign.yaml"), "exists already and is not a campaign"),
    "an unknown module": (
        ("run", "campaign.yaml", "--store", "x", "--set", "evaluator.parameters.target=nowhere:f"),
        "No module named 'nowhere'",
    ),
    "an unknown function": (
        ("run", "campaign.yaml", "--store", "x", "--set", "evaluator.parameters.target=laboratory:f"),
        "no attribute 'f'",
    ),
    "a parameter of another evaluator": (
        ("run", "campaign.yaml", "--store", "x", "--set", "evaluator.parameters.speed=3"),
        "no parameter 'speed'",
    ),
    "a parameter of another method": (
        ("run", "campaign.yaml", "--store", "x", "--set", "acquisition={name: ucb, parameters: {speed: 3}}"),
        "acquisition function 'ucb': it has no parameter 'speed'",
    ),
    "a box of another dimension": (("run", "campaign.yaml", "--store", "x", "--set", "latent.box=[[0, 1]]"), "latent.box has 1 rows"),
    "an option that is none": (("run", "campaign.yaml", "--store", "x", "--speed", "3"), "--speed"),
    "a command that is none": (("dance",), "dance"),
    "no store to resume": (("resume", "nowhere"), "there is no campaign at nowhere"),
    "a file to resume": (("resume", "campaign.yaml"), "there is no campaign at campaign.yaml: it is a file"),
    "no earlier measurements": (
        ("run", "campaign.yaml", "--store", "x", "--prior", "nowhere"),
        "neither a campaign's folder nor a .csv file",
    ),
    "no store to look at": (("status", "nowhere"), "there is no campaign at nowhere"),
    "no store to report": (("report", "nowhere", "-o", "x.html"), "there is no campaign at nowhere"),
    "a folder that is no campaign": (("status", "."), "is not a campaign of latentloop"),
    "a grid of one point": (("ground-truth", "campaign.yaml", "-o", "truth.zarr", "--grid", "1"), "--grid"),
    "a ground truth named like its picture": (("ground-truth", "campaign.yaml", "-o", "truth.html"), "say -o truth.zarr"),
    "a ground truth that is there": (("ground-truth", "campaign.yaml", "-o", "campaign.yaml"), "exists already"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(call, campaign, tmp_path, case):
    arguments, words = BAD[case]
    campaign()
    done = call(*arguments, code=2)
    assert words in " ".join(done.stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign.yaml"]  # nothing was begun


def test_bad_configuration_files_are_one_sentence_and_exit_code_2(program, tmp_path):
    for text, words in (("name: [", "is not valid YAML"), ("- a", "must be a mapping"), ("name: x\nspeed: 3", "unknown key 'speed'")):
        (tmp_path / "bad.yaml").write_text(text)
        assert words in " ".join(program("run", "bad.yaml", "--store", "x", code=2).stderr.split())


def test_a_store_that_exists_or_is_of_another_version_or_damaged_is_refused(call, campaign, tmp_path):
    call("run", campaign(), "--store", "x", "--trials", 2)
    assert "holds a campaign already; continue it with `latentloop resume x`" in call("run", "campaign.yaml", "--store", "x", code=2).stderr
    assert "--trials is the total" in call("resume", "x", "--trials", 1, code=2).stderr
    assert "unknown executor 'banana'" in " ".join(call("resume", "x", "--trials", 3, "--executor", "banana", code=2).stderr.split())
    (tmp_path / "folder").mkdir()
    assert "cannot write the report" in call("report", "x", "-o", "folder", code=2).stderr
    event = tmp_path / "x/journal/00000002.json"
    whole = event.read_bytes()
    event.write_bytes(whole[:40])
    for command in (("status", "x"), ("resume", "x", "--trials", 5), ("report", "x", "-o", "r.html")):
        assert "00000002.json is damaged" in call(*command, code=2).stderr
    event.write_bytes(whole)
    described = tmp_path / "x/zarr.json"
    described.write_text(described.read_text().replace('"version": 1', '"version": 99'))
    for command in (("status", "x"), ("resume", "x"), ("report", "x", "-o", "r.html")):
        assert "version 99, this latentloop reads" in call(*command, code=2).stderr


def test_every_kind_of_bad_measurement_is_recorded_and_the_campaign_finishes(call, campaign):
    call("run", campaign(evaluator={"parameters": {"target": "laboratory:moody"}}), "--store", "x", "--trials", 25)
    facts = json.loads(call("status", "x", "--json").stdout)
    assert facts["state"] == "finished"
    assert facts["n_trials"] == 25
    assert {"completed", "failed", "quarantined"} <= set(facts["counts"])
    call("report", "x", "-o", "x.html")


def test_an_evaluator_that_never_returns_is_recorded_and_the_campaign_finishes(call, campaign):
    done = call(
        "run", campaign(evaluator={"parameters": {"target": "laboratory:hangs"}, "timeout": 0.5}), "--store", "x", "--trials", 2, code=1
    )
    assert "no result after 0.5 s" in done.stdout
    assert json.loads(call("status", "x", "--json").stdout)["counts"] == {"failed": 2}


def test_a_closed_pipe_is_no_accident(command, tmp_path):
    path, environment = command
    done = subprocess.run(
        f"{path} schema | head -1", shell=True, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr


def test_a_budget_for_the_initial_design_alone_is_warned_of(call, campaign):
    campaign()
    done = call("run", "campaign.yaml", "--store", "first", "--trials", "2")
    assert "warning: all 2 trials are of the initial design" in done.stdout + done.stderr
