"""Who may do what: every route, every role, tokens for other campaigns, cookies, origins, hosts."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from latentloop.client import ServiceError
from latentloop.loop.service.app import make_app
from latentloop.loop.service.gate import OPEN_FOLDER, OPEN_PATHS, Buckets
from latentloop.loop.service.roles import Needs
from latentloop.loop.service.server import is_loopback
from latentloop.loop.service.settings import ServerSettings
from latentloop.loop.service.tokens import GRANTS, TokenFile

PROGRAM = Path(sys.executable).with_name("latentloop")


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """Every route of the application, as (method, path, what it needs), those of the page included."""
    app = make_app(tmp_path_factory.mktemp("routes"), ServerSettings())
    found = []
    for context in iter_route_contexts(app.routes):
        acts = [call.act for call in _calls(context.dependant) if isinstance(call, Needs)]
        found += [(method, context.path, acts) for method in sorted(context.methods - {"HEAD"})]
    assert len(found) > 35
    return found


def _calls(dependant):
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def guarded(routes):
    return [route for route in routes if route[1] not in OPEN_PATHS and not route[1].startswith(OPEN_FOLDER)]


def address(path, campaign="first"):
    return path.format(campaign=campaign, number=0, name="x", path="x")


def test_every_route_but_health_readiness_login_and_static_files_says_what_it_needs(routes):
    open_ones = [path for _, path, acts in routes if not acts]
    assert sorted(set(open_ones)) == sorted({*OPEN_PATHS, "/static/plotly.js", "/static/themes.json", "/static/{path:path}"})
    assert all(len(acts) == 1 for _, path, acts in guarded(routes))


def test_without_a_token_or_with_a_wrong_one_every_route_is_refused(server, routes):
    with httpx.Client(base_url=server.url) as http:
        for method, path, _ in guarded(routes):
            assert http.request(method, address(path)).status_code == 401, path
        for wrong in ("ll_0000000000_x", "Basic x", server.token()[:-1]):
            answer = http.get("/api/v1/me", headers={"Authorization": f"Bearer {wrong}"})
            assert answer.status_code in (401, 429)
            assert answer.json()["error"]["code"] in ("unauthorized", "too_many")


def test_with_a_role_that_is_not_enough_every_route_is_refused(server, routes):
    n = 0
    with httpx.Client(base_url=server.url) as http:
        for method, path, (act,) in guarded(routes):
            for role, grants in GRANTS.items():
                if act not in grants and act != "any":
                    answer = http.request(method, address(path), headers=server.headers(role))
                    assert answer.status_code == 403, (path, role, answer.text)
                    assert act in answer.json()["error"]["message"]
                    n += 1
    assert n > 50


def test_a_token_for_another_campaign_is_refused_everywhere(server, routes):
    n = 0
    with httpx.Client(base_url=server.url) as http:
        for method, path, (act,) in guarded(routes):
            if "{campaign}" in path:
                role = next(role for role, grants in GRANTS.items() if act in grants)
                answer = http.request(method, address(path), headers=server.headers(role, ["second"]))
                assert answer.status_code == 403, path
                n += 1
        assert http.get("/api/v1/compare?campaigns=second,first", headers=server.headers("viewer", ["second"])).status_code == 403
    assert n > 25


def test_a_token_for_one_campaign_sees_that_one_alone(server):
    with server.client("viewer", ["second"]) as client:
        assert [each.name for each in client.campaigns()] == ["second"]
        assert client.campaign("second").n_trials == 4
        assert client.me().campaigns == ["second"]
    with httpx.Client(base_url=server.url, headers=server.headers("viewer", ["second"])) as http:
        assert 'campaign="second"' in http.get("/metrics").text
        assert 'campaign="first"' not in http.get("/metrics").text


def test_a_token_for_some_campaigns_makes_no_new_ones(server, reduced):
    with server.client("operator", ["first"]) as client, pytest.raises(ServiceError, match="makes no new ones"):
        client.create("third", configuration=reduced)


def test_a_revoked_token_is_worth_nothing_from_the_next_request_on(server):
    token = server.tokens.create("soon gone", "viewer")
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as http:
        assert http.get("/api/v1/me").status_code == 200
        server.tokens.revoke(token.split("_")[1])
        assert http.get("/api/v1/me").status_code == 401


def test_an_expired_token_is_refused(tmp_path):
    tokens = TokenFile(tmp_path)
    assert tokens.check(tokens.create("good", "viewer", days=1)) is not None
    assert tokens.check(tokens.create("late", "viewer", days=-1)) is None


def test_tokens_are_kept_as_hashes_in_a_file_for_this_user_alone(tmp_path):
    tokens = TokenFile(tmp_path)
    made = tokens.create("Ada", "operator", ["first"])
    secret = made.split("_", 2)[2]
    assert secret not in tokens.path.read_text()
    assert len(secret) >= 43
    assert tokens.path.stat().st_mode & 0o077 == 0
    found = TokenFile(tmp_path).check(made)
    assert (found.name, found.role, found.campaigns) == ("Ada", "operator", ("first",))


@pytest.mark.slow
def test_the_command_line_makes_lists_and_revokes_tokens(tmp_path):
    def call(*arguments):
        return subprocess.run([PROGRAM, "token", *arguments, "--root", tmp_path], text=True, capture_output=True, timeout=60)

    made = call("create", "--role", "operator", "--name", "Ada", "--campaign", "first").stdout.strip()
    assert TokenFile(tmp_path).check(made).campaigns == ("first",)
    listed = call("list").stdout
    assert "Ada" in listed
    assert made.split("_", 2)[2] not in listed
    assert "is revoked" in call("revoke", made.split("_")[1]).stdout
    assert TokenFile(tmp_path).check(made) is None
    wrong = call("create", "--role", "king")
    assert wrong.returncode == 2
    assert "viewer, operator, instrument, admin" in wrong.stderr


def test_a_login_sets_a_cookie_that_scripts_and_other_sites_cannot_use(server):
    with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as http:
        assert http.post("/api/v1/login", json={"token": "ll_wrong_token"}).status_code == 401
        answer = http.post("/api/v1/login", json={"token": server.token("operator")})
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert server.token("operator") not in cookie
        assert http.get("/api/v1/me").json()["role"] == "operator"
        sessions = (server.root / ".latentloop" / "sessions.json").read_text()
        assert http.cookies["latentloop_session"] not in sessions
        assert http.post("/api/v1/logout").status_code == 204
        http.cookies.set("latentloop_session", cookie.split("=", 1)[1].split(";")[0])
        assert http.get("/api/v1/me").status_code == 401  # the session itself is over, not only the cookie


def test_a_page_learns_who_is_logged_in_without_being_refused_and_tells_no_good_token_from_a_bad_one(server):
    with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as http:
        nobody = http.get("/api/v1/login")
        assert (nobody.status_code, nobody.json()) == (200, {"me": None})
        http.post("/api/v1/login", json={"token": server.token("operator")})
        assert http.get("/api/v1/login").json()["me"]["role"] == "operator"
        assert http.get("/api/v1/login", headers={"Origin": "http://evil.example"}).status_code == 403
        # Wrong tokens are counted here as everywhere.
        assert http.get("/api/v1/login", headers={"Authorization": "Bearer ll_mark_guessed"}).status_code in (401, 429)


def test_a_cookie_acts_for_no_foreign_page(server):
    with httpx.Client(base_url=server.url) as http:
        assert (
            http.post("/api/v1/login", json={"token": server.token("operator")}, headers={"Origin": "http://evil.example"}).status_code
            == 403
        )
        http.post("/api/v1/login", json={"token": server.token("operator")}, headers={"Origin": server.url})
        note = {"text": "hello"}
        for foreign in ("http://evil.example", "http://127.0.0.1:9", "null"):  # an EventSource of another port sends the cookie as well
            assert http.get("/api/v1/campaigns", headers={"Origin": foreign}).status_code == 403
        assert http.get("/api/v1/campaigns").status_code == 200
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": server.url, "Sec-Fetch-Site": "cross-site"}):
            answer = http.post("/api/v1/campaigns/first/notes", json=note, headers=headers)
            assert answer.status_code == 403, headers
        assert http.get("/api/v1/campaigns").status_code == 200


def test_revoking_a_token_ends_the_sessions_that_came_from_it(server):
    token = server.tokens.create("short", "viewer")
    with httpx.Client(base_url=server.url) as http:
        http.post("/api/v1/login", json={"token": token}, headers={"Origin": server.url})
        assert http.get("/api/v1/me").status_code == 200
        server.tokens.revoke(token.split("_")[1])
        assert http.get("/api/v1/me").status_code == 401


def test_wrong_tokens_are_slowed_down(new_server):
    server = new_server({"limits": {"failed_logins": 3}})
    with httpx.Client(base_url=server.url) as http:
        codes = [http.post("/api/v1/login", json={"token": f"ll_x_{k}"}).status_code for k in range(6)]
    assert codes[:3] == [401, 401, 401]
    assert codes[4:] == [429, 429]


@pytest.mark.slow
def test_too_many_requests_are_refused_and_others_are_not(new_server):
    server = new_server({"limits": {"requests_per_second": 1, "burst": 5}})
    with httpx.Client(base_url=server.url) as http:
        codes = [http.get("/api/v1/me", headers=server.headers("viewer")).status_code for _ in range(9)]
        assert codes[:5] == [200] * 5
        assert 429 in codes
        assert http.get("/api/v1/me", headers=server.headers("operator")).status_code == 200


def test_a_bucket_fills_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    buckets = Buckets(rate=2.0, size=3)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    now[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]


def test_no_auth_is_refused_where_others_could_reach_the_server(tmp_path):
    done = subprocess.run(
        [PROGRAM, "serve", "--root", tmp_path, "--host", "0.0.0.0", "--port", "0", "--no-auth"], text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 2
    assert "--host 127.0.0.1" in done.stderr
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "evil.example")] == [True] * 3 + [
        False
    ] * 3


def test_without_authentication_only_loopback_names_and_own_pages_are_answered(new_server):
    server = new_server(has_authentication=False)
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/api/v1/me").json()["authentication"] is False
        rebound = http.get("/api/v1/campaigns", headers={"Host": "evil.example"})
        assert rebound.status_code == 421
        assert http.get("/api/v1/me", headers={"Host": f"localhost:{server.port}"}).status_code == 200
        foreign = http.post("/api/v1/campaigns", json={}, headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert http.post("/api/v1/campaigns", json={}, headers={"Origin": server.url}).status_code == 422


def test_every_answer_has_the_security_headers(server):
    with httpx.Client(base_url=server.url) as http:
        for path in ("/", "/api/v1/me", "/api/v1/campaigns", "/nowhere", "/static/plotly.js", "/healthz"):
            answer = http.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe-eval" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "server" not in answer.headers


def test_refused_requests_are_logged_without_the_token(server):
    with httpx.Client(base_url=server.url) as http:
        http.get("/api/v1/campaigns/first", headers={"Authorization": "Bearer ll_mark_secretsecret"})
        http.post("/api/v1/campaigns/first/stop", headers=server.headers("viewer"))
    said = server.log.read_text()
    assert "GET /api/v1/campaigns/first from 127.0.0.1: 401" in said
    assert "POST /api/v1/campaigns/first/stop from a viewer (viewer) at 127.0.0.1: 403" in said
    assert "secretsecret" not in said
