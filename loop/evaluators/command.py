"""Any program as an evaluator: it reads one JSON document on standard input and writes its result to standard output.

    {"trial": 17, "trajectory": [...], "times": [...], "units": {...}, "channels": [...]}   ->   {"charge": 1.5, "image": [[...], ...]}

Documents as in `exchange`. The program may print what it likes before, as long as its last line is the result. An exit code other than 0 is
a failed experiment, with the last lines of standard error as its reason. The program leads a process group of its own, which is killed as a
whole at the timeout, when the program ends and leaves others behind, when it never stops talking, and when the worker itself dies, however
that happens: a watchdog process notices.
"""

import json
import os
import selectors
import shutil
import signal as signals
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np

from ..errors import EvaluatorError, UnknownOutcomeError
from ..records import EvaluatorKind, FloatArray, Job, Measurement, Signal
from .exchange import LARGEST_ANSWER, measurement_from_text, request_document

_LINGER_SECONDS = 1.0
"""How long the output of a program may stay open after its end, by others that it started, before they are killed."""
_POLL_SECONDS = 0.25
_REASON_LINES = 3
_REASON_LENGTH = 300
_PART_BYTES = 1 << 16
_MOST_ERROR_BYTES = 1 << 16
"""Of standard error the end is kept: the reason stands in its last lines."""

_WATCHDOG = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class CommandEvaluator:
    """Runs a program once for each trial.

    Args:
        command: program and arguments; no shell is involved.
        cwd: folder to run it in; None for the current one.
        kind: ``physical`` when a run moves something real, ``pure`` when it may be repeated at will.
        timeout: seconds for one run; None for no limit.
        arrays: ``inline`` writes the trajectory into the document; ``file`` writes it to ``trajectory.npy`` (and ``times.npy``) in a folder
            of its own that the document names as ``folder``, where the program may leave files for its answer.
    """

    def __init__(
        self,
        command: list[str],
        cwd: str | None = None,
        kind: EvaluatorKind = "physical",
        timeout: float | None = None,
        arrays: Literal["inline", "file"] = "inline",
    ) -> None:
        if not command or not command[0]:
            raise ValueError("command must name a program, as a list: [my_program, --option]")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be larger than 0, not {timeout}")
        self.command = list(command)
        self.cwd = str(Path(cwd or ".").absolute())
        self.timeout = timeout
        self.arrays = arrays
        self._kind: EvaluatorKind = kind
        self._signal: Signal | None = None
        self._watchdog: subprocess.Popen[str] | None = None
        self._running: int | None = None

    @property
    def kind(self) -> EvaluatorKind:
        """As configured."""
        return self._kind

    def accept_signal(self, signal: Signal) -> None:
        """Take up times, units and channels, which every document names."""
        self._signal = signal

    def prepare(self) -> None:
        """Look for the program, and start the watchdog.

        Raises:
            EvaluatorError: there is no such program or folder.
        """
        if not Path(self.cwd).is_dir():
            raise EvaluatorError(f"there is no folder {self.cwd} to run {self.command[0]} in; change cwd")
        program = self.command[0]
        found = (Path(self.cwd) / program).exists() if os.sep in program else shutil.which(program) is not None
        if not found:
            raise EvaluatorError(f"there is no program {program}; give its path, or put it on PATH")
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _WATCHDOG],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # it must outlive a kill of the worker's whole group
            )

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Run the program for a trajectory that belongs to no trial."""
        return self.measure_job(Job(0, np.asarray(trajectory, dtype=np.float64)))

    def measure_job(self, job: Job) -> Measurement:
        """Run the program.

        Raises:
            UnknownOutcomeError: it did not end in time, or answered far too much, or a signal ended it.
            RuntimeError: its exit code is not 0.
            ValueError: its answer is not JSON.
            TypeError: its answer is not a measurement.
        """
        if self._watchdog is None:
            self.prepare()
        if self.arrays == "inline":
            return self._run(request_document(job, self._signal), None)
        with tempfile.TemporaryDirectory(prefix="latentloop-") as folder:
            document = request_document(job, self._signal)
            np.save(Path(folder) / "trajectory.npy", job.trajectory)
            document |= {"trajectory": {"file": str(Path(folder) / "trajectory.npy")}, "folder": folder}
            if self._signal is not None:
                np.save(Path(folder) / "times.npy", self._signal.times)
                document["times"] = {"file": str(Path(folder) / "times.npy")}
            return self._run(document, Path(folder))

    def stop(self) -> None:
        """Ask the running program, if any, to end."""
        if self._running is not None:
            _signal_group(self._running, signals.SIGTERM)

    def close(self) -> None:
        """Kill what still runs, and end the watchdog."""
        if self._running is not None:
            _signal_group(self._running, signals.SIGKILL)
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None and watchdog.stdin is not None:
            watchdog.stdin.close()
            watchdog.wait()

    def _run(self, document: dict[str, Any], folder: Path | None) -> Measurement:
        sent = json.dumps(document, allow_nan=False).encode()
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeError(f"{self.command[0]} cannot be started: {error}") from error
        self._running = process.pid
        self._note("+", process.pid)  # before the program is told anything
        try:
            out, err = self._communicate(process, sent)
        finally:
            _signal_group(process.pid, signals.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            self._running = None
            self._note("-", process.pid)
        code, said = process.returncode, _tail(err)
        if code < 0:
            raise UnknownOutcomeError(f"{self.command[0]} was ended by signal {-code}{said}")
        if code > 0:
            raise RuntimeError(f"{self.command[0]} ended with exit code {code}{said}")

        def read_file(name: str) -> Any:
            return np.load((folder or Path(self.cwd)) / name, allow_pickle=False)

        return measurement_from_text(out.decode(errors="replace"), self.command[0], read_file)

    def _communicate(self, process: "subprocess.Popen[bytes]", sent: bytes) -> tuple[bytes, bytes]:
        """Return what the program wrote, of its standard error the end; kill its group at the timeout, and what it leaves behind."""
        begun, ended = monotonic(), float("inf")
        with _Talk(process, sent) as talk:
            while talk.goes_on(_POLL_SECONDS):
                now = monotonic()
                if process.poll() is not None:
                    ended = min(ended, now)
                if now - ended > _LINGER_SECONDS:
                    _signal_group(process.pid, signals.SIGKILL)
                elif self.timeout is not None and now - begun >= self.timeout and ended > now:
                    late = f"{self.command[0]} gave no result after {self.timeout:g} s and was killed; raise its timeout if it needs longer"
                    raise UnknownOutcomeError(f"{late}{_tail(bytes(talk.err))}")
                if len(talk.out) > LARGEST_ANSWER:
                    much = f"{self.command[0]} answered more than {LARGEST_ANSWER / 1e6:.0f} MB and was killed"
                    raise UnknownOutcomeError(f"{much}; with `arrays: file` large arrays go by file")
        return bytes(talk.out), bytes(talk.err)

    def _note(self, sign: str, group: int) -> None:
        """Tell the watchdog that a group runs, or runs no more."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with suppress(OSError):
                self._watchdog.stdin.write(f"{sign}{group}\n")
                self._watchdog.stdin.flush()


class _Talk:
    """What is said to a program, and what it says; of its standard error the end alone."""

    def __init__(self, process: "subprocess.Popen[bytes]", sent: bytes) -> None:
        self.out, self.err = bytearray(), bytearray()
        self._process, self._left = process, memoryview(sent)
        self._pipes = selectors.DefaultSelector()
        for pipe, heard in ((process.stdin, None), (process.stdout, self.out), (process.stderr, self.err)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._pipes.register(pipe, selectors.EVENT_WRITE if heard is None else selectors.EVENT_READ, heard)

    def __enter__(self) -> "_Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipes.close()

    def goes_on(self, seconds: float) -> bool:
        """Talk for at most so long; False once the program has ended and everything that it said is here."""
        if not self._pipes.get_map():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return self._process.returncode is None
        for key, _ in self._pipes.select(seconds):
            if self._is_over(key.fd, key.data):
                self._pipes.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # the pipe, not its number
        return True

    def _is_over(self, pipe: int, heard: bytearray | None) -> bool:
        """Write or read a part; return whether it was the last."""
        if heard is not None:
            part = os.read(pipe, _PART_BYTES)
            heard.extend(part)
            del self.err[:-_MOST_ERROR_BYTES]
            return not part
        try:
            self._left = self._left[os.write(pipe, self._left[:_PART_BYTES]) :]
        except BrokenPipeError:  # it does not listen any more
            return True
        return not self._left


def _signal_group(group: int, number: signals.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _tail(err: bytes) -> str:
    """Return the last lines of standard error, to follow a sentence."""
    lines = [line.strip() for line in err.decode(errors="replace").splitlines() if line.strip()]
    said = " / ".join(lines[-_REASON_LINES:])
    return f": {said[-_REASON_LENGTH:]}" if said else ""
