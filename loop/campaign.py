"""A campaign: proposes candidates, judges what comes back, and learns from what it believes.

The only mutable domain object. It stands on a latent space (what a point decodes to) and an optimizer (which point is next), and knows
nothing of disks, processes or clocks: the controller puts those around it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .config import CampaignConfig
from .optimizer import Optimizer
from .records import Candidate, EvaluatorKind, Failure, FloatArray, Measurement, Outcome, Trial, TrialState

if TYPE_CHECKING:
    from ..models.latent import LatentSpace


_WITHOUT_VALUE = (TrialState.FAILED, TrialState.QUARANTINED)
"""States of trials that ran and gave nothing to learn from: an optimizer that forgot them would ask for the same point again and again."""


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
    """

    def __init__(self, config: CampaignConfig, space: "LatentSpace", box: FloatArray, model_version: int, kind: EvaluatorKind) -> None:
        self.config = config
        self.space = space
        self.model_version = model_version
        self.kind: EvaluatorKind = kind
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

    def restore(self, trials: list[Trial], told: list[int]) -> None:
        """Take over the trials of earlier sessions, told in the order in which they were told then."""
        self.optimizer.restore(
            n_asked=len(trials),
            x=[trials[number].z for number in told],
            y=[trials[number].objective for number in told],
            y_var=[None if math.isnan(trials[number].objective_error) else trials[number].objective_error ** 2 for number in told],
            pending=[trial.z for trial in trials if trial.state is TrialState.ARMED],
            infeasible=[trial.z for trial in trials if trial.state in _WITHOUT_VALUE],
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

    def judge(self, outcome: Outcome) -> Judgement:
        """Say what an outcome is worth: completed, failed, quarantined or unknown."""
        result = outcome.result
        if isinstance(result, Failure):
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
