"""Drives a campaign: ask, check safety, arm, dispatch, await, commit, tell, publish.

The order is the crash rule. A trial's intent is in the journal before anything fires; its payload is written before the event that refers
to it; it is committed to the store, then told to the optimizer, then published. A driver that is killed anywhere loses nothing that was
committed, and counts nothing twice. A candidate outside the safety envelope is recorded as refused and never dispatched; where an operator
has a say, candidates are held until the store's inbox brings the decision.
"""

import time
from typing import Any, Protocol

from .campaign import Campaign, Judgement
from .errors import ShapeMismatchError
from .protocols import Executor
from .records import Candidate, FloatArray, Job, Outcome, Trial, TrialState
from .stopping import StoppingRules
from .store.campaign_store import CampaignStore
from .store.history import History, jsonable

_WAIT_SECONDS = 0.2


class Observer(Protocol):
    """Someone who watches a campaign run: a progress bar, a log."""

    def stage(self, text: str) -> None:
        """Something that takes a while begins."""

    def training(self, done: int, total: int, loss: float) -> None:
        """A training epoch is done."""

    def trial(self, trial: Trial, history: History) -> None:
        """A trial has been committed."""


class Controller:
    """Runs one campaign until its budget is spent or it is told to stop.

    Args:
        campaign: proposes and learns.
        store: driven by this process.
        executor: measures.
        batch: trials asked for and sent together.
        observer: told of every committed trial.
    """

    def __init__(self, campaign: Campaign, store: CampaignStore, executor: Executor, batch: int, observer: Observer) -> None:
        self._campaign = campaign
        self._store = store
        self._executor = executor
        self._batch = batch
        self._observer = observer
        self._in_flight: set[int] = set()
        self._rules = StoppingRules(campaign.config.budget, campaign.config.safety, store.history)
        self._envelope = "" if campaign.envelope is None else campaign.envelope.hash
        self._may_hold = campaign.config.safety.approval != "none" or any(trial.state is TrialState.HELD for trial in store.history.trials)
        self.reason = ""
        """Why the session ended, where there is more to say than that the budget is spent."""

    def run(self, should_stop: "StopFlag") -> str:
        """Work until nothing is left to do; return ``finished``, ``failed`` or ``interrupted``, and keep why in `reason`.

        Args:
            should_stop: once set, nothing new is dispatched; what runs is awaited.
        """
        self._take_up_armed()
        while True:
            self._obey(should_stop)
            if not should_stop.is_set:
                self._fill(should_stop)
            if not self._in_flight:
                if should_stop.is_set or self._rules.verdict() or not self._held():
                    break
                time.sleep(_WAIT_SECONDS)  # the operator's turn
                continue
            for outcome in self._executor.wait(_WAIT_SECONDS):
                self._commit(outcome)
        return self._ending()

    def _ending(self) -> str:
        """Return how the session ends."""
        history = self._store.history
        verdict = self._rules.verdict()
        if verdict is not None:
            self.reason = verdict.reason
            return verdict.state
        if len(history.trials) < history.budget or self._held():
            return "interrupted"
        kept_back = (TrialState.REFUSED, TrialState.VETOED)
        if all(trial.state in kept_back for trial in history.trials):
            self.reason = f"none of the {len(history.trials)} trials was measured: {history.trials[-1].reason}"
            return "failed"
        return "finished"

    def _take_up_armed(self) -> None:
        """Settle the trials that a killed driver left armed: pure ones run again, physical ones may have fired."""
        armed = [trial for trial in self._store.history.trials if trial.state is TrialState.ARMED]
        for trial in armed:
            if self._campaign.kind == "pure":
                self._dispatch([self._job(trial, self._store.trajectory(trial))])
            else:
                reason = "its driver ended while it was armed: nobody knows whether it fired"
                self._record(trial.number, Judgement(TrialState.UNKNOWN, reason=reason), float("nan"), "")

    def _obey(self, should_stop: "StopFlag") -> None:
        """Do what operators decided about held trials."""
        history = self._store.history
        for number in self._store.obey():
            self._settle(number, Judgement(TrialState.VETOED, reason=history.trials[number].reason))
        if should_stop.is_set or self._rules.verdict() is not None:
            return
        for number in sorted(history.approved):
            trajectory = self._store.trajectory(history.trials[number])
            violation = self._campaign.violation(trajectory)
            if violation is not None:  # it may have been edited while it was held
                reason = f"outside the safety envelope: {violation.sentence}"
                self._store.append("vetoed", {"trial": number, "who": "latentloop", "reason": reason})
                self._settle(number, Judgement(TrialState.VETOED, reason=reason))
                continue
            self._store.append("armed", {"trial": number, "envelope": self._envelope})
            self._store.publish(number)
            self._dispatch([self._job(history.trials[number], trajectory)])

    def _fill(self, should_stop: "StopFlag") -> None:
        """Ask for, arm and dispatch trials while workers are free and the budget allows."""
        history = self._store.history
        room = self._executor.n_workers * self._batch
        while len(self._in_flight) + len(self._held()) + self._batch <= room and not should_stop.is_set and self._rules.verdict() is None:
            q = min(self._batch, history.budget - len(history.trials))
            if q <= 0:
                return
            jobs = []
            for proposed in self._campaign.propose(q):
                candidate = self._campaign.inspect(proposed)
                if candidate.violation is not None:
                    self._refuse(candidate)
                elif self._campaign.config.safety.approval == "each":
                    self._observer.trial(self._take_up("held", candidate), history)
                else:
                    trial = self._take_up("armed", candidate)
                    jobs.append(self._job(trial, candidate.trajectory))
            if jobs:
                self._dispatch(jobs)

    def _refuse(self, candidate: Candidate) -> None:
        """Record a candidate that must not be fired, and tell the optimizer to avoid it."""
        violation = candidate.violation
        assert violation is not None
        facts = {
            "reason": violation.sentence,
            "figure": violation.figure,
            "value": jsonable(violation.value),
            "bound": jsonable(violation.bound),
            "unit": violation.unit,
            "step": violation.step,
            "channel": violation.channel,
        }
        trial = self._take_up("refused", candidate, facts)
        self._settle(trial.number, Judgement(TrialState.REFUSED, reason=violation.sentence))

    def _take_up(self, kind: str, candidate: Candidate, facts: dict[str, Any] | None = None) -> Trial:
        """Make a candidate a trial: payload first, then the event that counts."""
        number = len(self._store.history.trials)
        self._store.write_payload(number, {"trajectory": candidate.trajectory})
        data = {
            "trial": number,
            "z": candidate.z.tolist(),
            "acquisition": candidate.acquisition,
            "acquisition_value": jsonable(candidate.acquisition_value),
            "distance": jsonable(candidate.distance),
            "consistency": jsonable(candidate.consistency),
            "model_version": candidate.model_version,
            **(facts or {}),
        }
        if self._envelope:
            data["envelope"] = self._envelope
        if candidate.is_projected:
            data["is_projected"] = True
        self._store.append(kind, data)
        self._store.publish(number)
        return self._store.history.trials[number]

    def _held(self) -> list[Trial]:
        """Return the trials that wait for an operator."""
        if not self._may_hold:
            return []
        return [trial for trial in self._store.history.trials if trial.state is TrialState.HELD]

    def _job(self, trial: Trial, trajectory: FloatArray) -> Job:
        return Job(trial.number, trajectory, trial.envelope, f"{self._store.history.identity}-{trial.number}")

    def _dispatch(self, jobs: list[Job]) -> None:
        self._in_flight.update(job.trial for job in jobs)
        self._executor.submit(jobs)

    def _commit(self, outcome: Outcome) -> None:
        """Judge an outcome and record it."""
        judgement = self._campaign.judge(outcome)
        try:
            if judgement.arrays:
                self._store.write_payload(outcome.trial, judgement.arrays)
        except ShapeMismatchError as error:
            judgement = Judgement(TrialState.FAILED, metrics=judgement.metrics, reason=str(error))
        self._in_flight.discard(outcome.trial)
        self._record(outcome.trial, judgement, outcome.seconds, outcome.worker)

    def _record(self, number: int, judgement: Judgement, seconds: float, worker: str) -> None:
        """Commit, then tell, then publish."""
        self._store.append(
            judgement.state.word,
            {
                "trial": number,
                "objective": jsonable(judgement.objective),
                "objective_error": jsonable(judgement.objective_error),
                "metrics": {name: jsonable(value) for name, value in judgement.metrics.items()},
                "reason": judgement.reason,
                "seconds": jsonable(seconds),
                "worker": worker,
            },
        )
        self._settle(number, judgement)

    def _settle(self, number: int, judgement: Judgement) -> None:
        """Tell what has been committed, then publish it."""
        trial = self._store.history.trials[number]
        self._campaign.learn(trial.z, judgement)
        self._rules.note(trial)
        self._store.publish(number)
        self._observer.trial(trial, self._store.history)


class StopFlag:
    """Set from a signal handler; read between trials."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for no further trials."""
        self.is_set = True
