"""Latent models as bytes: safetensors with a header that says what the model is.

Nothing is ever unpickled: a file holds plain arrays and, under one metadata key, a JSON record of the format's version, the kind of
model, its parameters and the shape of its trajectories. All of it is checked before a model is built, so that a damaged or foreign
file ends in a sentence. One metadata key and sorted JSON make the bytes a function of the model alone: their SHA-256 can name it.

Source: the safetensors format, https://github.com/huggingface/safetensors.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from ..errors import CheckpointError

if TYPE_CHECKING:
    from .base import LatentModel

FORMAT_VERSION: Final = 1

KINDS: Final[Mapping[str, str]] = {
    "identity": "latentloop.models.latent.identity:Identity",
    "pca": "latentloop.models.latent.pca:PCA",
    "pool": "latentloop.models.latent.pool:Pool",
    "vae": "latentloop.models.latent.vae:VAE",
}
"""Kind of model -> `module:class`, imported when a file names it."""

_METADATA_KEY: Final = "latentloop"
_BOUNDS: Final = "latentloop.bounds"
_LENGTH_BYTES: Final = 8
"""A safetensors file begins with the length of its JSON header as a little-endian 64-bit number."""

_Model = TypeVar("_Model", bound="LatentModel")


def latent_model_from_bytes(data: bytes, kinds: Mapping[str, str] | None = None) -> "LatentModel":
    """Rebuild a latent model of whatever kind the bytes hold.

    Args:
        data: What `LatentModel.to_bytes` returned.
        kinds: Further kinds, name -> `module:class`, for models that are not part of this package.

    Raises:
        CheckpointError: The bytes are damaged, of another format version, or hold an unknown kind.
    """
    known = {**KINDS, **(kinds or {})}
    header = _header(data)
    kind = header.get("kind")
    if not isinstance(kind, str) or kind not in known:
        raise CheckpointError(f"the saved latent model is of kind {kind!r}; known kinds are {', '.join(sorted(known))}")
    module, _, name = known[kind].partition(":")
    factory: type[LatentModel] = getattr(import_module(module), name)
    return unpack_as(factory, data)


def load_latent_model(path: str | Path, kinds: Mapping[str, str] | None = None) -> "LatentModel":
    """Read a latent model of whatever kind from a file; see `latent_model_from_bytes`."""
    return latent_model_from_bytes(read(path), kinds)


def read(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises:
        CheckpointError: The file cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the latent model at {path}: {error.strerror or error}") from error


def pack(model: "LatentModel") -> bytes:
    """The bytes of a fitted model."""
    record = {
        "format": FORMAT_VERSION,
        "kind": model.kind,
        "parameters": model.get_params(deep=False),
        "trajectory_shape": model.trajectory_shape,
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in model._state().items()}
    arrays[_BOUNDS] = model.bounds
    return bytes(save_arrays(arrays, metadata={_METADATA_KEY: json.dumps(record, sort_keys=True)}))


def unpack_as(kind: type[_Model], data: bytes) -> _Model:
    """Rebuild a model of class `kind`.

    Raises:
        CheckpointError: The bytes are damaged, of another format version, or hold another kind.
    """
    header = _header(data)
    if header.get("kind") != kind.kind:
        raise CheckpointError(
            f"the saved latent model is of kind {header.get('kind')!r}, not {kind.kind!r}; load_latent_model reads every kind"
        )
    try:
        arrays = load_arrays(data)
        shape = tuple(int(length) for length in header["trajectory_shape"])
        parameters = {name: tuple(value) if isinstance(value, list) else value for name, value in header["parameters"].items()}
        model = kind(**parameters)
        model._restore({name: array for name, array in arrays.items() if name != _BOUNDS}, shape)
        bounds = arrays[_BOUNDS].astype(np.float64)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"the saved latent model is damaged ({type(error).__name__}: {error}); save it again") from error
    if bounds.shape != (model.n_latent, 2):
        raise CheckpointError(f"the saved latent model has bounds of shape {bounds.shape}, not ({model.n_latent}, 2); save it again")
    model._trajectory_shape = shape
    model._bounds = bounds
    return model


def _header(data: bytes) -> dict[str, Any]:
    """The JSON record inside the safetensors header."""
    try:
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        text = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        record = json.loads(text["__metadata__"][_METADATA_KEY])
        version = record["format"]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError("these bytes are no latent model of latentloop, or only a part of one; save the model again") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"the saved latent model has format version {version}, this latentloop reads {FORMAT_VERSION}; train it again"
        )
    return dict(record)
