"""What every worker does, wherever it runs: hold a warm evaluator, measure jobs, turn what goes wrong into a value."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import ConfigError, EvaluatorError, UnknownOutcomeError
from ..protocols import BatchEvaluator, CampaignEvaluator, Evaluator, JobEvaluator, SignalEvaluator, StoppableEvaluator
from ..records import Failure, Job, Measurement, Outcome, Signal, as_array, as_number, require_free_name, require_storable
from ..registry import EVALUATORS
from ..safety import Envelope
from ..store.faults import reach
from ..store.lease import is_overtaken
from ..threads import limit_threads

_LONGEST_REASON = 2000
"""Characters of what an evaluator's error says that are kept."""


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """An evaluator by name, as it travels to a worker."""

    name: str
    parameters: dict[str, Any]
    timeout: float | None = None
    """Seconds after which one measurement is given up; None for never."""
    n_threads: int = 1
    keep_arrays: bool = True
    """False leaves a measurement's arrays on the worker (a ground truth needs the numbers alone)."""
    signal: Signal | None = None
    """What the trajectories' numbers mean; None where nobody asks."""
    envelope: Envelope | None = None
    """What a trajectory must stay in; checked once more right before it is fired. Needs `signal`."""
    campaign: str = ""
    """Folder or URL of the campaign's store; empty where there is none."""
    search_path: tuple[str, ...] = field(default_factory=lambda: tuple(dict.fromkeys((str(Path.cwd()), *filter(None, sys.path)))))
    """Folders in which a user's own modules are looked up."""

    def make(self) -> Evaluator:
        """Return the evaluator, not prepared yet; raises ConfigError for parameters that it does not take."""
        sys.path.extend(folder for folder in self.search_path if folder not in sys.path)
        evaluator: Evaluator = EVALUATORS.create(self.name, self.parameters)
        if self.signal is not None and isinstance(evaluator, SignalEvaluator):
            evaluator.accept_signal(self.signal)
        if isinstance(evaluator, CampaignEvaluator):
            evaluator.accept_campaign(self.campaign, None if self.envelope is None else asdict(self.envelope))
        return evaluator

    def refusal(self, job: Job) -> str:
        """Return why a job must not be fired; empty when it may.

        The trajectory must lie in this worker's envelope, and that must be the one that the trial was armed for.
        """
        if self.envelope is None:
            return f"it was armed for the envelope {job.envelope[:12]}, and this worker has none" if job.envelope else ""
        if self.signal is None:
            return "this worker has a safety envelope and does not know the times of the steps"
        if job.envelope != self.envelope.hash:
            return f"it was armed for the envelope {job.envelope[:12] or 'none'}, and this worker has {self.envelope.hash[:12]}"
        violation = self.envelope.check(np.asarray(job.trajectory, dtype=np.float64), self.signal.times)
        return "" if violation is None else violation.sentence


class Worker:
    """Measures jobs one after the other with one evaluator.

    Args:
        spec: which evaluator.
        name: the worker's name in outcomes.

    Raises:
        EvaluatorError: the evaluator cannot be made or prepared.
    """

    def __init__(self, spec: EvaluatorSpec, name: str) -> None:
        limit_threads(spec.n_threads)
        self.spec = spec
        self.name = name
        try:
            self.evaluator = spec.make()
            self.evaluator.prepare()
        except (EvaluatorError, ConfigError):
            raise
        except Exception as error:
            raise EvaluatorError(f"evaluator {spec.name!r} cannot be prepared: {type(error).__name__}: {error}") from error

    def measure(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Measure the jobs; side by side where the evaluator can, one by one when that fails. What must not be fired comes back refused."""
        refused = {job.trial: reason for job in jobs if (reason := self.spec.refusal(job))}
        if refused:
            outcomes = [
                Outcome(trial, Failure(f"not fired: {reason}", is_refused=True), 0.0, self.name) for trial, reason in refused.items()
            ]
            return outcomes + self._measure([job for job in jobs if job.trial not in refused])
        return self._measure(jobs)

    def stop(self) -> None:
        """Have the evaluator bring what it drives to rest, where it can."""
        if isinstance(self.evaluator, StoppableEvaluator):
            self.evaluator.stop()

    def close(self) -> None:
        """Bring what the evaluator drives to rest, and release it."""
        try:
            self.stop()
        finally:
            self.evaluator.close()

    def _measure(self, jobs: Sequence[Job]) -> list[Outcome]:
        if len(jobs) > 1 and isinstance(self.evaluator, BatchEvaluator):
            if overtaken := _overtaken(jobs[0]):
                return [Outcome(job.trial, overtaken, 0.0, self.name) for job in jobs]
            start = perf_counter()
            reach("worker.firing")
            results: list[Measurement | Failure]
            try:
                measured = self.evaluator.measure_many(np.stack([job.trajectory for job in jobs]))
                if len(measured) != len(jobs):
                    raise ValueError(f"{len(measured)} measurements for {len(jobs)} trajectories")  # noqa: TRY301
                results = [self._value(result) for result in measured]
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - an experiment that fails is a value
                if self.evaluator.kind == "pure":  # one of them is at fault: the single runs say which, and why
                    return [self._measure_one(job) for job in jobs]
                reason = f"{len(jobs)} trials were measured together, and nobody knows which fired: {_sentence(error)}"
                results = [Failure(reason, is_unknown=True) for _ in jobs]
            seconds = (perf_counter() - start) / len(jobs)
            return [Outcome(job.trial, result, seconds, self.name) for job, result in zip(jobs, results, strict=True)]
        return [self._measure_one(job) for job in jobs]

    def _measure_one(self, job: Job) -> Outcome:
        if overtaken := _overtaken(job):
            return Outcome(job.trial, overtaken, 0.0, self.name)
        start = perf_counter()
        result: Measurement | Failure
        reach("worker.firing")
        try:
            if isinstance(self.evaluator, JobEvaluator):
                result = self._checked(self.evaluator.measure_job(job))
            else:
                result = self._checked(self.evaluator.measure(job.trajectory))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an experiment that fails is a value, also one that calls sys.exit or is cancelled
            result = Failure(_sentence(error), is_unknown=isinstance(error, UnknownOutcomeError))
        reach("worker.fired")
        return Outcome(job.trial, result, perf_counter() - start, self.name)

    def _value(self, result: Any) -> Measurement | Failure:
        """Return one of many measurements, or why it is none."""
        try:
            return self._checked(result)
        except Exception as error:  # noqa: BLE001 - an experiment that fails is a value
            return Failure(_sentence(error))

    def _checked(self, result: Any) -> Measurement:
        """Return a measurement of plain numbers and arrays: whatever else an evaluator put in is an error here, not in the store."""
        if not isinstance(result, Measurement):
            raise TypeError(f"evaluator {self.spec.name!r} returned a {type(result).__name__}, not a Measurement")
        numbers = {
            kind: {name: as_number(value, f"evaluator {self.spec.name!r}, {kind} {name!r},") for name, value in values.items()}
            for kind, values in (("metric", result.metrics), ("standard error", result.errors))
        }
        arrays = {name: as_array(value, f"evaluator {self.spec.name!r}, array {name!r},") for name, value in result.arrays.items()}
        for name in result.metrics:
            require_storable(name)
        for name in arrays:
            require_free_name(name)
        return Measurement(numbers["metric"], numbers["standard error"], arrays if self.spec.keep_arrays else {})


def _sentence(error: BaseException) -> str:
    """Return what an error says, as text that every terminal, page and file can hold."""
    try:
        said = str(error)
    except Exception as another:  # noqa: BLE001 - an evaluator's own error may do anything
        said = f"it cannot be shown: {type(another).__name__}"
    said = said if isinstance(error, UnknownOutcomeError) else f"{type(error).__name__}: {said}"
    if len(said) > _LONGEST_REASON:
        said = f"{said[:_LONGEST_REASON]} ... ({len(said)} characters)"
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in said)


def _overtaken(job: Job) -> Failure | None:
    """Return why a job must not be fired any more: another driver has taken its campaign over, or nobody can tell."""
    if not job.fence:
        return None
    try:
        if not is_overtaken(job.fence):
            return None
    except OSError as error:
        return Failure(f"not fired: {job.fence} cannot be asked whether another driver has taken over: {error}")
    return Failure("not fired: another driver has taken this campaign over", is_refused=True)
