"""A campaign: proposes candidates, judges what comes back, and learns from what it believes.

The only mutable domain object. It stands on a latent space (what a point decodes to) and an optimizer (which point is next), and knows
nothing of disks, processes or clocks: the controller puts those around it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .belief import agrees, doubt, is_outlier
from .config import CampaignConfig
from .errors import ConfigError
from .optimizer import Optimizer
from .records import BARE_METRIC, CONTROL, Candidate, EvaluatorKind, Failure, FloatArray, Outcome, Signal, Trial, TrialState, Violation
from .safety import Envelope
from .standing import Place, Standing, squared_error

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
    is_outlier: bool = False
    """Whether the reading is far from all others."""


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
        self.standing = Standing()
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
            features=space.decoder,
            candidates=np.unique(space.encoded, axis=0) if config.latent.is_pool else None,
            region=config.latent.region,
        )
        control = config.objective.control
        if control is not None and control.z is not None:
            self.candidate(CONTROL, z=control.z)  # complains before anything fires

    def restore(self, trials: list[Trial], told: list[int], avoided: list[int] | None = None, standing: Standing | None = None) -> None:
        """Take over the trials of earlier sessions, in the order in which they were told then.

        Args:
            trials: all of them.
            told: numbers of the completed ones, in the order of telling.
            avoided: numbers of those that gave nothing, in the order of telling; None for the order of their numbers.
            standing: earlier measurements, and where trials of earlier latent models stand now; see `standing_of`.
        """
        self.standing = standing or Standing()
        if avoided is None:
            avoided = [trial.number for trial in trials if trial.state in _WITHOUT_VALUE and not trial.is_control]
        x, y, y_var, y_extra = self.standing.observations([trials[number] for number in told])
        waiting = [trial for trial in trials if trial.state in (TrialState.ARMED, TrialState.HELD) and not trial.is_control]
        self.optimizer.restore(
            n_asked=len(trials),
            x=x,
            y=y,
            y_var=y_var,
            y_extra=y_extra,
            pending=self.standing.points(waiting),
            infeasible=self.standing.points(trials[number] for number in avoided),
            # A row of a pool that may have been measured is not asked for again, as it was when its outcome got lost.
            spent=self.standing.points(trial for trial in trials if trial.state is TrialState.UNKNOWN and not trial.is_control)
            if self.optimizer.candidates is not None
            else (),
        )

    def await_points(self, points: list[FloatArray]) -> None:
        """Count points (d,) as pending that were asked for and are no trials yet."""
        self.optimizer.add_pending(points)

    def propose(self, q: int, first: int | None = None) -> list[Candidate]:
        """Return the next q candidates, decoded; ``first`` is the number of the first one's trial, None to count what was asked for."""
        if first is not None:  # not every trial was asked for, and a proposal must follow from the journal alone
            self.optimizer.n_asked = first
        points = self.optimizer.ask(q)
        origins, values = self.optimizer.last_origins, self.optimizer.last_values
        expected, variances = self.optimizer.last_predictions
        trajectories = self.space.decode(points)
        distances, consistencies = self.space.distance(points), self.space.consistency(points)
        return [
            Candidate(
                z=points[index],
                trajectory=np.asarray(trajectories[index], dtype=np.float64),
                acquisition=origins[index],
                acquisition_value=float(values[index]),
                predicted_objective=float(expected[index]),
                predicted_error=math.sqrt(variances[index]),
                distance=float(distances[index]),
                consistency=float(consistencies[index]),
                model_version=self.model_version,
                fallback=self.optimizer.fallback if not math.isnan(expected[index]) else "",
            )
            for index in range(q)
        ]

    def candidate(self, acquisition: str, *, z: ArrayLike | None = None, trajectory: ArrayLike | None = None) -> Candidate:
        """Return a candidate that the optimizer did not propose, from its point (d,) or from its trajectory (T,) or (T, channels).

        A trajectory stays as it is; its point is the nearest of the box to its code.

        Args:
            acquisition: who proposes it.
            z: the point; or give `trajectory`.
            trajectory: the trajectory.

        Raises:
            ConfigError: another shape than this campaign's, numbers that are not finite, or a point outside the box.
        """
        point, steps = _numbers(z, "point"), _numbers(trajectory, "trajectory")
        if (point is None) == (steps is None):
            raise ConfigError("give either a point of the latent space or a trajectory")
        low, high = self.box.T
        if steps is not None:
            like = np.asarray(self.space.decode(self.box.mean(axis=1)[None]))[0]
            if steps.shape != like.shape:
                raise ConfigError(f"the trajectory has shape {steps.shape}, those of this campaign {like.shape}; resample it")
            code = np.asarray(self.space.model.encode(steps[None]), dtype=np.float64)[0]
            point = code if self.config.trajectories.box is not None else np.clip(code, low, high)
        assert point is not None
        if point.shape != low.shape or (point < low).any() or (point > high).any():
            bounds = ", ".join(f"[{a:.6g}, {b:.6g}]" for a, b in self.box)
            raise ConfigError(f"the point ({', '.join(f'{value:g}' for value in np.ravel(point))}) does not lie in the box {bounds}")
        if steps is None:
            steps = np.asarray(self.space.decode(point[None])[0], dtype=np.float64)
        distance, consistency = self.space.distance(point[None]), self.space.consistency(point[None])
        return Candidate(
            point, steps, acquisition, distance=float(distance[0]), consistency=float(consistency[0]), model_version=self.model_version
        )

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

    def judge(self, outcome: Outcome, earlier: Sequence[float] = (), recent: Sequence[float] = ()) -> Judgement:
        """Say what an outcome is worth: completed, failed, quarantined or unknown.

        Args:
            outcome: what came back.
            earlier: readings of the same trial that were taken before; with one, an outlier is looked at again.
            recent: the readings of the trials judged before, the last one last.
        """
        result = outcome.result
        if isinstance(result, Failure):
            if result.is_refused:
                return Judgement(TrialState.REFUSED, reason=result.reason)
            is_lost = result.is_unknown and self.kind == "physical"
            return Judgement(TrialState.UNKNOWN if is_lost else TrialState.FAILED, reason=result.reason)
        metric = self.config.objective.metric
        if metric not in result.metrics and set(result.metrics) == {BARE_METRIC} and not result.errors:
            # A number without a name is what the campaign calls its objective.
            result = replace(result, metrics={metric: result.metrics[BARE_METRIC]})
        if metric not in result.metrics:
            known = ", ".join(sorted(result.metrics)) or "none"
            return Judgement(
                TrialState.FAILED,
                metrics=result.metrics,
                reason=f"the evaluator returned no metric {metric!r}; returned were: {known}; name one of them in objective.metric",
            )
        value, error = float(result.metrics[metric]), float(result.errors.get(metric, math.nan))
        reason = doubt(result, self.config.objective, self.kind, recent)
        _, others = self.optimizer.observations
        threshold = self.config.objective.outlier
        is_rare = bool(earlier) or (not reason and threshold is not None and is_outlier(value, others, threshold))
        if earlier and not reason and not agrees(earlier[0], value, others):
            reason = f"an outlier that did not repeat: {metric!r} was {earlier[0]:g}, and {value:g} when it was measured again"
        return Judgement(
            state=TrialState.QUARANTINED if reason else TrialState.COMPLETED,
            objective=value,
            objective_error=error,
            metrics=result.metrics,
            arrays=result.arrays,
            reason=reason,
            is_outlier=is_rare,
        )

    def learn(self, z: FloatArray, judgement: Judgement, number: int | None = None) -> None:
        """Tell the optimizer a completed trial; of any other, free the point, and say if it gave nothing and is to be avoided.

        Args:
            z: the trial's point.
            judgement: what its outcome is worth.
            number: of the trial, where an earlier latent model may have proposed it.
        """
        place = Place(z) if number is None else self.standing.places.get(number, Place(z))
        if place is None:
            return  # the current latent model has no point for it
        z = place.z
        if judgement.state is TrialState.COMPLETED:
            variance = squared_error(judgement.objective_error)
            self.optimizer.tell(z[None], [judgement.objective], None if variance is None else [variance], y_extra=[place.extra])
        else:
            self.optimizer.discard(z[None], infeasible=judgement.state in _WITHOUT_VALUE)

    def _moved(self, candidate: Candidate, trajectory: FloatArray) -> Candidate:
        """Return a candidate with another trajectory, and the point that stands for it."""
        code = np.asarray(self.space.model.encode(trajectory[None]), dtype=np.float64)
        z = np.clip(code[0], self.box[:, 0], self.box[:, 1])
        self.optimizer.move_pending(candidate.z, z)
        expected = error = math.nan
        if not math.isnan(candidate.predicted_objective):
            mean, variance = self.optimizer.posterior(z[None])
            expected, error = float(mean[0]), math.sqrt(variance[0])
        return replace(
            candidate,
            z=z,
            trajectory=trajectory,
            acquisition_value=math.nan,  # that of the point asked for
            predicted_objective=expected,
            predicted_error=error,
            distance=float(self.space.distance(z[None])[0]),
            consistency=float(self.space.consistency(z[None])[0]),
            is_projected=True,
        )


def _numbers(values: ArrayLike | None, what: str) -> FloatArray | None:
    """Return numbers as an array; None stays None."""
    if values is None:
        return None
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the {what} must hold numbers, in rows of one length") from error
    if not array.size or not np.isfinite(array).all():
        raise ConfigError(f"the {what} must hold finite numbers")
    return array
