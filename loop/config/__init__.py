"""The configuration of a campaign: YAML, checked by pydantic, unknown keys refused.

``latentloop schema`` prints the JSON Schema of :class:`CampaignConfig`. A thing that is chosen by name (a family, a latent model, a
surrogate, an acquisition function, an evaluator) is written either as the bare name or as ``{name: ..., parameters: {...}}``.
"""

from .base import Choice, Section
from .campaign import CampaignConfig
from .loading import apply_override, config_from_mapping, load_config, preset_names, preset_text
from .measuring import BudgetConfig, ControlConfig, EvaluatorConfig, ExecutorConfig, ObjectiveConfig, OptimizerConfig, SaturationConfig
from .safety import BandConfig, BoundsConfig, SafetyConfig, UnitsConfig
from .trajectories import LatentConfig, TrajectoriesConfig

__all__ = [
    "BandConfig",
    "BoundsConfig",
    "BudgetConfig",
    "CampaignConfig",
    "Choice",
    "ControlConfig",
    "EvaluatorConfig",
    "ExecutorConfig",
    "LatentConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "SafetyConfig",
    "SaturationConfig",
    "Section",
    "TrajectoriesConfig",
    "UnitsConfig",
    "apply_override",
    "config_from_mapping",
    "load_config",
    "preset_names",
    "preset_text",
]
