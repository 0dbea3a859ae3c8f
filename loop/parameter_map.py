"""Grid search: one number of the hysteresis loop over two parameters of FerroSIM.

Every cell of the grid is a simulation of its own; cells are shared out among threads (the kernel runs free of Python's lock). Along the
field's amplitude, cells of one material run side by side in one call. A cell whose time step is too large, or whose loop does not have the
number, is NaN and says why: nothing is ever guessed.

>>> found = measure_parameter_map(LoopExperiment(), Range("coupling", 0, 200), Range("depolarization", 0, 2), "loop_area", n_grid=50)
>>> found.best_point, found.best_value
"""

import math
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..simulators.errors import InstabilityError, SimulatorError
from .errors import ConfigError
from .evaluators.hysteresis import LoopExperiment, check_names, observable_named
from .protocols import Progress
from .records import FloatArray, Goal

if TYPE_CHECKING:
    from .figures import ExploredPoints

_MAX_CELLS = 1_000_000
_BATCH = 64
"""Amplitudes of one call: enough to fill the kernel's lanes, few enough to share out and to keep in memory."""
_MAX_REASONS = 20
"""Cells whose reason goes into the Zarr group's attributes one by one."""

Cell = tuple[int, int]
_Results = list[tuple[Cell, float, str, float]]


@dataclass(frozen=True, slots=True)
class Range:
    """What one axis of the map spans."""

    name: str
    """A parameter, see `evaluators.hysteresis.PARAMETERS`."""
    low: float
    high: float

    def __post_init__(self) -> None:
        check_names([self.name])
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"{self.name} runs from {self.low:g} to {self.high:g}; the smaller number comes first, and both are finite")


@dataclass(frozen=True, slots=True, eq=False)
class ParameterMap:
    """One number over two parameters."""

    names: tuple[str, str]
    """Parameters along x and y."""
    x: FloatArray
    """Values of the first, ascending (nx,)."""
    y: FloatArray
    """Values of the second, ascending (ny,)."""
    values: FloatArray
    """The number at every cell (ny, nx); NaN where there is none."""
    observable: str
    goal: Goal = "maximize"
    reasons: Mapping[Cell, str] = field(default_factory=dict)
    """Why a cell (row, column) has no number."""
    n_unstable: int = 0
    """Cells whose time step is too large."""
    steps_needed: int = 0
    """Steps per period with which no cell would be unstable; 0 if none is."""

    @property
    def best_cell(self) -> Cell | None:
        """Row and column of the best value; None if no cell has one."""
        if not np.isfinite(self.values).any():
            return None
        flat = np.nanargmax(self.values) if self.goal == "maximize" else np.nanargmin(self.values)
        row, column = np.unravel_index(int(flat), self.values.shape)
        return int(row), int(column)

    @property
    def best_point(self) -> tuple[float, float] | None:
        """The two parameters of the best value; None if no cell has one."""
        cell = self.best_cell
        return None if cell is None else (float(self.x[cell[1]]), float(self.y[cell[0]]))

    @property
    def best_value(self) -> float:
        """The best value; NaN if no cell has one."""
        cell = self.best_cell
        return math.nan if cell is None else float(self.values[cell])

    def failures(self) -> list[str]:
        """Return one sentence per kind of failure, with its number of cells; empty if every cell has a value."""
        counts = Counter("unstable" if reason.startswith("unstable") else reason for reason in self.reasons.values())
        said = []
        for reason, count in counts.most_common():
            hint = (
                f"the time step is too large there; {self.steps_needed} steps per period would do for all" if reason == "unstable" else ""
            )
            said.append(f"{count} of {self.values.size} cells have no value: {reason}{'; ' if hint else ''}{hint}")
        return said


def measure_parameter_map(
    experiment: LoopExperiment,
    x: Range,
    y: Range,
    observable: str,
    *,
    n_grid: int | tuple[int, int] = 50,
    goal: Goal = "maximize",
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> ParameterMap:
    """Simulate every cell of a grid over two parameters.

    Args:
        experiment: all that is not varied.
        x: first parameter.
        y: second parameter, another one.
        observable: name of the number, see `evaluators.hysteresis.OBSERVABLES`.
        n_grid: cells along both axes, or along x and y; at least 2.
        goal: which way is better.
        n_threads: simulations at the same time; None for one per core.
        progress: called with (cells done, cells in all, NaN).

    Raises:
        ConfigError: an unknown name, one parameter twice, too many or too few cells.
        ParameterError: a range that the model refuses at one of its ends.
    """
    read = observable_named(observable)
    n_x, n_y = (n_grid, n_grid) if isinstance(n_grid, int) else n_grid
    if x.name == y.name:
        raise ConfigError(f"x and y are both {x.name!r}; vary two different parameters")
    if min(n_x, n_y) < 2 or n_x * n_y > _MAX_CELLS:
        raise ConfigError(f"a grid of {n_x} x {n_y} cells cannot be run; give 2 or more along each axis, and at most {_MAX_CELLS:,} in all")
    for first in (x.low, x.high):
        for second in (y.low, y.high):
            experiment.varied({x.name: first, y.name: second})
    columns, rows = np.linspace(x.low, x.high, n_x), np.linspace(y.low, y.high, n_y)
    values = np.full((n_y, n_x), np.nan)
    reasons: dict[Cell, str] = {}
    steps_needed = n_unstable = n_done = 0

    def run(cells: list[Cell]) -> _Results:
        points = [{x.name: float(columns[column]), y.name: float(rows[row])} for row, column in cells]
        return _measure(experiment, cells, points, observable)

    tasks = _tasks(x.name, y.name, n_x, n_y)
    with ThreadPoolExecutor(n_threads or len(os.sched_getaffinity(0)), thread_name_prefix="parameter-map") as pool:
        waiting: set[Future[_Results]] = {pool.submit(run, cells) for cells in tasks}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    for cell, value, reason, stable in future.result():
                        values[cell] = value
                        n_done += 1
                        if math.isfinite(stable):
                            n_unstable += 1
                            frequency = float(
                                columns[cell[1]] if x.name == "frequency" else rows[cell[0]] if y.name == "frequency" else 0.0
                            )
                            at = experiment.varied({"frequency": frequency}) if frequency else experiment
                            steps_needed = max(steps_needed, at.steps_for(stable))
                        if math.isnan(value):
                            reasons[cell] = reason or read.undefined or f"{observable} is not defined there"
                if progress is not None:
                    progress(n_done, values.size, math.nan)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return ParameterMap((x.name, y.name), columns, rows, values, observable, goal, reasons, n_unstable, steps_needed)


def write_parameter_map(found: ParameterMap, path: Path, experiment: LoopExperiment) -> None:
    """Write a map as a new Zarr group that xarray opens: the two axes, and the number as ``objective`` (nx, ny).

    Raises:
        StoreError: something is at ``path`` already, or the disk refused.
    """
    from .store.foreign import write_ground_truth

    material, drive = experiment.material, experiment.drive
    reasons = sorted(found.reasons.items())[:_MAX_REASONS]
    attributes = {
        "observable": found.observable,
        "unit": observable_named(found.observable).unit,
        "goal": found.goal,
        "best_point": None if found.best_point is None else list(found.best_point),
        "best_value": None if found.best_point is None else found.best_value,
        "n_without_value": len(found.reasons),
        "n_unstable": found.n_unstable,
        "reasons": [{found.names[0]: float(found.x[c]), found.names[1]: float(found.y[r]), "reason": reason} for (r, c), reason in reasons],
        "material": {
            "lattice_size": material.lattice_size,
            "mode": material.mode,
            "landau": list(material.landau),
            "coupling": np.asarray(material.coupling).tolist(),
            "depolarization": np.asarray(material.depolarization).tolist(),
            "kinetic_coefficient": material.kinetic_coefficient,
            "rule": material.rule,
            "boundary": material.boundary,
            "update": material.update,
            "update_seed": material.update_seed,
            "n_defects": int(np.any(np.asarray(material.random_field) != 0.0, axis=-1).sum()),
        },
        "drive": {name: getattr(drive, name) for name in ("amplitude", "frequency", "periods", "steps", "axis")},
    }
    write_ground_truth(path, [found.x, found.y], found.values.T, found.names, attributes)


def explored_in(store: Path, names: tuple[str, str], observable: str) -> "ExploredPoints":
    """Return what a campaign over two parameters has measured, to be drawn beside their map.

    Raises:
        ConfigError: the campaign is over other parameters, or does not know the observable.
        StoreError: there is no campaign at ``store``.
    """
    from .figures import ExploredPoints
    from .store.campaign_store import CampaignStore

    history = CampaignStore.open(store).history
    box = list(history.configuration["trajectories"].get("box") or {})
    if sorted(box) != sorted(names):
        raise ConfigError(f"{store} is a campaign over {' and '.join(box) or 'trajectories'}, the map is over {' and '.join(names)}")
    measured = [trial for trial in history.trials if observable in trial.metrics]
    if not measured:
        raise ConfigError(f"{store} has no trial with the metric {observable!r}")
    return ExploredPoints(
        np.array([[trial.z[box.index(name)] for name in names] for trial in measured]),
        np.array([trial.metrics[observable] for trial in measured]),
        n_initial=sum(trial.acquisition == "initial" for trial in measured),
    )


def _tasks(x: str, y: str, n_x: int, n_y: int) -> list[list[Cell]]:
    """Return the cells in the groups that run in one call: those of one material and one clock, which differ in amplitude only."""
    if x == "amplitude":
        return [
            [(row, column) for column in range(start, min(start + _BATCH, n_x))] for row in range(n_y) for start in range(0, n_x, _BATCH)
        ]
    if y == "amplitude":
        return [
            [(row, column) for row in range(start, min(start + _BATCH, n_y))] for column in range(n_x) for start in range(0, n_y, _BATCH)
        ]
    return [[(row, column)] for row in range(n_y) for column in range(n_x)]


def _measure(experiment: LoopExperiment, cells: list[Cell], points: list[dict[str, float]], observable: str) -> _Results:
    """Return value, reason and largest stable step (NaN unless unstable) of cells that differ in amplitude only."""
    read = observable_named(observable).read
    amplitudes = [point.get("amplitude", experiment.drive.amplitude) for point in points]
    try:
        loops = experiment.varied(points[0]).run_amplitudes(amplitudes)
    except SimulatorError as error:
        if len(cells) > 1:
            return [
                result for cell, point in zip(cells, points, strict=True) for result in _measure(experiment, [cell], [point], observable)
            ]
        stable = error.largest_stable_step if isinstance(error, InstabilityError) else math.nan
        return [(cells[0], math.nan, str(error), stable)]
    return [(cell, read(loop), "", math.nan) for cell, loop in zip(cells, loops, strict=True)]
