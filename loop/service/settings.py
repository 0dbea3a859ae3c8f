"""What a server allows: the names that requests may use, its limits, and what it does with unfinished campaigns.

Everything that runs code, opens a file or an address is named here, in a file that only the server's administrator writes; requests can
choose among these names and nothing else::

    evaluators:
      chamber:
        evaluator: {name: command, parameters: {command: [/opt/lab/fire, "{trajectory}"], kind: physical}}
        adjustable: [timeout]
    files:
      recorded: /data/pulses.npy
    presets: [quick]
    resume: on_start
    limits: {campaigns: 20}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from ..config.base import Section, choice_from
from ..config.loading import preset_names
from ..config.measuring import EvaluatorConfig
from ..errors import ConfigError
from ..registry import EVALUATORS

Resume = Literal["never", "on_start", "always"]
SIMULATORS = ("ferrosim", "ferrosim_parameters")
"""Evaluators that open nothing and move nothing: every server has them unless its configuration names others."""


class NamedEvaluator(Section):
    """An evaluator as requests may name it."""

    evaluator: Annotated[EvaluatorConfig, choice_from(EVALUATORS)]
    adjustable: tuple[str, ...] = Field((), description="Parameters that a request may set; `*` for all of them.")


class LimitsConfig(Section):
    """How much a server takes upon itself."""

    campaigns: int = Field(100, ge=1, description="Campaigns under the root, finished ones included, beyond which none is created.")
    running: int = Field(8, ge=1, description="Campaigns driven at the same time beyond which none is started.")
    trials: int = Field(100_000, ge=1, description="Largest budget that a request may ask for.")
    workers: int = Field(16, ge=1, description="Most workers that a request may ask for.")
    body_bytes: int = Field(1_000_000, ge=1_000, description="Largest body of a request.")
    result_bytes: int = Field(64_000_000, ge=1_000, description="Largest body of an instrument's result.")
    body_seconds: float = Field(15.0, gt=0, description="Time in which a request must have arrived, head and body each.")
    requests_per_second: float = Field(50.0, gt=0, description="Of one token or address, over time.")
    burst: int = Field(200, ge=1, description="Requests of one token or address at once.")
    failed_logins: int = Field(10, ge=1, description="Wrong tokens from one address within a minute, beyond which it has to wait.")
    watchers: int = Field(5_000, ge=1, description="Open streams of all campaigns together.")
    session_hours: float = Field(12.0, gt=0, description="Time after which a browser has to log in again.")


class ServerSettings(Section):
    """The configuration of a server."""

    evaluators: dict[str, NamedEvaluator] = Field(
        default_factory=lambda: {name: NamedEvaluator(evaluator=EvaluatorConfig(name=name), adjustable=("*",)) for name in SIMULATORS},
        description="Evaluators by the names that requests use.",
    )
    files: dict[str, Path] = Field(default_factory=dict, description="Files of trajectories by the names that requests use.")
    presets: tuple[str, ...] = Field(default_factory=lambda: tuple(preset_names()), description="Presets that requests may start from.")
    hosts: tuple[str, ...] = Field((), description="Host names under which the server may be addressed; empty for any.")
    resume: Resume = Field("never", description="`on_start` resumes interrupted campaigns when the server starts, `always` also later.")
    limits: LimitsConfig = LimitsConfig()

    @field_validator("presets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(preset_names()))
        if unknown:
            raise ValueError(f"unknown preset {unknown[0]!r}; known are {', '.join(preset_names())}")
        return value


def load_settings(path: Path | None) -> ServerSettings:
    """Read a server's configuration; None gives the defaults. Relative paths in it start at its folder.

    Raises:
        ConfigError: the file cannot be read, or says something that is not known.
    """
    if path is None:
        return ServerSettings()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the server's configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path} must be a mapping of keys to values")
    try:
        settings = ServerSettings.model_validate(data)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join([f"{path}:", *lines])) from error
    files = {name: (path.parent / file).resolve() for name, file in settings.files.items()}
    for name, file in files.items():
        if not file.exists():
            raise ConfigError(f"{path}: files.{name}: there is no {file}")
    return settings.model_copy(update={"files": files})
