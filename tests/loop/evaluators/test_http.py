"""An instrument server is asked once where it may have fired, and again where nothing can have."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from latentloop.loop.config import EvaluatorConfig
from latentloop.loop.errors import ConfigError, EvaluatorError, UnknownOutcomeError
from latentloop.loop.evaluators.contract import check_evaluator
from latentloop.loop.evaluators.exchange import measurement_from_document, npy_bytes
from latentloop.loop.evaluators.http import HttpEvaluator
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Job, Signal
from latentloop.loop.run import run_campaign

DOCS = Path(__file__).resolve().parents[3] / "docs"
WAVE = np.linspace(0, 1, 9)
SIGNAL = Signal(np.arange(9.0), "V", "ms", ("E",))


class Bench:
    """An instrument server on loopback that does what its script says, request by request."""

    def __init__(self, script=(), description=None, port=0):
        self.script = list(script)
        self.requests = []
        self.fired = []
        self.is_closing = False
        bench = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200, description if description is not None else {"kind": "physical"})

            def do_POST(self):
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                bench.requests.append((self.path, dict(self.headers), document))
                if self.path.endswith("/stop"):
                    self.answer(204, None)
                    return
                step = bench.script.pop(0) if bench.script else "measure"
                if isinstance(step, tuple):
                    self.answer(*step)
                    return
                if step in ("measure", "vanish"):
                    bench.fired.append(document["key"])
                if step == "vanish":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                elif step == "sleep":
                    time.sleep(3)
                elif step == "cut":
                    self.close_connection = True
                    self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"objective": 1')
                elif step.startswith("trickle"):
                    bench.trickle(self, in_head="head" in step)
                else:
                    values = np.array(document["trajectory"])
                    self.answer(200, {"objective": -float(np.mean((values - 0.3) ** 2)), "line": values[:5].tolist()})

            def answer(self, status, document):
                body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def trickle(self, handler, in_head):
        """Never come to an end, and never fall silent."""
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-Said: " if in_head else b"\r\n"))
        with suppress(OSError):
            while not self.is_closing:
                handler.wfile.write(b"1")
                time.sleep(0.02)

    def close(self):
        self.is_closing = True
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def bench():
    made = []

    def make(*script, **more):
        made.append(Bench(script, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def client(bench, **parameters):
    evaluator = HttpEvaluator(bench.url, **{"retry_seconds": 0.01, "timeout": 5.0, **parameters})
    evaluator.accept_signal(SIGNAL)
    evaluator.prepare()
    return evaluator


def test_a_measurement_goes_there_and_back_with_its_key(bench):
    server = bench()
    found = client(server).measure_job(Job(17, WAVE, key="campaign-17"))
    assert found.metrics == {"objective": -np.mean((WAVE - 0.3) ** 2)}
    np.testing.assert_array_equal(found.arrays["line"], WAVE[:5])
    ((path, headers, document),) = server.requests
    assert path == "/measurements"
    assert document["key"] == headers["Idempotency-Key"]
    assert document["key"].startswith("campaign-17-")
    assert (document["trial"], document["units"], document["channels"]) == (17, {"value": "V", "time": "ms"}, ["E"])
    assert document["times"] == SIGNAL.times.tolist()


def test_a_server_that_has_not_started_is_asked_again(bench):
    server = bench((503, {"error": "busy"}), (503, {"error": "busy"}))
    assert client(server).measure(WAVE).metrics
    assert len(server.requests) == 3
    assert len(server.fired) == 1
    assert len({headers["Idempotency-Key"] for _, headers, _ in server.requests}) == 1
    server = bench(*[(503, {"error": "busy"})] * 9)
    with pytest.raises(ConnectionError, match=r"did not start the measurement: busy \(tried 4 times\)"):
        client(server).measure(WAVE)
    assert server.fired == []


@pytest.mark.parametrize("step", ["vanish", "sleep"])
def test_a_physical_server_that_is_lost_after_the_request_is_not_asked_again(bench, step):
    server = bench(step)
    with pytest.raises(UnknownOutcomeError, match="nobody knows whether it fired"):
        client(server, timeout=0.5).measure(WAVE)
    assert len(server.requests) == 1


@pytest.mark.parametrize("step", ["trickle the head", "trickle"])
def test_an_answer_that_never_ends_does_not_outlast_the_timeout(bench, step):
    server = bench(step)
    begun = time.monotonic()
    with pytest.raises(UnknownOutcomeError, match=r"no whole answer after 0.5 s\): nobody knows whether it fired"):
        client(server, timeout=0.5).measure(WAVE)
    assert time.monotonic() - begun < 30
    assert len(server.requests) == 1


def test_an_answer_that_is_far_too_large_is_a_failure(bench, monkeypatch):
    monkeypatch.setattr("latentloop.loop.evaluators.http.LARGEST_ANSWER", 1000)
    server = bench((200, [0.5] * 1000), (200, 0.5))
    with pytest.raises(ValueError, match="answered more than 0 MB"):
        client(server).measure(WAVE)
    assert client(server).measure(WAVE).metrics == {"objective": 0.5}


def test_an_answer_that_is_cut_off_is_a_lost_connection(bench):
    server = bench("cut")
    with pytest.raises(UnknownOutcomeError, match="nobody knows whether it fired"):
        client(server).measure(WAVE)


def test_a_pure_server_that_is_lost_is_asked_again(bench):
    server = bench("vanish", "vanish", description={"kind": "pure"})
    assert client(server).measure(WAVE).metrics
    assert len(server.requests) == 3


def test_a_refused_connection_is_tried_again_and_nothing_is_sent_twice(bench):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    evaluator = HttpEvaluator(f"http://127.0.0.1:{port}", kind="physical", retries=1, retry_seconds=0.01)
    with pytest.raises(ConnectionError, match=r"cannot be reached.*nothing was sent \(tried 2 times\)"):
        evaluator.measure(WAVE)
    late = []
    threading.Timer(0.3, lambda: late.append(bench(port=port))).start()
    patient = HttpEvaluator(f"http://127.0.0.1:{port}", kind="physical", retries=50, retry_seconds=0.05)
    assert patient.measure(WAVE).metrics
    assert len(late[0].requests) == 1


ANSWERS = [
    ((422, {"error": "too loud"}), RuntimeError, "answered 422: too loud"),
    ((409, {"error": "another trajectory"}), RuntimeError, "answered 409: another trajectory"),
    ((500, {"error": "no sample", "fired": False}), RuntimeError, "answered 500: no sample"),
    ((500, {"error": "a fuse", "fired": True}), UnknownOutcomeError, "answered 500: a fuse"),
    ((502, b"<html>gateway</html>"), UnknownOutcomeError, "answered 502: <html>gateway</html>"),
    ((200, b"not json"), ValueError, "which is not JSON"),
    ((200, {"metrics": {"a": 1}, "banana": {}}), TypeError, "unknown part 'banana'"),
    ((200, {"a": {"b": 1}}), TypeError, "where a number or an array is needed"),
    ((200, {"a": {"npy": "!"}}), ValueError, "an array that cannot be read"),
    ((200, {"a": {"file": "/etc/passwd"}}), TypeError, "where a number or an array is needed"),
]


@pytest.mark.parametrize(("answer", "error", "sentence"), ANSWERS)
def test_every_answer_has_its_meaning(bench, answer, error, sentence):
    server = bench(answer)
    with pytest.raises(error, match=sentence):
        client(server).measure(WAVE)
    assert len(server.requests) == 1


def test_a_server_error_of_a_pure_server_is_a_failure(bench):
    server = bench((500, {"error": "a fuse"}), description={"kind": "pure"})
    with pytest.raises(RuntimeError, match="a fuse"):
        client(server).measure(WAVE)


def test_arrays_may_come_as_npy():
    import base64

    values = np.arange(6.0).reshape(2, 3)
    text = base64.b64encode(npy_bytes(values)).decode()
    found = measurement_from_document({"metrics": {"a": 1}, "errors": {"a": 0.1}, "arrays": {"image": {"npy": text}}}, "x")
    np.testing.assert_array_equal(found.arrays["image"], values)
    np.testing.assert_array_equal(measurement_from_document({"a": 1, "image": {"npy": text}}, "x").arrays["image"], values)


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ({"channels": ["Ex", "Ey"]}, r"wants the channels \['Ex', 'Ey'\]"),
        ({"units": {"value": "mV"}}, "wants the unit 'mV', the campaign's trajectories have 'V'"),
        ({"units": {"time": "s"}}, "wants the unit of time 's'"),
        ({"steps": 100}, "wants the number of steps 100"),
    ],
)
def test_a_server_that_wants_other_trajectories_is_noticed_before_anything_is_fired(bench, description, sentence):
    with pytest.raises(ConfigError, match=sentence):
        client(bench(description={"kind": "pure", **description}))


def test_a_server_that_does_not_say_what_it_is_cannot_be_used(bench):
    with pytest.raises(EvaluatorError, match="its kind is None"):
        client(bench(description={}))
    with pytest.raises(EvaluatorError, match="gives no description of itself"):
        client(bench(description=[]))
    for url in ("ftp://x", "instrument:8000", "http://", "http://x/?q=1"):
        with pytest.raises(ValueError, match="url must read"):
            HttpEvaluator(url)


def test_token_and_path_are_sent(bench, monkeypatch):
    monkeypatch.setenv("BENCH_TOKEN", "secret")
    server = bench()
    evaluator = HttpEvaluator(f"{server.url}/lab/", token_variable="BENCH_TOKEN")
    evaluator.measure(WAVE)
    evaluator.stop()
    assert [path for path, _, _ in server.requests] == ["/lab/measurements", "/lab/stop"]
    assert server.requests[0][1]["Authorization"] == "Bearer secret"


def test_stop_of_a_server_that_is_gone_is_quiet():
    HttpEvaluator("http://127.0.0.1:9", kind="physical").stop()


def test_a_campaign_whose_server_is_lost_once_keeps_that_trial_as_unknown(config, tmp_path, bench):
    server = bench("measure", "vanish")
    made = config().model_copy(update={"evaluator": EvaluatorConfig(name="http", parameters={"url": server.url})})
    history = run_campaign(made, tmp_path / "x")
    assert history.counts() == {"completed": 5, "unknown": 1}
    assert len(server.fired) == len(set(server.fired)) == 6


def test_the_server_of_the_documentation_keeps_the_contract_and_answers_a_key_once(tmp_path):
    text = (DOCS / "http-instrument.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "server.py").write_text(code)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(tmp_path / "server.py"), str(port)])
    try:
        spec = EvaluatorSpec("http", {"url": f"http://127.0.0.1:{port}"})
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        assert [check for check in check_evaluator(spec.make, WAVE, SIGNAL) if not check.is_good] == []
        evaluator = spec.make()
        first, again = (evaluator.measure_job(Job(3, WAVE, key="a")) for _ in range(2))
        assert first.metrics == again.metrics
    finally:
        server.terminate()
        server.wait()


def test_the_openapi_document_names_what_the_evaluator_calls():
    document = yaml.safe_load((DOCS / "http-instrument.openapi.yaml").read_text())
    assert set(document["paths"]) == {"/", "/measurements", "/stop"}
    measure = document["paths"]["/measurements"]["post"]
    assert measure["parameters"][0]["name"] == "Idempotency-Key"
    request = document["components"]["schemas"]["Request"]["properties"]
    from latentloop.loop.evaluators.exchange import request_document

    assert set(request) == set(request_document(Job(0, WAVE), SIGNAL))
    for part in re.findall(r"#/components/schemas/(\w+)", json.dumps(document)):
        assert part in document["components"]["schemas"]
