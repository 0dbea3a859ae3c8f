"""The surrogate and the acquisition function that choices stand for, and whether the one can serve the other.

An acquisition function that computes with more than means and variances says so itself (`Acquisition.needs_exact_gp`). The choice ``auto``
heeds that; any other that cannot serve it is refused before anything is measured.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .errors import ConfigError
from .registry import ACQUISITIONS, SURROGATES


class Named(Protocol):
    """A thing chosen by name, as a configuration has it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the user wrote as its parameters."""


GIVEN = ("bounds", "noise", "features", "n_observations", "needs_exact_gp")
"""What surrogates may want to know that is no parameter of theirs."""


def needs_exact_gp(acquisition: Any) -> bool:
    """Whether an acquisition function takes no surrogate but `gp`; one that only has the shape of `Acquisition` need not say."""
    return bool(getattr(acquisition, "needs_exact_gp", False))


def accept_surrogate(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise ConfigError for parameters that a surrogate does not take; make nothing."""
    SURROGATES.accept(name, parameters, *GIVEN)


def takes_features(name: str) -> bool:
    """Whether a surrogate looks at what points stand for."""
    return "features" in inspect.signature(SURROGATES.load(name)).parameters


def make_surrogate(name: str, parameters: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Return a surrogate that knows nothing yet.

    Args:
        name: of the surrogate.
        parameters: what the user wrote.
        known: a value for each of `GIVEN`; the surrogate gets those that it takes.
    """
    accepted = inspect.signature(SURROGATES.load(name)).parameters
    return SURROGATES.create(name, parameters, **{word: known[word] for word in GIVEN if word in accepted})


def make_acquisition(name: str, parameters: Mapping[str, Any], seed: int) -> Any:
    """Return an acquisition function; one with a `seed` of its own gets this one where the user gives none."""
    has_seed = "seed" in inspect.signature(ACQUISITIONS.load(name)).parameters
    return ACQUISITIONS.create(name, {"seed": seed, **parameters} if has_seed else parameters)


def require_served(surrogate: str, acquisition: Any, make: Callable[[], Any] | None = None) -> None:
    """Refuse a surrogate that cannot serve an acquisition function.

    Args:
        surrogate: its name.
        acquisition: the acquisition function itself.
        make: makes the surrogate, where that is possible already: a factory that is no class shows what it makes only then.

    Raises:
        ConfigError: it cannot; the message says how to mend it.
    """
    if not needs_exact_gp(acquisition):
        return
    from ..models.surrogates import GaussianProcess

    factory = SURROGATES.load(surrogate)
    kind = factory if inspect.isclass(factory) else GaussianProcess if make is None else type(make())
    if not issubclass(kind, GaussianProcess):
        raise ConfigError(
            f"acquisition {acquisition.name!r} computes with the exact Gaussian process, which the surrogate {surrogate!r} is not; "
            "choose the surrogate 'gp' (or leave it at 'auto'), or an acquisition function that takes any, such as 'log_ei'"
        )


def require_choice(surrogate: Named, acquisition: Named, *, is_pool: bool = False) -> None:
    """Check whether the choices of a configuration go together; the surrogate is imported only where that matters.

    Args:
        surrogate: the chosen surrogate.
        acquisition: the chosen acquisition function.
        is_pool: whether points are rows of a pool, whose numbers say nothing to a surrogate that does not look at trajectories.

    Raises:
        ConfigError: parameters that the acquisition function does not take, or a surrogate that cannot serve it.
    """
    made = ACQUISITIONS.create(acquisition.name, acquisition.parameters)
    require_served(surrogate.name, made)
    if is_pool and needs_exact_gp(made):
        raise ConfigError(
            f"optimizer.acquisition {acquisition.name!r} computes with the surrogate 'gp', which sees only the numbers of the pool's "
            "trajectories; choose an acquisition function that takes any surrogate, such as log_ei"
        )
