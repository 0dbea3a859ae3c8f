"""What we believe: latent models of trajectories, surrogates of the objective, and acquisition functions.

- `latentloop.models.latent`: trajectory <-> latent vector.
- `latentloop.models.surrogates`: latent vector -> objective.
- `latentloop.models.acquisition`: where to measure next.

Arrays go in and arrays come out, float64; PyTorch stays inside. The subpackages load their contents on first use, so that importing
them costs nothing.
"""

from .errors import (
    CandidatesExhausted,
    CheckpointError,
    DomainError,
    ModelError,
    NonFiniteError,
    NotFittedError,
    ObservationError,
    ParameterError,
    TrainingDivergedError,
    TrajectoryShapeError,
)

__all__ = [
    "CandidatesExhausted",
    "CheckpointError",
    "DomainError",
    "ModelError",
    "NonFiniteError",
    "NotFittedError",
    "ObservationError",
    "ParameterError",
    "TrainingDivergedError",
    "TrajectoryShapeError",
]
