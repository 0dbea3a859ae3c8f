"""Makes a whole configuration from a request, which may choose but not reach: no module, command, path or address of its own.

A request starts from a preset or brings a reduced configuration. What it says passes through here key by key: only known sections;
evaluators and files by the names of the server's configuration; and inside ``parameters`` no text but plain words, so that whatever
a parameter would do with a text, ``package.module:name``, ``/etc/passwd`` and ``http://...`` cannot be among them.
"""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import yaml

from ..config import CampaignConfig, config_from_mapping
from ..config.loading import preset_names, preset_text
from ..errors import ConfigError
from ..registry import ACQUISITIONS, FAMILIES, LATENT_MODELS, SURROGATES, Registry
from .settings import NamedEvaluator, ServerSettings

SECTIONS = ("description", "seed", "trajectories", "latent", "evaluator", "objective", "optimizer", "budget", "safety", "executor")
"""What a reduced configuration may hold; the campaign's name comes with the request."""
CHOICES: dict[tuple[str, ...], Registry] = {
    ("trajectories", "family"): FAMILIES,
    ("latent", "model"): LATENT_MODELS,
    ("optimizer", "surrogate"): SURROGATES,
    ("optimizer", "acquisition"): ACQUISITIONS,
}
_EXECUTOR_KEYS = {"name", "workers", "threads_per_worker", "batch"}
_TIMES = ("timeout", "retries")
_EXECUTORS = ("local", "ray")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}\Z")
_MAX_DEPTH = 6
_MAX_ITEMS = 1000


def configuration_from_preset(name: str, preset: str, overrides: Mapping[str, Any], settings: ServerSettings) -> CampaignConfig:
    """Return a preset's configuration with keys changed.

    Args:
        name: of the campaign.
        preset: its name.
        overrides: dotted key -> whole new value.
        settings: what the server allows.

    Raises:
        ConfigError: a preset, a key or a value that the server does not allow, or a configuration that cannot be run.
    """
    if preset not in settings.presets or preset not in preset_names():
        raise ConfigError(f"this server starts no campaigns from a preset {preset!r}; it knows {', '.join(settings.presets) or 'none'}")
    data = reduced_preset(preset, settings)
    for key, value in overrides.items():
        _set(data, key, value)
    return configuration_from_reduced(name, data, settings)


def reduced_preset(preset: str, settings: ServerSettings) -> dict[str, Any]:
    """Return a preset as a request would write it: without its name, its evaluator by a name of the server's.

    Raises:
        ConfigError: its evaluator has no name on this server.
    """
    data: dict[str, Any] = yaml.safe_load(preset_text(preset))
    data.pop("name", None)
    evaluator = data["evaluator"]
    kind = evaluator if isinstance(evaluator, str) else evaluator["name"]
    names = [name for name, known in settings.evaluators.items() if known.evaluator.name == kind and "*" in known.adjustable]
    if not names:
        raise ConfigError(f"preset {preset!r} measures with {kind!r}, which the server's configuration names for nobody to adjust")
    parameters = {} if isinstance(evaluator, str) else evaluator.get("parameters", {})
    data["evaluator"] = {"name": kind if kind in names else names[0], "parameters": parameters}
    return data


def configuration_from_reduced(name: str, data: Mapping[str, Any], settings: ServerSettings) -> CampaignConfig:
    """Return the whole configuration that a reduced one stands for.

    Raises:
        ConfigError: something that the server does not allow, or a configuration that cannot be run.
    """
    unknown = sorted(set(data) - {*SECTIONS, "name"})
    if unknown:
        raise ConfigError(f"a campaign on this server is not configured by {unknown[0]!r}; it may hold {', '.join(SECTIONS)}")
    full = {key: deepcopy(data[key]) for key in SECTIONS if key in data}
    full["name"] = name
    if "evaluator" not in full or "trajectories" not in full:
        raise ConfigError("a configuration needs the sections trajectories and evaluator; start from a preset, or see /api/v1/schema")
    full["evaluator"] = _evaluator(full["evaluator"], settings)
    full["executor"] = _executor(full.get("executor", {}), settings)
    _trajectories(full, settings)
    for place, registry in CHOICES.items():
        _choice(full, place, registry)
    config = config_from_mapping(full)
    _within_limits(config, settings)
    return config


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key."""
    parts = key.split(".")
    if parts[0] not in SECTIONS or len(parts) > _MAX_DEPTH or not all(_WORD.match(part) for part in parts):
        raise ConfigError(f"{key[:80]!r} is not a key of the configuration, for example optimizer.acquisition")
    target = data
    for part in parts[:-1]:
        inner = target.get(part, {})
        inner = {"name": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{key!r}: {part!r} is not a section of the configuration")
        target[part] = dict(inner)
        target = target[part]
    target[parts[-1]] = value


def _evaluator(given: Any, settings: ServerSettings) -> dict[str, Any]:
    """Return the evaluator that a request names."""
    given = {"name": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ConfigError("evaluator must be a name, or {name, parameters}")
    known = settings.evaluators.get(given["name"])
    if known is None:
        raise ConfigError(f"this server has no evaluator {given['name'][:80]!r}; it has {', '.join(settings.evaluators) or 'none'}")
    unknown = sorted(set(given) - {"name", "parameters", *_TIMES})
    if unknown:
        raise ConfigError(f"evaluator: unknown key {unknown[0]!r}; known are name, parameters, timeout, retries")
    wanted = given.get("parameters") or {}
    if not isinstance(wanted, Mapping):
        raise ConfigError("evaluator.parameters must be a mapping of names to values")
    _require_adjustable(given["name"], known, [*wanted, *(key for key in _TIMES if given.get(key) is not None)])
    _require_plain(wanted, "evaluator.parameters")
    full = known.evaluator.model_dump(mode="json")
    full["parameters"] = {**full["parameters"], **wanted}
    full |= {key: given[key] for key in _TIMES if given.get(key) is not None}
    return full


def _require_adjustable(name: str, known: NamedEvaluator, keys: list[str]) -> None:
    if "*" in known.adjustable:
        return
    for key in keys:
        if key not in known.adjustable:
            allowed = ", ".join(known.adjustable) or "none"
            raise ConfigError(f"parameter {key!r} of evaluator {name!r} is set by the server; to be adjusted are {allowed}")


def _executor(given: Any, settings: ServerSettings) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError("executor must be a mapping with workers, threads_per_worker and batch")
    unknown = sorted(set(given) - _EXECUTOR_KEYS)
    if unknown:
        raise ConfigError(f"executor.{unknown[0]} is set by the server; a request may set {', '.join(sorted(_EXECUTOR_KEYS))}")
    if given.get("name", "local") not in _EXECUTORS:
        raise ConfigError(f"executor.name must be one of {', '.join(_EXECUTORS)}")
    workers = given.get("workers", 1)
    if not isinstance(workers, int) or workers > settings.limits.workers:
        raise ConfigError(f"executor.workers may be {settings.limits.workers} at most on this server")
    return dict(given)


def _trajectories(full: dict[str, Any], settings: ServerSettings) -> None:
    """Replace the name of a file by its path."""
    section = full["trajectories"]
    if not isinstance(section, dict):
        raise ConfigError("trajectories must be a mapping with one of family, file and box")
    name = section.get("file")
    if name is None:
        return
    if not isinstance(name, str) or name not in settings.files:
        raise ConfigError(f"this server has no file of trajectories {str(name)[:80]!r}; it has {', '.join(settings.files) or 'none'}")
    section["file"] = str(settings.files[name])


def _choice(full: dict[str, Any], place: tuple[str, ...], registry: Registry) -> None:
    """Check something chosen by name: one that is built in, with plain parameters."""
    section: Any = full
    for part in place:
        section = section.get(part) if isinstance(section, Mapping) else None
    if section is None:
        return
    name = section if isinstance(section, str) else section.get("name") if isinstance(section, Mapping) else None
    if not isinstance(name, str) or name not in registry.built_in:
        raise ConfigError(f"{'.'.join(place)}: unknown {registry.kind}; known are {', '.join(sorted(registry.built_in))}")
    if isinstance(section, Mapping):
        _require_plain(section.get("parameters") or {}, f"{'.'.join(place)}.parameters")


def _require_plain(value: Any, place: str, depth: int = 0) -> None:
    """Raise ConfigError unless a value is made of numbers, truth values and plain words."""
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{place} is nested too deeply")
    if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and _WORD.match(value)):
        return
    if isinstance(value, Mapping) and len(value) <= _MAX_ITEMS:
        for key, inner in value.items():
            if not isinstance(key, str) or not _WORD.match(key):
                raise ConfigError(f"{place} has a key that is no plain word")
            _require_plain(inner, f"{place}.{key}", depth + 1)
        return
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
        for index, inner in enumerate(value):
            _require_plain(inner, f"{place}[{index}]", depth + 1)
        return
    raise ConfigError(f"{place}: a request may hold numbers and plain words (letters, digits, _) here, and nothing else")


def _within_limits(config: CampaignConfig, settings: ServerSettings) -> None:
    limits = settings.limits
    if config.budget.trials > limits.trials:
        raise ConfigError(f"budget.trials may be {limits.trials} at most on this server, not {config.budget.trials}")
    if config.trajectories.n > limits.trials:
        raise ConfigError(f"trajectories.n may be {limits.trials} at most on this server, not {config.trajectories.n}")


def checked_source(section: Mapping[str, Any], settings: ServerSettings) -> dict[str, Any]:
    """Return a section of trajectories for a preview: a built-in family with plain parameters, or one of the server's files by its path.

    Raises:
        ConfigError: it names something else, nothing, or both.
    """
    known = {"family", "file", "dt", "n", "unit", "time_unit", "channels"}
    found = {key: value for key, value in section.items() if key in known}
    if (found.get("family") is None) == (found.get("file") is None):
        raise ConfigError("a preview needs either trajectories.family or trajectories.file")
    full = {"trajectories": found}
    _trajectories(full, settings)
    _choice(full, ("trajectories", "family"), FAMILIES)
    return found


_CHANGEABLE = ("optimizer.", "budget.", "objective.", "safety.")
"""Keys that a fork may change: it keeps what measures, where, and over which trajectories."""


def checked_changes(overrides: Mapping[str, Any]) -> list[str]:
    """Return the changes of a fork as ``key=value``.

    Raises:
        ConfigError: a key that a fork does not change, or a value that is more than numbers and plain words.
    """
    found = []
    for key, value in overrides.items():
        if not key.startswith(_CHANGEABLE) or not all(_WORD.match(part) for part in key.split(".")):
            raise ConfigError(f"a fork cannot change {key[:80]!r}; it may change keys of optimizer, budget, objective and safety")
        _require_plain(value, key)
        for place, registry in CHOICES.items():
            if key == ".".join(place):
                _choice({place[0]: {place[1]: value}}, place, registry)
        found.append(f"{key}={json.dumps(value)}")
    return found
