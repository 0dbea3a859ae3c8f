"""Measures here, in threads of this process, or in child processes when a timeout is set.

The controller's own thread never measures, so that a pause, a veto or Ctrl-C is obeyed during a measurement that takes an hour. One trial
is measured at a time, unless the evaluator says that it `is_concurrent` (what it drives is somewhere else: it only waits): then
`n_workers` threads call the same evaluator.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import Any, Protocol

from ..process import Process
from ..protocols import Progress, Result
from ..records import Job, Outcome
from .child import ChildWorker
from .worker import EvaluatorSpec, Worker

_NAME = "local"
_CLOSE_SECONDS = 5.0
"""Time for a measurement to end once the evaluator was told to rest; its thread is left behind then, and ends with the process."""


class _Measures(Protocol):
    """What a thread measures with: a worker here, or one in a child process."""

    def measure(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Measure the jobs."""

    def stop(self) -> None:
        """Bring what is driven to rest."""

    def close(self) -> None:
        """Release it."""


class LocalExecutor:
    """Measures in the order of `submit`, while the caller does something else.

    Args:
        spec: which evaluator.
        n_workers: measurements at the same time, where the evaluator `is_concurrent`; else one.
        address: ignored; for Ray.

    Raises:
        EvaluatorError: the evaluator cannot be prepared.
    """

    def __init__(self, spec: EvaluatorSpec, n_workers: int = 1, address: str | None = None) -> None:  # noqa: ARG002 - see above
        self._jobs: SimpleQueue[tuple[Job, ...] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[list[Outcome] | BaseException] = SimpleQueue()
        self._n_workers = n_workers if getattr(spec.make(), "is_concurrent", False) else 1
        self._spec = spec
        self._workers: list[_Measures] = []
        self._threads: list[Thread] = []
        self._known: dict[int, Process] = {}
        self._admitted: set[Process] = set()
        self._gate = Condition()
        self._is_closing = False
        self._busy: set[int] = set()
        """Indices of the threads that measure now."""
        try:
            for index in range(self._n_workers):
                self._start(index)
        except BaseException:
            self.close()
            raise

    @property
    def n_workers(self) -> int:
        """One, or as many as were asked for where the evaluator is concurrent."""
        return self._n_workers

    @property
    def processes(self) -> list[Process]:
        """The processes that measure or have measured: this one, or children."""
        if self._spec.timeout is None:
            numbers = [os.getpid()]
        else:
            numbers = [worker.number for worker in self._workers if isinstance(worker, _Child) and worker.number is not None]
        for number in numbers:
            self._of(number)
        return list(self._known.values())

    def admit(self, processes: Sequence[Process]) -> None:
        """Let children measure."""
        with self._gate:
            self._admitted.update(processes)
            self._gate.notify_all()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Have jobs measured, by the next thread that is free."""
        self._jobs.put(tuple(jobs))

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what has come back, after at most ``timeout`` seconds."""
        found: list[Outcome] = []
        with suppress(Empty):
            found += self._taken(self._outcomes.get(timeout=timeout))
            while True:
                found += self._taken(self._outcomes.get_nowait())
        return found

    def run(self, function: Callable[..., Result], *arguments: Any, progress: Progress | None = None) -> Result:
        """Run a long task here."""
        return function(*arguments, progress=progress)

    def stop(self) -> None:
        """Bring what the evaluator drives to rest, now, also in the midst of a measurement."""
        for worker in self._workers:
            worker.stop()

    def close(self) -> None:
        """Forget what waits, bring to rest what runs, and release the evaluator."""
        with self._gate:
            self._is_closing = True
            self._gate.notify_all()
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        end = monotonic() + _CLOSE_SECONDS
        if self._busy:
            with suppress(Exception):  # an evaluator that cannot be stopped is left to the end of the process
                self.stop()
            for worker in self._workers:
                if isinstance(worker, _Child):
                    worker.close()
        for thread in self._threads:
            thread.join(timeout=max(0.0, end - monotonic()))
        self._threads.clear()
        self._workers.clear()

    def _may_measure(self, number: int) -> bool:
        """Wait until a child is admitted; False when it comes to that no more."""
        process = self._of(number)
        with self._gate:
            self._gate.wait_for(lambda: self._is_closing or process in self._admitted)
        return not self._is_closing

    def _of(self, number: int) -> Process:
        return self._known.get(number) or self._known.setdefault(number, Process.of(number))

    def _start(self, index: int) -> None:
        """Start a thread; it makes the worker itself, because some instruments want to be used by the thread that opened them."""
        ready: SimpleQueue[BaseException | None] = SimpleQueue()
        shared = self._workers[0] if self._workers and self._spec.timeout is None else None
        thread = Thread(target=self._work, args=(ready, shared, index), name=f"measuring {index}", daemon=True)
        thread.start()
        error = ready.get()
        if error is not None:
            raise error
        self._threads.append(thread)

    def _work(self, ready: "SimpleQueue[BaseException | None]", shared: _Measures | None, index: int) -> None:
        """Measure until there is nothing more to come; the first thread closes what it made."""
        name = _NAME if not index else f"{_NAME}-{index}"
        try:
            worker = shared or (Worker(self._spec, name) if self._spec.timeout is None else _Child(self._spec, name, self._may_measure))
        except BaseException as error:  # noqa: BLE001 - raised where the executor is made
            ready.put(error)
            return
        if shared is None:
            self._workers.append(worker)
        ready.put(None)
        while (jobs := self._jobs.get()) is not None:
            self._busy.add(index)
            try:
                found: list[Outcome] | BaseException = worker.measure(jobs)
            except BaseException as error:  # noqa: BLE001 - raised by `wait`
                found = error
            self._busy.discard(index)
            self._outcomes.put(found)
        if shared is None:
            for other in self._threads[index + 1 :]:  # those that share the worker
                other.join(timeout=_CLOSE_SECONDS)
            with suppress(Exception):
                worker.close()

    @staticmethod
    def _taken(found: list[Outcome] | BaseException) -> list[Outcome]:
        if isinstance(found, BaseException):
            raise found
        return found


class _Child:
    """A child process that measures jobs one by one."""

    def __init__(self, spec: EvaluatorSpec, name: str, may_measure: Callable[[int], bool]) -> None:
        self._child = ChildWorker(spec, name, may_measure)

    @property
    def number(self) -> int | None:
        return self._child.number

    def measure(self, jobs: Sequence[Job]) -> list[Outcome]:
        return [self._child.measure(job) for job in jobs]

    def stop(self) -> None:
        self._child.stop()

    def close(self) -> None:
        self._child.close()
