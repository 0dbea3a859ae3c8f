"""Everything that defines one FerroSIM model: the lattice, its energy, its disorder, its clock.

The record checks itself, so that a simulator built from it can only fail on the field it is given. Fields are in units of
the coercive field Ec = -(2/3) alpha1 sqrt(|alpha1 / (3 alpha2)|); all other quantities are dimensionless ("a.u.") as in
the publication.

Source: Valleti, Vasudevan, Ziatdinov, Kalinin, Digital Discovery 1, 689 (2022), https://doi.org/10.1039/D2DD00065B
"""

import math
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import ParameterError

FloatArray = npt.NDArray[np.float64]
Mode = Literal["tetragonal", "rhombohedral", "uniaxial", "squareelectric"]
Update = Literal["synchronous", "random_sites"]
Rule = Literal["published", "clean"]
Boundary = Literal["open", "periodic"]
Integrator = Literal["euler", "rk4"]

PUBLISHED_SEED: Final = 512
"""Seed of the legacy generator that draws the sites of the publication's random_sites rule."""


def _published_times() -> FloatArray:
    return np.linspace(0.0, 4.0, 1_200)[:950]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FerroSimParameters:
    """A FerroSIM model. Arrays are copied, made float64 and read-only; `dataclasses.replace` gives variants.

    Raises:
        ParameterError: a field out of range, of the wrong shape, not finite, or in conflict with another.
    """

    lattice_size: int = 20
    """Sites along each side, n >= 2."""
    mode: Mode = "tetragonal"
    """Symmetry of the on-site energy; `uniaxial` moves the y component only."""
    landau: tuple[float, float, float] = (-1.6, 12.2, 40.0)
    """alpha1 (any sign), alpha2 (> 0), alpha3 (0 where the mode has none)."""
    coupling: FloatArray | float = 1.0
    """K >= 0: one number, or (n, n) per site."""
    depolarization: FloatArray | float = 0.2
    """alpha_dep >= 0: one number, or (n, n) per site."""
    kinetic_coefficient: float = 1.0
    """gamma > 0."""
    random_field: FloatArray | None = None
    """Field of the disorder (n, n, 2), x and y per site, in units of Ec; None: zeros (an array after construction)."""
    initial_polarization: FloatArray | None = None
    """State at the first time (n, n, 2), or (S, n, n, 2) for a batch of S; None: zeros (an array after construction)."""
    times: FloatArray | None = None
    """Increasing time points (T,), T >= 2; None: the published linspace(0, 4, 1200)[:950] (an array after construction)."""
    neighbour_radius: float = 1.1
    """Sites within this distance are neighbours: 1.1 gives four, 1.5 eight; >= 1."""
    update: Update = "synchronous"
    """All sites at every step, or a quarter of them drawn at random (the published runs)."""
    update_seed: int | None = None
    """Seed of the legacy generator that draws the sites; needed for `random_sites`."""
    rule: Rule = "published"
    """`published`: the original program with its quirks; `clean`: the exact negative gradient of the energy."""
    boundary: Boundary = "open"
    """What lies beyond the edge: nothing, or the other side."""
    integrator: Integrator = "euler"
    """Explicit Euler (row t of the field drives the step to t), or Runge-Kutta 4 (field linear between rows)."""

    def __post_init__(self) -> None:
        self._check_choices()
        n = self.lattice_size
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
            raise ParameterError(f"lattice_size is {n!r}; a lattice needs at least 2 sites along each side")
        self._set("lattice_size", int(n))
        self._set("landau", self._checked_landau())
        self._set("coupling", _site_parameter("coupling", self.coupling, n))
        self._set("depolarization", _site_parameter("depolarization", self.depolarization, n))
        for name, low, why in (("kinetic_coefficient", 0.0, "larger than 0"), ("neighbour_radius", 1.0, "1 or larger")):
            value = float(getattr(self, name))
            if not math.isfinite(value) or value < low or (low == 0.0 and value == 0.0):
                raise ParameterError(f"{name} is {value}; it must be {why} and finite")
            self._set(name, value)
        if self.neighbour_radius >= n:
            raise ParameterError(
                f"neighbour_radius is {self.neighbour_radius} on a lattice of {n} sites; it must be smaller than the lattice"
            )
        self._set("random_field", _site_vectors("random_field", self.random_field, n))
        self._set("initial_polarization", _site_vectors("initial_polarization", self.initial_polarization, n, batched=True))
        self._set("times", self._checked_times())
        self._check_update()

    @classmethod
    def published(cls) -> "FerroSimParameters":
        """The published 20 x 20 model: tetragonal, K = 100, alpha_dep = 0.3, random_sites with seed 512, 33 +y defects.

        Source: https://doi.org/10.1039/D2DD00065B
        """
        return cls(
            lattice_size=20,
            mode="tetragonal",
            landau=(-1.6, 12.2, 40.0),
            coupling=100.0,
            depolarization=0.3,
            random_field=published_defects(),
            update="random_sites",
            update_seed=PUBLISHED_SEED,
        )

    @property
    def coercive_field(self) -> float:
        """Ec = -(2/3) alpha1 sqrt(|alpha1 / (3 alpha2)|), the unit of all fields."""
        alpha1, alpha2, _ = self.landau
        return -(2.0 / 3.0) * alpha1 * math.sqrt(abs(-alpha1 / (3.0 * alpha2)))

    @property
    def n_steps(self) -> int:
        """Number of time points T; a field needs as many rows."""
        return len(as_array(self.times))

    @property
    def on_site_coefficients(self) -> tuple[float, float, float]:
        """(c1, c3, c12) of the on-site force x (c1 + c3 x^2 + c12 y^2), the same for y with x and y swapped.

        (2 a1, 4 a2, 2 a3) for tetragonal and rhombohedral, (a1, a2, 0) for uniaxial and squareelectric.
        """
        alpha1, alpha2, alpha3 = self.landau
        if self.mode in ("tetragonal", "rhombohedral"):
            return 2.0 * alpha1, 4.0 * alpha2, 2.0 * alpha3
        return alpha1, alpha2, 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FerroSimParameters):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        return hash((self.lattice_size, self.mode, self.landau, self.update, self.update_seed, self.n_steps, self.rule))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_choices(self) -> None:
        for name, known in (
            ("mode", get_args(Mode)),
            ("update", get_args(Update)),
            ("rule", get_args(Rule)),
            ("boundary", get_args(Boundary)),
            ("integrator", get_args(Integrator)),
        ):
            if getattr(self, name) not in known:
                raise ParameterError(f"{name} is {getattr(self, name)!r}; known are {', '.join(known)}")

    def _checked_landau(self) -> tuple[float, float, float]:
        values = tuple(float(a) for a in self.landau)
        if len(values) == 2:
            values = (*values, 0.0)
        if len(values) != 3 or not all(map(math.isfinite, values)):
            raise ParameterError(f"landau is {self.landau}; expected three finite numbers (alpha1, alpha2, alpha3)")
        if values[1] <= 0.0:
            raise ParameterError(f"landau alpha2 is {values[1]}; it must be positive, or the energy has no bottom")
        return values[0], values[1], values[2]

    def _checked_times(self) -> FloatArray:
        times = _published_times() if self.times is None else np.array(self.times, dtype=np.float64)
        if times.ndim != 1 or len(times) < 2:
            raise ParameterError(f"times has shape {times.shape}; expected (T,) with at least two time points")
        if not np.isfinite(times).all() or not (np.diff(times) > 0.0).all():
            raise ParameterError("times must be finite and strictly increasing")
        return _frozen(times)

    def _check_update(self) -> None:
        if self.update == "random_sites":
            if self.update_seed is None:
                raise ParameterError(
                    "update is 'random_sites' without update_seed; give the seed that draws the sites, e.g. update_seed=512"
                )
            if not 0 <= self.update_seed < 2**32:
                raise ParameterError(f"update_seed is {self.update_seed}; the legacy generator takes 0 to 2**32 - 1")
            if self.rule == "clean" or self.integrator == "rk4":
                raise ParameterError("update 'random_sites' belongs to rule 'published' with integrator 'euler'; use update 'synchronous'")
        if self.integrator == "rk4" and self.rule == "published" and self.kinetic_coefficient != 1.0:
            raise ParameterError(
                "rule 'published' applies kinetic_coefficient once more in its first Euler step; with 'rk4' use rule 'clean'"
            )


def published_defects() -> FloatArray:
    """The random field of the published model: 33 defects along +y on a 20 x 20 lattice.

    Returns:
        Array (20, 20, 2) in units of Ec.

    Source: https://doi.org/10.1039/D2DD00065B
    """
    with resources.files(__package__).joinpath("data/published_defects.npz").open("rb") as file, np.load(file) as archive:
        sites, strengths = archive["sites"], archive["field_in_Ec"]
    field = np.zeros((20, 20, 2))
    field[sites[:, 0], sites[:, 1]] = strengths
    return field


def as_array(value: FloatArray | float | None) -> FloatArray:
    """A field of checked parameters as an array (numbers become arrays without axes)."""
    return np.asarray(value, dtype=np.float64)


def _frozen(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array


def _site_parameter(name: str, value: FloatArray | float, n: int) -> FloatArray | float:
    array = np.array(value, dtype=np.float64)
    if array.shape == (n * n,):
        array = array.reshape(n, n)
    if array.shape not in ((), (n, n)):
        raise ParameterError(f"{name} has shape {array.shape}; expected one number or one per site ({n}, {n})")
    if not np.isfinite(array).all() or (array < 0.0).any():
        raise ParameterError(f"{name} must be finite and not negative")
    return float(array) if array.ndim == 0 else _frozen(array)


def _site_vectors(name: str, value: FloatArray | None, n: int, *, batched: bool = False) -> FloatArray:
    array = np.zeros((n, n, 2)) if value is None else np.array(value, dtype=np.float64)
    shape = array.shape[1:] if batched and array.ndim == 4 and len(array) else array.shape
    if shape != (n, n, 2):
        raise ParameterError(f"{name} has shape {array.shape}; expected ({n}, {n}, 2) for lattice_size {n}, or None for zeros")
    if not np.isfinite(array).all():
        raise ParameterError(f"{name} holds values that are not finite")
    return _frozen(array)
