"""Measures on Ray: one actor per worker, each holding a warm evaluator.

A Ray call costs 1-3 ms, so one call may carry a batch of jobs; its trajectories travel as one array. Nothing is ever retried by Ray
itself (``max_restarts=0, max_task_retries=0``): an instrument must not fire twice. A worker that dies or outlasts the timeout is replaced,
and its jobs come back as failures. At most one call per worker is under way; the others wait here.

A cluster whose raylet or head dies leaves calls pending for ever, and its workers may measure on. So it is watched; when it is lost, what
was under way comes back as failures, workers on this host are killed before anything else is fired, and a cluster that was started here is
started again. One that belongs to others is theirs to mend: the session ends with a sentence.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import numpy as np

from ..errors import ConfigError, EvaluatorError, ExecutorError
from ..process import Process
from ..protocols import Progress, Result
from ..records import Failure, Job, Outcome
from ..threads import thread_environment
from .ray_actors import TaskActor, WorkerActor, marks_of, unpacked
from .ray_signals import handlers_kept
from .ray_watch import RayWatch
from .worker import EvaluatorSpec

_PROGRESS_SECONDS = 0.25
_CLOSE_SECONDS = 2.0
_LOOK_SECONDS = 0.5
_REST = "rest"
_NO_USAGE_REPORT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass(slots=True)
class _Call:
    """One call under way."""

    worker: int
    jobs: tuple[Job, ...]
    started: float


class RayExecutor:
    """Measures on Ray workers.

    Args:
        spec: which evaluator; the same for all workers.
        n_workers: number of actors.
        address: a running cluster; None starts one on this machine, of the size asked for.

    Raises:
        ExecutorError: Ray cannot be started or reached.
        EvaluatorError: the evaluator cannot be prepared.
    """

    def __init__(self, spec: EvaluatorSpec, n_workers: int = 2, address: str | None = None) -> None:
        for name, value in _NO_USAGE_REPORT.items():
            os.environ.setdefault(name, value)
        import ray

        self._ray = ray
        self._spec = spec
        self._environment = {**thread_environment(spec.n_threads), **_NO_USAGE_REPORT}
        self._address = address
        self._is_attached = ray.is_initialized()
        self._queue: deque[tuple[Job, ...]] = deque()
        self._calls: dict[Any, _Call] = {}
        self._admitted: set[Process] = set()
        self._start(n_workers)

    @property
    def n_workers(self) -> int:
        """Number of actors."""
        return len(self._actors)

    @property
    def processes(self) -> list[Process]:
        """The workers' processes."""
        return list(self._processes)

    def admit(self, processes: Sequence[Process]) -> None:
        """Let workers measure."""
        self._admitted.update(processes)
        self._dispatch()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Send jobs to the next free worker in one call; with a timeout each job is a call of its own."""
        if self._spec.timeout is None:
            self._queue.append(tuple(jobs))
        else:
            self._queue.extend((job,) for job in jobs)
        self._dispatch()

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what has come back within ``timeout`` seconds."""
        if self._watch.is_lost():
            return self._lose_cluster()
        self._dispatch()
        if not self._calls:
            return []
        limit = timeout if self._spec.timeout is None else min(timeout, self._spec.timeout)
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=limit)
        if ready and len(self._calls) > 1:
            ready, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        outcomes = [outcome for reference in ready for outcome in self._collect(reference)]
        outcomes += [outcome for reference in self._overdue() for outcome in self._give_up(reference)]
        outcomes += [outcome for reference in self._on_lost_nodes() for outcome in self._abandon(reference)]
        self._dispatch()
        return outcomes

    def run(self, function: Callable[..., Result], *arguments: Any, progress: Progress | None = None) -> Result:
        """Run a long task in a Ray actor of its own."""
        actor: Any = self._ray.remote(TaskActor).options(
            num_cpus=0, max_concurrency=2, max_restarts=0, max_task_retries=0, runtime_env={"env_vars": self._environment}
        )
        task: Any = actor.remote(self._spec.search_path)
        try:
            reference = task.run.remote(function, arguments)
            while not self._ray.wait([reference], timeout=_PROGRESS_SECONDS)[0]:
                done = self._ray.get(task.progress.remote())
                if progress is not None and done is not None:
                    progress(*done)
            result: Result = self._ray.get(reference)
            done = self._ray.get(task.progress.remote())
            if progress is not None and done is not None:
                progress(*done)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            raise ExecutorError(f"{getattr(function, '__name__', 'a task')} was lost on Ray: {error}") from error
        finally:
            self._ray.kill(task)
        return result

    def stop(self) -> None:
        """Bring every instrument to rest, also in the midst of a measurement."""
        with suppress(Exception):  # a worker that cannot answer is not waited for
            stopping = [actor.stop.options(concurrency_group=_REST).remote() for actor in self._actors]
            self._ray.wait(stopping, num_returns=len(stopping), timeout=_CLOSE_SECONDS)

    def close(self) -> None:
        """End the workers, and the cluster if it was started here."""
        watch = getattr(self, "_watch", None)
        if watch is not None:
            watch.close()
        self._queue.clear()
        self._calls.clear()
        actors = getattr(self, "_actors", [])
        with suppress(Exception):  # an instrument is brought to rest before its worker is killed; one that hangs is not waited for
            closing = [actor.close.remote() for actor in actors]
            if closing:
                self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for actor in actors:
            with suppress(Exception):
                self._ray.kill(actor)
        if not self._is_attached and self._ray.is_initialized():
            self._ray.shutdown()

    def _start(self, n_workers: int) -> None:
        """Start or reach the cluster, and start the workers."""
        if not self._is_attached:
            self._start_ray(self._address, n_workers)
        self._watch = RayWatch(self._ray, is_own=not self._is_attached and self._address is None)
        try:
            self._actors = [self._new_actor(index) for index in range(n_workers)]
            ready = [self._prepared(actor) for actor in self._actors]
        except BaseException:
            self.close()
            raise
        self._processes = [process for process, _ in ready]
        self._nodes = [node for _, node in ready]
        self._idle = deque(range(n_workers))

    def _start_ray(self, address: str | None, n_workers: int) -> None:
        try:
            size: dict[str, Any] = {} if address else {"num_cpus": max(1, n_workers), "include_dashboard": False}
            with handlers_kept():
                self._ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **size)
        except Exception as error:
            where = f"reach Ray at {address}" if address else "start Ray here"
            raise ExecutorError(f"cannot {where}: {error}; `--executor local` needs no Ray") from error

    def _new_actor(self, index: int) -> Any:
        """Start worker ``index``; one that replaces another takes over its name, so that names stay few."""
        options = {
            "num_cpus": 1,
            "max_restarts": 0,
            "max_task_retries": 0,
            "runtime_env": {"env_vars": self._environment},
        }
        remote: Any = self._ray.remote
        made = remote(concurrency_groups={_REST: 1})(WorkerActor)  # so that `stop` need not wait for a measurement
        return made.options(**options).remote(self._spec, f"ray-{index}")

    def _prepared(self, actor: Any) -> tuple[Process, str]:
        """Have a worker prepare its evaluator; return its process and its node."""
        reference = actor.ready.remote()
        try:
            while not self._ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
                if self._watch.is_lost():
                    raise ExecutorError(f"{self._cluster} was lost while its workers started; resume the campaign once it is back")
            process, node = self._ray.get(reference)
            return Process.from_mapping(process), node
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, (EvaluatorError, ConfigError)):
                raise cause from error
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise EvaluatorError(f"evaluator {self._spec.name!r} cannot be prepared on Ray: {lines[-1] if lines else error}") from error

    def _dispatch(self) -> None:
        for worker in list(self._idle):
            if not self._queue:
                return
            if self._queue[0][0].fence and self._processes[worker] not in self._admitted:
                continue
            self._idle.remove(worker)
            jobs = self._queue.popleft()
            call = self._actors[worker].measure.remote(marks_of(jobs), np.stack([job.trajectory for job in jobs]))
            self._calls[call] = _Call(worker, jobs, monotonic())

    def _collect(self, reference: Any) -> list[Outcome]:
        call = self._calls.pop(reference)
        try:
            outcomes = [unpacked(plain) for plain in self._ray.get(reference)]
        except self._ray.exceptions.RayError as error:
            self._replace(call.worker)
            reason = f"the Ray worker was lost during the measurement ({type(error).__name__})"
            return _failed(call, reason)
        self._idle.append(call.worker)
        return outcomes

    def _overdue(self) -> list[Any]:
        if self._spec.timeout is None:
            return []
        now = monotonic()
        return [reference for reference, call in self._calls.items() if now - call.started > self._spec.timeout]

    def _on_lost_nodes(self) -> list[Any]:
        return [reference for reference, call in self._calls.items() if self._watch.is_node_lost(self._nodes[call.worker])]

    def _abandon(self, reference: Any) -> list[Outcome]:
        call = self._calls.pop(reference)
        self._replace(call.worker)
        return _failed(call, "its node left the Ray cluster during the measurement")

    def _lose_cluster(self) -> list[Outcome]:
        """Give up what is under way; start a cluster of one's own again, and leave one of others to them."""
        calls, self._calls = list(self._calls.values()), {}
        outcomes = [outcome for call in calls for outcome in _failed(call, f"{self._cluster} was lost during the measurement")]
        for process in self._processes:
            _end(process)  # an orphan may still be measuring
        if self._is_attached or self._address is not None:
            if not outcomes:
                raise ExecutorError(f"{self._cluster} was lost; resume the campaign once it is back, or with --executor local")
            return outcomes
        n_workers = len(self._actors)
        self._watch.close()
        self._actors = []
        with suppress(Exception):  # what is left of the old one
            self._ray.shutdown()
        self._start(n_workers)
        return outcomes

    @property
    def _cluster(self) -> str:
        return f"the Ray cluster at {self._address}" if self._address else "the Ray cluster"

    def _give_up(self, reference: Any) -> list[Outcome]:
        call = self._calls.pop(reference)
        self._replace(call.worker)
        return _failed(call, f"no result after {self._spec.timeout:g} s: its worker was killed; raise evaluator.timeout if it needs longer")

    def _replace(self, worker: int) -> None:
        """Kill a worker and put a new one into its place."""
        with suppress(Exception):
            self._ray.kill(self._actors[worker])
        _end(self._processes[worker])
        self._actors[worker] = self._new_actor(worker)
        self._processes[worker], self._nodes[worker] = self._prepared(self._actors[worker])
        self._idle.append(worker)


def _end(process: Process) -> None:
    """Kill a worker's process on this host, and wait until it is dead; one elsewhere ends with its node."""
    end = monotonic() + _CLOSE_SECONDS
    while process.is_alive() and monotonic() < end:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.number, signal.SIGKILL)
        sleep(_LOOK_SECONDS / 10)


def _failed(call: _Call, reason: str) -> list[Outcome]:
    seconds = monotonic() - call.started
    return [Outcome(job.trial, Failure(reason, is_unknown=True), seconds, "ray") for job in call.jobs]
