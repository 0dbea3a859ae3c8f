"""`latentloop check-evaluator`: the contract suite on an evaluator that a user names, as a table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.markup import escape
from rich.table import Table

from .config import TrajectoriesConfig, load_config
from .errors import ConfigError
from .evaluators.contract import Check, check_evaluator, trajectory_for_check
from .evaluators.python import PythonEvaluator
from .executors.worker import EvaluatorSpec
from .preparation import evaluator_spec
from .records import FloatArray, Signal
from .registry import EVALUATORS
from .trajectory_source import load_trajectories, read_trajectory_file

_CAMPAIGN_FILES = (".yaml", ".yml")


def check_target(target: str, file: Path | None, n_steps: int, n_channels: int, overrides: Iterable[str] = ()) -> list[Check]:
    """Run the contract suite on an evaluator.

    Args:
        target: ``module:attribute`` of a function or class, the name of a known evaluator, or the file of a campaign, whose evaluator
            measures the first of its trajectories. What does not say of itself whether it is pure counts as physical here: it is fired
            once, with a trajectory that somebody means.
        file: its first trajectory is measured; None for a gentle sine wave.
        n_steps: of the sine wave.
        n_channels: of the sine wave.
        overrides: ``key=value`` parameters of the evaluator.

    Raises:
        ConfigError: the evaluator or the trajectory cannot be had.
        EvaluatorError: its module cannot be imported.
    """
    parameters = _parameters(overrides)
    if target.endswith(_CAMPAIGN_FILES):
        return _check_campaign(target, file, parameters)
    name = target
    if ":" in target:
        name, parameters = "python", {**parameters, "target": target}
    EVALUATORS.check(name)
    spec = EvaluatorSpec(name, parameters)
    made = spec.make()  # what cannot even be made is an error of the command, not a finding
    if isinstance(made, PythonEvaluator) and not made.says_kind:
        spec = EvaluatorSpec(name, {**parameters, "kind": "physical"})
    _ = made.kind
    trajectory, signal = _trajectory(file, n_steps, n_channels)
    return check_evaluator(spec.make, trajectory, signal)


def _check_campaign(config_file: str, file: Path | None, parameters: dict[str, Any]) -> list[Check]:
    """Run the contract suite on the evaluator of a campaign's file."""
    if parameters:
        raise ConfigError(f"--set {next(iter(parameters))}=...: the parameters of the evaluator stand in {config_file}; change them there")
    config = load_config(config_file)
    trajectories = load_trajectories(config)
    spec = evaluator_spec(config, trajectories=trajectories)[0]
    if file is None:
        return check_evaluator(spec.make, np.asarray(trajectories.values[0], dtype=np.float64), trajectories.signal)
    return check_evaluator(spec.make, *_trajectory(file, 0, 0))


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
        if not file.exists():
            raise ConfigError(f"--trajectory: there is no file {file}; leave it out for a gentle sine wave of --steps steps")
        kept = read_trajectory_file(file, TrajectoriesConfig(file=str(file), n=2))
        return kept.values[0], kept.signal
    trajectory = trajectory_for_check(n_steps, n_channels)
    names = ("value",) if n_channels == 1 else tuple(f"channel {index}" for index in range(n_channels))
    return trajectory, Signal(np.arange(n_steps, dtype=np.float64), "", "", names)
