"""One campaign as the server knows it: its journal followed event by event, folded once, and shown to any number of watchers.

The journal is read from the start once (or from a checkpoint on), in slices between which other requests are served, and never again:
what comes later is found by one look-up for the next event's number, at most every 20 ms while somebody watches, and when somebody asks
otherwise. A watcher holds nothing but a position: it sends what is in the shared buffer of recent frames, reads older events from the
disk, and one that does not keep up is dropped and catches up by Last-Event-ID.
"""

import asyncio
import json
import logging
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..errors import LatentloopError, StoreError
from ..figures.thinning import thinned_rows
from ..messages import CampaignSummary
from ..records import TrialState
from ..store.campaign_store import CampaignStore
from ..store.history import History
from ..store.journal import Event, name_of
from ..store.objects import open_objects
from .checkpoint import Checkpoint
from .views import kind_of, light, said, summary_of, trial_json
from .wording import without_paths

log = logging.getLogger("latentloop.service")

POLL_SECONDS = 0.02
SUMMARY_SECONDS = 0.5
HEARTBEAT_SECONDS = 10.0
_SLICE = 50
"""Events that are read between two turns of the event loop: some 2 ms."""
_RECENT = 4_000
"""Frames that are kept for those who are a little behind."""
_CATCH_UP = 200
"""Older events that are sent at once to those who are far behind."""
_SPARKS = 60


class CampaignWatch:
    """Follows one campaign.

    Args:
        name: of its folder.
        path: the folder, directly under the server's root.
        is_awaited: whether a driver has been started for it whose session has not begun.
        known_problem: why it could not be read when that was last tried; the log has heard of it.
    """

    def __init__(self, name: str, path: Path, is_awaited: Callable[[], bool] = lambda: False, known_problem: str = "") -> None:
        self.name = name
        self.path = path
        self.is_awaited = is_awaited
        self.known_problem = known_problem
        self.checkpoint = Checkpoint(path.parent, name)
        self.store = CampaignStore(open_objects(path))
        self.problem = ""
        """Why it cannot be read; empty while it can."""
        self.next_try = 0.0
        """When one that cannot be read is worth another look, on the monotonic clock."""
        self.is_closed = False
        self.n_watchers = 0
        self.seconds_measured, self.n_measured = 0.0, 0
        self.seconds_asked, self.n_asked = 0.0, 0
        self.workers: dict[str, tuple[int, float]] = {}
        """Worker -> trials that it finished, time of the last one."""
        self.measuring: dict[int, str] = {}
        """Armed trial -> who has said to measure it."""
        self.events_of: dict[int, array[int]] = {}
        """Trial -> numbers of its events."""
        self.best_so_far = array("d")
        """The best value after each completed trial."""
        self.kind_said = ""
        """What the driver of the last session said of its evaluator: pure or physical; empty where it said nothing."""
        self._frames: deque[bytes] = deque(maxlen=_RECENT)
        self._loading: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._summary = b""
        self._summary_at = 0.0
        self._summary_mark = ""
        self.summary_version = 0
        self._driven: tuple[float, bool] = (0.0, False)

    @property
    def history(self) -> History:
        """What its journal says, as far as it has been read."""
        return self.store.history

    @property
    def is_loaded(self) -> bool:
        """Whether the journal has been read to its end once."""
        return self._loading is not None and self._loading.done()

    @property
    def kind(self) -> str:
        """Whether its evaluator is pure or physical: as its driver found it, else as far as the configuration says."""
        return self.kind_said or kind_of(self.history.configuration)

    async def ready(self, patience: float = 30.0) -> None:
        """Bring the history up to date; where the journal is read for the first time, wait for that no longer than ``patience`` seconds."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        if not self._loading.done():
            await asyncio.wait({self._loading}, timeout=patience)
        else:
            await self.catch_up()

    async def catch_up(self) -> int:
        """Take up the events that have come since; return how many."""
        n = 0
        while self.take_next():
            n += 1
            if n % _SLICE == 0:
                await asyncio.sleep(0)
        return n

    def take_next(self) -> bool:
        """Take up the next event, if it is there."""
        if self.problem or not self.is_loaded:
            return False
        try:
            event = self._at(self.history.n_events)
            if event is None:
                return False
            self._apply(event)
        except LatentloopError as error:
            self._fail(error)
            return False
        if self.n_watchers:
            self._frames.append(self._frame(event))
        else:
            self._frames.clear()
        return True

    def is_driven(self) -> bool:
        """Return whether a process drives the campaign, as of at most half a second ago."""
        now = time.monotonic()
        if now - self._driven[0] > SUMMARY_SECONDS:
            try:
                self._driven = (now, self.store.is_driven())
            except StoreError as error:
                log.warning("%s: %s", self.name, error)
                self._driven = (now, False)
        return self._driven[1]

    def state(self) -> str:
        """Return starting, running, paused, interrupted, finished, failed or damaged."""
        if self.problem:
            return "damaged"
        if self.is_awaited():
            return "starting"
        return self.history.state(self.is_driven())

    def summary(self) -> CampaignSummary:
        """Return the campaign at a glance."""
        return summary_of(self, self.sparkline())

    def sparkline(self) -> list[float]:
        """Return the best value so far, at no more than 60 completed trials."""
        return [self.best_so_far[row] for row in thinned_rows(len(self.best_so_far), _SPARKS)]

    def best_values(self) -> list[float]:
        """Return the best value so far after each completed trial."""
        return self.best_so_far.tolist()

    def events(self, after: int, limit: int) -> list[Event]:
        """Return the events after number ``after``, as they are on the disk."""
        numbers = range(max(0, after + 1), min(self.history.n_events, after + 1 + limit))
        return [event for event in map(self._at, numbers) if event is not None]

    async def follow(self, after: int | None, closing: asyncio.Event) -> AsyncIterator[bytes]:
        """Yield the frames of an event stream, from the event after ``after`` on (None: from now on), until ``closing`` is set."""
        await self.ready()
        self.n_watchers += 1
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        try:
            following = self.history.n_events if after is None else min(max(0, after + 1), self.history.n_events)
            self._refresh_summary()
            seen = self.summary_version
            hello = json.dumps({"campaign": self.name, "last_event": following - 1, "summary": json.loads(self._summary or b"null")})
            yield b"retry: 1000\nevent: hello\ndata: " + hello.encode() + b"\n\n"
            while not closing.is_set() and not self.is_closed:
                changed = self._changed
                chunk, following = self._frames_from(following)
                if seen != self.summary_version:
                    seen = self.summary_version
                    chunk += b"event: summary\ndata: " + self._summary + b"\n\n"
                if chunk:
                    yield chunk
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    yield b": alive\n\n"
        finally:
            self.n_watchers -= 1

    def wake(self) -> None:
        """Let all watchers look again: something has changed, or the server stops."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def summary_json(self) -> bytes:
        """Return the summary as JSON, made at most twice a second."""
        self._refresh_summary()
        return self._summary

    def close(self) -> None:
        """Follow no more; whoever watches connects anew, to what has taken its place."""
        self.is_closed = True
        for task in (self._loading, self._following):
            if task is not None:
                task.cancel()
        self.wake()

    def _at(self, number: int) -> Event | None:
        """Return one event by a single look-up; None where it is not there (or damaged, which a driver will set aside)."""
        if not self.store.objects.exists(name_of(number)):
            return None
        found = self.store.journal.event(number)
        return found if isinstance(found, Event) else None

    async def _load(self) -> None:
        """Read the journal from its start, or from where the last server on this root had kept what it says."""
        try:
            events = self.store.journal.read(await self.checkpoint.restore(self))
            event = await asyncio.to_thread(next, events, None)  # the first one lists the whole journal
            while event is not None:
                self._apply(event)
                if event.number % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)
                event = next(events, None)
        except LatentloopError as error:
            self._fail(error)

    async def _follow(self) -> None:
        """Take up events as they come, while somebody watches."""
        woken = self.history.n_events
        while self.n_watchers:
            try:
                await self.catch_up()
                if self._refresh_summary() or self.history.n_events != woken:  # a request may have taken events up in between
                    woken = self.history.n_events
                    self.wake()
            except Exception:  # the tailer of all watchers outlives whatever happens to one event
                log.exception("cannot follow %s", self.name)
            await asyncio.sleep(POLL_SECONDS)

    def _frames_from(self, following: int) -> tuple[bytes, int]:
        """Return the frames from an event on, and the event after them."""
        end = self.history.n_events
        first_kept = end - len(self._frames)
        if following >= end:
            return b"", following
        if following >= first_kept:
            return b"".join(self._frames[index - first_kept] for index in range(following, end)), end
        events = self.events(following - 1, min(_CATCH_UP, first_kept - following))
        if not events:
            return b"", end
        return b"".join(map(self._frame, events)), events[-1].number + 1

    def _frame(self, event: Event) -> bytes:
        """Return an event as a frame of the stream."""
        trial = _trial_of(event, len(self.history.trials))
        shown = {
            "number": event.number,
            "time": event.time,
            "kind": event.kind,
            "data": without_paths(light(event) if trial is None else said(event)),
            "trial": None if trial is None else trial_json(self.history.trials[trial], self.history),
            "summary": None,
        }
        body = json.dumps(shown, separators=(",", ":"), allow_nan=False)
        return f"id: {event.number}\nevent: journal\ndata: {body}\n\n".encode()

    def _refresh_summary(self) -> bool:
        """Make the summary anew if it is old; return whether it has changed."""
        now = time.monotonic()
        if now - self._summary_at < SUMMARY_SECONDS:
            return False
        self._summary_at = now
        made = self.summary()
        # What passes by itself, the seconds, is no change.
        shown = made.model_dump_json().encode()
        mark = made.model_copy(update={"seconds": 0.0, "seconds_left": None}).model_dump_json()
        if mark == self._summary_mark:
            return False
        self._summary_mark = mark
        self._summary = shown
        self.summary_version += 1
        return True

    def _apply(self, event: Event) -> None:
        """Take one event into the history, and into what is kept beside it."""
        history = self.history
        before = history.incumbent
        history.apply(event)
        self.store.evidence.apply(event)
        if event.kind == "started":
            said = event.data.get("kind")
            self.kind_said = said if said in ("pure", "physical") else ""
        number = _trial_of(event, len(history.trials))
        if number is None:
            return
        self.events_of.setdefault(number, array("q")).append(event.number)
        trial = history.trials[number]
        data = event.data
        if data.get("ask_seconds") is not None:
            self.seconds_asked += float(data["ask_seconds"])
            self.n_asked += 1
        if trial.state is TrialState.ARMED:
            who = data.get("worker") or data.get("instrument")
            if who:
                self.measuring[number] = str(who)
            return
        self.measuring.pop(number, None)
        if "seconds" in data and trial.worker:
            n, _ = self.workers.get(trial.worker, (0, 0.0))
            self.workers[trial.worker] = (n + 1, event.time)
            if trial.seconds == trial.seconds:
                self.seconds_measured += trial.seconds
                self.n_measured += 1
        best = history.incumbent
        is_counted = trial.state is TrialState.COMPLETED and event.kind in ("completed", "accepted", "resolved")
        if best is None:
            del self.best_so_far[:]
        elif is_counted or before is None or before.trial != best.trial:
            self.best_so_far.append(best.objective)

    def _fail(self, error: Exception) -> None:
        self.problem = str(error)
        if self.problem != self.known_problem:
            log.error("campaign %s cannot be read further: %s", self.name, error)


def _trial_of(event: Event, n_trials: int) -> int | None:
    """Return the number of the trial that an event is about; None for none."""
    number = event.data.get("trial")
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < n_trials else None
