"""Those who watch a campaign run, and how they ask it to stop."""

from typing import Protocol

from .records import Trial
from .store.history import History


class Observer(Protocol):
    """Someone who watches a campaign run: a progress bar, a log."""

    def stage(self, text: str) -> None:
        """Something that takes a while begins."""

    def training(self, done: int, total: int, loss: float) -> None:
        """A training epoch is done."""

    def trial(self, trial: Trial, history: History) -> None:
        """A trial has been committed."""


class StopFlag:
    """Set from a signal handler; read between trials."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for no further trials."""
        self.is_set = True
