"""What every latent model can do: turn trajectories into a few numbers, and back.

An encoder maps a trajectory x of T steps (and C channels) to a latent vector z of d numbers, a decoder maps it back,

    z = encode(x),    x ~ decode(z),    d << T * C.

The optimizer then searches among the z instead of among all functions of time. A latent model is also a scikit-learn estimator
(`transform`, `inverse_transform`, `get_params`, `clone`), so that it fits into pipelines. A new one derives from `LatentModel`,
fills in the five private methods, and names its kind.

Source: the idea of searching a learned latent space of process trajectories is that of Valleti, Vasudevan, Ziatdinov and Kalinin,
Digital Discovery 1, 689 (2022), 10.1039/D2DD00065B.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from ..errors import NonFiniteError, NotFittedError, ParameterError, TrajectoryShapeError

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called after each epoch with the epochs done, the epochs in all, and the epoch's loss (negative ELBO per sample)."""

Array: TypeAlias = NDArray[np.float64]


class LatentModel(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn carries no types
    """Trajectory <-> latent vector, learned from examples.

    Subclasses take plain annotated values in `__init__`, keep them unchanged under the same names (the rule of scikit-learn that
    makes `clone` work), set the class attribute `kind`, and implement `_fit`, `_encode`, `_decode`, `_state` and `_restore`, all of
    which see trajectories flattened to (n, T * C).
    """

    kind: ClassVar[str]
    """Name of this kind of model in saved files and configurations."""

    n_latent: int
    """Number of latent dimensions d."""

    _trajectory_shape: tuple[int, ...] | None = None
    _bounds: Array | None = None

    # --- learning -------------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None, *, seed: int | np.random.Generator = 0, progress: Progress | None = None) -> Self:
        """Learn from trajectories.

        Args:
            X: Trajectories (n, T) or (n, T, C), finite.
            y: Ignored; pipelines of scikit-learn pass it.
            seed: Seed, or a generator to draw one from. The same seed, data and thread count give the same model to the last bit.
            progress: Called after each epoch.

        Returns:
            The model itself.

        Raises:
            TrajectoryShapeError: `X` is not (n, T) or (n, T, C), or holds fewer than two trajectories.
            NonFiniteError: `X` holds NaN or infinity.
            TrainingDivergedError: The loss stopped being finite.
        """
        del y
        data = _checked(X, "trajectories")
        if data.ndim not in (2, 3):
            raise TrajectoryShapeError(
                f"trajectories have shape {data.shape}; give (n, T), or (n, T, C) for C channels (one trajectory x is x[None])"
            )
        if data.shape[0] < 2 or 0 in data.shape:
            raise TrajectoryShapeError(f"trajectories have shape {data.shape}; at least two non-empty ones are needed to learn from")
        number = int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else int(seed)
        if number < 0:
            raise ParameterError(f"the seed is {number}; it must not be negative")
        shape = data.shape[1:]
        rows = data.reshape(data.shape[0], -1)
        self._fit(rows, shape, number, progress)
        self._trajectory_shape = shape
        codes = self._encode(rows)
        self._bounds = np.stack([codes.min(axis=0), codes.max(axis=0)], axis=1)
        return self

    # --- there and back -------------------------------------------------------------------------------------------------------

    def encode(self, X: ArrayLike) -> Array:
        """Latent vectors (n, d) of trajectories (n, T) or (n, T, C); for a probabilistic encoder the posterior means.

        Raises:
            NotFittedError: The model has not been fitted.
            TrajectoryShapeError: The trajectories differ in length or channels from those that the model was trained on.
            NonFiniteError: `X` holds NaN or infinity.
        """
        return self._encode(self.checked_trajectories(X))

    def decode(self, Z: ArrayLike) -> Array:
        """Trajectories (n, T) or (n, T, C), without noise, of latent vectors (n, d).

        Raises:
            NotFittedError: The model has not been fitted.
            TrajectoryShapeError: `Z` is not (n, d).
            NonFiniteError: `Z` holds NaN or infinity.
        """
        shape = self.trajectory_shape
        codes = self.checked_codes(Z)
        return self._decode(codes).reshape(codes.shape[0], *shape)

    @property
    def decoder(self) -> Callable[[Array], Array]:
        """`decode` as a function; where its last layer is linear, one that shows its hidden values (see `decoder`)."""
        return self.decode

    def sample(self, n: int, generator: np.random.Generator) -> Array:
        """Draw `n` new trajectories (n, T) or (n, T, C): latent vectors from the prior, decoded.

        Args:
            n: How many, at least 1.
            generator: Source of the randomness.
        """
        if n < 1:
            raise ParameterError(f"{n} samples were asked for; ask for at least 1")
        shape = self.trajectory_shape
        return self._decode(self._prior(n, generator)).reshape(n, *shape)

    def transform(self, X: ArrayLike) -> Array:
        """Scikit-learn's name for `encode`."""
        return self.encode(X)

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Scikit-learn's name for `decode`."""
        return self.decode(Z)

    def fit_transform(self, X: ArrayLike, y: object = None, **options: Any) -> Array:
        """`fit`, then `encode` the same trajectories. `options` are those of `fit`."""
        return self.fit(X, y, **options).encode(X)

    # --- what it knows about itself -------------------------------------------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """Whether the model has learned, or been loaded."""
        return self._trajectory_shape is not None

    def __sklearn_is_fitted__(self) -> bool:
        """Scikit-learn's name for `is_fitted`."""
        return self.is_fitted

    @property
    def trajectory_shape(self) -> tuple[int, ...]:
        """Shape (T,) or (T, C) of one trajectory."""
        if self._trajectory_shape is None:
            raise NotFittedError(f"this {type(self).__name__} has not been trained; call fit(X) or load a saved one")
        return self._trajectory_shape

    @property
    def bounds(self) -> Array:
        """Smallest and largest latent coordinates (d, 2) of the training data."""
        if self._bounds is None:
            raise NotFittedError(f"this {type(self).__name__} has not been trained; call fit(X) or load a saved one")
        return self._bounds.copy()

    @property
    def training_curve(self) -> Array | None:
        """Negative ELBO per sample after each epoch (epochs,), or None for a model without epochs."""
        return None

    # --- keeping --------------------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The fitted model as safetensors bytes; equal models give equal bytes, so that a hash of them names a version."""
        from .checkpoint import pack

        return pack(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Rebuild a model of this class from `to_bytes`.

        Raises:
            CheckpointError: The bytes are damaged, or hold another kind of model.
        """
        from .checkpoint import unpack_as

        return unpack_as(cls, data)

    def save(self, path: str | Path) -> None:
        """Write `to_bytes` to a file, which must not be read before this returns."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model of this class from a file.

        Raises:
            CheckpointError: The file is missing, damaged, or holds another kind of model.
        """
        from .checkpoint import read

        return cls.from_bytes(read(path))

    # --- checks that subclasses and LatentSpace share -------------------------------------------------------------------------

    def checked_trajectories(self, X: ArrayLike) -> Array:
        """Trajectories as float64 rows (n, T * C), or a sentence that says what is wrong with them."""
        shape = self.trajectory_shape
        data = _checked(X, "trajectories")
        if data.ndim != len(shape) + 1:
            wanted = "(n, " + ", ".join(str(length) for length in shape) + ")"
            raise TrajectoryShapeError(
                f"trajectories have shape {data.shape}, the latent model needs {wanted}; one trajectory x is passed as x[None]"
            )
        if data.shape[1] != shape[0]:
            steps = data.shape[1]
            raise TrajectoryShapeError(
                f"trajectory has {steps} steps, the latent model was trained on {shape[0]}; "
                f"resample with trajectories.resample, or train on {steps}"
            )
        if data.shape[1:] != shape:
            raise TrajectoryShapeError(
                f"trajectory has {data.shape[2]} channels, the latent model was trained on {shape[1]}; select the channels it knows"
            )
        return data.reshape(data.shape[0], -1)

    def checked_codes(self, Z: ArrayLike) -> Array:
        """Latent vectors as float64 (n, d), or a sentence that says what is wrong with them."""
        codes = _checked(Z, "latent vectors")
        if codes.ndim != 2 or codes.shape[1] != self.n_latent:
            raise TrajectoryShapeError(
                f"latent vectors have shape {codes.shape}, the latent model needs (n, {self.n_latent}); one vector z is passed as z[None]"
            )
        return codes

    # --- for subclasses -------------------------------------------------------------------------------------------------------

    def _prior(self, n: int, generator: np.random.Generator) -> Array:
        """Latent vectors (n, d) from the prior; standard normal unless a subclass knows better."""
        return generator.standard_normal((n, self.n_latent))

    @abstractmethod
    def _fit(self, rows: Array, shape: tuple[int, ...], seed: int, progress: Progress | None) -> None:
        """Learn from rows (n, T * C) of trajectories of the given shape."""

    @abstractmethod
    def _encode(self, rows: Array) -> Array:
        """Latent vectors (n, d) of rows (n, T * C)."""

    @abstractmethod
    def _decode(self, codes: Array) -> Array:
        """Rows (n, T * C) of latent vectors (n, d)."""

    @abstractmethod
    def _state(self) -> Mapping[str, NDArray[Any]]:
        """Everything learned, as named arrays."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
        """The reverse of `_state`; a missing name raises KeyError, a wrong shape ValueError."""


def _checked(values: ArrayLike, what: str) -> Array:
    """A float64 array without NaN and infinity."""
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TrajectoryShapeError(f"{what} are not a rectangular array of numbers ({error}); give them all the same length") from error
    if not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0].tolist()
        raise NonFiniteError(f"{what} hold NaN or infinity, first at index {first}; drop or repair those rows")
    return array
