"""FerroSIM on many trajectories: `simulate_many` spreads them over Ray workers, results in order, memory bounded.

>>> from latentloop import FerroSimParameters, simulate_many
>>> found = simulate_many(fields, FerroSimParameters.published(), workers=2)     # fields (S, T, 2), or an iterable of such chunks
>>> found["curl"]                                                                # (S,)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from ..simulators.ferrosim import FerroSim, FerroSimParameters, PolarizationHistory, curl, normalized_curl
from .errors import ConfigError
from .executors.ray_map import ray_map
from .records import FloatArray

TASK_SECONDS = 0.1
"""What one task should take: a Ray call costs 1-3 ms, and memory grows with the task."""
_PILOT = 16
_LANES = 8
_MAX_CHUNK = 4096

OBSERVABLES: Mapping[str, Callable[[PolarizationHistory], FloatArray]] = {
    "curl": lambda history: np.asarray(curl(history.polarization)),
    "normalized_curl": lambda history: np.asarray(normalized_curl(history.polarization)),
    "total_polarization": lambda history: history.total_polarization[:, -1],
    "total_polarization_history": lambda history: history.total_polarization,
    "polarization": lambda history: history.polarization,
}
"""What can be asked for: sum of |curl| and its normalized form at the last step (S,), total polarization at the last step (S, 2) and at
every step (S, T, 2), the last stored state (S, n, n, 2)."""


def simulate_many(
    fields: npt.ArrayLike | Iterable[npt.ArrayLike],
    parameters: FerroSimParameters | None = None,
    *,
    workers: int = 2,
    observables: Sequence[str] = ("curl",),
    output: str | Path | None = None,
    address: str | None = None,
) -> Mapping[str, Any]:
    """Simulate any number of field trajectories on Ray.

    Args:
        fields: in units of the coercive field: an array (S, T, 2), or an iterable of arrays (s, T, 2), drawn as they are needed.
        parameters: of the lattice; None for the published ones.
        workers: Ray workers, one thread each.
        observables: names from `OBSERVABLES`.
        output: a Zarr group to make; results go straight into it, so that memory stays bounded however many there are.
        address: a running Ray cluster; None starts one here.

    Returns:
        Observable by name, first axis S in the order of the fields: arrays, or the arrays of the Zarr group when ``output`` is given.

    Raises:
        ConfigError: an unknown observable, no fields, or fewer than one worker.
        TrajectoryError: a field of a wrong shape, or not finite.
        StoreError: there is something at ``output`` already, or it cannot be written.
    """
    unknown = [name for name in observables if name not in OBSERVABLES]
    if unknown or not observables:
        raise ConfigError(f"unknown observable {', '.join(unknown) or '(none given)'}; known are {', '.join(OBSERVABLES)}")
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, not {workers}")
    chosen = FerroSimParameters.published() if parameters is None else parameters
    stream = _chunks(fields, FerroSim(chosen))
    results = ray_map(partial(_make, chosen, tuple(observables)), stream, workers, address=address)
    if output is not None:
        from .store.foreign import append_arrays

        return append_arrays(Path(output), results, {"description": "FerroSIM observables, one row per trajectory"})
    parts = list(results)
    if not parts:
        raise ConfigError("there are no fields to simulate")
    return {name: np.concatenate([part[name] for part in parts]) for name in observables}


def _make(parameters: FerroSimParameters, observables: tuple[str, ...]) -> Callable[[FloatArray], dict[str, FloatArray]]:
    """Return what a worker does with a chunk of fields."""
    simulator = FerroSim(parameters).prepare()

    def run(fields: FloatArray) -> dict[str, FloatArray]:
        history = simulator.simulate(fields)
        return {name: OBSERVABLES[name](history) for name in observables}

    return run


def _chunks(fields: npt.ArrayLike | Iterable[npt.ArrayLike], simulator: FerroSim) -> Iterator[FloatArray]:
    """Yield the fields in chunks that take about `TASK_SECONDS` each; the first few trajectories show how long one takes."""
    parts = iter([fields] if isinstance(fields, np.ndarray) or not isinstance(fields, Iterable) else fields)
    held = np.empty((0, simulator.parameters.n_steps, 2))
    size = 0
    for part in parts:
        block = np.asarray(part, dtype=np.float64)
        block = block[None] if block.ndim == 2 else block
        if not size and len(block):
            size = _chunk_size(block[:_PILOT], simulator)
        held = block if not len(held) else np.concatenate([held, block])
        start = 0
        while len(held) - start >= size > 0:
            yield held[start : start + size]
            start += size
        held = held[start:]
    if len(held):
        yield held


def _chunk_size(pilot: FloatArray, simulator: FerroSim) -> int:
    simulator.prepare().simulate(pilot)
    start = perf_counter()
    simulator.simulate(pilot)
    seconds = (perf_counter() - start) / len(pilot)
    return int(np.clip(TASK_SECONDS / seconds // _LANES * _LANES, _LANES, _MAX_CHUNK))
