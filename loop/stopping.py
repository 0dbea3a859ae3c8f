"""When a campaign stops before its trials are spent: time, target reached, plateau, too many failures or refusals in a row.

The rules that look back (plateau, failures and refusals in a row) count within a session, so that a campaign that is resumed after the
instrument has been mended gets its patience anew. The initial design is no search: a plateau counts from its end on.
"""

import math
from dataclasses import dataclass
from time import monotonic

from .config import BudgetConfig, SafetyConfig
from .records import Trial, TrialState
from .store.history import History

_FAILURES = (TrialState.FAILED, TrialState.QUARANTINED, TrialState.UNKNOWN)
_KEPT_BACK = (TrialState.REFUSED, TrialState.VETOED)
_STRANGERS = 3
"""So many measurements without the metric of the objective, and none with it: its name is wrong, and no further shot will mend that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """That the campaign stops, and why."""

    state: str
    """``finished``, ``interrupted`` where something is left to do, or ``failed`` where something is to be mended."""
    reason: str


class StoppingRules:
    """Watches the trials of one session.

    Args:
        budget: the rules.
        safety: how many refusals in a row are too many.
        history: of the campaign; it is followed, not copied.
        n_initial: trials of the initial design.
    """

    def __init__(self, budget: BudgetConfig, safety: SafetyConfig, history: History, n_initial: int) -> None:
        self._budget = budget
        self._most_refusals = safety.refused_in_a_row
        self._history = history
        self._n_initial = n_initial
        self._seconds_before = history.seconds
        self._begun = monotonic()
        self._instrument_seconds = sum(trial.seconds for trial in history.trials if math.isfinite(trial.seconds))
        self._metric = str(history.configuration["objective"]["metric"])
        self._n_stale = self._n_failures = self._n_refusals = self._n_strangers = 0
        self._last_reason = ""

    def note(self, trial: Trial) -> None:
        """Take one more settled trial into account."""
        self._instrument_seconds += trial.seconds if math.isfinite(trial.seconds) else 0.0
        if trial.state in _KEPT_BACK:
            self._n_refusals += 1
        else:
            self._n_refusals = 0
            self._n_failures = self._n_failures + 1 if trial.state in _FAILURES else 0
        if trial.state is TrialState.COMPLETED and not trial.is_control and not self._is_design(trial):
            best = self._history.incumbent
            self._n_stale = 0 if best is not None and best.trial == trial.number else self._n_stale + 1
        if trial.state is TrialState.FAILED and trial.metrics and self._metric not in trial.metrics:
            self._n_strangers += 1
        self._last_reason = trial.reason

    def verdict(self) -> Verdict | None:
        """Return whether to stop now, and why; None to go on."""
        budget = self._budget
        if self._n_refusals >= self._most_refusals:
            what = f"{self._n_refusals} trials in a row were refused, the last because {self._last_reason}"
            return Verdict("failed", f"{what}; widen the envelope, bring other trajectories, or say safety.on_violation project")
        if budget.failures_in_a_row is not None and self._n_failures >= budget.failures_in_a_row:
            return Verdict("failed", f"{self._n_failures} trials in a row gave nothing, the last because {self._last_reason}")
        best = self._history.incumbent
        if best is None and self._n_strangers >= _STRANGERS:
            return Verdict("failed", f"{self._n_strangers} measurements, and none as configured: {self._last_reason}")
        if budget.target is not None and best is not None and not self._is_better(budget.target, best.objective):
            return Verdict("finished", f"the target {budget.target:g} is reached: the incumbent is {best.objective:.6g}")
        if budget.plateau is not None and self._n_stale >= budget.plateau:
            return Verdict("finished", f"no better incumbent in {self._n_stale} completed trials (budget.plateau)")
        spent = self._seconds_before + monotonic() - self._begun
        if budget.wall_seconds is not None and spent >= budget.wall_seconds:
            return Verdict("finished", f"the time is spent: {spent:.0f} of {budget.wall_seconds:g} s (budget.wall_seconds)")
        if budget.instrument_seconds is not None and self._instrument_seconds >= budget.instrument_seconds:
            measured = f"{self._instrument_seconds:.0f} of {budget.instrument_seconds:g} s"
            return Verdict("finished", f"the time for measuring is spent: {measured} (budget.instrument_seconds)")
        return None

    def ending(self) -> Verdict:
        """Return how a session ends that has nothing left to do, or was stopped."""
        history, verdict = self._history, self.verdict()
        is_open = bool(history.counts().get(TrialState.ARMED.word))
        if verdict is not None and not is_open:
            return verdict
        if is_open or history.held or len(history.trials) < history.budget:
            return Verdict("interrupted", history.stop_reason or "")
        if all(trial.state in _KEPT_BACK for trial in history.trials):
            last = history.trials[-1].reason
            return Verdict("failed", f"none of the {len(history.trials)} trials was measured: {last}")
        return Verdict("finished", "")

    def _is_design(self, trial: Trial) -> bool:
        """Whether a completed trial is of the initial design, which searches for nothing; while all values are equal it never ends."""
        return trial.acquisition == "initial" and len(self._history.told) <= self._n_initial

    def _is_better(self, value: float, other: float) -> bool:
        """Whether a value is strictly better than another."""
        return value > other if self._history.goal == "maximize" else value < other
