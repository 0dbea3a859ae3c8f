"""Reads a configuration: a YAML file or a preset, with single keys changed; and says what is wrong with it."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import ConfigError, UnknownNameError
from .base import Section
from .campaign import CampaignConfig
from .measuring import OptimizerConfig
from .trajectories import LatentConfig

_PRESETS = "latentloop.loop.presets"


def preset_names() -> list[str]:
    """Return the names of the built-in campaigns."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files(_PRESETS).iterdir() if entry.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """Return the YAML text of the built-in campaign ``name``; raises UnknownNameError."""
    if name not in preset_names():
        raise UnknownNameError(f"unknown preset {name!r}; known are {', '.join(preset_names())}")
    return files(_PRESETS).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def load_config(source: str, overrides: Iterable[str] = ()) -> CampaignConfig:
    """Read a campaign from a YAML file or a preset's name, and change single keys.

    Args:
        source: path of a YAML file, or the name of a preset. A file's relative paths start at the file's folder,
            those in overrides at the current one.
        overrides: ``key=value`` with a dotted key (``optimizer.acquisition=ucb``); the value is read as YAML. A key without dots may also
            be the last part of one that occurs once only (``acquisition=ucb``).

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, or a value is of a wrong type.
    """
    path = Path(source)
    if path.is_file():
        try:
            text, place = path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read configuration {source}: {error}") from error
    elif source in preset_names():
        text, place = preset_text(source), f"preset {source}"
    elif path.is_dir():
        raise ConfigError(f"{source} is a folder, not a configuration file; `latentloop resume {source}` continues a campaign")
    else:
        raise ConfigError(f"{source!r} is neither a configuration file nor a preset; presets are {', '.join(preset_names())}")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{place} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{place} must be a mapping of keys to values; `latentloop init quick` prints an example")
    if path.is_file():
        _resolve_file(data, path.parent)
    for override in overrides:
        apply_override(data, override)
    _resolve_file(data, Path.cwd())  # a resumed campaign may run in another folder
    return config_from_mapping(data, place)


def _resolve_file(data: dict[str, Any], folder: Path) -> None:
    """Make the path of the trajectories' file in a raw mapping absolute."""
    section = data.get("trajectories")
    if isinstance(section, dict) and isinstance(section.get("file"), str):
        data["trajectories"] = {**section, "file": str((folder / section["file"]).resolve())}


def config_from_mapping(data: Mapping[str, Any], place: str = "configuration", *, is_record: bool = False) -> CampaignConfig:
    """Check a mapping and return it as a configuration.

    Args:
        data: the mapping.
        place: names it in errors.
        is_record: it is read to show what was, not to run it: names of things that are not installed here pass.

    Raises:
        ConfigError: it is no configuration.
    """
    try:
        return CampaignConfig.model_validate(data, context={"is_record": is_record})
    except ValidationError as error:
        raise ConfigError("\n".join([f"{place}:", *(f"  {_complaint(item)}" for item in error.errors())])) from error


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one ``key=value`` in a raw mapping; see `load_config`. Raises ConfigError."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r} must read key=value, for example optimizer.acquisition=ucb")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML") from error
    parts = tuple(key.strip().split("."))
    if len(parts) == 1 and parts[0] not in CampaignConfig.model_fields:
        places = _leaves().get(parts[0], [])
        if len(places) > 1:
            raise ConfigError(
                f"--set {override!r}: {parts[0]!r} occurs more than once; say {' or '.join('.'.join(place) for place in places)}"
            )
        if not places:
            raise ConfigError(f"--set {override!r}: unknown key {parts[0]!r}; {_known_keys(())}")
        parts = places[0]
    target = data
    for part in parts[:-1]:
        inner = target.get(part)
        if isinstance(inner, str):  # a choice by its bare name gains parameters
            inner = {"name": inner}
        if inner is None:
            inner = _default_choice(parts[: parts.index(part) + 1])
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is not a section of the configuration")
        target[part] = inner = dict(inner)
        target = inner
    target[parts[-1]] = value


def _default_choice(location: tuple[str, ...]) -> dict[str, Any]:
    """Return what an absent section starts from when one key of it is set: the default choice's name, so that parameters can follow."""
    defaults: Any = {("latent", "model"): LatentConfig().model, ("optimizer", "surrogate"): OptimizerConfig().surrogate}
    defaults["optimizer", "acquisition"] = OptimizerConfig().acquisition
    return {"name": defaults[location].name} if location in defaults else {}


def _complaint(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {_known_keys(item['loc'][:-1])}"
    if item["type"] == "missing":
        return f"key {key!r} is missing"
    message = item["msg"].removeprefix("Value error, ")
    given = "" if item["type"] == "value_error" else f" (got {item['input']!r})"
    return f"{key or 'campaign'}: {message[:1].lower()}{message[1:]}{given}"


def _known_keys(location: tuple[Any, ...]) -> str:
    fields = _fields(location)
    return f"known here are {', '.join(fields)}" if fields else "`latentloop schema` lists the known ones"


def _fields(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that the section at ``location`` has."""
    section: Any = CampaignConfig
    for part in location:
        found = section.model_fields.get(part) if isinstance(section, type) and issubclass(section, BaseModel) else None
        if found is None:
            return []
        section = next((kind for kind in (found.annotation, *getattr(found.annotation, "__args__", ())) if _is_section(kind)), None)
    return list(section.model_fields) if _is_section(section) else []


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _leaves() -> dict[str, list[tuple[str, ...]]]:
    """Return every key of the two upper levels, by its last part."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for key in CampaignConfig.model_fields:
        found.setdefault(key, []).append((key,))
        for inner in set(_fields((key,))) - {"name", "parameters"}:
            found.setdefault(inner, []).append((key, inner))
    return found
