"""How the curl of a FerroSIM lattice decays while the field is held, over many trajectories.

At the end of a trajectory its last value is held for some steps, in which the lattice equilibrates. What the trajectory left above the
curl that the lattice keeps anyway decays, and the faster, the larger it was:

    rate = (curl at the start - curl at the end) / duration = k (curl at the start - rest)

with the rate constant k and the resting curl from a least-squares line over all trajectories.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..simulators.ferrosim import FerroSim, FerroSimParameters, curl
from ..simulators.ferrosim.parameters import as_array
from .errors import ConfigError
from .evaluators.ferrosim import FerroSimEvaluator
from .protocols import Progress
from .records import FloatArray

_BATCH = 16
"""Trajectories at once: every state of every step is kept until its curl is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class CurlDecay:
    """The curl of many runs while the field was held."""

    times: FloatArray
    """Time since the start of the hold (k,), the first is 0."""
    curls: FloatArray
    """Sum over sites of |curl| (n, k)."""

    @property
    def start(self) -> FloatArray:
        """Curl at the start of the hold (n,)."""
        return np.asarray(self.curls[:, 0])

    @property
    def rate(self) -> FloatArray:
        """Mean rate of the decay over the hold (n,), per unit of time; negative where the curl grew."""
        return np.asarray((self.curls[:, 0] - self.curls[:, -1]) / self.times[-1])

    @property
    def line(self) -> tuple[float, float]:
        """Rate constant k and resting curl of the least-squares line of the rate over the start."""
        slope, intercept = np.polyfit(self.start, self.rate, 1)
        return float(slope), float(-intercept / slope)

    @property
    def correlation(self) -> float:
        """Pearson's correlation of start and rate."""
        return float(np.corrcoef(self.start, self.rate)[0, 1])


def measure_curl_decay(
    evaluator: FerroSimEvaluator, trajectories: FloatArray | Sequence[FloatArray], *, progress: Progress | None = None
) -> CurlDecay:
    """Simulate trajectories and follow the curl while their last value is held.

    Args:
        evaluator: the lattice, the amplitude and the number of steps held.
        trajectories: shape (n, T) or (n, T, 2), n >= 3 for a line to mean something.
        progress: called with (trajectories done, in all, NaN).

    Raises:
        ConfigError: fewer than 3 trajectories, or fewer than 2 steps held.
        SimulatorError: what the simulator refuses.
    """
    hold = evaluator.hold_steps
    values = np.asarray(trajectories, dtype=np.float64)
    if len(values) < 3 or hold < 2:
        raise ConfigError(f"{len(values)} trajectories, held for {hold} steps: give at least 3 trajectories and 2 steps")
    field = evaluator.field(values)
    parameters = evaluator_parameters(evaluator, field.shape[1])
    simulator = FerroSim(parameters)
    curls = []
    for first in range(0, len(field), _BATCH):
        frames = simulator.simulate(field[first : first + _BATCH], frames_every=1).frames
        assert frames is not None
        curls.append(curl(frames[:, -1 - hold :]))
        if progress is not None:
            progress(min(first + _BATCH, len(field)), len(field), float("nan"))
    times = as_array(parameters.times)
    return CurlDecay(times[-1 - hold :] - times[-1 - hold], np.concatenate(curls))


def evaluator_parameters(evaluator: FerroSimEvaluator, n_steps: int) -> FerroSimParameters:
    """Return an evaluator's model with the clock of a run of ``n_steps`` steps."""
    times = as_array(evaluator.parameters.times)
    return replace(evaluator.parameters, times=times[0] + (times[1] - times[0]) * np.arange(n_steps))
