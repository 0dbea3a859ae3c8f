"""What every worker does, wherever it runs: hold a warm evaluator, measure jobs, turn what goes wrong into a value."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import ConfigError, EvaluatorError
from ..protocols import BatchEvaluator, Evaluator
from ..records import Failure, Job, Measurement, Outcome
from ..registry import EVALUATORS
from ..threads import limit_threads


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
    search_path: tuple[str, ...] = field(default_factory=lambda: (str(Path.cwd()),))
    """Folders in which a user's own modules are looked up."""

    def make(self) -> Evaluator:
        """Return the evaluator, not prepared yet; raises ConfigError for parameters that it does not take."""
        sys.path.extend(folder for folder in self.search_path if folder not in sys.path)
        evaluator: Evaluator = EVALUATORS.create(self.name, self.parameters)
        return evaluator


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
        """Measure the jobs; side by side where the evaluator can, one by one when that fails."""
        if len(jobs) > 1 and isinstance(self.evaluator, BatchEvaluator):
            start = perf_counter()
            try:
                results = self.evaluator.measure_many(np.stack([job.trajectory for job in jobs]))
            except Exception:  # noqa: BLE001 - one of them is at fault: the single runs below say which, and why
                return [self._measure_one(job) for job in jobs]
            seconds = (perf_counter() - start) / len(jobs)
            return [Outcome(job.trial, self._trimmed(result), seconds, self.name) for job, result in zip(jobs, results, strict=True)]
        return [self._measure_one(job) for job in jobs]

    def close(self) -> None:
        """Release the evaluator."""
        self.evaluator.close()

    def _measure_one(self, job: Job) -> Outcome:
        start = perf_counter()
        result: Measurement | Failure
        try:
            result = self.evaluator.measure(job.trajectory)
            if not isinstance(result, Measurement):
                raise TypeError(f"evaluator {self.spec.name!r} returned a {type(result).__name__}, not a Measurement")  # noqa: TRY301
            result = self._trimmed(result)
        except Exception as error:  # noqa: BLE001 - an experiment that fails is a value
            result = Failure(f"{type(error).__name__}: {error}")
        return Outcome(job.trial, result, perf_counter() - start, self.name)

    def _trimmed(self, result: Measurement) -> Measurement:
        return result if self.spec.keep_arrays else replace(result, arrays={})
