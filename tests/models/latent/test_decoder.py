"""A decoder in the open: the same trajectories, the same inputs of a surrogate, and their exact derivatives."""

import numpy as np
import pytest
from latentloop.models.latent import PCA, VAE, Identity, LatentModel, LatentSpace
from latentloop.models.latent.decoder import Decoder
from latentloop.models.surrogates.input_layer import ReadoutLayer, layer_of

BOX = np.tile([-2.0, 2.0], (2, 1))


def trajectories() -> np.ndarray:
    generator = np.random.default_rng(0)
    rate, wave = generator.uniform(1, 8, (2, 120, 1))
    steps = np.linspace(0, 1, 40)
    values: np.ndarray = np.exp(-rate * steps) * np.sin(3 * wave * steps)
    return np.stack([values, 2.0 + values**2], axis=2)


def points(n: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-2, 2, (n, 2))


MODELS = [
    VAE(hidden=(16, 12), epochs=2, activation="tanh"),
    VAE(hidden=(16, 12, 8), epochs=2, activation="gelu", scaling="range"),
    VAE(hidden=(16,), epochs=2, activation="softplus"),
    VAE(hidden=(16, 16), epochs=2, activation="relu", scaling="range"),
    PCA(),
]


@pytest.mark.parametrize("model", MODELS, ids=["tanh", "gelu", "softplus", "relu", "pca"])
def test_hidden_values_give_the_same_trajectories_inputs_and_slopes_as_decoding(model: LatentModel):
    model.fit(trajectories())
    decoder, z = model.decoder, points(60)
    assert isinstance(decoder, Decoder)
    rows = model.decode(z).reshape(60, -1)
    np.testing.assert_allclose(decoder.hidden(z) @ decoder.weight + decoder.bias, rows, atol=1e-11)
    np.testing.assert_array_equal(decoder(z), model.decode(z))
    short, long = layer_of(BOX, z, decoder), layer_of(BOX, z, model.decode)
    assert isinstance(short, ReadoutLayer)
    others = points(200)[60:]
    np.testing.assert_allclose(short(others), long(others), atol=1e-9)
    inputs, slopes = short.value_and_jacobian(others)
    np.testing.assert_allclose(inputs, long(others), atol=1e-9)
    # The long way knows its slopes from difference quotients only.
    np.testing.assert_allclose(slopes, long.value_and_jacobian(others)[1], rtol=1e-6, atol=1e-6 * np.abs(slopes).max())
    gradient = np.random.default_rng(2).standard_normal(inputs.shape)
    np.testing.assert_allclose(short.pullback(others, gradient), np.einsum("mk,mkd->md", gradient, slopes), atol=1e-9)


def test_the_slopes_are_those_of_automatic_differentiation():
    import torch

    model = VAE(hidden=(16, 12), epochs=2).fit(trajectories()[..., 0])
    z = points(3)
    _, slopes = model.decoder.hidden_and_jacobian(z)
    exact = torch.stack([torch.autograd.functional.jacobian(model._trained().decode, row) for row in torch.from_numpy(z)])
    np.testing.assert_allclose(slopes @ model.decoder.weight, exact.numpy().transpose(0, 2, 1), atol=1e-9)


def test_a_model_without_a_linear_last_layer_decodes_as_ever():
    model = Identity().fit(trajectories())
    np.testing.assert_array_equal(model.decoder(np.ones((1, 80))), model.decode(np.ones((1, 80))))
    assert not isinstance(model.decoder, Decoder)


def test_a_latent_space_hands_out_its_models_decoder():
    model = PCA().fit(trajectories())
    assert isinstance(LatentSpace.from_trajectories(model, trajectories()).decoder, Decoder)
