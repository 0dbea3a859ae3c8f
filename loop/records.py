"""The words of a campaign as frozen records that check themselves.

A *candidate* is what the optimizer proposes, a *trial* is a candidate with its life, a *measurement* is what an evaluator returns and a
*failure* is an experiment that did not give one. See CONTRIBUTING.md for the way of a trial through its states.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import ConfigError

FloatArray = npt.NDArray[np.float64]
EvaluatorKind = Literal["pure", "physical"]
Goal = Literal["maximize", "minimize"]


class TrialState(IntEnum):
    """The states of a trial, with the numbers that stand in the store (0 is kept for "no trial here")."""

    PROPOSED = 1
    REFUSED = 2
    HELD = 3
    VETOED = 4
    ARMED = 5
    COMPLETED = 6
    FAILED = 7
    QUARANTINED = 8
    UNKNOWN = 9

    @property
    def word(self) -> str:
        """The state's name as users read it, in lower case."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> "TrialState":
        """Return the state with the name ``word``; raises KeyError for none."""
        return cls[word.upper()]


@dataclass(frozen=True, slots=True)
class Violation:
    """What a trajectory breaks of the safety envelope."""

    figure: str
    """What was measured on the trajectory, for example ``slew rate``."""
    value: float
    bound: float
    unit: str
    """Unit of both; empty for none."""
    step: int | None
    """Step at which it is worst; None for a figure of the whole trajectory."""
    channel: str
    """Name of the channel; empty for a figure of all of them."""

    @property
    def sentence(self) -> str:
        """What, where and how much."""
        unit = f" {self.unit}" if self.unit else ""
        where = f" of channel {self.channel}" if self.channel else ""
        when = "" if self.step is None else f" at step {self.step}"
        side = "above" if self.value > self.bound else "below" if self.value < self.bound else "against"
        return f"{self.figure}{where} is {self.value:.6g}{unit}{when}, {side} the bound {self.bound:.6g}{unit}"


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """What the numbers of a campaign's trajectories mean."""

    times: FloatArray
    """Time of each step, shape (T,)."""
    unit: str
    """Unit of the values; empty for none."""
    time_unit: str
    channels: tuple[str, ...]
    """One name per channel."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that the optimizer proposes, with the trajectory it decodes to."""

    z: FloatArray
    """Latent vector, shape (d,)."""
    trajectory: FloatArray
    """Decoded trajectory, shape (T,) or (T, channels), in the units of the training trajectories."""
    acquisition: str
    """Name of what proposed it: an acquisition function, or ``initial``."""
    acquisition_value: float = math.nan
    """Value of the acquisition function at z; NaN where it has none."""
    predicted_objective: float = math.nan
    """What the surrogate that it was proposed with expects of the objective at z; NaN where none was asked."""
    predicted_error: float = math.nan
    """Standard deviation of that belief, without the noise of a measurement."""
    distance: float = math.nan
    """How far z lies from the encoded training data, in units of their typical spacing."""
    consistency: float = math.nan
    """|encode(decode(z)) - z|: large where the decoder leaves the data."""
    model_version: int = 0
    """Version of the latent model that decoded it."""
    violation: Violation | None = None
    """What it breaks of the safety envelope; None where it may be measured."""
    is_projected: bool = False
    """True when z and the trajectory are not those of the optimizer, but were brought into the safety envelope."""
    fallback: str = ""
    """Why another model than the chosen surrogate stood behind the proposal, as a sentence; empty where none did."""

    def __post_init__(self) -> None:
        if self.z.ndim != 1 or not np.isfinite(self.z).all():
            raise ValueError(f"a candidate's latent vector must be finite with shape (d,), not {self.z!r}")
        if self.trajectory.ndim not in (1, 2) or not np.isfinite(self.trajectory).all():
            raise ValueError(f"a candidate's trajectory must be finite with shape (T,) or (T, channels), not shape {self.trajectory.shape}")


BARE_METRIC = "objective"
"""Name of a number that an evaluator returns without one: a campaign takes it for its objective, whatever that is called."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an evaluator returns for one trajectory."""

    metrics: Mapping[str, float]
    """Named numbers; may hold non-finite ones, which the campaign quarantines."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of metrics, by the metric's name, in its units."""
    arrays: Mapping[str, FloatArray] = field(default_factory=dict)
    """Named arrays of any shape, for example a polarization field (n, n, 2)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An experiment that gave no measurement: a value, not an exception."""

    reason: str
    """One sentence: what happened and where."""
    is_unknown: bool = False
    """True when nobody knows whether the experiment ran (its worker vanished)."""
    is_refused: bool = False
    """True when the worker did not fire because the trajectory does not lie in the safety envelope that it was armed for."""


@dataclass(frozen=True, slots=True)
class Job:
    """One trial's trajectory on its way to a worker."""

    trial: int
    trajectory: FloatArray
    envelope: str = ""
    """Hash of the safety envelope that the trial was armed for; empty for none."""
    key: str = ""
    """Names this experiment among all of all campaigns: the same when the same trial is sent again."""
    fence: str = ""
    """The object whose presence says that another driver has taken the campaign over, so that this must not be fired; empty for none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back from a worker for one job."""

    trial: int
    result: Measurement | Failure
    seconds: float
    """Time the measurement took on the worker, in seconds."""
    worker: str
    """Name of the worker, for example ``local`` or ``ray-1``."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate with its life."""

    number: int
    state: TrialState
    z: FloatArray
    acquisition: str
    acquisition_value: float
    distance: float
    consistency: float
    model_version: int
    armed_at: float
    """POSIX time in seconds."""
    predicted_objective: float = math.nan
    """What the surrogate expected at z before; NaN where none was asked, and for trials of stores of earlier releases."""
    predicted_error: float = math.nan
    """Standard deviation of that belief, without the noise of a measurement."""
    objective: float = math.nan
    objective_error: float = math.nan
    """Standard error of the objective; NaN where the evaluator gives none."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    """Why the trial failed, was refused or is quarantined; empty otherwise."""
    finished_at: float = math.nan
    seconds: float = math.nan
    """Time the measurement took on the worker."""
    worker: str = ""
    envelope: str = ""
    """Hash of the safety envelope that it was armed for; empty for none."""
    is_projected: bool = False
    """True when it was brought into the safety envelope before it was recorded."""
    fallback: str = ""
    """Why another model than the chosen surrogate stood behind the proposal, as a sentence; empty where none did."""
    is_edited: bool = False
    """True when an operator changed what is measured."""
    is_outlier: bool = False
    """True when a reading lay far from all others, and was therefore taken again."""
    readings: tuple[float, ...] = ()
    """All readings of the objective in order, where there is more than one; the last of them counts."""
    n_attempts: int = 1
    """How often it was sent to a worker; above 1 for pure trials that failed and were repeated."""
    refers_to: int | None = None
    """The trial that it repeats; None for none."""
    repeated_as: int | None = None
    """The trial that repeats it; None for none."""
    repeats_control: bool = False
    """True when the trial that it repeats is a control, and it therefore is one itself."""
    batch: int | None = None
    """Number of the batch that is approved together; None for none."""
    who: str = ""
    """The operator who last decided about it; empty for none."""

    @property
    def is_control(self) -> bool:
        """Whether it repeats a fixed trajectory to show drift: the optimizer never hears of it, and it is no incumbent."""
        return self.acquisition == CONTROL or self.repeats_control

    @property
    def is_asked(self) -> bool:
        """Whether the optimizer was asked for it."""
        return self.acquisition not in _NOT_ASKED


CONTROL, OPERATOR, REPEAT = "control", "operator", "repeat"
"""Who proposed a trial, where it was not the optimizer: the campaign, to see drift; an operator; an operator, after an unknown outcome."""
_NOT_ASKED = frozenset({CONTROL, OPERATOR, REPEAT})


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The best completed trial so far."""

    trial: int
    z: FloatArray
    objective: float


@dataclass(frozen=True, slots=True)
class TrajectorySet:
    """Training trajectories with what their numbers mean."""

    values: FloatArray
    """Shape (n, T) or (n, T, channels)."""
    times: FloatArray
    """Time of each step, shape (T,)."""
    unit: str
    time_unit: str
    channels: tuple[str, ...]
    """One name per channel."""

    def __post_init__(self) -> None:
        if self.values.ndim not in (2, 3) or min(self.values.shape) < 1 or len(self.values) < 2:
            raise ConfigError(
                f"training trajectories have shape {self.values.shape}; needed are (n, T) or (n, T, channels), with at least 2 trajectories"
            )
        bad = np.flatnonzero(~np.isfinite(self.values).reshape(len(self.values), -1).all(axis=1))
        if len(bad):
            raise ConfigError(
                f"{len(bad)} training trajectories are not finite, the first is row {bad[0]}; leave them out or fill the gaps"
            )
        if self.times.shape != (self.values.shape[1],):
            raise ConfigError(f"times of shape {self.times.shape} do not fit trajectories of {self.values.shape[1]} steps")
        if not (np.diff(self.times) > 0).all():
            raise ConfigError("the times of the trajectories must rise from step to step")
        n_channels = 1 if self.values.ndim == 2 else self.values.shape[2]
        if len(self.channels) != n_channels:
            raise ConfigError(f"{len(self.channels)} channel names for {n_channels} channels; give `trajectories.channels` one name each")

    @property
    def signal(self) -> Signal:
        """What the numbers mean, without the numbers."""
        return Signal(self.times, self.unit, self.time_unit, self.channels)

    def digest(self) -> str:
        """Return the SHA-256 of the values."""
        return hashlib.sha256(np.ascontiguousarray(self.values).tobytes()).hexdigest()


_LONGEST_NAME = 100
TRIAL_ARRAYS = frozenset(
    {"state", "model_version", "acquisition", "worker", "objective", "objective_error", "acquisition_value", "distance", "consistency"}
    | {"armed_at", "finished_at", "seconds", "z", "trajectory", "time", "predicted_objective", "predicted_error"}
)
"""Names of the arrays that every store keeps of its trials."""


def as_number(value: Any, source: str) -> float:
    """Return what an evaluator gave as a number; ``source`` says in errors where it came from. Raises TypeError for anything else."""
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{source} returned {value!r}; a number or a mapping of names to numbers is needed")
    if np.ndim(value) != 0 and np.size(value) != 1:
        raise TypeError(f"{source} returned an array of shape {np.shape(value)}; a number or a mapping of names to numbers is needed")
    if np.iscomplexobj(value):
        raise TypeError(f"{source} returned the complex number {value}; give its real and imaginary part as metrics of their own")
    try:
        return float(np.asarray(value).reshape(()))
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{source} returned a {type(value).__name__}; a number or a mapping of names to numbers is needed") from error


def as_array(value: Any, source: str) -> FloatArray:
    """Return what an evaluator gave as an array of numbers; raises TypeError for anything else."""
    try:
        found = np.asarray(value)
        plain = None if np.iscomplexobj(found) else found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{source} returned something that is not an array of numbers") from error
    if plain is None:
        raise TypeError(f"{source} returned complex numbers; give real and imaginary part as arrays of their own")
    return plain


def require_storable(name: str) -> None:
    """Raise ValueError for a name of a metric or an array that cannot name an array in the store."""
    if not name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME or "/" in name or name[0] in "._" or name == "zarr.json":
        raise ValueError(
            f"the name {name!r} cannot stand in the store: names have 1 to {_LONGEST_NAME} bytes, printable, without '/', "
            "and start with neither '.' nor '_'"
        )


def require_free_name(name: str) -> None:
    """Raise ValueError for a name of an evaluator's array that cannot name an array in the store, or names one of the store's own."""
    require_storable(name)
    if name in TRIAL_ARRAYS or name.startswith("metric_"):
        raise ValueError(f"an array named {name!r} would replace the store's own; give it another name")
