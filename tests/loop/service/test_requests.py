"""What requests may not do: reach outside the root, name code or files, be too large or too slow, or say nonsense."""

import http.client
import json
import re
import socket
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from latentloop.client import ServiceError
from latentloop.loop.errors import ConfigError
from latentloop.loop.service.reduced import configuration_from_preset, configuration_from_reduced
from latentloop.loop.service.schema import reduced_schema
from latentloop.loop.service.settings import ServerSettings, load_settings

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "service.md"


@pytest.fixture
def http_client(server):
    with httpx.Client(base_url=server.url, headers=server.headers(), timeout=20) as made:
        yield made


def raw(server, text, wait=8.0):
    """Send bytes as they are and return the answer's status; 0 where the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        answer = connection.recv(4096)
    return int(answer.split(b" ")[1]) if answer else 0


@pytest.mark.parametrize(
    "name", ["..", "../first", "%2e%2e", "..%2f..%2fetc%2fpasswd", "first/../second", ".latentloop", "first%00", "%2fetc"]
)
def test_no_path_leads_out_of_the_root(server, name):
    token = server.token()
    for rest in ("", "/trials", "/download/store.zip", "/download/trials.csv"):
        status = raw(
            server, f"GET /api/v1/campaigns/{name}{rest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        assert status in (400, 404), (name, rest)


def test_static_files_come_from_their_folder_alone(server):
    for path in ("../gate.py", "..%2fgate.py", "%2e%2e/gate.py", "/etc/passwd", "%2fetc%2fpasswd", "x/../../gate.py"):
        assert raw(server, f"GET /static/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == 404, path


@pytest.mark.slow
def test_a_link_in_the_root_is_no_campaign(new_server, make_campaign, tmp_path):
    server = new_server()
    make_campaign(tmp_path / "outside")
    (server.root / "inside").symlink_to(tmp_path / "outside")
    with server.client() as client:
        assert client.campaigns() == []
        with pytest.raises(ServiceError, match="there is no campaign 'inside'"):
            client.campaign("inside")


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "-x", "a b", "x" * 65, "ä", "first", "FIRST"])
def test_names_of_new_campaigns_are_plain_and_free(server, reduced, name):
    with server.client() as client, pytest.raises(ServiceError) as refused:
        client.create(name, configuration=reduced)
    assert refused.value.status in (409, 422)
    assert not (server.root.parent / "up").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluator": {"name": "python", "parameters": {"target": "os:system"}}},
        {"evaluator": {"name": "command", "parameters": {"command": ["touch", "/tmp/x"]}}},
        {"evaluator": {"name": "http", "parameters": {"url": "http://169.254.169.254/"}}},
        {"evaluator": {"name": "smooth", "parameters": {"target": "os:system"}}},
        {"evaluator": {"name": "simulator", "parameters": {"preset": "os:system"}}},
        {"evaluator": {"name": "simulator", "parameters": {"noise": {"a/b": 1}}}},
        {"evaluator": {"name": "smooth", "timeout": 5}},
        {"evaluator": {"name": "smooth", "url": "http://x"}},
        {"trajectories": {"file": "/etc/passwd"}},
        {"trajectories": {"file": "../secret.npy"}},
        {"trajectories": {"family": {"name": "my_package.module:Family"}}},
        {"latent": {"model": {"name": "vae", "parameters": {"hidden": "http://x"}}}},
        {"optimizer": {"acquisition": "os:system"}},
        {"optimizer": {"surrogate": {"name": "dkl", "parameters": {"features": "os.system"}}}},
        {"executor": {"address": "ray://evil:10001"}},
        {"executor": {"name": "my_plugin"}},
        {"executor": {"workers": 10_000}},
        {"budget": {"trials": 10**9}},
        {"prior": "/etc/passwd"},
        {"store": "s3://bucket"},
        {"trajectories": []},
        {"evaluator": 5},
        {"optimizer": "x"},
        {"budget": {"trials": "many"}},
    ],
)
def test_no_request_names_code_files_addresses_or_more_than_the_limits(server, reduced, changes):
    with server.client() as client, pytest.raises(ServiceError) as refused:
        client.create("wicked", configuration={**reduced, **changes})
    assert refused.value.status == 422
    assert not (server.root / "wicked").exists()
    assert not (server.root / ".latentloop" / "configurations" / "wicked.yaml").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        {"evaluator.name": "python"},
        {"evaluator.parameters.target": "os:system"},
        {"executor.address": "x"},
        {"trajectories.file": "/etc/passwd"},
        {"__class__": 1},
        {"a.b.c.d.e.f.g.h": 1},
        {"name.x": 1},
    ],
)
def test_changes_of_a_preset_reach_no_further_than_a_configuration(overrides):
    with pytest.raises(ConfigError):
        configuration_from_preset("x", "quick", overrides, ServerSettings())


def test_a_preset_with_changes_is_what_it_says():
    config = configuration_from_preset(
        "mine", "quick", {"optimizer.acquisition": {"name": "ucb", "parameters": {"beta": 2}}}, ServerSettings()
    )
    assert config.name == "mine"
    assert config.optimizer.acquisition.parameters == {"beta": 2}
    assert config.evaluator.parameters["preset"] == "small"


def test_named_evaluators_keep_what_the_server_sets_and_take_what_it_leaves_open(tmp_path, reduced):
    (tmp_path / "pulses.npy").touch()
    (tmp_path / "server.yaml").write_text(
        """
evaluators:
  chamber:
    evaluator: {name: python, parameters: {target: "lab:fire", kind: physical}}
    adjustable: [timeout]
files: {recorded: pulses.npy}
"""
    )
    settings = load_settings(tmp_path / "server.yaml")
    section = {**reduced, "evaluator": {"name": "chamber", "timeout": 3}, "trajectories": {"file": "recorded"}}
    config = configuration_from_reduced("x", section, settings)
    assert config.evaluator.parameters == {"target": "lab:fire", "kind": "physical"}
    assert config.evaluator.timeout == 3
    assert config.trajectories.file == str(tmp_path / "pulses.npy")


def test_the_configuration_of_the_documentation_is_one_as_it_stands(tmp_path, reduced):
    text = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "server.yaml").write_text(text)
    (tmp_path / "pulses.npy").touch()
    settings = load_settings(tmp_path / "server.yaml")
    assert set(settings.evaluators) == {"simulator", "chamber"}
    assert configuration_from_preset("x", "quick", {}, settings).evaluator.name == "ferrosim"
    recorded = {**reduced, "evaluator": "chamber", "trajectories": {"file": "recorded"}}
    config = configuration_from_reduced("x", recorded, settings)
    assert config.trajectories.file == str(tmp_path / "pulses.npy")
    assert config.evaluator.parameters["command"] == ["./measure"]
    with pytest.raises(ConfigError, match="set by the server"):
        configuration_from_reduced("x", {**recorded, "evaluator": {"name": "chamber", "parameters": {"command": ["ls"]}}}, settings)


def test_only_a_source_of_trajectories_may_be_left_out_in_the_schema():
    definitions = reduced_schema(ServerSettings(files={"recorded": Path("pulses.npy")}))["$defs"]

    def may_be_absent(definition, key):
        return {"type": "null"} in definitions[definition]["properties"][key]["anyOf"]

    assert all(may_be_absent("TrajectoriesConfig", key) for key in ("family", "file", "box"))
    assert not may_be_absent("LatentConfig", "model")
    assert not any(may_be_absent("OptimizerConfig", key) for key in ("surrogate", "acquisition"))


def test_a_file_is_previewed_by_its_name_to_those_who_may_start_from_it(new_server, tmp_path):
    np.save(tmp_path / "pulses.npy", np.arange(60.0)[:, None] * np.hanning(1000))
    (tmp_path / "broken.csv").write_text("1,2\n3\n")
    server = new_server({"files": {"recorded": "pulses.npy", "broken": "broken.csv"}})
    section = {"family": None, "file": "recorded", "dt": 0.5, "unit": "kV/cm", "n": 7500, "box": None}

    def shown(role="operator", campaigns=None, **changes):
        headers = server.headers(role, campaigns)
        return httpx.post(f"{server.url}/api/v1/preview", json={"trajectories": {**section, **changes}}, headers=headers, timeout=60)

    found = shown().json()
    assert (found["n_in_file"], found["unit"], found["channels"]) == (60, "kV/cm", ["value"])
    assert found["times"][:2] == [0.0, 1.0]
    peaks = [max(values) for values in found["trajectories"]]
    assert len(peaks) == 12
    assert peaks[0] == 0
    assert peaks[-1] == pytest.approx(59, rel=1e-3)
    assert shown("viewer").status_code == 403
    assert shown("operator", ["one"]).status_code == 403
    assert shown("viewer", file=None, family="damped_sinusoid").json()["n_in_file"] is None
    for changes, words in (
        ({"file": str(tmp_path / "pulses.npy")}, "no file of trajectories"),
        ({"family": "damped_sinusoid"}, "either"),
        ({"file": None}, "either"),
        ({"file": "broken"}, "broken.csv"),
    ):
        answer = shown(**changes)
        assert answer.status_code == 422
        assert words in answer.json()["error"]["message"]


def test_a_server_configuration_with_mistakes_says_where(tmp_path):
    path = tmp_path / "server.yaml"
    for text, said in (
        ("evaluator: x", "evaluator"),
        ("limits: {campaigns: 0}", "limits.campaigns"),
        ("files: {a: none.npy}", "there is no"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load_settings(path)


def test_a_large_body_is_refused_whether_announced_or_not(server):
    large = b"x" * 30_000
    with httpx.Client(base_url=server.url, headers=server.headers(), timeout=20) as http:
        announced = http.post("/api/v1/preview", content=large, headers={"Content-Type": "application/json"})
        assert announced.status_code == 413
        assert announced.json()["error"]["code"] == "too_large"
        chunked = http.post("/api/v1/preview", content=iter([large[:15_000], large[15_000:]]), headers={"Content-Type": "application/json"})
        assert chunked.status_code == 413


def test_a_body_that_dawdles_is_given_up(server):
    head = f"POST /api/v1/preview HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token()}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    start = time.monotonic()
    assert raw(server, head + '{"traj') == 408
    assert 1.5 < time.monotonic() - start < 7


def test_a_head_that_dawdles_is_given_up(server):
    start = time.monotonic()
    assert raw(server, "GET /api/v1/me HT") == 0
    assert time.monotonic() - start < 7


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b'{"name": 1}', b"\xff\xfe", b'{"name": "x", "preset": "quick", "also": 1}', b"[" * 5000]
)
def test_malformed_bodies_are_refused_with_a_sentence(http_client, body):
    answer = http_client.post("/api/v1/campaigns", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_numbers_that_are_none_are_refused(http_client):
    for text in ('{"z": [NaN, 0]}', '{"z": [1e999, 0]}', '{"z": []}', '{"z": "0,0"}'):
        answer = http_client.post("/api/v1/campaigns/first/decode", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, text


@pytest.mark.parametrize(
    ("query", "status"),
    [("limit=0", 422), ("limit=100000", 422), ("offset=-1", 422), ("state=nonsense", 422), ("offset=999999", 200), ("state=failed", 200)],
)
def test_pages_stay_within_bounds(http_client, query, status):
    assert http_client.get(f"/api/v1/campaigns/first/trials?{query}").status_code == status


def test_a_trial_or_array_or_figure_that_is_not_there_is_not_found(http_client):
    for path in ("trials/999", "trials/0/arrays/trajectory", "trials/0/arrays/..%2f..", "figures/nothing"):
        assert http_client.get(f"/api/v1/campaigns/first/{path}").status_code == 404, path
    assert http_client.post("/api/v1/campaigns/first/trials/999/veto", json={"reason": "x"}).status_code == 404


@pytest.mark.slow
def test_more_campaigns_than_the_limit_are_refused(new_server, make_campaign, reduced):
    server = new_server({"limits": {"campaigns": 1}})
    make_campaign(server.root / "one")
    with server.client() as client, pytest.raises(ServiceError, match="its limit") as refused:
        client.create("two", configuration=reduced)
    assert refused.value.status == 429


def test_deleting_needs_the_name_twice_and_an_administrator(new_server, make_campaign):
    server = new_server()
    make_campaign(server.root / "old")
    with server.client("operator") as client, pytest.raises(ServiceError, match="role admin"):
        client.delete("old", confirm="old")
    with server.client() as client:
        with pytest.raises(ServiceError, match="confirm"):
            client.delete("old", confirm="oldd")
        assert (server.root / "old").exists()
        client.delete("old", confirm="old")
        assert client.campaigns() == []
    assert not (server.root / "old").exists()


def test_methods_that_a_path_does_not_know_are_refused(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for method in ("PUT", "PATCH", "TRACE", "OPTIONS"):
        connection.request(method, "/api/v1/campaigns", headers=server.headers())
        answer = connection.getresponse()
        assert answer.status == 405
        assert json.loads(answer.read())["error"]["code"] == "not_allowed"
    connection.close()
