"""The OpenAPI document against the server: no answer outside of it, and no failure of the server, whatever is asked."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def document(server):
    return httpx.get(f"{server.url}/api/v1/openapi.json", headers=server.headers()).json()


def test_the_document_describes_every_route_of_the_interface(document):
    paths = document["paths"]
    assert len(paths) > 35
    assert "/api/v1/campaigns/{campaign}/trials/{number}/approve" in paths
    assert "/api/v1/campaigns/{campaign}/instrument/claim" in paths
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            answers = set(operation["responses"])
            assert answers & {"200", "201", "202", "204"}, (method, path)
            if path not in ("/healthz", "/readyz"):
                assert {"401", "403", "422"} <= answers, (method, path)


@pytest.mark.parametrize("n", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_no_answer_is_outside_of_the_document(new_server, make_campaign, n, tmp_path):
    server = new_server()
    make_campaign(server.root / "first")
    (tmp_path / "hooks.py").write_text(HOOKS)
    done = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            f"{server.url}/api/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {server.token()}",
            "--max-examples",
            str(n),
            "--phases",
            "examples,coverage,fuzzing" if n > 10 else "fuzzing",
            "--checks",
            CHECKS,
            "--exclude-path-regex",
            "/stream$|/logout$|/login$|report.html$",
            "--request-timeout",
            "30",
            "--seed",
            "1",
            "--suppress-health-check",
            "all",
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path), "COLUMNS": "200", "HOME": str(tmp_path)},
        text=True,
        capture_output=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


HOOKS = '''
"""Campaigns and trials that exist come up more often than by chance."""
import random

import schemathesis


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters and "campaign" in path_parameters and random.random() < 0.8:
        path_parameters["campaign"] = "first"
    if path_parameters and isinstance(path_parameters.get("number"), int) and random.random() < 0.8:
        path_parameters["number"] %= 6
    return path_parameters
'''
