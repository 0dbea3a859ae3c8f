"""Instruments that fetch their trials: several at once, killed drivers and clients, late results, stops."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.config import EvaluatorConfig, config_from_mapping
from latentloop.loop.errors import ConfigError, EvaluatorError, UnknownOutcomeError
from latentloop.loop.evaluators import pull as pull_module
from latentloop.loop.evaluators.contract import check_evaluator
from latentloop.loop.evaluators.pull import PullEvaluator
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.pull import worker_client
from latentloop.loop.pull.queue import PullQueue, PullRefusedError
from latentloop.loop.records import Job, Signal, TrialState
from latentloop.loop.run import open_campaign, run_campaign
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.verification import verify

WAVE = np.array([0.0, 0.5, 1.0, 0.0])
SIGNAL = Signal(np.arange(4.0), "V", "ms", ("E",))
PROGRAM = Path(sys.executable).with_name("latentloop")


def until(found, seconds=30.0):
    end = time.monotonic() + seconds
    while not (what := found()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return what


@pytest.fixture
def evaluator(tmp_path):
    """Return a function that makes an evaluator on a queue of its own."""
    made = []

    def make(**parameters):
        made.append(PullEvaluator(queue=str(tmp_path / "pull"), **parameters))
        made[-1].accept_signal(SIGNAL)
        made[-1].prepare()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def queue(tmp_path):
    return PullQueue(tmp_path / "pull")


class Waiting:
    """A measurement under way in a thread."""

    def __init__(self, evaluator, job):
        self.result = None
        self.error = None
        self.thread = threading.Thread(target=self.run, args=(evaluator, job), daemon=True)
        self.thread.start()

    def run(self, evaluator, job):
        try:
            self.result = evaluator.measure_job(job)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def end(self):
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.result if self.error is None else self.error


def claimed(queue, instrument="bench"):
    return until(lambda: queue.claim(instrument))


def test_a_trial_is_offered_with_all_that_an_instrument_needs(evaluator, queue):
    made = evaluator()
    made.accept_campaign("", {"channels": ["E"], "bounds": [{"amplitude": [-1, 1]}]})
    waiting = Waiting(made, Job(17, WAVE, key="film-17"))
    claim = claimed(queue)
    document = claim.document
    assert (document["trial"], document["trajectory"], document["times"]) == (17, WAVE.tolist(), SIGNAL.times.tolist())
    assert (document["units"], document["channels"]) == ({"value": "V", "time": "ms"}, ["E"])
    assert document["envelope"]["bounds"] == [{"amplitude": [-1, 1]}]
    queue.start(claim.token)
    queue.finish(claim.token, {"metrics": {"objective": 2.0, "lost": None}, "errors": {"objective": 0.1}, "arrays": {"line": [1.0, 2.0]}})
    found = waiting.end()
    assert found.metrics["objective"] == 2.0
    assert np.isnan(found.metrics["lost"])
    assert found.errors == {"objective": 0.1}
    np.testing.assert_array_equal(found.arrays["line"], [1.0, 2.0])


def test_a_failure_at_the_instrument_is_a_failure_here(evaluator, queue):
    made = evaluator()
    for trial, result, kind in (
        (1, {"failure": "no vacuum"}, RuntimeError),
        (2, {"failure": "no idea", "is_unknown": True}, UnknownOutcomeError),
        (3, {"metrics": {"objective": 1.0}, "arrays": {"line": "text"}}, TypeError),
    ):
        waiting = Waiting(made, Job(trial, WAVE))
        claim = claimed(queue)
        queue.start(claim.token)
        queue.finish(claim.token, result)
        assert isinstance(waiting.end(), kind)


def test_several_instruments_work_at_the_same_time(evaluator, queue):
    made = evaluator()
    waiting = [Waiting(made, Job(trial, WAVE + trial)) for trial in range(3)]
    claims = [claimed(queue) for _ in range(3)]
    for claim in reversed(claims):
        queue.start(claim.token)
        queue.finish(claim.token, {"metrics": {"objective": float(claim.document["trial"])}})
    assert [each.end().metrics["objective"] for each in waiting] == [0.0, 1.0, 2.0]


def test_what_is_not_heard_of_after_its_start_is_unknown(evaluator, queue):
    made = evaluator(expires_seconds=0.5)
    waiting = Waiting(made, Job(1, WAVE))
    queue.start(claimed(queue).token)
    found = waiting.end()
    assert isinstance(found, UnknownOutcomeError)
    assert "bench started it, and has not been heard of for 0.5 s" in str(found)


def test_what_takes_too_long_is_unknown(evaluator, queue):
    made = evaluator(measuring_seconds=0.5)
    waiting = Waiting(made, Job(1, WAVE))
    queue.start(claimed(queue).token)
    assert "no result within 0.5 s" in str(waiting.end())


def test_what_nobody_starts_in_time_has_failed_and_is_never_fired(evaluator, queue):
    made = evaluator(waiting_seconds=0.4)
    waiting = Waiting(made, Job(1, WAVE))
    claim = claimed(queue)
    assert "nothing was fired: no instrument started it within 0.4 s" in str(waiting.end())
    with pytest.raises(PullRefusedError, match="withdrawn"):
        queue.start(claim.token)


def test_a_stop_withdraws_what_has_not_started_and_reaches_what_has(evaluator, queue):
    made = evaluator(stop_seconds=5.0)
    first = Waiting(made, Job(1, WAVE))
    claim = claimed(queue)
    queue.start(claim.token)
    second = Waiting(made, Job(2, WAVE))
    until(lambda: (queue.folder / "open").exists() and list((queue.folder / "open").iterdir()))
    made.stop()
    assert "nothing was fired: the campaign stopped" in str(second.end())
    until(lambda: queue.heartbeat(claim.token)["stop"])
    queue.finish(claim.token, {"metrics": {"objective": 1.0}})
    assert first.end().metrics == {"objective": 1.0}


def test_what_a_stop_withdrew_is_offered_anew_by_the_next_session(evaluator, queue):
    for _ in range(2):
        made = evaluator()
        waiting = Waiting(made, Job(1, WAVE, key="film-1"))
        until(lambda: (queue.folder / "open").exists() and list((queue.folder / "open").iterdir()))
        made.stop()
        assert "nothing was fired" in str(waiting.end())
    waiting = Waiting(evaluator(), Job(1, WAVE, key="film-1"))
    claim = claimed(queue)
    queue.start(claim.token)
    queue.finish(claim.token, {"metrics": {"objective": 1.0}})
    assert waiting.end().metrics == {"objective": 1.0}
    assert Waiting(evaluator(), Job(1, WAVE, key="film-1")).end().metrics == {"objective": 1.0}


@pytest.mark.parametrize("kind", ["pure", "physical"])
def test_only_a_pure_trial_that_failed_is_offered_once_more(evaluator, queue, kind):
    made = evaluator(kind=kind, expires_seconds=0.4)
    for ending in ("failure", "silence"):
        job = Job(1, WAVE + len(ending), key=ending)
        waiting = Waiting(made, job)
        claim = claimed(queue)
        queue.start(claim.token)
        if ending == "failure":
            queue.finish(claim.token, {"failure": "no vacuum"})
        assert isinstance(waiting.end(), RuntimeError)
        again = Waiting(made, job)
        if kind == "pure":
            claim = claimed(queue)
            queue.start(claim.token)
            queue.finish(claim.token, {"metrics": {"objective": 1.0}})
            assert again.end().metrics == {"objective": 1.0}
        else:
            assert isinstance(again.end(), RuntimeError)
            assert queue.claim("bench") is None


def test_a_started_trial_does_not_hold_up_a_stop_for_ever(evaluator, queue):
    made = evaluator(stop_seconds=0.3)
    waiting = Waiting(made, Job(1, WAVE))
    queue.start(claimed(queue).token)
    made.stop()
    assert "after the campaign was stopped" in str(waiting.end())


def test_a_campaign_that_waits_anew_finds_the_claim_and_the_result(evaluator, queue):
    first = evaluator(expires_seconds=1.0)
    Waiting(first, Job(1, WAVE, key="film-1"))
    claim = claimed(queue)
    queue.start(claim.token)
    time.sleep(1.3)  # the driver is dead, no heartbeat could arrive
    again = Waiting(evaluator(expires_seconds=1.0), Job(1, WAVE, key="film-1"))
    time.sleep(0.3)
    assert again.thread.is_alive()
    queue.finish(claim.token, {"metrics": {"objective": 1.0}})
    assert again.end().metrics == {"objective": 1.0}
    assert Waiting(evaluator(), Job(1, WAVE, key="film-1")).end().metrics == {"objective": 1.0}
    assert queue.claim("bench") is None


def test_parameters_are_checked(tmp_path):
    for wrong in ({"listen": "here"}, {"expires_seconds": 0.0}, {"measuring_seconds": -1.0}, {"stop_seconds": -1.0}):
        with pytest.raises(ConfigError):
            EvaluatorSpec("pull", wrong).make()
    with pytest.raises(EvaluatorError, match="belongs to a campaign"):
        PullEvaluator().prepare()
    with pytest.raises(ConfigError, match="cannot lie in s3://"):
        PullEvaluator().accept_campaign("s3://bucket/film", None)
    assert EvaluatorSpec("pull", {}, campaign=str(tmp_path / "film")).make().queue_folder == tmp_path / "film" / "journal" / "pull"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_two_workers_of_one_campaign_share_a_server(tmp_path, evaluator):
    listen = f"127.0.0.1:{free_port()}"
    first = evaluator(listen=listen)
    second = evaluator(listen=listen)
    assert first.url
    assert not second.url
    other = PullEvaluator(listen=listen, queue=str(tmp_path / "other"))
    with pytest.raises(EvaluatorError, match="cannot listen"):
        other.prepare()


def test_pull_keeps_the_contract(tmp_path):
    folder = tmp_path / "pull"
    fired = []
    is_over = threading.Event()

    def bench():
        queue = PullQueue(folder)
        while not is_over.wait(0.02):
            claim = queue.claim("bench")
            if claim is not None:
                fired.append(queue.start(claim.token))
                queue.finish(claim.token, {"metrics": {"objective": 1.0}})

    thread = threading.Thread(target=bench)
    thread.start()
    try:
        checks = check_evaluator(EvaluatorSpec("pull", {"queue": str(folder)}).make, WAVE, SIGNAL)
    finally:
        is_over.set()
        thread.join()
    assert [check for check in checks if not check.is_good] == []
    assert len(fired) == 1


BENCH = """
import os, time
def measure(trajectory):
    with open("fired", "a") as file:
        file.write(f"{trajectory[1]}\\n")
    time.sleep(float(os.environ.get("SECONDS", "0")))
    return {"objective": -sum((value - 0.3) ** 2 for value in trajectory), "line": trajectory[:5]}
"""


class Bench:
    """An instrument's computer: clients in a folder of their own."""

    def __init__(self, folder, listen, token):
        self.folder, self.listen, self.token = folder, listen, token
        folder.mkdir()
        shutil.copy(worker_client.__file__, folder / "client.py")
        (folder / "my_bench.py").write_text(BENCH)
        self.processes = []

    def client(self, name, seconds="0", *options):
        command = [sys.executable, "-I", "-S", "client.py", f"http://{self.listen}", "--evaluator", "my_bench:measure"]
        process = subprocess.Popen(
            [*command, "--token-file", str(self.token), "--name", name, *options],
            cwd=self.folder,
            env={**os.environ, "SECONDS": seconds},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        return process

    def fired(self):
        path = self.folder / "fired"
        return path.read_text().split() if path.exists() else []

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def bench(tmp_path):
    token = tmp_path / "token"
    token.write_text("correct-horse")
    made = Bench(tmp_path / "computer", f"127.0.0.1:{free_port()}", token)
    yield made
    made.close()


@pytest.fixture
def campaign(mapping):
    """Return the small campaign of such an evaluator as a raw mapping, with changes."""

    def make(evaluator, **changes):
        return {**mapping(**changes), "evaluator": evaluator}

    return make


def pulling(bench, **parameters):
    return {"name": "pull", "parameters": {"listen": bench.listen, "token_file": str(bench.token), **parameters}}


def test_a_campaign_is_measured_by_two_instruments(campaign, bench, tmp_path):
    chosen = config_from_mapping(
        campaign(pulling(bench), executor={"workers": 2}, budget={"trials": 12}, safety={"bounds": {"amplitude": [-50, 50]}})
    )
    for name in ("a", "b"):
        bench.client(name, "0.1")
    history = run_campaign(chosen, tmp_path / "film")
    assert history.counts() == {"completed": 12}
    assert len(set(bench.fired())) == len(bench.fired()) == 12
    looks = [
        PullQueue(tmp_path / "film" / "journal" / "pull").look(key.name)
        for key in (tmp_path / "film" / "journal" / "pull" / "trials").iterdir()
    ]
    assert {sight.instrument for sight in looks} == {"a", "b"}
    assert CampaignStore.open(tmp_path / "film").history.incumbent is not None


def test_a_driver_killed_while_an_instrument_measures_finds_the_result_and_fires_nothing_twice(campaign, bench, tmp_path):
    chosen = campaign(pulling(bench), budget={"trials": 4})
    (tmp_path / "film.yaml").write_text(json.dumps(chosen))  # YAML is a superset of JSON
    bench.client("a", "0.8")

    def start(*arguments):
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    driver = start("run", "film.yaml", "--store", "film")
    until(lambda: len(bench.fired()) == 2, 60)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    time.sleep(1.2)  # the result comes while nobody drives the campaign, and is kept at the instrument
    driver = start("resume", "film")
    said = driver.communicate(timeout=60)[0]
    assert driver.returncode == 0, said
    assert CampaignStore.open(tmp_path / "film").history.counts() == {"completed": 4}
    assert len(bench.fired()) == len(set(bench.fired())) == 4


@pytest.mark.slow
def test_drivers_and_clients_killed_at_random_lose_nothing_and_fire_nothing_twice(campaign, bench, tmp_path):
    generator = random.Random(5)
    chosen = campaign(pulling(bench, expires_seconds=1.0), budget={"trials": 10, "failures_in_a_row": None}, executor={"workers": 2})
    (tmp_path / "film.yaml").write_text(json.dumps(chosen))
    is_over = threading.Event()

    def instruments():
        while not is_over.is_set():
            process = bench.client("a", "0.1")
            is_over.wait(generator.uniform(0.3, 2.0))
            process.kill()

    thread = threading.Thread(target=instruments)
    thread.start()
    completed = set()
    try:
        for attempt in range(60):
            command = ["resume", "film"] if (tmp_path / "film").exists() else ["run", "film.yaml", "--store", "film"]
            driver = subprocess.Popen(
                [PROGRAM, *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
            try:
                driver.communicate(timeout=generator.uniform(4.0, 9.0) if attempt < 6 else 120.0)
            except subprocess.TimeoutExpired:
                os.killpg(driver.pid, signal.SIGKILL)
                driver.communicate()
            if not (tmp_path / "film").exists():
                continue
            history = CampaignStore.open(tmp_path / "film").history
            now = {trial.number for trial in history.trials if trial.state is TrialState.COMPLETED}
            assert completed <= now
            completed = now
            if history.last_session == "finished":
                break
    finally:
        is_over.set()
        thread.join()
    assert len(history.trials) == 10
    assert set(history.counts()) <= {"completed", "unknown"}
    assert completed
    assert len(bench.fired()) == len(set(bench.fired())) <= 10


@pytest.mark.slow
def test_the_two_terminals_of_the_documentation_find_each_other(tmp_path):
    text = (Path(__file__).resolve().parents[3] / "docs" / "pull-instrument.md").read_text()
    listen = f"127.0.0.1:{free_port()}"
    first, second = (
        block.replace("127.0.0.1:8766", listen).strip() for block in re.findall(r"```sh\n(latentloop .*?)```", text, re.DOTALL)
    )
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"}
    campaign = subprocess.Popen(f"{first} --trials 4", shell=True, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        until((tmp_path / "campaigns" / "pull.token").exists, 60)
        subprocess.run(f"{second} --trials 4", shell=True, cwd=tmp_path, env=environment, timeout=100, check=True)
        assert campaign.wait(60) == 0
    finally:
        if campaign.poll() is None:
            os.killpg(campaign.pid, signal.SIGKILL)
            campaign.wait()
    assert CampaignStore.open(tmp_path / "campaigns" / "pull").history.counts() == {"completed": 4}


@pytest.mark.slow
def test_instruments_pull_from_ray_workers_too(campaign, bench, tmp_path):
    chosen = config_from_mapping(campaign(pulling(bench), executor={"name": "ray", "workers": 2}, budget={"trials": 6}))
    for name in ("a", "b"):
        bench.client(name, "0.1")
    history = run_campaign(chosen, tmp_path / "film")
    assert history.counts() == {"completed": 6}
    assert len(set(bench.fired())) == len(bench.fired()) == 6


def test_a_late_result_completes_an_unknown_trial(campaign, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(pull_module, "OFFER_SECONDS", 1.0)  # how long the campaign lets resumed trials find their results first
    store = tmp_path / "film"
    queue = PullQueue(store / "journal" / "pull")
    ended = []
    chosen = config_from_mapping(campaign(pulling(bench, expires_seconds=0.5), budget={"trials": 2, "failures_in_a_row": None}))
    thread = threading.Thread(target=lambda: ended.append(run_campaign(chosen, store)))
    thread.start()
    first = claimed(queue)
    queue.start(first.token)
    claimed(queue)  # the first is unknown by now
    assert CampaignStore.open(store).history.trials[0].state is TrialState.UNKNOWN
    image = [[0.5, 1.5], [2.5, 3.5]]
    queue.finish(first.token, {"metrics": {"objective": 7.5}, "errors": {"objective": 0.25}, "arrays": {"image": image}})
    until(lambda: CampaignStore.open(store).history.trials[0].state is TrialState.COMPLETED)
    second = claimed(queue)  # that claim has expired meanwhile
    queue.start(second.token)
    queue.finish(second.token, {"metrics": {"objective": 1.0}})
    thread.join(30)
    assert ended[0].counts() == {"completed": 2}
    trial = ended[0].trials[0]
    assert (trial.objective, trial.objective_error, trial.who) == (7.5, 0.25, "bench")
    opened = CampaignStore.open(store)
    np.testing.assert_array_equal(opened.payload(0, "image"), image)
    assert verify(store).is_good


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        ({"metrics": {"objective": 1e300}}, "is 1e+300, outside the plausible range"),
        ({"metrics": {"objective": 7.5}, "arrays": {"image": [0.0, float("nan")]}}, "array 'image' holds values that are not finite"),
        pytest.param({"metrics": {"objective": 7.5}, "arrays": {"state": [0.0]}}, "would replace the store's own", marks=pytest.mark.slow),
        pytest.param(
            {"metrics": {"objective": None, "other": 1.0}}, "a completed trial needs the reading of 'objective'", marks=pytest.mark.slow
        ),
        pytest.param({"metrics": {"objective": 7.5, "../other": 1.0}}, "'../other'", marks=pytest.mark.slow),
    ],
)
def test_a_late_result_that_is_not_believable_is_not_learned_from_and_the_trial_stays_unknown(
    campaign, bench, tmp_path, monkeypatch, posted, said
):
    monkeypatch.setattr(pull_module, "OFFER_SECONDS", 0.2)
    store = tmp_path / "film"
    queue = PullQueue(store / "journal" / "pull")
    settings = campaign(pulling(bench, expires_seconds=0.5), budget={"trials": 2, "failures_in_a_row": None})
    settings["objective"] = {"plausible": [-100, 100]}
    thread = threading.Thread(target=run_campaign, args=(config_from_mapping(settings), store))
    thread.start()
    first = claimed(queue)
    queue.start(first.token)
    until(lambda: CampaignStore.open(store).history.counts().get("unknown") == 1)
    queue.finish(first.token, posted)

    def answered():
        return [event for event in CampaignStore.open(store).journal.read() if event.kind in ("noted", "ignored")]

    until(answered)
    (event,) = answered()
    assert said in event.data["reason"]
    second = claimed(queue)
    queue.start(second.token)
    queue.finish(second.token, {"metrics": {"objective": 1.0}})
    thread.join(30)
    history = CampaignStore.open(store).history
    assert history.counts() == {"completed": 1, "unknown": 1}
    assert (history.told, history.waiting()["unknown"]) == ([1], [0])
    assert verify(store).is_good


def test_a_late_result_that_comes_while_nobody_drives_is_taken_up_on_resume(campaign, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(pull_module, "OFFER_SECONDS", 1.0)
    store = tmp_path / "film"
    queue = PullQueue(store / "journal" / "pull")
    chosen = config_from_mapping(campaign(pulling(bench, expires_seconds=0.5), budget={"trials": 1, "failures_in_a_row": None}))
    thread = threading.Thread(target=run_campaign, args=(chosen, store))
    thread.start()
    claim = claimed(queue)
    queue.start(claim.token)
    thread.join(30)
    assert CampaignStore.open(store).history.counts() == {"unknown": 1}
    queue.finish(claim.token, {"metrics": {"objective": 7.5}})
    bench.client("a", "1.5")  # long enough for the late result to be taken up meanwhile
    history = open_campaign(store, trials=2)
    assert history.counts() == {"completed": 2}
    assert history.trials[0].objective == 7.5


def test_the_server_asks_for_the_token(evaluator, bench):
    evaluator(listen=bench.listen, token_file=str(bench.token))
    connection = http.client.HTTPConnection(bench.listen)
    for token, status in (("correct-horse", 204), ("wrong", 401)):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/campaigns/pull/instrument/claim", json.dumps({"instrument": "a"}), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_the_configuration_knows_pull():
    assert EvaluatorConfig(name="pull").name == "pull"
