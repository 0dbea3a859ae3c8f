"""What every section of a configuration is made of: unknown keys refused, finite numbers only, things chosen by name."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from ..errors import UnknownNameError
from ..registry import Registry


class Section(BaseModel):
    """A part of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Choice(Section):
    """Something chosen by name, with its parameters."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict, description="Keyword parameters of the chosen thing.")

    @field_validator("parameters")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)  # the journal keeps them so
        except (TypeError, ValueError) as error:
            raise ValueError(f"only finite numbers, text, lists and mappings can stand here: {error}") from error
        return value


def is_record(info: ValidationInfo) -> bool:
    """Whether a configuration is read only to show what was: then names pass that are not known here, as of a package not installed."""
    return bool(info.context and info.context.get("is_record"))


def choice_from(registry: Registry) -> BeforeValidator:
    """Return a validator that takes a bare name too, and refuses names that the registry does not know."""

    def coerce(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
        if isinstance(name, str) and not is_record(info):
            try:
                registry.check(name)
            except UnknownNameError as error:
                raise ValueError(str(error)) from error
        return value

    return BeforeValidator(coerce, json_schema_input_type=str | Choice)
