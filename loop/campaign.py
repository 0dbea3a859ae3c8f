"""A campaign: proposes candidates, judges what comes back, and learns from what it believes.

The only mutable domain object. It stands on a latent space (what a point decodes to) and an optimizer (which point is next), and knows
nothing of disks, processes or clocks: the controller puts those around it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from .config import CampaignConfig
from .errors import ConfigError
from .optimizer import Optimizer
from .records import Candidate, EvaluatorKind, Failure, FloatArray, Measurement, Outcome, Signal, Trial, TrialState, Violation
from .safety import Envelope

if TYPE_CHECKING:
    from ..models.latent import LatentSpace


_WITHOUT_VALUE = (TrialState.FAILED, TrialState.QUARANTINED, TrialState.REFUSED, TrialState.VETOED)
"""States of trials that gave, or can give, nothing to learn from: an optimizer that forgot them would ask for the same point again."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the campaign makes of an outcome."""

    state: TrialState
    objective: float = math.nan
    objective_error: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, FloatArray] = field(default_factory=dict)
    reason: str = ""


class Campaign:
    """Candidates in, judgements out.

    Args:
        config: the configuration.
        space: latent space of the current model.
        box: the box that is searched, shape (d, 2).
        model_version: version of the current model.
        kind: whether the evaluator is pure or physical.
        signal: what the trajectories' numbers mean; needed where the configuration has a safety envelope and candidates are inspected.

    Raises:
        ConfigError: an envelope that does not fit the trajectories.
    """

    def __init__(
        self,
        config: CampaignConfig,
        space: "LatentSpace",
        box: FloatArray,
        model_version: int,
        kind: EvaluatorKind,
        signal: Signal | None = None,
    ) -> None:
        self.config = config
        self.space = space
        self.model_version = model_version
        self.kind: EvaluatorKind = kind
        self.box = box
        self.signal = signal
        self.envelope = None if signal is None else Envelope.from_config(config.safety, signal)
        chosen = config.optimizer
        self.optimizer = Optimizer(
            box,
            surrogate=chosen.surrogate.model_dump(),
            acquisition=chosen.acquisition.model_dump(),
            n_initial=chosen.n_initial,
            seed=config.seed,
            noise=chosen.noise,
            goal=config.objective.goal,
        )

    def restore(self, trials: list[Trial], told: list[int], avoided: list[int] | None = None) -> None:
        """Take over the trials of earlier sessions, in the order in which they were told then.

        Args:
            trials: all of them.
            told: numbers of the completed ones, in the order of telling.
            avoided: numbers of those that gave nothing, in the order of telling; None for the order of their numbers.
        """
        if avoided is None:
            avoided = [trial.number for trial in trials if trial.state in _WITHOUT_VALUE]
        self.optimizer.restore(
            n_asked=len(trials),
            x=[trials[number].z for number in told],
            y=[trials[number].objective for number in told],
            y_var=[None if math.isnan(trials[number].objective_error) else trials[number].objective_error ** 2 for number in told],
            pending=[trial.z for trial in trials if trial.state in (TrialState.ARMED, TrialState.HELD)],
            infeasible=[trials[number].z for number in avoided],
        )

    def propose(self, q: int) -> list[Candidate]:
        """Return the next q candidates, decoded."""
        points = self.optimizer.ask(q)
        origins, values = self.optimizer.last_origins, self.optimizer.last_values
        trajectories = self.space.decode(points)
        distances, consistencies = self.space.distance(points), self.space.consistency(points)
        return [
            Candidate(
                z=points[index],
                trajectory=np.asarray(trajectories[index], dtype=np.float64),
                acquisition=origins[index],
                acquisition_value=float(values[index]),
                distance=float(distances[index]),
                consistency=float(consistencies[index]),
                model_version=self.model_version,
            )
            for index in range(q)
        ]

    def inspect(self, candidate: Candidate) -> Candidate:
        """Return a candidate as it may be measured, or with its `violation` of the safety envelope.

        Where the configuration says ``project``, a candidate outside the envelope comes back inside, with the nearest point of the box to
        its new code, and marked.
        """
        if self.envelope is None or self.signal is None:
            if self.config.safety.is_bounded:
                raise ConfigError("candidates of a campaign with a safety envelope need the times of their steps; give Campaign a signal")
            return candidate
        violation = self.envelope.check(candidate.trajectory, self.signal.times)
        if violation is not None and self.config.safety.on_violation == "project":
            trajectory = self.envelope.project(candidate.trajectory, self.signal.times)
            if self.envelope.check(trajectory, self.signal.times) is None:
                return self._moved(candidate, trajectory)
        return replace(candidate, violation=violation)

    def violation(self, trajectory: FloatArray) -> Violation | None:
        """Return what a trajectory breaks of the safety envelope."""
        return None if self.envelope is None or self.signal is None else self.envelope.check(trajectory, self.signal.times)

    def judge(self, outcome: Outcome) -> Judgement:
        """Say what an outcome is worth: completed, failed, quarantined or unknown."""
        result = outcome.result
        if isinstance(result, Failure):
            if result.is_refused:
                return Judgement(TrialState.REFUSED, reason=result.reason)
            is_lost = result.is_unknown and self.kind == "physical"
            return Judgement(TrialState.UNKNOWN if is_lost else TrialState.FAILED, reason=result.reason)
        metric = self.config.objective.metric
        if metric not in result.metrics:
            known = ", ".join(sorted(result.metrics)) or "none"
            return Judgement(
                TrialState.FAILED,
                metrics=result.metrics,
                reason=f"the evaluator returned no metric {metric!r}; returned were: {known}; name one of them in objective.metric",
            )
        value, error = float(result.metrics[metric]), float(result.errors.get(metric, math.nan))
        doubt = self._doubt(result, metric, value)
        return Judgement(
            state=TrialState.QUARANTINED if doubt else TrialState.COMPLETED,
            objective=value,
            objective_error=error,
            metrics=result.metrics,
            arrays=result.arrays,
            reason=doubt,
        )

    def learn(self, z: FloatArray, judgement: Judgement) -> None:
        """Tell the optimizer a completed trial; of any other, free the point, and say if it gave nothing and is to be avoided."""
        if judgement.state is TrialState.COMPLETED:
            known = math.isfinite(judgement.objective_error)
            self.optimizer.tell(z[None], [judgement.objective], [judgement.objective_error**2] if known else None)
        else:
            self.optimizer.discard(z[None], infeasible=judgement.state in _WITHOUT_VALUE)

    def _moved(self, candidate: Candidate, trajectory: FloatArray) -> Candidate:
        """Return a candidate with another trajectory, and the point that stands for it."""
        code = np.asarray(self.space.model.encode(trajectory[None]), dtype=np.float64)
        z = np.clip(code[0], self.box[:, 0], self.box[:, 1])
        self.optimizer.move_pending(candidate.z, z)
        return replace(
            candidate,
            z=z,
            trajectory=trajectory,
            acquisition_value=math.nan,  # that of the point asked for
            distance=float(self.space.distance(z[None])[0]),
            consistency=float(self.space.consistency(z[None])[0]),
            is_projected=True,
        )

    def _doubt(self, result: Measurement, metric: str, value: float) -> str:
        """Return why a reading is not believable; empty when it is."""
        if not math.isfinite(value):
            return f"metric {metric!r} is {value}"
        low, high = self.config.objective.plausible
        if not low <= value <= high:
            return f"metric {metric!r} is {value:g}, outside the plausible range [{low:g}, {high:g}] of objective.plausible"
        for name, values in result.arrays.items():
            if not np.isfinite(values).all():
                return f"array {name!r} holds values that are not finite"
        return ""
