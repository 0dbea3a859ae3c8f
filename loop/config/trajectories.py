"""Which trajectories make sense, and the latent model over them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..registry import FAMILIES, LATENT_MODELS
from .base import Choice, Section, choice_from


class TrajectoriesConfig(Section):
    """The trajectories that make sense: drawn from a family, or read from a file; or a box of plain parameters instead of them."""

    family: Annotated[Choice | None, choice_from(FAMILIES)] = Field(None, description="A family to draw from; or give `file`, or `box`.")
    n: int = Field(7500, ge=2, description="How many trajectories a family draws.")
    file: str | None = Field(None, description="A .npy (n, T[, channels]), .csv or .zarr file of trajectories; or give `family`.")
    box: dict[str, tuple[float, float]] | None = Field(
        None, description="Named parameters with their [low, high]: a campaign over those numbers, without trajectories or a latent model."
    )
    dt: float | None = Field(None, gt=0, description="Time between steps of a file that carries no times (default 1).")
    time_unit: str = Field("", description="Unit of time, for axes and records.")
    unit: str = Field("", description="Unit of the trajectory's values; a Zarr file's own unit wins.")
    channels: tuple[str, ...] = Field((), description="Names of the channels, in order; a file's own names win.")

    @model_validator(mode="after")
    def _one_source(self) -> "TrajectoriesConfig":
        if sum(source is not None for source in (self.family, self.file, self.box)) != 1:
            raise ValueError("give exactly one of `family`, `file` and `box`")
        if self.box is not None and (not self.box or any(low >= high for low, high in self.box.values())):
            raise ValueError("box must name at least one parameter, each with [low, high] and low < high")
        return self


class RetrainConfig(Section):
    """When the latent model goes on learning, with more weight on trajectories that turned out to be good."""

    every: int = Field(ge=1, description="Retrain after every so many completed trials.")
    epochs: float = Field(1.0, gt=0, le=100, description="Passes over all trajectories each time; the publication takes 0.1 to 1.")


class LatentConfig(Section):
    """The latent model and the box that is searched in its space."""

    model: Annotated[Choice, choice_from(LATENT_MODELS)] = Field(default_factory=lambda: Choice(name="vae"), validate_default=True)
    quantile: float = Field(0.0, ge=0, lt=0.5, description="The box spans the quantiles [q, 1 - q] of the encoded trajectories, per axis.")
    margin: float = Field(0.0, ge=0, le=10, description="Widens the box on every side by this share of its width.")
    box: tuple[tuple[float, float], ...] | None = Field(
        None, description="The box itself, a [low, high] per latent dimension; overrides the two above."
    )
    region: Literal["box", "ball"] = Field(
        "box", description="`ball` searches only the ellipsoid that holds `ball_share` of a Gaussian fitted to the codes, not its corners."
    )
    ball_share: float = Field(0.95, gt=0, lt=1, description="Share of that Gaussian in the ball: a quantile of chi-square.")
    retrain: RetrainConfig | None = Field(None, description="Retrain the latent model during the campaign (`vae` only); off when absent.")

    @model_validator(mode="after")
    def _box_in_order(self) -> "LatentConfig":
        if self.box is not None and (not self.box or any(low >= high for low, high in self.box)):
            raise ValueError("box must hold one [low, high] with low < high per latent dimension")
        return self

    @property
    def is_pool(self) -> bool:
        """Whether the trajectories themselves are the candidates."""
        return self.model.name == "pool"

    @model_validator(mode="after")
    def _region_in_order(self) -> "LatentConfig":
        narrowed = [name for name, plain in (("quantile", 0.0), ("margin", 0.0), ("box", None)) if getattr(self, name) != plain]
        if self.region == "ball" and {"quantile", "margin"} & set(narrowed):
            raise ValueError(f"{narrowed[0]} widens or narrows a box, and region is ball; set ball_share instead")
        if self.is_pool and (narrowed or self.region == "ball"):
            raise ValueError(f"model pool searches all of its trajectories; leave {(narrowed or ['region'])[0]} out")
        return self

    @model_validator(mode="after")
    def _only_a_vae_retrains(self) -> "LatentConfig":
        if self.retrain is not None and self.model.name != "vae":
            raise ValueError(f"retrain goes on training a vae, and model is {self.model.name!r}; leave retrain out")
        return self
