"""The JSON Schema of what requests may bring: that of a campaign, with only the names that the server allows."""

from typing import Any

from ..config import CampaignConfig
from .reduced import CHOICES, SECTIONS
from .settings import ServerSettings
from .wording import for_others

_EXECUTOR_KEYS = ("name", "workers", "threads_per_worker", "batch")


def reduced_schema(settings: ServerSettings) -> dict[str, Any]:
    """Return the schema of reduced configurations."""
    schema = CampaignConfig.model_json_schema()
    properties = schema["properties"]
    schema["properties"] = {key: properties[key] for key in SECTIONS if key in properties}
    schema["required"] = [key for key in schema.get("required", []) if key in SECTIONS]
    schema["additionalProperties"] = False
    definitions = schema["$defs"]
    schema["properties"]["evaluator"] = {
        "type": "object",
        "title": "Evaluator",
        "description": "What measures a trajectory, by the name that this server gives it.",
        "properties": {
            "name": {"type": "string", "enum": sorted(settings.evaluators)},
            "parameters": {"type": "object", "title": "Parameters"},
            "timeout": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "title": "Timeout"},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    executor = definitions["ExecutorConfig"]
    executor["properties"] = {key: value for key, value in executor["properties"].items() if key in _EXECUTOR_KEYS}
    trajectories = definitions["TrajectoriesConfig"]["properties"]
    trajectories["file"] = {
        "anyOf": [{"type": "string", "enum": sorted(settings.files)}, {"type": "null"}] if settings.files else [{"type": "null"}],
        "title": "File",
        "description": "A file of trajectories, by the name that this server gives it.",
    }
    for (section, key), registry in CHOICES.items():
        definition = definitions[_definition_of(schema, section)]
        given = definition["properties"][key]
        absent = [{"type": "null"}] if "default" in given and given["default"] is None else []  # the others cannot be left out
        definition["properties"][key] = {
            **{name: value for name, value in given.items() if name in ("title", "description", "default")},
            "anyOf": [
                {"type": "string", "enum": sorted(registry.built_in)},
                {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "enum": sorted(registry.built_in)},
                        "parameters": {"type": "object", "title": "Parameters"},
                    },
                    "required": ["name"],
                    "additionalProperties": False,
                },
                *absent,
            ],
        }
    return {key: _said_for_others(value) for key, value in schema.items()}


def _said_for_others(part: Any) -> Any:
    """Return a part of the schema with descriptions that name nothing to be typed at the server's terminal."""
    if isinstance(part, list):
        return [_said_for_others(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    return {
        key: for_others(value) if key == "description" and isinstance(value, str) else _said_for_others(value)
        for key, value in part.items()
    }


def _definition_of(schema: dict[str, Any], section: str) -> str:
    """Return the name of the definition that a section refers to."""
    found = schema["properties"][section]
    reference = found.get("$ref") or next(item["$ref"] for item in found.get("allOf", found.get("anyOf", [])) if "$ref" in item)
    return str(reference).rpartition("/")[2]
