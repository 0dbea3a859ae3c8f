"""Drives a campaign: ask, check safety, arm, dispatch, await, commit, tell, publish.

The order is the crash rule. A trial's intent is in the journal before anything fires; its payload is written before the event that refers
to it; it is committed to the store, then told to the optimizer, then published. A driver that is killed anywhere loses nothing that was
committed, and counts nothing twice. A candidate outside the safety envelope is recorded as refused and never dispatched; where an operator
has a say, candidates are held until the store's inbox brings the decision.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from . import entries
from .campaign import Campaign, Judgement
from .clerk import Clerk
from .errors import ShapeMismatchError
from .extra_trials import ExtraTrials
from .observer import Observer, StopFlag
from .process import Process
from .protocols import Executor
from .records import CONTROL, OPERATOR, REPEAT, Candidate, Failure, FloatArray, Job, Outcome, Trial, TrialState
from .registry import EVALUATORS
from .standing import facts_of
from .stopping import StoppingRules
from .store.campaign_store import CampaignStore
from .store.faults import reach
from .store.history import jsonable
from .takeover import LONGEST_MEASUREMENT, await_workers

_WAIT_SECONDS = 0.2
_REST_SECONDS = 2.0
"""Time for measurements to come back once their instrument was told to rest."""


class Controller:
    """Runs one campaign until its budget is spent or it is told to stop.

    Args:
        campaign: proposes and learns.
        store: driven by this process.
        executor: measures.
        batch: trials asked for and sent together.
        observer: told of every committed trial.
        renew: called before every proposal with the campaign, returns it as it goes on: with a retrained latent model, or as it was.
    """

    def __init__(
        self,
        campaign: Campaign,
        store: CampaignStore,
        executor: Executor,
        batch: int,
        observer: Observer,
        renew: Callable[[Campaign], Campaign] | None = None,
    ) -> None:
        self._campaign = campaign
        self._renew = renew or (lambda current: current)
        self._store = store
        self._executor = executor
        self._batch = batch
        self._observer = observer
        self._in_flight: set[int] = set()
        self._workers: list[Process] = []
        self._rules = StoppingRules(campaign.config.budget, campaign.config.safety, store.history, campaign.optimizer.n_initial)
        self._envelope = "" if campaign.envelope is None else campaign.envelope.hash
        self._clerk = Clerk(store, lambda: self._campaign)
        self._extra = ExtraTrials(lambda: self._campaign, store)
        self._spent: dict[int, float] = {}
        self._is_stopping = False
        self.reason = ""
        """Why the session ended, where there is more to say than that the budget is spent."""

    def run(self, should_stop: StopFlag) -> str:
        """Work until nothing is left to do; return ``finished``, ``failed`` or ``interrupted``, and keep why in `reason`.

        Args:
            should_stop: once set, nothing new is dispatched; what runs is awaited.
        """
        self._take_up_armed(should_stop)
        if not should_stop.is_set and self._rules.verdict() is None:
            self._complete_batch()
        grace_ends = math.inf
        while True:
            self._obey(should_stop)
            if should_stop.is_set:
                self._is_stopping = True
                grace_ends = min(grace_ends, time.monotonic() + self._campaign.config.executor.grace_seconds)
            else:
                self._fill(should_stop)
            if not self._in_flight:
                if should_stop.is_set or self._rules.verdict() or not self._waits():
                    break
                time.sleep(_WAIT_SECONDS)  # the operator's turn
                continue
            if time.monotonic() >= grace_ends:
                self._bring_to_rest()
                break
            for outcome in self._executor.wait(_WAIT_SECONDS):
                self._commit(outcome)
            self._note_workers()
        ending = self._rules.ending()
        self.reason = ending.reason
        return ending.state

    def _waits(self) -> bool:
        """Whether there is something left that only an operator can set going."""
        history = self._store.history
        return bool(history.held) or (history.is_paused and len(history.trials) < history.budget)

    def _bring_to_rest(self) -> None:
        """Stop the instruments; what was measured meanwhile is unknown, or, with a pure evaluator, left to the next session."""
        with suppress(Exception):  # an instrument that cannot even be stopped must not keep the state from being committed
            self._executor.stop()
        end = time.monotonic() + _REST_SECONDS
        while self._in_flight and time.monotonic() < end:
            for outcome in self._executor.wait(_WAIT_SECONDS):
                self._commit(outcome)
        if self._campaign.kind == "physical":
            grace = self._campaign.config.executor.grace_seconds
            reason = f"the campaign was stopped, no result came within {grace:g} s (executor.grace_seconds), and its instrument was stopped"
            for number in sorted(self._in_flight):
                self._record(number, Judgement(TrialState.UNKNOWN, reason=reason), math.nan, "")
        self._in_flight.clear()

    def _take_up_armed(self, should_stop: StopFlag) -> None:
        """Settle the trials that a killed driver left armed: pure ones run again, physical ones may have fired."""
        history = self._store.history
        armed = [trial for trial in history.trials if trial.state is TrialState.ARMED]
        # An evaluator that knows its experiments by their keys finds what it has fired, and never fires it again.
        finds_again = bool(getattr(EVALUATORS.load(self._campaign.config.evaluator.name), "finds_again", False))
        for trial in armed:
            if self._campaign.kind == "pure" or finds_again:
                self._dispatch([self._job(trial, self._store.trajectory(trial))])
            else:
                unknown = Judgement(TrialState.UNKNOWN, reason="its driver ended while it was armed: nobody knows whether it fired")
                self._record(trial.number, unknown, math.nan, "")
        if self._campaign.kind == "physical" and history.workers and not finds_again:
            config = self._campaign.config
            longest = config.executor.lease_seconds + (config.evaluator.timeout or LONGEST_MEASUREMENT)
            await_workers(history.workers, longest, self._observer.stage, lambda: should_stop.is_set)

    def _complete_batch(self) -> None:
        """Take up the rest of the trials that a killed driver had asked for together: what it would have proposed, to the last bit."""
        history = self._store.history
        first, size, event = history.asked
        n_known = len(history.trials)
        n_left = min(first + size, history.budget) - n_known
        if n_left <= 0 or not history.forked_at <= first < n_known:
            return
        before = self._store.history_before(event)
        if max(before.models) != self._campaign.model_version:  # the model has been retrained since: the rest is asked of the new one
            return
        self._campaign.restore(*facts_of(before))
        rest = self._campaign.propose(size, first)[n_known - first :][:n_left]
        self._campaign.restore(*facts_of(history))
        self._campaign.await_points([candidate.z for candidate in rest])
        self._take_up_all(rest, {"asked": [first, size]})

    def _obey(self, should_stop: StopFlag) -> None:
        """Do what operators have decided."""
        history = self._store.history
        obeyed = [each for each in self._clerk.obey() if not each.ignored]
        for each in obeyed:
            if each.command is not None and each.command.trial is not None:
                trial = history.trials[each.command.trial]
                if each.command.action == "veto":
                    self._settle(trial.number, Judgement(TrialState.VETOED, reason=trial.reason))
                elif each.changes_belief:
                    self._observer.trial(trial, history)
        if any(each.changes_belief for each in obeyed):
            self._relearn()
        if history.stop_reason is not None:
            should_stop.set()
        if history.approved and not should_stop.is_set and not history.is_paused and self._rules.verdict() is None:
            self._arm_approved()

    def _arm_approved(self) -> None:
        """Arm and dispatch what has been approved; of a batch nothing before all of it is decided."""
        history = self._store.history
        undecided = {history.trials[number].batch for number in history.held - history.approved} - {None}
        together: dict[int, list[Job]] = {}
        for number in sorted(history.approved):
            trial = history.trials[number]
            if trial.batch in undecided and self._campaign.config.safety.approval == "batch":
                continue
            trajectory = self._store.trajectory(trial)
            violation = self._campaign.violation(trajectory)
            if violation is not None:  # it may have been changed while it was held
                reason = f"outside the safety envelope: {violation.sentence}"
                self._store.append("vetoed", {"trial": number, "who": "latentloop", "reason": reason})
                self._settle(number, Judgement(TrialState.VETOED, reason=reason))
                continue
            self._store.append("armed", {"trial": number, "envelope": self._envelope})
            self._store.publish(number)
            together.setdefault(number if trial.batch is None else trial.batch, []).append(self._job(history.trials[number], trajectory))
        for jobs in together.values():
            self._dispatch(jobs)

    def _fill(self, should_stop: StopFlag) -> None:
        """Ask for, arm and dispatch trials while workers are free and the budget allows."""
        history = self._store.history
        room = self._executor.n_workers * self._batch
        while not should_stop.is_set and not history.is_paused and len(history.trials) < history.budget and self._rules.verdict() is None:
            n_open = len(self._in_flight) + len(history.held)
            if n_open < room and (extra := self._extra.next()) is not None:
                self._take_up_all([extra.candidate], extra.facts)
                self._relearn()
            elif n_open + self._batch <= room:
                first, q = len(history.trials), min(self._batch, history.budget - len(history.trials))
                self._campaign = self._renew(self._campaign)
                start = time.perf_counter()
                candidates = self._campaign.propose(q, first)
                facts: dict[str, Any] = {"ask_seconds": round((time.perf_counter() - start) / q, 6)}
                reach("controller.asked")
                self._take_up_all(candidates, {"asked": [first, q], **facts} if q > 1 else facts)
            else:
                return

    def _relearn(self) -> None:
        """Have the optimizer know what the journal knows, exactly as a resumed session would."""
        self._campaign.restore(*facts_of(self._store.history))

    def _take_up_all(self, candidates: list[Candidate], facts: dict[str, Any]) -> None:
        """Refuse, hold, or arm and dispatch what has been proposed together."""
        jobs = []
        for proposed in candidates:
            if proposed.acquisition in (CONTROL, OPERATOR, REPEAT):  # what a person chose is never moved into the envelope
                candidate = replace(proposed, violation=self._campaign.violation(proposed.trajectory))
            else:
                candidate = self._campaign.inspect(proposed)
            if candidate.violation is not None:
                self._refuse(candidate, facts)
            elif self._campaign.config.safety.approval != "none" and candidate.acquisition != CONTROL:
                self._observer.trial(self._take_up("held", candidate, facts), self._store.history)
            else:
                trial = self._take_up("armed", candidate, facts)
                jobs.append(self._job(trial, candidate.trajectory))
        if jobs:
            reach("controller.armed")
            self._dispatch(jobs)

    def _refuse(self, candidate: Candidate, more: dict[str, Any]) -> None:
        """Record a candidate that must not be fired, and tell the optimizer to avoid it."""
        violation = candidate.violation
        assert violation is not None
        facts = {**more, **entries.of_violation(violation)}
        trial = self._take_up("refused", candidate, facts)
        self._settle(trial.number, Judgement(TrialState.REFUSED, reason=violation.sentence))

    def _take_up(self, kind: str, candidate: Candidate, facts: dict[str, Any] | None = None) -> Trial:
        """Make a candidate a trial: payload first, then the event that counts."""
        number = len(self._store.history.trials)
        self._store.write_payload(number, {"trajectory": candidate.trajectory})
        reach("controller.payload")
        data = {"trial": number, **entries.of_candidate(candidate), **(facts or {})}
        if self._envelope:
            data["envelope"] = self._envelope
        self._store.append(kind, data)
        self._store.publish(number)
        return self._store.history.trials[number]

    def _job(self, trial: Trial, trajectory: FloatArray) -> Job:
        key = f"{self._store.history.identity}-{trial.number}"
        if trial.readings:  # another experiment than the one that gave the first reading
            key += f"-{len(trial.readings) + 1}"
        return Job(trial.number, trajectory, trial.envelope, key, self._store.fence)

    def _dispatch(self, jobs: list[Job]) -> None:
        self._note_workers()
        self._in_flight.update(job.trial for job in jobs)
        self._executor.submit(jobs)
        reach("controller.dispatched")

    def _note_workers(self) -> None:
        """Journal which processes may be firing from now on, and only then let them: whoever takes over waits until they are dead."""
        new = [process for process in self._executor.processes if process not in self._workers]
        if new and self._campaign.kind == "physical":
            self._store.append("workers", {"workers": [process.as_mapping() for process in new]})
        self._workers += new
        self._executor.admit(new)

    def _commit(self, outcome: Outcome) -> None:
        """Judge an outcome and record it, unless it is worth another look."""
        reach("controller.measured")
        history, objective = self._store.history, self._campaign.config.objective
        trial = history.trials[outcome.trial]
        if trial.state is not TrialState.ARMED:
            self._store.append("ignored", {"trial": trial.number, "reason": f"a result came for a trial that is {trial.state.word}"})
            return
        recent = [history.trials[number].objective for number in history.measured[-(objective.stuck_after or 1) :]]
        judgement = self._campaign.judge(outcome, trial.readings, recent)
        self._in_flight.discard(outcome.trial)
        self._spent[trial.number] = self._spent.get(trial.number, 0.0) + outcome.seconds
        is_pure = self._campaign.kind == "pure"
        if isinstance(outcome.result, Failure) and judgement.state is TrialState.FAILED and is_pure:
            if self._is_stopping:
                return  # it may have failed because it was stopped; armed as it is, it runs again in the next session
            if trial.n_attempts <= self._campaign.config.evaluator.retries:
                self._once_more(trial, "retried", {"attempt": trial.n_attempts, "reason": judgement.reason}, outcome)
                return
        is_allowed = is_pure if objective.remeasure is None else objective.remeasure
        is_final = bool(trial.readings) or not is_allowed or (self._is_stopping and not is_pure)
        if judgement.is_outlier and judgement.state is TrialState.COMPLETED and not is_final:
            self._once_more(trial, "outlier", entries.of_readings(judgement), outcome)
            return
        try:
            if judgement.arrays:
                self._store.write_payload(outcome.trial, judgement.arrays)
        except ShapeMismatchError as error:
            judgement = replace(judgement, state=TrialState.QUARANTINED, reason=str(error))
        self._record(outcome.trial, judgement, self._spent.pop(trial.number), outcome.worker)

    def _once_more(self, trial: Trial, kind: str, facts: dict[str, Any], outcome: Outcome) -> None:
        """Record why a trial is measured once more, and send it; while the campaign stops, the next session does."""
        self._store.append(kind, {"trial": trial.number, **facts, "seconds": jsonable(outcome.seconds), "worker": outcome.worker})
        if not self._is_stopping:
            self._dispatch([self._job(self._store.history.trials[trial.number], self._store.trajectory(trial))])

    def _record(self, number: int, judgement: Judgement, seconds: float, worker: str) -> None:
        """Commit, then tell, then publish."""
        self._store.append(
            judgement.state.word,
            {
                "trial": number,
                **entries.of_readings(judgement),
                "reason": judgement.reason,
                "seconds": jsonable(seconds),
                "worker": worker,
                **({"is_outlier": True} if judgement.is_outlier else {}),
            },
        )
        self._settle(number, judgement)

    def _settle(self, number: int, judgement: Judgement) -> None:
        """Tell what has been committed, then publish it."""
        reach("controller.committed")
        trial = self._store.history.trials[number]
        if not trial.is_control:
            self._campaign.learn(trial.z, judgement, number)
        self._rules.note(trial)
        reach("controller.told")
        self._store.publish(number)
        reach("controller.published")
        self._observer.trial(trial, self._store.history)
