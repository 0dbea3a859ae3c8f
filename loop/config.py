"""The configuration of a campaign: YAML, checked by pydantic, unknown keys refused.

``latentloop schema`` prints the JSON Schema of :class:`CampaignConfig`. A thing that is chosen by name (a family, a latent model, a
surrogate, an acquisition function, an evaluator) is written either as the bare name or as ``{name: ..., parameters: {...}}``.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import ConfigError, UnknownNameError
from .registry import ACQUISITIONS, EVALUATORS, EXECUTORS, FAMILIES, LATENT_MODELS, SURROGATES, Registry

_PRESETS = "latentloop.loop.presets"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Choice(_Section):
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


def _choice(registry: Registry) -> BeforeValidator:
    def coerce(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
        if isinstance(name, str):
            try:
                registry.check(name)
            except UnknownNameError as error:
                raise ValueError(str(error)) from error
        return value

    return BeforeValidator(coerce, json_schema_input_type=str | Choice)


class TrajectoriesConfig(_Section):
    """The trajectories that make sense: drawn from a family, or read from a file; or a box of plain parameters instead of them."""

    family: Annotated[Choice | None, _choice(FAMILIES)] = Field(None, description="A family to draw from; or give `file`, or `box`.")
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


class LatentConfig(_Section):
    """The latent model and the box that is searched in its space."""

    model: Annotated[Choice, _choice(LATENT_MODELS)] = Field(default_factory=lambda: Choice(name="vae"), validate_default=True)
    quantile: float = Field(0.0, ge=0, lt=0.5, description="The box spans the quantiles [q, 1 - q] of the encoded trajectories, per axis.")
    margin: float = Field(0.0, ge=0, le=10, description="Widens the box on every side by this share of its width.")
    box: tuple[tuple[float, float], ...] | None = Field(
        None, description="The box itself, a [low, high] per latent dimension; overrides the two above."
    )

    @model_validator(mode="after")
    def _box_in_order(self) -> "LatentConfig":
        if self.box is not None and (not self.box or any(low >= high for low, high in self.box)):
            raise ValueError("box must hold one [low, high] with low < high per latent dimension")
        return self


class EvaluatorConfig(Choice):
    """What measures a trajectory."""

    timeout: float | None = Field(
        None, gt=0, description="Seconds after which a measurement is given up: its process is killed and the trial recorded as failed."
    )


class ObjectiveConfig(_Section):
    """The metric to optimize, and what is believable."""

    metric: str = Field("objective", min_length=1, description="Name of the metric; a bare number from an evaluator is called `objective`.")
    goal: Literal["maximize", "minimize"] = "maximize"
    plausible: tuple[float, float] = Field(
        (-1e100, 1e100), description="Readings outside are quarantined: kept, marked, and not learned from."
    )

    @model_validator(mode="after")
    def _plausible_in_order(self) -> "ObjectiveConfig":
        if self.plausible[0] >= self.plausible[1]:
            raise ValueError(f"plausible must be [low, high] with low < high, not {list(self.plausible)}")
        return self


class OptimizerConfig(_Section):
    """How the next point is chosen."""

    surrogate: Annotated[Choice, _choice(SURROGATES)] = Field(default_factory=lambda: Choice(name="gp"), validate_default=True)
    acquisition: Annotated[Choice, _choice(ACQUISITIONS)] = Field(default_factory=lambda: Choice(name="log_ei"), validate_default=True)
    n_initial: int = Field(20, ge=1, description="Points of the quasi-random initial design.")
    noise: float | None = Field(None, ge=0, description="Variance of the objective's noise; inferred when absent.")


class BudgetConfig(_Section):
    """When the campaign is done: whichever comes first."""

    trials: int = Field(120, ge=1, description="Trials in all, initial and refused ones included.")
    wall_seconds: float | None = Field(None, gt=0, description="Time in all sessions together after which nothing new is measured.")
    instrument_seconds: float | None = Field(None, gt=0, description="Time spent measuring after which nothing new is measured.")
    target: float | None = Field(None, description="The campaign is done once the incumbent's objective is as good as this.")
    plateau: int | None = Field(None, ge=1, description="Done after this many completed trials of a session without a better incumbent.")
    failures_in_a_row: int | None = Field(
        20, ge=1, description="Stop when so many trials in a row failed, were quarantined or are unknown; null never stops for that."
    )


class BandConfig(_Section):
    """A band of frequencies that a trajectory must not excite."""

    low: float = Field(ge=0, description="Lower edge, in periods per unit of time.")
    high: float = Field(gt=0, description="Upper edge, in periods per unit of time.")
    rms: float = Field(ge=0, description="Largest root mean square of the part of the trajectory in the band, in its unit.")

    @model_validator(mode="after")
    def _in_order(self) -> "BandConfig":
        if self.low >= self.high:
            raise ValueError(f"a band needs low < high, not {self.low:g} and {self.high:g}")
        return self


class BoundsConfig(_Section):
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


class UnitsConfig(_Section):
    """The units that bounds are written in."""

    value: str | None = Field(None, description="Must be the trajectories' own unit; checked when given.")
    time: str | None = Field(None, description="Must be the trajectories' own unit of time; checked when given.")


class SafetyConfig(_Section):
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
    approval: Literal["none", "each"] = Field(
        "none", description="`each` holds every trial until an operator approves or vetoes it (`latentloop trials STORE --approve N`)."
    )

    @property
    def is_bounded(self) -> bool:
        """Whether anything is bounded at all."""
        bounds = (self.bounds, *self.channel_bounds.values())
        return self.duration is not None or self.sample_rate is not None or any(each != BoundsConfig() for each in bounds)


class ExecutorConfig(_Section):
    """Where measurements run."""

    name: str = "local"
    workers: int = Field(2, ge=1, description="Measurements at the same time (`ray` only: `local` measures one at a time).")
    threads_per_worker: int = Field(1, ge=1, description="Threads that a worker's numerical libraries may take.")
    batch: int = Field(1, ge=1, description="Trials that are asked for and sent to a worker together.")
    address: str | None = Field(None, description="Address of a running Ray cluster; a local one is started when absent.")

    @model_validator(mode="after")
    def _known(self) -> "ExecutorConfig":
        EXECUTORS.check(self.name)
        return self


class CampaignConfig(_Section):
    """A campaign of latentloop."""

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**32, description="Every random stream is derived from it.")
    trajectories: TrajectoriesConfig
    latent: LatentConfig = LatentConfig()
    evaluator: Annotated[EvaluatorConfig, _choice(EVALUATORS)]
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    budget: BudgetConfig = BudgetConfig()
    safety: SafetyConfig = SafetyConfig()
    executor: ExecutorConfig = ExecutorConfig()

    @model_validator(mode="before")
    @classmethod
    def _plain_box(cls, data: Any) -> Any:
        """A box of plain parameters needs no latent model: the identity stands in where none is named."""
        source = data.get("trajectories") if isinstance(data, Mapping) else None
        if isinstance(source, Mapping) and source.get("box") is not None and "latent" not in data:
            return {**data, "latent": {"model": "identity"}}
        return data

    @model_validator(mode="after")
    def _identity_for_boxes_only(self) -> "CampaignConfig":
        if (self.trajectories.box is not None) != (self.latent.model.name == "identity"):
            raise ValueError("latent.model identity belongs to trajectories.box, and to nothing else; leave `latent` out there")
        return self

    def to_yaml(self) -> str:
        """Return the whole configuration, defaults included, as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


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


def config_from_mapping(data: Mapping[str, Any], place: str = "configuration") -> CampaignConfig:
    """Check a mapping and return it as a configuration; ``place`` names it in errors."""
    try:
        return CampaignConfig.model_validate(data)
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
    return isinstance(kind, type) and issubclass(kind, _Section)


def _leaves() -> dict[str, list[tuple[str, ...]]]:
    """Return every key of the two upper levels, by its last part."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for key in CampaignConfig.model_fields:
        found.setdefault(key, []).append((key,))
        for inner in set(_fields((key,))) - {"name", "parameters"}:
            found.setdefault(inner, []).append((key, inner))
    return found
