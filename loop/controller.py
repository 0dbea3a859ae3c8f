"""Drives a campaign: ask, arm, dispatch, await, commit, tell, publish.

The order is the crash rule. A trial's intent is in the journal before anything fires; its payload is written before the event that refers
to it; it is committed to the store, then told to the optimizer, then published. A driver that is killed anywhere loses nothing that was
committed, and counts nothing twice.
"""

from typing import Protocol

from .campaign import Campaign, Judgement
from .errors import ShapeMismatchError
from .protocols import Executor
from .records import Candidate, Job, Outcome, Trial, TrialState
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

    def run(self, should_stop: "StopFlag") -> str:
        """Work until nothing is left to do; return ``finished`` or ``interrupted``.

        Args:
            should_stop: once set, nothing new is dispatched; what runs is awaited.
        """
        self._take_up_armed()
        while True:
            if not should_stop.is_set:
                self._fill(should_stop)
            if not self._in_flight:
                break
            for outcome in self._executor.wait(_WAIT_SECONDS):
                self._commit(outcome)
        return "finished" if len(self._store.history.trials) >= self._store.history.budget else "interrupted"

    def _take_up_armed(self) -> None:
        """Settle the trials that a killed driver left armed: pure ones run again, physical ones may have fired."""
        armed = [trial for trial in self._store.history.trials if trial.state is TrialState.ARMED]
        for trial in armed:
            if self._campaign.kind == "pure":
                self._dispatch([Job(trial.number, self._store.trajectory(trial))])
            else:
                reason = "its driver ended while it was armed: nobody knows whether it fired"
                self._record(trial.number, Judgement(TrialState.UNKNOWN, reason=reason), float("nan"), "")

    def _fill(self, should_stop: "StopFlag") -> None:
        """Ask for, arm and dispatch trials while workers are free and the budget allows."""
        history = self._store.history
        while len(self._in_flight) + self._batch <= self._executor.n_workers * self._batch and not should_stop.is_set:
            q = min(self._batch, history.budget - len(history.trials))
            if q <= 0:
                return
            self._dispatch([self._arm(candidate) for candidate in self._campaign.propose(q)])

    def _arm(self, candidate: Candidate) -> Job:
        """Make a candidate a trial: payload first, then the event that counts."""
        number = len(self._store.history.trials)
        self._store.write_payload(number, {"trajectory": candidate.trajectory})
        self._store.append(
            "armed",
            {
                "trial": number,
                "z": candidate.z.tolist(),
                "acquisition": candidate.acquisition,
                "acquisition_value": jsonable(candidate.acquisition_value),
                "distance": jsonable(candidate.distance),
                "consistency": jsonable(candidate.consistency),
                "model_version": candidate.model_version,
            },
        )
        self._store.publish(number)
        return Job(number, candidate.trajectory)

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
        trial = self._store.history.trials[number]
        self._campaign.learn(trial.z, judgement)
        self._store.publish(number)
        self._observer.trial(trial, self._store.history)


class StopFlag:
    """Set from a signal handler; read between trials."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for no further trials."""
        self.is_set = True
