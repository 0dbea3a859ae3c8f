"""What runs on Ray's side: a worker with its evaluator, a long task; and the plain values that travel between them and the driver."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..process import Process
from ..records import Failure, FloatArray, Job, Measurement, Outcome
from .worker import EvaluatorSpec, Worker

Packed = tuple[int, dict[str, float] | None, dict[str, float], dict[str, FloatArray], Failure | None, float, str]
"""An outcome as plain values: frozen dataclasses with slots pickle ten times slower, and the driver unpickles for all workers."""


def packed(outcome: Outcome) -> Packed:
    """Return an outcome as plain values."""
    result = outcome.result
    if isinstance(result, Failure):
        return outcome.trial, None, {}, {}, result, outcome.seconds, outcome.worker
    return outcome.trial, dict(result.metrics), dict(result.errors), dict(result.arrays), None, outcome.seconds, outcome.worker


def unpacked(plain: Packed) -> Outcome:
    """Return what `packed` took apart."""
    trial, metrics, errors, arrays, failure, seconds, worker = plain
    result = failure if failure is not None else Measurement(metrics or {}, errors, arrays)
    return Outcome(trial, result, seconds, worker)


Mark = tuple[int, str, str, str]
"""What identifies a job: trial, envelope, key and fence."""


def marks_of(jobs: Sequence[Job]) -> list[Mark] | range:
    """Return what identifies jobs: for a plain run of numbers, as in a ground truth, the run itself."""
    first = jobs[0].trial
    if all(job.trial == first + index and not job.envelope and not job.key and not job.fence for index, job in enumerate(jobs)):
        return range(first, first + len(jobs))
    return [(job.trial, job.envelope, job.key, job.fence) for job in jobs]


class WorkerActor:
    """Ray's side of a worker."""

    def __init__(self, spec: EvaluatorSpec, name: str) -> None:
        self._spec = spec
        self._name = name
        self._worker: Worker | None = None

    def ready(self) -> tuple[dict[str, Any], str]:
        """Prepare the evaluator: here, and not in __init__, because Ray would turn an error there into a dead actor without its cause.

        Returns which process this is, and on which node.
        """
        import ray

        self._worker = Worker(self._spec, self._name)
        return Process.of_this().as_mapping(), ray.get_runtime_context().get_node_id()

    def measure(self, marks: Sequence[Mark] | range, trajectories: FloatArray) -> list[Packed]:
        """Measure the jobs that the marks and the rows of ``trajectories`` (n, T[, channels]) make."""
        assert self._worker is not None
        if isinstance(marks, range):
            jobs = [Job(trial, trajectory) for trial, trajectory in zip(marks, trajectories, strict=True)]
        else:
            jobs = [Job(mark[0], trajectory, *mark[1:]) for mark, trajectory in zip(marks, trajectories, strict=True)]
        return [packed(outcome) for outcome in self._worker.measure(jobs)]

    def stop(self) -> None:
        """Bring what the evaluator drives to rest."""
        worker = self._worker
        if worker is not None:
            worker.stop()

    def close(self) -> None:
        """Release the evaluator."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


class TaskActor:
    """Runs one long function while it can be asked how far it is."""

    def __init__(self, search_path: Sequence[str]) -> None:
        sys.path.extend(folder for folder in search_path if folder not in sys.path)
        self._progress: tuple[int, int, float] | None = None

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Run it."""

        def note(done: int, total: int, loss: float) -> None:
            self._progress = (done, total, loss)

        return function(*arguments, progress=note)

    def progress(self) -> tuple[int, int, float] | None:
        """Return (done, in all, loss), as last told; None before."""
        return self._progress
