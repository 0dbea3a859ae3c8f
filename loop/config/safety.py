"""The safety envelope and who has a say, as a configuration writes them."""

from typing import Literal

from pydantic import Field, model_validator

from .base import Section


class BandConfig(Section):
    """A band of frequencies that a trajectory must not excite."""

    low: float = Field(ge=0, description="Lower edge, in periods per unit of time.")
    high: float = Field(gt=0, description="Upper edge, in periods per unit of time.")
    rms: float = Field(ge=0, description="Largest root mean square of the part of the trajectory in the band, in its unit.")

    @model_validator(mode="after")
    def _in_order(self) -> "BandConfig":
        if self.low >= self.high:
            raise ValueError(f"a band needs low < high, not {self.low:g} and {self.high:g}")
        return self


class BoundsConfig(Section):
    """What one channel must stay in; what is left out is not bounded."""

    amplitude: tuple[float, float] | None = Field(None, description="[low, high] of the values, in their unit.")
    slew_rate: float | None = Field(None, gt=0, description="Largest |dx/dt|, in units per unit of time.")
    curvature: float | None = Field(None, gt=0, description="Largest |d2x/dt2|, in units per squared unit of time.")
    mean_power: float | None = Field(None, gt=0, description="Largest mean of x**2 over time, in squared units.")
    dose: float | None = Field(None, gt=0, description="Largest integral of |x| over time, in units times the unit of time.")
    start_tolerance: float | None = Field(None, ge=0, description="Largest |x| at the first step: begin at zero.")
    end_tolerance: float | None = Field(None, ge=0, description="Largest |x| at the last step: return to zero.")
    forbidden_bands: tuple[BandConfig, ...] = Field((), description="Frequencies, say resonances, that must not be excited.")

    @model_validator(mode="after")
    def _in_order(self) -> "BoundsConfig":
        if self.amplitude is not None and self.amplitude[0] >= self.amplitude[1]:
            raise ValueError(f"amplitude must be [low, high] with low < high, not {list(self.amplitude)}")
        return self


class UnitsConfig(Section):
    """The units that bounds are written in."""

    value: str | None = Field(None, description="Must be the trajectories' own unit; checked when given.")
    time: str | None = Field(None, description="Must be the trajectories' own unit of time; checked when given.")


class SafetyConfig(Section):
    """The envelope that every trajectory must stay in before it is fired, and who has a say."""

    units: UnitsConfig = UnitsConfig()
    bounds: BoundsConfig = Field(default_factory=BoundsConfig, description="Bounds of every channel.")
    channel_bounds: dict[str, BoundsConfig] = Field(
        default_factory=dict, description="Bounds of single channels, by name; what they set replaces the same of `bounds`."
    )
    duration: tuple[float, float] | None = Field(None, description="[low, high] of the time from the first to the last step.")
    sample_rate: tuple[float, float] | None = Field(None, description="[low, high] of the steps per unit of time.")
    on_violation: Literal["refuse", "project"] = Field(
        "refuse", description="`refuse` records the trial without measuring it; `project` brings it into the envelope and records that."
    )
    refused_in_a_row: int = Field(50, ge=1, description="Stop when so many trials in a row were refused or vetoed.")
    approval: Literal["none", "each", "batch"] = Field(
        "none",
        description="`each` holds every trial until an operator approves or vetoes it (`latentloop trials STORE --approve N`); `batch` "
        "holds the executor.batch trials that were asked for together, and fires none before all of them are decided.",
    )

    @property
    def is_bounded(self) -> bool:
        """Whether anything is bounded at all."""
        bounds = (self.bounds, *self.channel_bounds.values())
        return self.duration is not None or self.sample_rate is not None or any(each != BoundsConfig() for each in bounds)
