"""Instruments that pull their trials through the service: claim, start, result; and what they may not do."""

import httpx
import pytest


@pytest.fixture
def bench(new_server, reduced, wait_until):
    """A campaign whose trials are pulled by an instrument, and a way to ask for them."""
    server = new_server()
    with server.client("operator") as client:
        client.create("first", configuration={**reduced, "evaluator": "bench"})
        wait_until(lambda: any(each.state == "running" and each.n_trials for each in client.campaigns()))
    with httpx.Client(base_url=f"{server.url}/api/v1/campaigns/first/instrument", headers=server.headers("instrument"), timeout=30) as http:
        yield server, http


def claim(http, name="oven"):
    answer = http.post("/claim", json={"instrument": name, "wait_seconds": 20})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_trial_is_claimed_started_measured_and_answered_once(bench, wait_until):
    server, http = bench
    trial = claim(http)
    assert len(trial["trajectory"]) == 20
    assert http.post("/start", json={"token": trial["token"]}).status_code == 200
    assert http.post("/heartbeat", json={"token": trial["token"]}).status_code == 200
    result = {"token": trial["token"], "metrics": {"objective": 1.5}}
    first = http.post("/result", json=result)
    assert first.status_code == 200, first.text
    with server.client("viewer") as client:
        wait_until(lambda: client.trial("first", trial["trial"]).state == "completed")
        assert client.trial("first", trial["trial"]).objective == 1.5
    again = http.post("/result", json=result)
    assert (again.status_code, again.json()) == (200, first.json())
    other = http.post("/result", json={**result, "metrics": {"objective": 9.0}})
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "conflict"
    with server.client("viewer") as client:
        assert client.trial("first", trial["trial"]).objective == 1.5
    assert "POST /api/v1/campaigns/first/instrument/result from a instrument (instrument) at 127.0.0.1: 409" in server.log.read_text()


def test_a_result_for_a_trial_that_is_not_yours_is_refused(bench):
    server, http = bench
    trial = claim(http)
    for wrong in ("nonsense", trial["token"][:-2] + "xx", "0-" + trial["token"]):
        answer = http.post("/result", json={"token": wrong, "metrics": {"objective": 5.0}})
        assert answer.status_code in (403, 404, 409, 422), answer.text
    with server.client("viewer") as client:
        assert client.trial("first", trial["trial"]).state == "armed"


def test_an_instrument_sees_nothing_but_its_trials(bench):
    server, _ = bench
    with httpx.Client(base_url=server.url, headers=server.headers("instrument")) as http:
        assert http.get("/api/v1/me").json()["role"] == "instrument"
        assert http.get("/api/v1/campaigns").status_code == 403
        assert http.get("/api/v1/campaigns/first/trials").status_code == 403
        assert http.post("/api/v1/campaigns/first/stop").status_code == 403
