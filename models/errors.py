"""What can go wrong in the models, by name.

Every error is a ``ValueError`` that says what is wrong, where, and how to mend it. They are raised before any arithmetic on
bad input starts: a NaN that reaches a Cholesky factor or an optimizer only shows up far from its cause.
"""


class ModelError(ValueError):
    """Base of all errors that the package `latentloop.models` raises."""


class TrajectoryShapeError(ModelError):
    """Trajectories, or latent vectors, do not have the shape that the model needs."""


class NonFiniteError(ModelError):
    """An array holds NaN or infinity."""


class ParameterError(ModelError):
    """A parameter of a model lies outside its range."""


class NotFittedError(ModelError):
    """A model was used before it had been fitted."""


class TrainingDivergedError(ModelError):
    """The loss became NaN or infinite while training."""


class CheckpointError(ModelError):
    """A saved model cannot be read."""


class ObservationError(ModelError):
    """Observations given to a surrogate do not fit together, or cannot be learned from."""


class DomainError(ModelError):
    """A search domain, or points in it, are malformed."""


class CandidatesExhausted(ModelError):  # noqa: N818 - the name that users catch
    """Fewer candidates are left than were asked for."""
