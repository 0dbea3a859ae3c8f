"""What an instrument asks for over HTTP, and what it is refused."""

import threading
import time

import pytest
from latentloop.loop.errors import ConfigError, EvaluatorError
from latentloop.loop.pull import server as server_module
from latentloop.loop.pull.server import PullServer, address, token_from


def document(trial):
    return {"trial": trial, "key": f"campaign-{trial}-abc", "trajectory": [0.0, 0.5, 0.0], "times": [0.0, 1.0, 2.0]}


def test_a_trial_goes_there_and_its_result_back(queue, ask):
    assert ask("claim", {"instrument": "bench"}) == (204, None)
    queue.offer(document(3), 60.0)
    status, claim = ask("claim", {"instrument": "bench"})
    assert status == 200
    assert {name: claim[name] for name in document(3)} == document(3)
    assert ask("heartbeat", {"token": claim["token"]}) == (200, {"state": "claimed", "stop": False, "expires_seconds": 60.0})
    assert ask("start", {"token": claim["token"]})[0] == 200
    result = {"token": claim["token"], "metrics": {"objective": 1.5, "lost": None}, "arrays": {"line": [1.0, 2.0]}}
    status, answer = ask("result", result)
    assert (status, answer) == (200, {"state": "finished", "trial": 3, "key": "campaign-3-abc"})
    assert ask("result", result) == (status, answer)
    assert ask("result", {**result, "metrics": {"objective": 1.6}})[0] == 409
    assert queue.look("campaign-3-abc").result["metrics"] == {"objective": 1.5, "lost": None}


def test_a_claim_waits_for_a_trial(queue, ask):
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(ask("claim", {"instrument": "bench", "wait_seconds": 10})))
    waiting.start()
    time.sleep(0.3)
    assert not answers
    queue.offer(document(1), 60.0)
    waiting.join(5)
    assert answers[0][1]["trial"] == 1
    begun = time.monotonic()
    assert ask("claim", {"instrument": "bench", "wait_seconds": 0.4})[0] == 204
    assert time.monotonic() - begun >= 0.4


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("claim", {}),
        ("claim", {"instrument": ""}),
        ("claim", {"instrument": "a", "wait_seconds": 1e9}),
        ("claim", {"instrument": "a", "more": 1}),
        ("start", {"token": 3}),
        ("start", {"token": "nonsense"}),
        ("start", {"token": "x" * 300}),
        ("result", {"token": "t"}),
        ("result", {"token": "t", "metrics": {}, "failure": "both"}),
        ("result", {"token": "t", "metrics": {"a": "many"}}),
        ("result", b"{"),
        ("result", b"[1, 2]"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(ask, what, body):
    status, answer = ask(what, body)
    assert status == 422
    assert answer["error"]["code"] == "invalid"
    assert answer["error"]["message"]


def test_only_who_has_the_token_is_heard(queue, ask):
    queue.offer(document(1), 60.0)
    for token in ("", "wrong", "correct-hors", "correct-horse2"):
        for what in ("claim", "start", "heartbeat", "result"):
            status, answer = ask(what, {"instrument": "bench"}, token=token)
            assert (status, answer["error"]["code"]) == (401, "unauthorized")
        assert ask("/api/v1/me", {}, token=token, method="GET")[0] == 401
    assert queue.look("campaign-1-abc").state == "offered"
    assert ask("/api/v1/me", {}, method="GET")[1]["campaigns"] == ["film"]


def test_another_campaign_is_not_found(ask):
    status, answer = ask("claim", {"instrument": "bench"}, campaign="..%2Ffilm")
    assert status == 404
    status, answer = ask("claim", {"instrument": "bench"}, campaign="other")
    assert (status, answer["error"]["code"]) == (404, "not_found")


def test_a_trial_of_somebody_else_is_refused(queue, ask):
    queue.offer(document(1), 60.0)
    token = ask("claim", {"instrument": "bench"})[1]["token"]
    stranger = token[:-32] + "0" * 32
    for what, more in (("start", {}), ("heartbeat", {}), ("result", {"metrics": {"objective": 1.0}})):
        status, answer = ask(what, {"token": stranger, **more})
        assert (status, answer["error"]["code"]) == (403, "forbidden")


def test_a_result_that_is_too_large_is_refused(queue, ask, monkeypatch):
    monkeypatch.setattr(server_module, "LARGEST_BODY", 10_000)
    status, _ = ask("result", {"token": "t", "metrics": {}, "arrays": {"image": [0.0] * 10_000}})
    assert status == 413


def test_a_damaged_queue_is_an_error_of_the_server(queue, ask):
    queue.offer(document(1), 60.0)
    path = queue.folder / "trials" / "campaign-1-abc" / "offer"
    path.write_bytes(path.read_bytes()[:-3])
    status, answer = ask("claim", {"instrument": "bench"})
    assert status == 503
    assert "is damaged" in answer["error"]["message"]


def test_an_address_in_use_is_an_error(server, queue):
    with pytest.raises(EvaluatorError, match=r"choose another evaluator\.parameters\.listen"):
        PullServer(queue, "film", server.url.removeprefix("http://"), "token")


@pytest.mark.parametrize("text", ["", "8766", "host", "host:", ":8766", "host:x", "host:99999"])
def test_an_address_reads_host_and_port(text):
    with pytest.raises(ValueError, match="listen must read host:port"):
        address(text)


def test_a_token_is_made_once_for_its_owner_alone(tmp_path, monkeypatch):
    file = tmp_path / "film.token"
    token = token_from("", file)
    assert len(token) >= 32
    assert token_from("", file) == token
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        token_from("", file)
    with pytest.raises(ConfigError, match="cannot read the token file"):
        token_from("", file / "token")
    monkeypatch.delenv("BENCH_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="BENCH_TOKEN is not set"):
        token_from("BENCH_TOKEN", file)
    monkeypatch.setenv("BENCH_TOKEN", "from outside")
    assert token_from("BENCH_TOKEN", file) == "from outside"
