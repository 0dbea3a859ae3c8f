"""An instrument server as an evaluator: latentloop calls it, with JSON over HTTP. See docs/http-instrument.md for the server's side.

    GET  /               what it is: kind, and where it matters channels, units, steps, sample_rate
    POST /measurements   one trajectory; the answer is the measurement. Header ``Idempotency-Key`` names the experiment.
    POST /stop           bring everything to rest

A request is sent again only where nothing can have fired: the connection was refused before anything was sent, or the server answers 503
(not started). A pure server is asked again after any trouble with the connection; for a physical one that makes the trial ``unknown``.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ..errors import EvaluatorError, UnknownOutcomeError
from ..records import EvaluatorKind, FloatArray, Job, Measurement, Signal
from .declaration import require_wanted
from .exchange import LARGEST_ANSWER, measurement_from_text, request_document

_OK, _NO_CONTENT, _UNAVAILABLE = 200, 204, 503
_FIRST_SERVER_ERROR = 500


class _NothingSentError(Exception):
    """The server could not be reached, and nothing was sent."""


class HttpEvaluator:
    """Sends each trajectory to a server.

    Args:
        url: of the server, for example ``http://instrument:8000`` or ``https://lab/instrument``.
        kind: None for what the server says of itself.
        timeout: seconds to wait for a connection, and then for the whole answer.
        retries: how often a request that cannot have fired is sent again.
        retry_seconds: pause before each of these.
        token_variable: name of an environment variable that holds a token, sent as ``Authorization: Bearer``; empty for none.
    """

    def __init__(
        self,
        url: str,
        kind: EvaluatorKind | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        retry_seconds: float = 1.0,
        token_variable: str = "",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError(f"url must read http://host:port or https://host/path, not {url!r}")
        if retries < 0 or retry_seconds < 0 or not timeout > 0:
            raise ValueError("timeout must be larger than 0, retries and retry_seconds at least 0")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retries = retries
        self.retry_seconds = retry_seconds
        self.token_variable = token_variable
        self._address = (parts.scheme, parts.hostname, parts.port)
        self._path = parts.path.rstrip("/")
        self._kind: EvaluatorKind | None = kind
        self._signal: Signal | None = None

    @property
    def kind(self) -> EvaluatorKind:
        """As configured, or as the server says.

        Raises:
            EvaluatorError: it is not configured, and the server does not say.
        """
        if self._kind is None:
            said = self._description().get("kind")
            if said not in ("pure", "physical"):
                raise EvaluatorError(
                    f"{self.url} says its kind is {said!r}; it must be 'pure' or 'physical', or set evaluator.parameters.kind"
                )
            self._kind = "physical" if said == "physical" else "pure"
        return self._kind

    def accept_signal(self, signal: Signal) -> None:
        """Take up times, units and channels; `prepare` compares them with what the server wants."""
        self._signal = signal

    def prepare(self) -> None:
        """Ask the server what it is.

        Raises:
            EvaluatorError: it cannot be reached, or gives no description.
            ConfigError: it wants other channels, units, steps or another sample rate.
        """
        _ = self.kind
        description = self._description()
        if self._signal is None:
            return
        require_wanted(description, self._signal, self.url)

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Have a trajectory measured that belongs to no trial."""
        return self.measure_job(Job(0, np.asarray(trajectory, dtype=np.float64)))

    def measure_job(self, job: Job) -> Measurement:
        """Have a trajectory measured.

        Raises:
            UnknownOutcomeError: the connection was lost after the request had been sent, or the server cannot say whether it fired.
            ConnectionError: the server could not be reached, or did not start.
            RuntimeError: the server says that the measurement failed.
            ValueError: its answer is not JSON, or far too large.
            TypeError: its answer is not a measurement.
        """
        document = request_document(job, self._signal)
        body = json.dumps(document, allow_nan=False).encode()
        trouble = ""
        for attempt in range(self.retries + 1):
            if attempt:
                sleep(self.retry_seconds)
            try:
                status, text = self._request("POST", "/measurements", body, document["key"])
            except _NothingSentError as error:
                trouble = f"{error}; nothing was sent"
                continue
            except (OSError, http.client.HTTPException) as error:
                trouble = f"the connection to {self.url} was lost during a measurement ({type(error).__name__}: {error})"
                if self.kind == "physical":
                    raise UnknownOutcomeError(f"{trouble}: nobody knows whether it fired") from error
                continue
            if status == _UNAVAILABLE:
                trouble = f"{self.url} did not start the measurement: {_reason(text)}"
                continue
            return self._answer(status, text)
        raise ConnectionError(f"{trouble} (tried {self.retries + 1} times)")

    def stop(self) -> None:
        """Have the server bring everything to rest; does nothing where the server cannot be reached or knows no stop."""
        try:
            self._request("POST", "/stop", b"{}", "")
        except (OSError, http.client.HTTPException, _NothingSentError):
            return

    def close(self) -> None:
        """Nothing is kept open between requests."""

    def _answer(self, status: int, text: str) -> Measurement:
        if status == _OK:
            return measurement_from_text(text, self.url)
        sentence = f"{self.url} answered {status}: {_reason(text)}"
        if status >= _FIRST_SERVER_ERROR and _fired(text) is not False and self.kind == "physical":
            raise UnknownOutcomeError(f"{sentence}; it does not say that nothing was fired")
        raise RuntimeError(sentence)

    def _description(self) -> dict[str, Any]:
        try:
            status, text = self._request("GET", "/", None, "")
            found = json.loads(text) if status == _OK else None
        except (OSError, http.client.HTTPException, _NothingSentError, ValueError) as error:
            raise EvaluatorError(f"{self.url} gives no description of itself: {error}") from error
        if not isinstance(found, dict):
            raise EvaluatorError(f"{self.url} gives no description of itself: GET / answered {status}; see docs/http-instrument.md")
        return found

    def _request(self, method: str, path: str, body: bytes | None, key: str) -> tuple[int, str]:
        """Send one request; return status and text."""
        scheme, host, port = self._address
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = kind(host, port, timeout=self.timeout)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise _NothingSentError(f"{self.url} cannot be reached: {error}") from error
            headers = {"Accept": "application/json"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            if key:
                headers["Idempotency-Key"] = key
            if self.token_variable:
                headers["Authorization"] = f"Bearer {os.environ.get(self.token_variable, '')}"
            with _limited(connection.sock, self.timeout):
                connection.request(method, f"{self._path}{path}", body, headers)
                answer = connection.getresponse()
                read = answer.read(LARGEST_ANSWER + 1)
                if len(read) <= LARGEST_ANSWER and not answer.isclosed():
                    read += answer.read()  # finds out whether that was all
        finally:
            connection.close()
        if len(read) > LARGEST_ANSWER:
            raise ValueError(f"{self.url} answered more than {LARGEST_ANSWER / 1e6:.0f} MB")
        return answer.status, read.decode(errors="replace")


@contextmanager
def _limited(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Hang up after so many seconds: a socket's own timeout begins anew with every byte.

    Raises:
        TimeoutError: it came to that.
    """
    late: list[bool] = []

    def hang_up() -> None:
        late.append(True)
        with suppress(OSError):  # the other side was faster
            connection.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if late:
            raise TimeoutError(f"no whole answer after {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if late:  # what was read is a part
        raise TimeoutError(f"no whole answer after {seconds:g} s")


def _reason(text: str) -> str:
    """Return the sentence in an error's answer."""
    try:
        found = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:200] or "without a reason"
    if isinstance(found, dict) and isinstance(found.get("error"), str):
        return str(found["error"])
    return str(found)[:200]


def _fired(text: str) -> bool | None:
    """Return what an error's answer says about whether anything fired; None where it says nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    said = found.get("fired") if isinstance(found, dict) else None
    return said if isinstance(said, bool) else None
