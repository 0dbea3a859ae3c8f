"""How a campaign looks in a terminal: progress bars with trial, incumbent and time left; plain lines where there is no terminal."""

import math
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .records import Trial, TrialState
from .store.history import History

_HINTS = {
    TrialState.UNKNOWN: "; `latentloop trials {store} --resolve {number} completed --metric NAME=VALUE`, or failed, or repeat",
    TrialState.QUARANTINED: "; `latentloop trials {store} --accept {number}` has it learned from",
}
"""How an operator settles a trial that waits for one."""


class TerminalObserver:
    """Shows stages, training and trials. Use as a context manager.

    Args:
        console: where to write.
        store: the campaign, named in what an operator is asked to say.
    """

    def __init__(self, console: Console, store: str = "STORE") -> None:
        self._console = console
        self._store = store
        self._is_live = console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._is_live,
        )
        self._task: TaskID | None = None
        self._stage = ""
        self._tenth = -1

    def __enter__(self) -> "TerminalObserver":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def stage(self, text: str) -> None:
        """Say what begins."""
        self._end_bar()
        self._stage = text
        if text.startswith("warning: "):
            self._console.print(text, style="yellow", highlight=False)
        else:
            self._console.print(f"{text} ...", style="dim", highlight=False)

    def training(self, done: int, total: int, loss: float) -> None:
        """Move the bar of something long."""
        shown = "" if math.isnan(loss) else f", loss {loss:.1f}"
        self._show(f"{self._stage}{shown}", done, total)

    def trial(self, trial: Trial, history: History) -> None:
        """Move the bar of the campaign, and say so when a trial did not complete."""
        if trial.state is TrialState.HELD:
            wanted = f"`latentloop trials {self._store} --approve {trial.number}`, or --veto with --reason"
            self._console.print(f"trial {trial.number} waits for an operator: {wanted}", style="yellow", highlight=False, markup=False)
        elif trial.state is not TrialState.COMPLETED:
            hint = _HINTS.get(trial.state, "").format(number=trial.number, store=self._store)
            text = f"trial {trial.number} {trial.state.word}: {trial.reason}{hint}"
            self._console.print(text, style="yellow", highlight=False, markup=False)
        best = history.incumbent
        told = "no result yet" if best is None else f"incumbent {best.objective:.6g} (trial {best.trial})"
        counts = history.counts()
        finished = len(history.trials) - counts.get("armed", 0) - counts.get("held", 0)
        self._show(f"trial {trial.number}, {told}", finished, history.budget)

    def _show(self, text: str, done: int, total: int) -> None:
        if self._is_live:
            if self._task is None:
                self._task = self._progress.add_task(text, total=total)
            self._progress.update(self._task, description=text, completed=done, total=total)
        elif done * 10 // max(total, 1) > self._tenth:
            self._tenth = done * 10 // max(total, 1)
            self._console.print(f"  {done}/{total}  {text}", highlight=False, markup=False)
            self._console.file.flush()

    def _end_bar(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None
        self._tenth = -1
