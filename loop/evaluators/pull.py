"""An instrument that fetches its trials itself: it sits behind a firewall, and only calls out. See docs/pull-instrument.md.

`measure_job` offers the trial in the campaign's queue on disk (`pull.queue`) and waits until an instrument has posted its result.
Instruments reach the queue through the service, or through a server that the campaign starts itself (``listen``). Several may work at the
same time.

The key of a trial never fires twice: a campaign that was killed and resumed offers the same key again, and finds the claim that runs, or
its result. A trial that was started and from which nothing has been heard for ``expires_seconds`` is ``unknown``; when its result arrives
after all, the campaign takes it up as an operator's `resolve`.
"""

import base64
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep, time
from typing import Any

import numpy as np

from ..errors import ConfigError, EvaluatorError, UnknownOutcomeError
from ..pull.queue import OFFER_SECONDS, PullQueue, PullRefusedError, Sight
from ..pull.server import PullServer, address, is_served, token_from
from ..records import EvaluatorKind, FloatArray, Job, Measurement, Signal
from .exchange import measurement_from_document, npy_bytes, request_document

_POLL_SECONDS = 0.05
_KEEP_SECONDS = OFFER_SECONDS / 5.0
_SWEEP_SECONDS = 2.0
QUEUE_FOLDER = Path("journal", "pull")
"""Where a campaign's folder holds the queue."""


class PullEvaluator:
    """Offers each trajectory to the instruments, and waits for its result.

    Args:
        listen: ``host:port`` of a server that the campaign starts for its instruments; empty where `latentloop serve` runs it.
        token_file: file with the token that instruments must show to that server; made where it is absent. Empty: ``STORE.token``, beside
            the store.
        token_variable: environment variable that holds the token instead.
        expires_seconds: a claim that has neither started nor sent a heartbeat for so long returns to the queue; one that has started and
            sent none for so long is unknown.
        measuring_seconds: longest time from the start to the result; None for no limit but the heartbeats.
        waiting_seconds: longest time until an instrument starts the trial, which has failed then; None waits for ever.
        stop_seconds: how long a started trial is awaited after the campaign has been told to stop.
        queue: folder of the queue; empty for the campaign's own, which must then lie on a disk.
        kind: ``physical``, unless the instruments are simulations.
    """

    is_concurrent = True
    """Several instruments measure at the same time: an executor may call `measure_job` from several threads."""
    finds_again = True
    """A trial that was armed when the campaign was killed is offered again under its key: nothing fires twice, and what runs is found."""

    def __init__(
        self,
        listen: str = "",
        token_file: str = "",
        token_variable: str = "",
        expires_seconds: float = 60.0,
        measuring_seconds: float | None = None,
        waiting_seconds: float | None = None,
        stop_seconds: float = 10.0,
        queue: str = "",
        kind: EvaluatorKind = "physical",
    ) -> None:
        if listen:
            address(listen)
        for name, seconds in (
            ("expires_seconds", expires_seconds),
            ("measuring_seconds", measuring_seconds),
            ("waiting_seconds", waiting_seconds),
        ):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} must be larger than 0, not {seconds}")
        if stop_seconds < 0:
            raise ValueError(f"stop_seconds must be at least 0, not {stop_seconds}")
        self.listen, self.token_file, self.token_variable = listen, token_file, token_variable
        self.expires_seconds, self.measuring_seconds, self.waiting_seconds = expires_seconds, measuring_seconds, waiting_seconds
        self.stop_seconds = stop_seconds
        self.queue_folder = Path(queue).absolute() if queue else None
        self._kind: EvaluatorKind = kind
        self._campaign = ""
        self._envelope: dict[str, Any] | None = None
        self._signal: Signal | None = None
        self._queue: PullQueue | None = None
        self._server: PullServer | None = None
        self._stopping = Event()
        self._closing = Event()
        self._sweeper: Thread | None = None

    @property
    def kind(self) -> EvaluatorKind:
        """As configured."""
        return self._kind

    @property
    def url(self) -> str:
        """Address of the campaign's own server; empty where there is none."""
        return "" if self._server is None else self._server.url

    def accept_signal(self, signal: Signal) -> None:
        """Take up times, units and channels, which every document names."""
        self._signal = signal

    def accept_campaign(self, folder: str, envelope: Mapping[str, Any] | None) -> None:
        """Take up where the campaign's store lies, and the safety envelope, which every document carries for the instrument to check.

        Raises:
            ConfigError: the store is not on a disk, and no other folder is given for the queue.
        """
        if "://" in folder and self.queue_folder is None:
            raise ConfigError(
                f"the queue of the evaluator 'pull' cannot lie in {folder}: set evaluator.parameters.queue to a folder on a disk"
            )
        self._campaign = folder
        self._envelope = None if envelope is None else dict(envelope)
        if self.queue_folder is None and folder:
            self.queue_folder = Path(folder).absolute() / QUEUE_FOLDER

    def prepare(self) -> None:
        """Start the server, where one is wanted.

        Raises:
            EvaluatorError: it cannot listen, or nobody has said where the queue lies.
            ConfigError: the token cannot be had.
        """
        if self._queue is not None:
            return
        if self.queue_folder is None:
            raise EvaluatorError("the evaluator 'pull' belongs to a campaign; outside of one set its parameter queue to a folder")
        self._stopping.clear()
        self._closing.clear()
        self._queue = PullQueue(self.queue_folder)
        if self.listen:
            self._serve(self._queue, self.queue_folder)
        if self._campaign:
            self._sweeper = Thread(target=self._sweep, args=(self._queue,), name="late results", daemon=True)
            self._sweeper.start()

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Have a trajectory measured that belongs to no trial."""
        return self.measure_job(Job(0, np.asarray(trajectory, dtype=np.float64)))

    def measure_job(self, job: Job) -> Measurement:
        """Offer a trial and wait for its result.

        Raises:
            UnknownOutcomeError: it was started, and nothing has been heard from the instrument for too long.
            RuntimeError: the instrument says that it failed; or it was never started, and the campaign stops.
            TypeError: the result is not a measurement.
        """
        if self._queue is None:
            self.prepare()
        queue = self._queue
        assert queue is not None
        document = request_document(job, self._signal)
        if self._envelope is not None:
            document["envelope"] = self._envelope
        key = document["key"] = self._open_key(queue, str(document["key"]))
        queue.offer(document, self.expires_seconds)
        return self._awaited(queue, document, key)

    def stop(self) -> None:
        """Withdraw what has not started, and have the instruments that measure come to rest."""
        self._stopping.set()

    def close(self) -> None:
        """Stop waiting, and close the server."""
        self._stopping.set()
        self._closing.set()
        server, self._server = self._server, None
        if server is not None:
            server.close()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.join()
        self._queue = None

    def _serve(self, queue: PullQueue, folder: Path) -> None:
        """Start the campaign's own server, unless another worker of the same campaign has."""
        name = Path(self._campaign).name or folder.name
        file = Path(self.token_file) if self.token_file else Path(f"{self._campaign or folder}.token")
        token = token_from(self.token_variable, file)
        try:
            self._server = PullServer(queue, name, self.listen, token)
        except EvaluatorError:
            if not is_served(self.listen, name, token):
                raise
            return
        shown = f"with the token of ${self.token_variable}" if self.token_variable else f"--token-file {file}"
        print(f"instruments: latentloop worker {self._server.url} --evaluator module:attribute {shown}", file=sys.stderr, flush=True)

    def _open_key(self, queue: PullQueue, key: str) -> str:
        """Return the key to offer a trial under: its own, unless that was withdrawn before it fired, or is pure and failed."""
        found, n_spent = key, 0
        while True:
            try:
                sight = queue.look(found)
            except PullRefusedError:  # never offered
                return found
            has_failed = sight.result is not None and sight.result.get("failure") is not None
            is_lost = sight.state == "started" and sight.expires_at < time()
            if sight.state != "withdrawn" and not (self._kind == "pure" and (has_failed or is_lost)):
                return found
            n_spent += 1
            found = f"{key}-{n_spent}"

    def _awaited(self, queue: PullQueue, document: dict[str, Any], key: str) -> Measurement:
        begun, kept = time(), monotonic()
        stop_asked: float | None = None
        while True:
            sight = queue.look(key)
            if sight.state == "finished":
                return self._taken(queue, document, sight)
            if sight.state == "withdrawn":
                raise RuntimeError("nothing was fired: the trial was withdrawn before an instrument had started it")
            is_late = self.waiting_seconds is not None and time() - begun > self.waiting_seconds
            if sight.state != "started" and (is_late or self._stopping.is_set()) and queue.withdraw(key):
                why = (
                    f"no instrument started it within {self.waiting_seconds:g} s"
                    if is_late
                    else "the campaign stopped before an instrument had started it"
                )
                raise RuntimeError(f"nothing was fired: {why}")
            if sight.state == "started":
                if self._stopping.is_set() and stop_asked is None:
                    queue.ask_to_stop(key)
                    stop_asked = monotonic()
                trouble = self._trouble(sight, begun, stop_asked)
                if trouble and queue.leave(key):
                    raise UnknownOutcomeError(f"{sight.instrument} started it, and {trouble}: nobody knows whether it fired")
            if monotonic() - kept > _KEEP_SECONDS:
                queue.keep(key)
                kept = monotonic()
            sleep(_POLL_SECONDS)

    def _trouble(self, sight: Sight, begun: float, stop_asked: float | None) -> str:
        """Return why a started trial's result is awaited no longer; empty where it is."""
        now = time()
        # Where this process waits anew for what had started before, heartbeats could not arrive in between: they get their time again.
        if now > max(sight.expires_at, begun + self.expires_seconds):
            return f"has not been heard of for {self.expires_seconds:g} s"
        if self.measuring_seconds is not None and now - sight.started_at > self.measuring_seconds:
            return f"has posted no result within {self.measuring_seconds:g} s"
        if self._closing.is_set():
            return "the campaign ended before its result was there"
        if stop_asked is not None and monotonic() - stop_asked > self.stop_seconds:
            return f"has posted no result within {self.stop_seconds:g} s after the campaign was stopped"
        return ""

    def _taken(self, queue: PullQueue, document: dict[str, Any], sight: Sight) -> Measurement:
        """Return the measurement that an instrument posted."""
        queue.take(document)
        posted = sight.result or {}
        if posted.get("failure") is not None:
            sentence = f"{sight.instrument}: {posted['failure']}"
            raise UnknownOutcomeError(sentence) if posted.get("is_unknown") else RuntimeError(sentence)
        return measurement_from_document(_measured(posted), f"instrument {sight.instrument!r}")

    def _sweep(self, queue: PullQueue) -> None:
        """Hand on results that came after they had been given up."""
        # Not before the campaign has offered anew what was armed when it was killed: those find their results themselves.
        wait = OFFER_SECONDS
        while not self._closing.wait(wait):
            wait = _SWEEP_SECONDS
            with suppress(OSError):  # tried again
                for document, posted in queue.late():
                    self._resolve(int(document["trial"]), queue.look(str(document["key"])).instrument, posted)
                    queue.take(document)

    def _resolve(self, trial: int, instrument: str, posted: dict[str, Any]) -> None:
        """Leave a late result in the campaign's inbox, to be judged and taken up there."""
        from ..store.campaign_store import CampaignStore
        from ..store.inbox import LARGEST_BYTES, Command, Resolution, command_bytes

        reason = "its result arrived late"
        outcome: Resolution = "failed"
        metrics: dict[str, float] = {}
        errors: dict[str, float] = {}
        arrays: dict[str, str] = {}
        if posted.get("failure") is not None:
            if posted.get("is_unknown"):
                return  # it is unknown already
            reason = f"{reason}: {posted['failure']}"
        else:
            try:
                measured = measurement_from_document(_measured(posted), f"instrument {instrument!r}")
            except (TypeError, ValueError) as error:
                reason = f"{reason}: {error}"
            else:
                outcome = "completed"
                metrics = {name: value for name, value in measured.metrics.items() if math.isfinite(value)}
                errors = {name: value for name, value in measured.errors.items() if math.isfinite(value)}
                arrays = {name: base64.b64encode(npy_bytes(values)).decode() for name, values in measured.arrays.items()}
        command = Command(
            "resolve",
            who=instrument,
            trial=trial,
            reason=reason,
            outcome=outcome,
            metrics=metrics,
            errors=errors,
            is_reading=True,
            arrays=arrays,
            time=time(),
        )
        if len(command_bytes(command)) > LARGEST_BYTES:
            command = replace(command, arrays={}, reason=f"{reason}; its arrays are too large for the inbox, and stay in {QUEUE_FOLDER}")
        CampaignStore.open(self._campaign).inbox.drop(command)


def _measured(posted: dict[str, Any]) -> dict[str, Any]:
    """Return a posted result as `exchange` reads it: what was not a number came as null."""
    numbers = {
        part: {name: math.nan if value is None else value for name, value in posted.get(part, {}).items()} for part in ("metrics", "errors")
    }
    return {**numbers, "arrays": posted.get("arrays", {})}
