"""A queue with a server on loopback."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from latentloop.loop.pull.queue import PullQueue
from latentloop.loop.pull.server import PullServer

DATA = Path(__file__).resolve().parents[2] / "data"
if str(DATA) not in sys.path:
    sys.path.append(str(DATA))

TOKEN = "correct-horse"


@pytest.fixture
def queue(tmp_path):
    return PullQueue(tmp_path / "pull")


@pytest.fixture
def server(queue):
    made = PullServer(queue, "film", "127.0.0.1:0", TOKEN)
    yield made
    made.close()


@pytest.fixture
def ask(server):
    """Return a function that posts a document and returns status and answer."""

    def post(what, document, token=TOKEN, campaign="film", method="POST"):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        path = what if what.startswith("/") else f"/api/v1/campaigns/{campaign}/instrument/{what}"
        request = urllib.request.Request(server.url + path, body if method == "POST" else None, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return post
