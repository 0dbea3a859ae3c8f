"""Measures here, one trial at a time: in this process, or in a child process when a timeout is set."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..protocols import Progress, Result
from ..records import Job, Outcome
from .child import ChildWorker
from .worker import EvaluatorSpec, Worker

_NAME = "local"


class LocalExecutor:
    """Measures in `wait`, in the order of `submit`.

    Args:
        spec: which evaluator.
        n_workers: ignored; one measurement at a time runs here.
        address: ignored; for Ray.

    Raises:
        EvaluatorError: the evaluator cannot be prepared.
    """

    def __init__(self, spec: EvaluatorSpec, n_workers: int = 1, address: str | None = None) -> None:  # noqa: ARG002 - see above
        self._queue: deque[tuple[Job, ...]] = deque()
        self._child = None if spec.timeout is None else ChildWorker(spec, _NAME)
        self._worker = Worker(spec, _NAME) if self._child is None else None

    @property
    def n_workers(self) -> int:
        """One."""
        return 1

    def submit(self, jobs: Sequence[Job]) -> None:
        """Keep jobs for the next `wait`."""
        self._queue.append(tuple(jobs))

    def wait(self, timeout: float) -> list[Outcome]:  # noqa: ARG002 - the measurement itself takes the time
        """Measure the jobs that were submitted first."""
        if not self._queue:
            return []
        jobs = self._queue.popleft()
        if self._child is not None:
            return [self._child.measure(job) for job in jobs]
        assert self._worker is not None
        return self._worker.measure(jobs)

    def run(self, function: Callable[..., Result], *arguments: Any, progress: Progress | None = None) -> Result:
        """Run a long task here."""
        return function(*arguments, progress=progress)

    def close(self) -> None:
        """Release the evaluator."""
        self._queue.clear()
        if self._child is not None:
            self._child.close()
        if self._worker is not None:
            self._worker.close()
