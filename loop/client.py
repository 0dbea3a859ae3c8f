"""A server of latentloop from Python: every call of its REST interface, and its event stream with reconnection.

>>> from latentloop.client import Client
>>> with Client("http://127.0.0.1:8000", token) as client:
...     client.create("first", preset="quick", overrides={"budget.trials": 30})
...     for event in client.follow("first"):
...         if event.trial is not None:
...             print(event.number, event.kind, event.trial.objective)

Answers are the models of `messages`; a refusal is a `ServiceError` with the server's sentence.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from .errors import LatentloopError
from .messages import (
    ArrayMessage,
    CampaignDetail,
    CampaignList,
    CampaignSummary,
    Choices,
    Comparison,
    DecodedPoint,
    EventMessage,
    EventPage,
    FigureEntry,
    FigureList,
    JournalMessage,
    Me,
    PresetMessage,
    Said,
    TrialDetail,
    TrialMessage,
    TrialPage,
    Version,
)

Answer = TypeVar("Answer", bound=BaseModel)

_FIRST_ERROR = 400
_STREAM_SILENCE = 30.0
"""Seconds without a sign of life (the server gives one every ten) after which the connection counts as lost."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_PAGE = 1000


class ServiceError(LatentloopError, RuntimeError):
    """A refusal of the server, or none at all.

    Args:
        status: HTTP status; 0 where the server could not be reached.
        code: the kind of refusal, such as ``not_found``.
        message: the server's sentence.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Client:
    """Speaks to one server.

    Args:
        url: of the server, such as ``http://127.0.0.1:8000``.
        token: from `latentloop token create`; None where the server asks for none.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def version(self) -> str:
        """Return the server's release."""
        return self._get(Version, "/version").version

    def me(self) -> Me:
        """Return who this client is to the server."""
        return self._get(Me, "/me")

    def presets(self) -> list[PresetMessage]:
        """Return the campaigns to start from."""
        return [PresetMessage.model_validate(item) for item in self._json("GET", "/presets")]

    def choices(self) -> Choices:
        """Return the names that a new campaign may use."""
        return self._get(Choices, "/choices")

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the configurations that `create` takes."""
        found: dict[str, Any] = self._json("GET", "/schema")
        return found

    def campaigns(self) -> list[CampaignSummary]:
        """Return all campaigns at a glance."""
        return self._get(CampaignList, "/campaigns").campaigns

    def create(
        self,
        name: str,
        *,
        preset: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> CampaignSummary:
        """Start a campaign, from a preset with changed keys (dotted key -> value) or from a reduced configuration."""
        body: dict[str, Any] = {"name": name}
        if configuration is not None:
            body["configuration"] = configuration
        if preset is not None:
            body |= {"preset": preset, "overrides": dict(overrides or {})}
        return self._post(CampaignSummary, "/campaigns", body)

    def campaign(self, name: str) -> CampaignDetail:
        """Return one campaign with its configuration, units, workers and queue."""
        return self._get(CampaignDetail, _at(name))

    def delete(self, name: str, *, confirm: str) -> None:
        """Remove a campaign with all its data; ``confirm`` repeats its name."""
        self._send("DELETE", f"/api/v1{_at(name)}", params={"confirm": confirm})

    def pause(self, name: str, reason: str = "") -> Said:
        """Have no new trial begun until the campaign is resumed."""
        return self._post(Said, f"{_at(name)}/pause", {"reason": reason})

    def resume(self, name: str, reason: str = "") -> Said:
        """Go on, with a new driver where there is none."""
        return self._post(Said, f"{_at(name)}/resume", {"reason": reason})

    def stop(self, name: str, reason: str = "") -> Said:
        """End the session after the measurements under way."""
        return self._post(Said, f"{_at(name)}/stop", {"reason": reason})

    def fork(self, name: str, at_trial: int, new_name: str, overrides: Mapping[str, Any] | None = None) -> CampaignSummary:
        """Make a new campaign from the trials before ``at_trial``."""
        return self._post(
            CampaignSummary, f"{_at(name)}/fork", {"at_trial": at_trial, "name": new_name, "overrides": dict(overrides or {})}
        )

    def compare(self, names: Sequence[str]) -> Comparison:
        """Compare campaigns."""
        return self._get(Comparison, "/compare", campaigns=",".join(names))

    def trials(self, name: str, *, state: str | None = None, newest: bool = False) -> Iterator[TrialMessage]:
        """Yield the trials, page by page."""
        offset = 0
        while True:
            wanted = {} if state is None else {"state": state}
            page = self._get(TrialPage, f"{_at(name)}/trials", offset=offset, limit=_PAGE, newest=newest, **wanted)
            yield from page.trials
            offset += len(page.trials)
            if not page.trials or offset >= page.total:
                return

    def trial(self, name: str, number: int) -> TrialDetail:
        """Return one trial with its trajectory and events."""
        return self._get(TrialDetail, f"{_at(name)}/trials/{number}")

    def array(self, name: str, number: int, array: str) -> ArrayMessage:
        """Return an array of a trial, thinned where it is large."""
        return self._get(ArrayMessage, f"{_at(name)}/trials/{number}/arrays/{quote(array, safe='')}")

    def approve(self, name: str, number: int, reason: str = "") -> Said:
        """Let a held trial be measured."""
        return self._decide(name, number, "approve", {"reason": reason})

    def veto(self, name: str, number: int, reason: str) -> Said:
        """Never measure a held trial."""
        return self._decide(name, number, "veto", {"reason": reason})

    def edit(self, name: str, number: int, *, z: Sequence[float] | None = None, trajectory: Any = None, reason: str = "") -> Said:
        """Have another point, or trajectory, measured in a held trial."""
        return self._decide(name, number, "edit", _point(z, trajectory, reason))

    def resolve(
        self,
        name: str,
        number: int,
        outcome: Literal["completed", "failed", "repeat"],
        *,
        metrics: Mapping[str, float] | None = None,
        reason: str = "",
    ) -> Said:
        """Say what became of an unknown trial."""
        return self._decide(name, number, "resolve", {"outcome": outcome, "metrics": dict(metrics or {}), "reason": reason})

    def accept(self, name: str, number: int, reason: str = "") -> Said:
        """Learn from a quarantined trial after all."""
        return self._decide(name, number, "accept", {"reason": reason})

    def note(self, name: str, text: str, number: int | None = None) -> Said:
        """Write something down, about a trial or the campaign."""
        return (
            self._post(Said, f"{_at(name)}/notes", {"text": text}) if number is None else self._decide(name, number, "note", {"text": text})
        )

    def propose(self, name: str, *, z: Sequence[float] | None = None, trajectory: Any = None, reason: str = "") -> Said:
        """Have a point or a trajectory of one's own measured."""
        return self._post(Said, f"{_at(name)}/proposals", _point(z, trajectory, reason))

    def decode(self, name: str, z: Sequence[float]) -> DecodedPoint:
        """Return what a latent point decodes to, and what the surrogate expects there."""
        return self._post(DecodedPoint, f"{_at(name)}/decode", {"z": list(z)})

    def figures(self, name: str) -> list[FigureEntry]:
        """Return the figures that a campaign has."""
        return self._get(FigureList, f"{_at(name)}/figures").figures

    def figure(self, name: str, figure: str, trial: int | None = None) -> dict[str, Any]:
        """Return a figure as Plotly's JSON: ``plotly.graph_objects.Figure(client.figure(...), skip_invalid=True)``."""
        wanted = {} if trial is None else {"trial": trial}
        found: dict[str, Any] = self._json("GET", f"{_at(name)}/figures/{quote(figure, safe='')}", params=wanted)
        return found

    def download(self, name: str, what: Literal["trials.csv", "store.zip", "report.html"], target: str | Path) -> Path:
        """Write a download to a file, and return its path."""
        path = Path(target)
        with self._http.stream("GET", f"/api/v1{_at(name)}/download/{what}", timeout=600.0) as response, path.open("wb") as file:
            if response.status_code >= _FIRST_ERROR:
                response.read()
                raise _error(response)
            for piece in response.iter_bytes():
                file.write(piece)
        return path

    def events(self, name: str, after: int = -1, limit: int = 200) -> list[EventMessage]:
        """Return the events of the journal after number ``after``."""
        return self._get(EventPage, f"{_at(name)}/events", after=after, limit=limit).events

    def follow(self, name: str, after: int | None = None, patience: float | None = None) -> Iterator[JournalMessage]:
        """Yield the events of a campaign as they are committed; a connection that is lost is made anew, and nothing is missed.

        Args:
            name: of the campaign.
            after: number of the last event known; None for now; -1 for all from the start.
            patience: seconds without the server after which it gives up; None for never.

        Raises:
            ServiceError: the server refuses, or did not come back within ``patience``.
        """
        seen, pause, lost_at = after, _FIRST_PAUSE, time.monotonic()
        while True:
            headers = {"Accept": "text/event-stream", **({} if seen is None or seen < 0 else {"Last-Event-ID": str(seen)})}
            params = {"after": -1} if seen == -1 else {}
            timeout = httpx.Timeout(30.0, read=_STREAM_SILENCE)
            try:
                with self._http.stream("GET", f"/api/v1{_at(name)}/stream", headers=headers, params=params, timeout=timeout) as response:
                    if response.status_code >= _FIRST_ERROR:
                        response.read()
                        raise _error(response)
                    for kind, data in _frames(response.iter_lines()):
                        pause, lost_at = _FIRST_PAUSE, time.monotonic()
                        if kind == "hello" and seen is None:
                            seen = json.loads(data)["last_event"]
                        if kind == "journal":
                            message = JournalMessage.model_validate_json(data)
                            seen = message.number
                            yield message
            except httpx.TransportError as error:
                if patience is not None and time.monotonic() - lost_at > patience:
                    raise ServiceError(0, "unreachable", f"{self.url} does not answer: {error}") from error
            except ServiceError as error:
                if error.status not in (429, 503):
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _decide(self, name: str, number: int, action: str, body: Mapping[str, Any]) -> Said:
        return self._post(Said, f"{_at(name)}/trials/{number}/{action}", body)

    def _get(self, kind: type[Answer], path: str, **params: Any) -> Answer:
        return kind.model_validate(self._json("GET", path, params=params))

    def _post(self, kind: type[Answer], path: str, body: Mapping[str, Any]) -> Answer:
        return kind.model_validate(self._json("POST", path, json=body))

    def _json(self, method: str, path: str, **more: Any) -> Any:
        return self._send(method, f"/api/v1{path}", **more).json()

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise ServiceError(0, "unreachable", f"{self.url} does not answer: {error}; is `latentloop serve` running there?") from error
        if response.status_code >= _FIRST_ERROR:
            raise _error(response)
        return response


def _at(name: str) -> str:
    return f"/campaigns/{quote(name, safe='')}"


def _point(z: Sequence[float] | None, trajectory: Any, reason: str) -> dict[str, Any]:
    steps = trajectory.tolist() if hasattr(trajectory, "tolist") else trajectory
    return {"z": None if z is None else [float(value) for value in z], "trajectory": steps, "reason": reason}


def _error(response: httpx.Response) -> ServiceError:
    """Return a server's refusal as an error."""
    try:
        said = response.json()["error"]
        return ServiceError(response.status_code, str(said["code"]), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        return ServiceError(response.status_code, "error", f"the server answered {response.status_code}: {response.text[:200]}")


def _frames(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield kind and data of server-sent events."""
    kind = "message"
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield kind, "\n".join(data)
            kind, data = "message", []
        elif line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
