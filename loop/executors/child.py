"""A worker in a child process, which a timeout may kill without harm to the campaign.

Run as ``python -m latentloop.loop.executors.child``: takes pickled messages on standard input and answers on standard output, whose
descriptor it keeps to itself (what an evaluator prints goes to standard error). Only its own parent ever talks to it.
"""

import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import IO, Any

from ..errors import EvaluatorError, ExecutorError
from ..records import Failure, Job, Outcome
from ..threads import thread_environment
from .worker import EvaluatorSpec, Worker

_LENGTH_BYTES = 8
_PARENT_SECONDS = 0.5
_REST_SECONDS = 0.5
"""Time for an instrument to come to rest before the process that drives it is killed."""
_REST = None
"""The message that asks for it."""


class ChildWorker:
    """A worker in a process of its own; killed and replaced when a measurement outlasts the timeout.

    Args:
        spec: which evaluator; its timeout rules.
        name: the worker's name in outcomes.
        may_measure: asked with the process's number before a job of a campaign is sent; returns once it may be, or False for never.

    Raises:
        EvaluatorError: the evaluator cannot be made or prepared.
    """

    def __init__(self, spec: EvaluatorSpec, name: str, may_measure: Callable[[int], bool] = lambda _: True) -> None:
        self.spec = spec
        self.name = name
        self._may_measure = may_measure
        self._process: subprocess.Popen[bytes] | None = None
        self._sending = Lock()
        self._start()

    @property
    def number(self) -> int | None:
        """Number of the process; None between two of them."""
        process = self._process
        return None if process is None else process.pid

    def measure(self, job: Job) -> Outcome:
        """Measure one job, for at most the timeout."""
        start = monotonic()
        try:
            if self._process is None:
                self._start()
            process = self._process
            assert process is not None
            assert process.stdin is not None
            if job.fence and not self._may_measure(process.pid):
                return Outcome(job.trial, Failure("not fired: the campaign ended before that"), 0.0, self.name)
            start = monotonic()
            with self._sending:
                _send(process.stdin, job)
            outcome: Outcome = self._receive(self.spec.timeout)
        except TimeoutError:
            self.stop()
            with suppress(TimeoutError, EOFError):
                self._receive(_REST_SECONDS)
            self._kill()
            reason = f"no result after {self.spec.timeout:g} s: its process was killed; raise evaluator.timeout if it needs longer"
            return Outcome(job.trial, Failure(reason, is_unknown=True), monotonic() - start, self.name)
        except (EOFError, BrokenPipeError):
            code = self._kill()
            return Outcome(
                job.trial,
                Failure(f"the measuring process ended by itself (exit code {code})", is_unknown=True),
                monotonic() - start,
                self.name,
            )
        except EvaluatorError as error:
            return Outcome(job.trial, Failure(str(error)), monotonic() - start, self.name)
        return outcome

    def stop(self) -> None:
        """Have the evaluator bring what it drives to rest; from any thread, also in the midst of a measurement."""
        process = self._process
        if process is not None and process.stdin is not None:
            with self._sending, suppress(OSError, ValueError):  # it has ended, or its pipe has been closed
                _send(process.stdin, _REST)

    def close(self) -> None:
        """End the process: by asking, or else by force."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
        self._kill()

    def _start(self) -> None:
        environment = {**os.environ, **thread_environment(self.spec.n_threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "latentloop.loop.executors.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # a Ctrl-C for the campaign must not reach the measurement
            )
        except OSError as error:
            raise ExecutorError(f"cannot start a measuring process: {error}") from error
        assert self._process.stdin is not None
        try:
            _send(self._process.stdin, (self.spec, self.name))
            answer = self._receive(None)
        except (EOFError, BrokenPipeError) as error:
            raise EvaluatorError(f"the measuring process ended while it prepared {self.spec.name!r} (exit code {self._kill()})") from error
        if isinstance(answer, Exception):
            self._kill()
            raise answer

    def _receive(self, timeout: float | None) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = None if timeout is None else monotonic() + timeout
        raw = b""
        needed = _LENGTH_BYTES
        while len(raw) < needed:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            part = os.read(descriptor, max(1, min(needed - len(raw), 1 << 20)))
            if not part:
                raise EOFError
            raw += part
            if needed == _LENGTH_BYTES and len(raw) >= _LENGTH_BYTES:
                needed += int.from_bytes(raw[:_LENGTH_BYTES], "big")
        return pickle.loads(raw[_LENGTH_BYTES:])

    def _kill(self) -> int | None:
        """End the child and everything that it started; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return code


def _send(pipe: IO[bytes], message: Any) -> None:
    raw = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(len(raw).to_bytes(_LENGTH_BYTES, "big") + raw)
    pipe.flush()


def _read(pipe: IO[bytes]) -> Any:
    head = pipe.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        raise EOFError
    return pickle.loads(pipe.read(int.from_bytes(head, "big")))


def main() -> None:
    """Serve the parent until it closes the pipe."""
    source = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an evaluator prints must not mix with the answers
    _end_with_parent()
    spec, name = _read(source)
    try:
        worker = Worker(spec, name)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        _send(answers, error)
        return
    _send(answers, None)
    jobs: SimpleQueue[Job | None] = SimpleQueue()
    Thread(target=_listen, args=(source, worker, jobs), name="parent's wishes", daemon=True).start()
    while (job := jobs.get()) is not None:
        _send(answers, worker.measure([job])[0])
    worker.close()


def _listen(source: IO[bytes], worker: Worker, jobs: "SimpleQueue[Job | None]") -> None:
    """Take the parent's messages, also during a measurement: jobs wait for their turn, a wish for rest is obeyed at once."""
    while True:
        try:
            message = _read(source)
        except EOFError:
            jobs.put(None)
            return
        if message is _REST:
            with suppress(Exception):  # what it drives may be in any state
                worker.stop()
        else:
            jobs.put(message)


def _end_with_parent() -> None:
    """End this process soon after its parent has ended, even in the midst of a measurement that never returns."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(_PARENT_SECONDS)
        os.killpg(0, signal.SIGKILL)  # this process leads a group of its own, with everything that the evaluator started

    Thread(target=watch, name="parent watch", daemon=True).start()


if __name__ == "__main__":
    main()
