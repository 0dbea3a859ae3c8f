"""`latentloop check-evaluator`: the contract suite on an evaluator that a user names, as a table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.markup import escape
from rich.table import Table

from .config import TrajectoriesConfig
from .errors import ConfigError
from .evaluators.contract import Check, check_evaluator, trajectory_for_check
from .executors.worker import EvaluatorSpec
from .records import FloatArray, Signal
from .registry import EVALUATORS
from .trajectory_source import read_trajectory_file


def check_target(target: str, file: Path | None, n_steps: int, n_channels: int, overrides: Iterable[str] = ()) -> list[Check]:
    """Run the contract suite on an evaluator.

    Args:
        target: ``module:attribute`` of a function or class, or the name of a known evaluator.
        file: its first trajectory is measured; None for a gentle sine wave.
        n_steps: of the sine wave.
        n_channels: of the sine wave.
        overrides: ``key=value`` parameters of the evaluator.

    Raises:
        ConfigError: the evaluator or the trajectory cannot be had.
        EvaluatorError: its module cannot be imported.
    """
    parameters = _parameters(overrides)
    name = target
    if ":" in target:
        name, parameters = "python", {**parameters, "target": target}
    EVALUATORS.check(name)
    spec = EvaluatorSpec(name, parameters)
    made = spec.make()  # what cannot even be made is an error of the command, not a finding
    _ = made.kind
    trajectory, signal = _trajectory(file, n_steps, n_channels)
    return check_evaluator(spec.make, trajectory, signal)


def check_table(checks: Sequence[Check]) -> Table:
    """Return the checks as a table for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "check", "detail"):
        table.add_column(column)
    for check in checks:
        mark = "[yellow]skipped[/]" if check.is_skipped else "[green]good[/]" if check.is_good else "[red]failed[/]"
        table.add_row(mark, check.name, escape(check.detail))
    return table


def _parameters(overrides: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override!r} must read key=value, for example kind=physical")
        try:
            found[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {override!r}: the value is not valid YAML") from error
    return found


def _trajectory(file: Path | None, n_steps: int, n_channels: int) -> tuple[FloatArray, Signal]:
    """Return a trajectory, and what its numbers mean as far as that is known."""
    if file is not None:
        kept = read_trajectory_file(file, TrajectoriesConfig(file=str(file), n=2))
        return kept.values[0], kept.signal
    trajectory = trajectory_for_check(n_steps, n_channels)
    names = ("value",) if n_channels == 1 else tuple(f"channel {index}" for index in range(n_channels))
    return trajectory, Signal(np.arange(n_steps, dtype=np.float64), "", "", names)
