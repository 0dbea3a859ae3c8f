"""Choices that a user names in a configuration: name -> lazily imported factory, open to plug-ins through entry points.

A plug-in is one file and one line in its own pyproject.toml::

    [project.entry-points."latentloop.acquisitions"]
    my_acquisition = "my_package.my_module:MyAcquisition"

A factory's keyword parameters are what a user may write under ``parameters``; pydantic checks their types.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from .errors import ConfigError, LatentloopError, PlugInError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Registry:
    """The factories of one kind of thing."""

    kind: str
    """What is registered, in the singular, as it stands in messages."""
    group: str
    """Entry-point group that plug-ins use."""
    built_in: Mapping[str, str]
    """Name -> ``package.module:attribute``."""

    def names(self) -> list[str]:
        """Return the known names, plug-ins included, sorted."""
        return sorted({*self.built_in, *(entry.name for entry in entry_points(group=self.group))})

    def check(self, name: str) -> None:
        """Raise UnknownNameError, with the known names, when there is no such factory. Imports nothing."""
        if name not in self.built_in and name not in self.names():
            known = ", ".join(self.names())
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}; known are {known}; one that a package adds needs that package installed here"
            )

    def load(self, name: str) -> Callable[..., Any]:
        """Import and return the factory ``name``.

        Raises:
            UnknownNameError: no such name.
            PlugInError: an entry point that leads nowhere, or whose module cannot be imported.
        """
        self.check(name)
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            factory: Callable[..., Any] = getattr(import_module(module), attribute)
            return factory
        entries = {entry.value: entry for entry in entry_points(group=self.group) if entry.name == name}
        if len(entries) > 1:
            raise PlugInError(f"{self.kind} {name!r} is what two installed packages call their own ({', '.join(entries)}); uninstall one")
        (entry,) = entries.values()
        try:
            loaded: Callable[..., Any] = entry.load()
        except Exception as error:  # a module of somebody else's may raise anything
            package = "" if entry.dist is None else f" of the package {entry.dist.name!r}"
            raise PlugInError(
                f"{self.kind} {name!r}: its entry point {entry.value!r}{package} cannot be loaded: {type(error).__name__}: {error}; "
                "mend the entry point or the module, then install the package again"
            ) from error
        return loaded

    def create(self, name: str, parameters: Mapping[str, Any], **context: Any) -> Any:
        """Make ``name`` from what the user wrote and from what the loop knows.

        Args:
            name: the registered name.
            parameters: the user's keyword parameters, checked against the factory's annotations.
            **context: keyword parameters that the loop passes, for example ``bounds``.

        Raises:
            UnknownNameError: no such name.
            ConfigError: a parameter that the factory does not have, of a wrong type or out of range.
            PlugInError: a factory of a user's own that cannot be loaded, or raises something else.
        """
        factory = self.load(name)
        checked = self._checked(factory, name, parameters, context)
        try:
            return factory(**checked, **context)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.kind} {name!r}: {error}") from error
        except Exception as error:
            if name in self.built_in or isinstance(error, LatentloopError):
                raise
            raise PlugInError(f"{self.kind} {name!r} cannot be made: {type(error).__name__}: {error}; mend its constructor") from error

    def accept(self, name: str, parameters: Mapping[str, Any], *context: str) -> None:
        """Raise what `create` would raise for the names and types of parameters, and make nothing.

        Args:
            name: the registered name.
            parameters: the user's keyword parameters.
            *context: names of the keyword parameters that the loop passes.
        """
        self._checked(self.load(name), name, parameters, context)

    def _checked(self, factory: Callable[..., Any], name: str, parameters: Mapping[str, Any], context: Iterable[str]) -> dict[str, Any]:
        """Return the user's parameters in the types that the factory wants."""
        passed = set(context)
        known = inspect.signature(factory).parameters
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
        offered = [parameter for parameter in known if parameter not in passed]
        complaints = []
        checked: dict[str, Any] = {}
        for parameter, value in parameters.items():
            if parameter not in offered:
                complaints.append(f"it has no parameter {parameter!r}; known are {', '.join(offered) or 'none'}")
                continue
            try:
                checked[parameter] = TypeAdapter(hints.get(parameter, Any)).validate_python(value)
            except ValidationError as error:
                item = error.errors()[0]
                complaints.append(f"parameter {parameter!r}: {item['msg'][0].lower()}{item['msg'][1:]} (got {item['input']!r})")
        complaints += [
            f"parameter {parameter!r} is missing"
            for parameter in offered
            if known[parameter].default is inspect.Parameter.empty and parameter not in parameters
        ]
        if complaints:
            raise ConfigError(f"{self.kind} {name!r}: {'; '.join(complaints)}")
        return checked


FAMILIES = Registry(
    kind="trajectory family",
    group="latentloop.families",
    built_in={
        "published": "latentloop.loop.trajectory_source:PublishedFamily",
        "damped_sinusoid": "latentloop.simulators.trajectories:DampedSinusoid",
        "lecture_sine": "latentloop.simulators.trajectories:LectureSine",
        "legendre": "latentloop.simulators.trajectories:LegendreSeries",
    },
)
LATENT_MODELS = Registry(
    kind="latent model",
    group="latentloop.latent_models",
    built_in={
        "vae": "latentloop.models.latent:VAE",
        "pca": "latentloop.models.latent:PCA",
        "identity": "latentloop.models.latent:Identity",
        "pool": "latentloop.models.latent:Pool",
    },
)
SURROGATES = Registry(
    kind="surrogate",
    group="latentloop.surrogates",
    built_in={
        "auto": "latentloop.models.surrogates:automatic_surrogate",
        "gp": "latentloop.models.surrogates:GaussianProcess",
        "dkl": "latentloop.models.surrogates:DeepKernelSurrogate",
        "ensemble": "latentloop.models.surrogates:EnsembleSurrogate",
        "gp_pca": "latentloop.models.surrogates:PCAGaussianProcess",
        "sparse": "latentloop.models.surrogates:SparseGaussianProcess",
        "spherical_linear": "latentloop.models.surrogates:SphericalLinear",
    },
)
ACQUISITIONS = Registry(
    kind="acquisition function",
    group="latentloop.acquisitions",
    built_in={
        "epsilon_greedy": "latentloop.models.acquisition:EpsilonGreedy",
        "gibbon": "latentloop.models.acquisition:Gibbon",
        "joint_entropy": "latentloop.models.acquisition:JointEntropy",
        "knowledge_gradient": "latentloop.models.acquisition:KnowledgeGradient",
        "log_ei": "latentloop.models.acquisition:LogEI",
        "log_nei": "latentloop.models.acquisition:LogNEI",
        "max_value_entropy": "latentloop.models.acquisition:MaxValueEntropy",
        "max_variance": "latentloop.models.acquisition:MaxVariance",
        "mean_plus_sigma": "latentloop.models.acquisition:MeanPlusSigma",
        "pi": "latentloop.models.acquisition:ProbabilityOfImprovement",
        "portfolio": "latentloop.models.acquisition:Portfolio",
        "posterior_mean": "latentloop.models.acquisition:PosteriorMean",
        "q_log_ei": "latentloop.models.acquisition:QLogEI",
        "q_log_nei": "latentloop.models.acquisition:QLogNEI",
        "random": "latentloop.models.acquisition:Random",
        "sobol": "latentloop.models.acquisition:Sobol",
        "thompson": "latentloop.models.acquisition:Thompson",
        "trust_region": "latentloop.models.acquisition:TrustRegion",
        "ucb": "latentloop.models.acquisition:UCB",
        "ucb_schedule": "latentloop.models.acquisition:UCBSchedule",
    },
)
EVALUATORS = Registry(
    kind="evaluator",
    group="latentloop.evaluators",
    built_in={
        "ferrosim": "latentloop.loop.evaluators.ferrosim:FerroSimEvaluator",
        "ferrosim_parameters": "latentloop.loop.evaluators.ferrosim_parameters:FerroSimParametersEvaluator",
        "python": "latentloop.loop.evaluators.python:PythonEvaluator",
        "command": "latentloop.loop.evaluators.command:CommandEvaluator",
        "http": "latentloop.loop.evaluators.http:HttpEvaluator",
        "bluesky": "latentloop.loop.evaluators.bluesky:BlueskyEvaluator",
        "pull": "latentloop.loop.evaluators.pull:PullEvaluator",
        "scpi": "latentloop.loop.evaluators.scpi:ScpiEvaluator",
    },
)
EXECUTORS = Registry(
    kind="executor",
    group="latentloop.executors",
    built_in={"local": "latentloop.loop.executors.local:LocalExecutor", "ray": "latentloop.loop.executors.ray:RayExecutor"},
)
