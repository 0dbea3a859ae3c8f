"""What measures, what is optimized, how the next point is chosen, where measurements run, and when a campaign is done."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, model_validator

from ..registry import ACQUISITIONS, EXECUTORS, SURROGATES
from .base import Choice, Section, choice_from, is_record


class EvaluatorConfig(Choice):
    """What measures a trajectory."""

    timeout: float | None = Field(
        None, gt=0, description="Seconds after which a measurement is given up: its process is killed and the trial recorded as failed."
    )
    retries: int = Field(
        1,
        ge=0,
        le=100,
        description="How often a trial that failed is measured again, for evaluators that are pure; physical ones never are.",
    )


class SaturationConfig(Section):
    """The rails of an array that an evaluator returns."""

    low: float | None = Field(None, description="Lower rail; null for the lowest sample of each array itself.")
    high: float | None = Field(None, description="Upper rail; null for the highest sample of each array itself.")
    share: float = Field(0.05, gt=0, lt=1, description="Share of the samples at or beyond one rail above which a reading is quarantined.")


class ControlConfig(Section):
    """A fixed trajectory that is measured again and again, to see drift."""

    every: int = Field(ge=1, description="Trials between two controls.")
    z: tuple[float, ...] | None = Field(None, description="The latent point to repeat; null for the first incumbent.")


class ObjectiveConfig(Section):
    """The metric to optimize, and what is believable."""

    metric: str = Field("objective", min_length=1, description="Name of the metric; a bare number from an evaluator is called `objective`.")
    goal: Literal["maximize", "minimize"] = "maximize"
    plausible: tuple[float, float] = Field(
        (-1e100, 1e100), description="Readings outside are quarantined: kept, marked, and not learned from."
    )
    stuck_after: int | None = Field(
        5, ge=2, description="Quarantine from so many identical readings in a row on, for physical evaluators, whose readings have noise."
    )
    saturation: dict[str, SaturationConfig] = Field(
        default_factory=dict, description="Arrays, by name, whose readings are quarantined when too many samples stand at a rail."
    )
    outlier: float | None = Field(
        10.0,
        gt=0,
        description="A reading so many robust standard deviations from the median of all is marked, and measured again if allowed.",
    )
    remeasure: bool | None = Field(
        None, description="Whether outliers are measured again; null: by pure evaluators. The second reading counts where it agrees."
    )
    control: ControlConfig | None = Field(None, description="Repeat a fixed trajectory every few trials, to see drift; never learned from.")

    @model_validator(mode="after")
    def _plausible_in_order(self) -> "ObjectiveConfig":
        if self.plausible[0] >= self.plausible[1]:
            raise ValueError(f"plausible must be [low, high] with low < high, not {list(self.plausible)}")
        return self


class OptimizerConfig(Section):
    """How the next point is chosen."""

    surrogate: Annotated[Choice, choice_from(SURROGATES)] = Field(default_factory=lambda: Choice(name="auto"), validate_default=True)
    acquisition: Annotated[Choice, choice_from(ACQUISITIONS)] = Field(
        default_factory=lambda: Choice(name="portfolio"), validate_default=True
    )
    n_initial: int | None = Field(
        None, ge=1, description="Points of the quasi-random initial design; null for 2 (d + 1), 20 for a pool of trajectories."
    )
    noise: float | None = Field(None, ge=0, description="Variance of the objective's noise; inferred when absent.")


class BudgetConfig(Section):
    """When the campaign is done: whichever comes first."""

    trials: int = Field(120, ge=1, description="Trials in all, initial and refused ones included.")
    wall_seconds: float | None = Field(None, gt=0, description="Time in all sessions together after which nothing new is measured.")
    instrument_seconds: float | None = Field(None, gt=0, description="Time spent measuring after which nothing new is measured.")
    target: float | None = Field(None, description="The campaign is done once the incumbent's objective is as good as this.")
    plateau: int | None = Field(
        None,
        ge=1,
        description="Done after so many trials of a session without a better incumbent; completed ones after the initial design.",
    )
    failures_in_a_row: int | None = Field(
        20, ge=1, description="Stop when so many trials in a row failed, were quarantined or are unknown; null never stops for that."
    )


class ExecutorConfig(Section):
    """Where measurements run."""

    name: str = "local"
    workers: int = Field(
        2, ge=1, description="Measurements at the same time (`local` measures one at a time, unless its evaluator says it is concurrent)."
    )
    threads_per_worker: int = Field(1, ge=1, description="Threads that a worker's numerical libraries may take.")
    batch: int = Field(1, ge=1, description="Trials that are asked for and sent to a worker together.")
    grace_seconds: float = Field(
        60.0,
        ge=0,
        description="After Ctrl-C or `latentloop stop`, time for measurements under way; then the instrument is brought to rest.",
    )
    address: str | None = Field(None, description="Address of a running Ray cluster; a local one is started when absent.")
    lease_seconds: float = Field(
        30.0, gt=0, description="Time without a sign of life after which a driver on another host may take the campaign over."
    )

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> "ExecutorConfig":
        if not is_record(info):
            EXECUTORS.check(self.name)
        return self
