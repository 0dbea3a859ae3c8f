import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latentloop.models import CheckpointError
from latentloop.models.latent import PCA, VAE, latent_model_from_bytes, load_latent_model
from safetensors import safe_open


@pytest.fixture(scope="module")
def pca(trajectories):
    return PCA(3).fit(trajectories)


@pytest.mark.parametrize("name", ["vae", "pca"])
def test_a_saved_model_is_the_same_model(name, request, trajectories, tmp_path):
    model = request.getfixturevalue(name)
    path = tmp_path / "model.safetensors"
    model.save(path)
    for loaded in (load_latent_model(path), type(model).load(path), latent_model_from_bytes(model.to_bytes())):
        assert type(loaded) is type(model)
        assert loaded.get_params() == model.get_params()
        assert loaded.trajectory_shape == model.trajectory_shape
        assert loaded.to_bytes() == model.to_bytes()
        np.testing.assert_array_equal(loaded.bounds, model.bounds)
        np.testing.assert_array_equal(loaded.encode(trajectories), model.encode(trajectories))
        np.testing.assert_array_equal(loaded.decode(model.bounds.T), model.decode(model.bounds.T))
        np.testing.assert_array_equal(loaded.training_curve, model.training_curve)


def test_the_file_is_plain_safetensors_that_says_what_it_holds(vae, tmp_path):
    vae.save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        record = json.loads(file.metadata()["latentloop"])
    assert record["kind"] == "vae"
    assert record["trajectory_shape"] == [60]
    assert record["parameters"]["hidden"] == [16]


def test_channels_and_scaling_are_kept(trajectories):
    X = np.stack([trajectories, 5 - trajectories], axis=2)
    model = VAE(hidden=(8,), epochs=2, scaling="range").fit(X)
    loaded = latent_model_from_bytes(model.to_bytes())
    assert loaded.trajectory_shape == (60, 2)
    np.testing.assert_array_equal(loaded.decode(model.encode(X)), model.decode(model.encode(X)))


def test_a_model_of_another_kind_is_refused(vae, pca):
    with pytest.raises(CheckpointError, match="kind 'vae', not 'pca'"):
        PCA.from_bytes(vae.to_bytes())
    with pytest.raises(CheckpointError, match="kind 'pca', not 'vae'"):
        VAE.from_bytes(pca.to_bytes())


def _with_record(data: bytes, **changes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    record = {**json.loads(header["__metadata__"]["latentloop"]), **changes}
    header["__metadata__"]["latentloop"] = json.dumps(record)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "unheard-of"}, "known kinds are identity, pca, pool, vae"),
        ({"format": 2}, "format version 2"),
        ({"trajectory_shape": [61]}, "damaged"),
        ({"parameters": {"n_latent": 7}}, "damaged"),
        ({"parameters": {"colour": 7}}, "damaged"),
    ],
)
def test_a_header_that_does_not_fit_ends_in_a_sentence(pca, vae, changes, sentence):
    for model in (pca, vae):
        with pytest.raises(CheckpointError, match=sentence):
            latent_model_from_bytes(_with_record(model.to_bytes(), **changes))


def test_kinds_of_other_packages_can_be_named(pca):
    renamed = _with_record(pca.to_bytes(), kind="pca")
    assert isinstance(latent_model_from_bytes(renamed, {"mine": "latentloop.models.latent.pca:PCA"}), PCA)


def test_a_missing_file_ends_in_a_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        load_latent_model(tmp_path / "nowhere")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_cut_or_foreign_bytes_never_do_anything_else_than_raise(pca, data):
    whole = pca.to_bytes()
    broken = data.draw(st.one_of(st.binary(max_size=200), st.integers(0, len(whole) - 1).map(lambda n: whole[:n])))
    with pytest.raises(CheckpointError):
        latent_model_from_bytes(broken)
