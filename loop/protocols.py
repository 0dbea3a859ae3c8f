"""What the loop needs from its parts: protocols of two to four methods, which plug-ins satisfy by shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from .process import Process
from .records import EvaluatorKind, FloatArray, Job, Measurement, Outcome, Signal

Result = TypeVar("Result")
Progress = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, loss of the last step) while something long runs."""


@runtime_checkable
class TrajectoryFamily(Protocol):
    """A family of process trajectories that makes sense for the process."""

    @property
    def times(self) -> FloatArray:
        """Time of each step, shape (T,)."""

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Return n trajectories, shape (n, T) or (n, T, channels)."""


@runtime_checkable
class Evaluator(Protocol):
    """What measures a trajectory: a simulator or an instrument.

    One that knows beforehand what it measures may say so in an attribute ``metrics``, a tuple of names: a campaign for another metric is
    then refused before anything fires. One whose `measure` may be called from several threads at once (it waits for something elsewhere)
    says ``is_concurrent = True``.
    """

    @property
    def kind(self) -> EvaluatorKind:
        """``pure`` (may be re-run at will) or ``physical`` (at most once)."""

    def prepare(self) -> None:
        """Connect, compile or warm up, once, in the process that measures."""

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Measure one trajectory of shape (T,) or (T, channels); raise on failure."""

    def close(self) -> None:
        """Release what `prepare` took."""


@runtime_checkable
class BatchEvaluator(Evaluator, Protocol):
    """An evaluator for which many trajectories at once cost less than one after the other."""

    def measure_many(self, trajectories: FloatArray) -> Sequence[Measurement]:
        """Measure trajectories of shape (S, T) or (S, T, channels), one measurement each, in order."""


@runtime_checkable
class JobEvaluator(Evaluator, Protocol):
    """An evaluator that wants to know which trial a trajectory belongs to, for example to name it to an instrument."""

    def measure_job(self, job: Job) -> Measurement:
        """Measure one job; called instead of `measure`."""


@runtime_checkable
class SignalEvaluator(Evaluator, Protocol):
    """An evaluator that wants to know what a trajectory's numbers mean."""

    def accept_signal(self, signal: Signal) -> None:
        """Take up times, units and channels, once, before `prepare`; raise ConfigError for those that it cannot apply."""


@runtime_checkable
class CampaignEvaluator(Evaluator, Protocol):
    """An evaluator that keeps something with its campaign, or hands the safety envelope on to its instrument."""

    def accept_campaign(self, folder: str, envelope: Mapping[str, Any] | None) -> None:
        """Take up where the store lies (empty for none), and the envelope as plain values, once, before `prepare`."""


@runtime_checkable
class StoppableEvaluator(Evaluator, Protocol):
    """An evaluator that can bring what it drives to rest."""

    def stop(self) -> None:
        """Bring everything to rest, now; may be called at any time between `prepare` and `close`, also twice."""


class Executor(Protocol):
    """Has jobs measured, here or elsewhere, and runs long tasks."""

    @property
    def n_workers(self) -> int:
        """Number of jobs (or batches of jobs) that run at the same time."""

    @property
    def processes(self) -> Sequence[Process]:
        """Every process that has measured or may measure."""

    def admit(self, processes: Sequence[Process]) -> None:
        """Let processes measure jobs of a campaign (those with a fence): it is known now whom a successor has to wait for."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Send jobs to one worker, in one call. Returns at once."""

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what has come back, after at most ``timeout`` seconds."""

    def run(self, function: Callable[..., Result], *arguments: Any, progress: Progress | None = None) -> Result:
        """Run one long task (training) where the work is done; it gets ``progress`` as keyword argument."""

    def stop(self) -> None:
        """Have every worker bring what it drives to rest, now, also in the midst of a measurement."""

    def close(self) -> None:
        """Stop the workers."""
