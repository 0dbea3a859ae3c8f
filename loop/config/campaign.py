"""A whole campaign as one mapping."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from ..registry import EVALUATORS
from .base import Section, choice_from
from .measuring import BudgetConfig, EvaluatorConfig, ExecutorConfig, ObjectiveConfig, OptimizerConfig
from .safety import SafetyConfig
from .trajectories import LatentConfig, TrajectoriesConfig


class CampaignConfig(Section):
    """A campaign of latentloop."""

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**32, description="Every random stream is derived from it.")
    trajectories: TrajectoriesConfig
    latent: LatentConfig = LatentConfig()
    evaluator: Annotated[EvaluatorConfig, choice_from(EVALUATORS)]
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    budget: BudgetConfig = BudgetConfig()
    safety: SafetyConfig = SafetyConfig()
    executor: ExecutorConfig = ExecutorConfig()
    durability: Literal["process", "power"] | None = Field(
        None,
        description="What the store survives: a killed process, or a loss of power too (every commit waits for the disk). "
        "Left out, it is power for physical evaluators and process for pure ones.",
    )
    prior: str | None = Field(
        None, min_length=1, description="Earlier measurements to start from: another campaign's folder, or a .csv file (see `--prior`)."
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_box(cls, data: Any) -> Any:
        """A box of plain parameters needs no latent model: the identity stands in where none is named."""
        source = data.get("trajectories") if isinstance(data, Mapping) else None
        if isinstance(source, Mapping) and source.get("box") is not None and "latent" not in data:
            return {**data, "latent": {"model": "identity"}}
        return data

    @model_validator(mode="before")
    @classmethod
    def _plain_pool(cls, data: Any) -> Any:
        """A pool of trajectories is looked at by a deep kernel where no surrogate is named."""
        latent = data.get("latent") if isinstance(data, Mapping) else None
        model = latent.get("model") if isinstance(latent, Mapping) else None
        chosen = data.get("optimizer", {}) if isinstance(data, Mapping) else {}
        if (model.get("name") if isinstance(model, Mapping) else model) == "pool" and isinstance(chosen, Mapping):
            return {**data, "optimizer": {"surrogate": "dkl", **chosen}}
        return data

    @model_validator(mode="after")
    def _pool_fits(self) -> "CampaignConfig":
        if self.latent.is_pool and self.safety.on_violation == "project":
            raise ValueError("latent.model pool measures its trajectories as they are; set safety.on_violation to refuse")
        if self.latent.is_pool and self.trajectories.box is not None:
            raise ValueError("latent.model pool needs trajectories, and trajectories.box has none; leave `latent` out")
        return self

    @model_validator(mode="after")
    def _identity_for_boxes_only(self) -> "CampaignConfig":
        if (self.trajectories.box is not None) != (self.latent.model.name == "identity"):
            raise ValueError("latent.model identity belongs to trajectories.box, and to nothing else; leave `latent` out there")
        return self

    def to_yaml(self) -> str:
        """Return the whole configuration, defaults included, as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
