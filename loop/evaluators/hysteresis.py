"""The hysteresis loop of a FerroSIM model: a sine field drives the lattice, the last period is the loop.

    E(t) = amplitude * sin(2 pi frequency t) along one axis,    P(t) = mean polarization along that axis

Earlier periods let the lattice forget its initial state. A model is varied by naming its numbers, see `PARAMETERS`; fields stay what they
are in absolute units when the material changes (the coercive field, their unit, is a function of a1 and a2), so that two materials under
one drive can be compared. What is read off a loop has a name too, see `OBSERVABLES`.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ...simulators.ferrosim import FerroSim, FerroSimParameters, curl, normalized_curl
from ...simulators.ferrosim.disorder import random_field
from ...simulators.ferrosim.energy import landau_at_temperature
from ...simulators.ferrosim.hysteresis import coercive_field, loop_area, remnant_polarization
from ...simulators.ferrosim.observables import domain_wall_length
from ...simulators.ferrosim.parameters import PUBLISHED_SEED
from ..errors import ConfigError
from ..records import FloatArray
from ..seeding import generator

Axis = Literal["x", "y"]

PARAMETERS: Mapping[str, str] = {
    "coupling": "coupling K between neighbours",
    "depolarization": "depolarization strength",
    "kinetic_coefficient": "kinetic coefficient gamma",
    "temperature": "temperature in units of the Curie temperature; 0 is the material as given, a1(T) = a1 (1 - T)",
    "a1": "Landau coefficient alpha1",
    "a2": "Landau coefficient alpha2",
    "a3": "Landau coefficient alpha3",
    "amplitude": "amplitude of the field, in coercive fields Ec of the material as given",
    "frequency": "periods per unit of time",
}
"""Numbers of the model and of the drive that can be varied."""

_LEAST_ALPHA1 = 1e-9
"""At the Curie point the coercive field vanishes, and with it the unit of all fields; this share of alpha1 stays instead."""
_MAX_STEPS = 10_000_000


@dataclass(frozen=True, slots=True)
class SineDrive:
    """The field that draws the loop."""

    amplitude: float = 5.0
    """Largest field, in units of Ec."""
    frequency: float = 0.1
    """Periods per unit of time; a site relaxes within about 0.3 units."""
    periods: int = 2
    """Whole periods; the last one is the loop."""
    steps: int = 2500
    """Time steps in each period."""
    axis: Axis = "x"
    """Direction of the field, and of the polarization that is read."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.amplitude) or self.amplitude < 0.0:
            raise ConfigError(f"amplitude is {self.amplitude}; it must be finite and not negative")
        if not math.isfinite(self.frequency) or self.frequency <= 0.0:
            raise ConfigError(f"frequency is {self.frequency}; it must be finite and larger than 0")
        if self.periods < 1 or self.steps < 8 or self.periods * self.steps > _MAX_STEPS:
            raise ConfigError(
                f"{self.periods} periods of {self.steps} steps cannot be run; give at least 1 period of at least 8 steps, and at most "
                f"{_MAX_STEPS:,} steps in all"
            )
        if self.axis not in ("x", "y"):
            raise ConfigError(f"axis is {self.axis!r}; known are x, y")

    @property
    def times(self) -> FloatArray:
        """Time points (T,), T = periods * steps + 1."""
        return np.arange(self.periods * self.steps + 1) / (self.frequency * self.steps)

    @property
    def values(self) -> FloatArray:
        """Field at every time point (T,), in units of Ec; the periods are alike to the last bit."""
        one = np.sin(2.0 * np.pi * np.arange(self.steps) / self.steps)
        return np.append(np.tile(self.amplitude * one, self.periods), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class HysteresisLoop:
    """What one drive of one model gave."""

    times: FloatArray
    """Time points (T,)."""
    field: FloatArray
    """Field along the axis (T,), in units of Ec of the material as given."""
    polarization: FloatArray
    """Mean over sites of the polarization along the axis (T,)."""
    state: FloatArray
    """Polarization of every site at the end, where the field is zero (n, n, 2)."""
    steps: int
    """Time points of one period."""
    is_periodic: bool = False
    """Whether opposite edges of the lattice are neighbours."""

    @property
    def cycle(self) -> tuple[FloatArray, FloatArray]:
        """Field and polarization of the last period, each (steps,); the first point follows the last."""
        return self.field[-self.steps :], self.polarization[-self.steps :]

    @property
    def closing_error(self) -> float:
        """How far the last period's end lies from its begin, over the loop's height; small once the lattice has settled."""
        height = float(np.ptp(self.cycle[1]))
        return float(abs(self.polarization[-1] - self.polarization[-1 - self.steps]) / height) if height > 0.0 else 0.0

    def observables(self) -> dict[str, float]:
        """All numbers of the loop by name; NaN where one is not defined."""
        return {name: observable.read(self) for name, observable in OBSERVABLES.items()}


@dataclass(frozen=True, slots=True)
class Observable:
    """A number that is read off a loop."""

    read: Callable[[HysteresisLoop], float]
    what: str
    """A few words."""
    unit: str
    """Empty for none."""
    undefined: str = ""
    """When it is NaN."""


OBSERVABLES: Mapping[str, Observable] = {
    "loop_area": Observable(lambda loop: float(loop_area(*loop.cycle)), "loop area, the energy lost per site and cycle", "Ec a.u."),
    "coercive_field": Observable(
        lambda loop: float(coercive_field(*loop.cycle)),
        "field at which the polarization changes sign",
        "Ec",
        "the polarization never changes sign",
    ),
    "remnant_polarization": Observable(
        lambda loop: float(remnant_polarization(*loop.cycle)), "|P| at zero field", "a.u.", "the field never changes sign"
    ),
    "saturation_polarization": Observable(lambda loop: float(np.abs(loop.cycle[1]).max()), "largest |P| in the loop", "a.u."),
    "curl": Observable(lambda loop: float(curl(loop.state)), "sum over sites of |curl| after the last period", "a.u."),
    "normalized_curl": Observable(lambda loop: float(normalized_curl(loop.state)), "curl over the sum of |p|", ""),
    "domain_wall_length": Observable(
        lambda loop: float(domain_wall_length(loop.state, is_periodic=loop.is_periodic)), "length of the domain walls", "sites"
    ),
}
"""What can be read off a loop."""


@dataclass(frozen=True, slots=True, eq=False)
class LoopExperiment:
    """A material and a drive: `run` gives the loop, `varied` another experiment.

    Raises:
        ConfigError: a material without a coercive field, or one that the field cannot move.
    """

    material: FerroSimParameters = field(default_factory=lambda: FerroSimParameters(coupling=10.0))
    """The model; its `times` and initial state in time are the drive's concern and not used, its initial polarization is."""
    drive: SineDrive = field(default_factory=SineDrive)
    field_unit: float = 0.0
    """Ec of the material as given, in absolute units; 0 takes the material's own."""

    def __post_init__(self) -> None:
        if self.material.coercive_field == 0.0:
            raise ConfigError("landau a1 is 0: the coercive field, the unit of all fields, vanishes; give another a1")
        if self.material.mode == "uniaxial" and self.drive.axis == "x":
            raise ConfigError("mode 'uniaxial' moves the y component only, and the field is along x; choose axis y")
        if self.field_unit == 0.0:
            object.__setattr__(self, "field_unit", abs(self.material.coercive_field))

    def varied(self, values: Mapping[str, float]) -> "LoopExperiment":
        """Return the experiment with some numbers changed, everything else and the absolute fields unchanged.

        Args:
            values: by name, see `PARAMETERS`.

        Raises:
            ConfigError: an unknown name, or a drive that cannot be.
            ParameterError: a number that the model refuses.
        """
        check_names(values)
        old = self.material
        drive = replace(
            self.drive,
            amplitude=float(values.get("amplitude", self.drive.amplitude)),
            frequency=float(values.get("frequency", self.drive.frequency)),
        )
        a1, a2, a3 = (float(values.get(name, given)) for name, given in zip(("a1", "a2", "a3"), old.landau, strict=True))
        if "temperature" in values:
            given = a1
            a1, a2, a3 = landau_at_temperature(float(values["temperature"]), alpha0=-a1, curie_temperature=1.0, alpha2=a2, alpha3=a3)
            a1 = a1 if abs(a1) > _LEAST_ALPHA1 * abs(given) else _LEAST_ALPHA1 * given
        material = replace(
            old,
            landau=(a1, a2, a3),
            coupling=values.get("coupling", old.coupling),
            depolarization=values.get("depolarization", old.depolarization),
            kinetic_coefficient=float(values.get("kinetic_coefficient", old.kinetic_coefficient)),
        )
        if material.landau != old.landau and material.coercive_field != 0.0:
            material = replace(material, random_field=np.asarray(old.random_field) * (old.coercive_field / material.coercive_field))
        return LoopExperiment(material, drive, self.field_unit)

    def run(self) -> HysteresisLoop:
        """Simulate the drive.

        Raises:
            InstabilityError: the time step is too large; more `steps` make it smaller.
        """
        return self.run_amplitudes([self.drive.amplitude])[0]

    def run_amplitudes(self, amplitudes: Sequence[float]) -> list[HysteresisLoop]:
        """Simulate drives that differ in amplitude only, side by side.

        Raises:
            InstabilityError: the time step is too large for one of them.
        """
        times, n_sites = self.drive.times, self.material.lattice_size**2
        values = np.stack([replace(self.drive, amplitude=float(amplitude)).values for amplitude in amplitudes])
        column = "xy".index(self.drive.axis)
        fields = np.zeros((*values.shape, 2))
        fields[..., column] = values * (self.field_unit / self.material.coercive_field)
        history = FerroSim(replace(self.material, times=times)).simulate(fields)
        mean = history.total_polarization[..., column] / n_sites
        is_periodic = self.material.boundary == "periodic"
        return [
            HysteresisLoop(times, values[run], mean[run], history.polarization[run], self.drive.steps, is_periodic)
            for run in range(len(values))
        ]

    def steps_for(self, largest_stable_step: float) -> int:
        """Return the steps per period that keep the time step at or below a largest stable one."""
        return math.ceil(1.0 / (self.drive.frequency * largest_stable_step)) + 1


def make_experiment(
    *,
    coupling: float = 10.0,
    depolarization: float = 0.2,
    mode: str = "tetragonal",
    landau: tuple[float, float, float] = (-1.6, 12.2, 40.0),
    lattice_size: int = 20,
    kinetic_coefficient: float = 1.0,
    amplitude: float = 5.0,
    frequency: float = 0.1,
    periods: int = 2,
    steps: int = 2500,
    axis: str | None = None,
    update: str = "synchronous",
    rule: str = "published",
    boundary: str = "open",
    defects: float = 0.0,
    orientation: str = "+y",
    seed: int = PUBLISHED_SEED,
) -> LoopExperiment:
    """Return an experiment from plain numbers and words, as a user writes them.

    Args:
        coupling, depolarization, mode, landau, lattice_size, kinetic_coefficient, update, rule, boundary: see `FerroSimParameters`.
        amplitude, frequency, periods, steps: see `SineDrive`.
        axis: direction of the field; None for x, or y where only y moves.
        defects: share of the sites that are random-field defects of the published strengths.
        orientation: of the defects: +x, -x, +y, -y, axes or random.
        seed: of drawn defects and of drawn sites.

    Raises:
        ConfigError: a drive that cannot be.
        ParameterError: something that the model refuses.
    """
    disorder = random_field(lattice_size, generator(seed, "defects"), density=defects, orientation=orientation) if defects else None  # type: ignore[arg-type]
    material = FerroSimParameters(
        lattice_size=lattice_size,
        mode=mode,  # type: ignore[arg-type]
        landau=landau,
        coupling=coupling,
        depolarization=depolarization,
        kinetic_coefficient=kinetic_coefficient,
        random_field=disorder,
        update=update,  # type: ignore[arg-type]
        update_seed=seed if update == "random_sites" else None,
        rule=rule,  # type: ignore[arg-type]
        boundary=boundary,  # type: ignore[arg-type]
    )
    along = axis or ("y" if mode == "uniaxial" else "x")
    return LoopExperiment(material, SineDrive(amplitude, frequency, periods, steps, along))  # type: ignore[arg-type]


def check_names(names: Mapping[str, object] | Sequence[str]) -> None:
    """Raise ConfigError, with the known ones, for a parameter that cannot be varied."""
    for name in names:
        if name not in PARAMETERS:
            raise ConfigError(f"unknown parameter {name!r}; known are {', '.join(PARAMETERS)}")


def observable_named(name: str) -> Observable:
    """Return an observable; raises ConfigError, with the known ones, for an unknown name."""
    if name not in OBSERVABLES:
        raise ConfigError(f"unknown observable {name!r}; known are {', '.join(OBSERVABLES)}")
    return OBSERVABLES[name]
