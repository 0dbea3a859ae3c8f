"""Training is a function of the configuration, wherever it runs."""

import numpy as np
import pytest
from latentloop.loop.errors import ConfigError
from latentloop.loop.latent_training import describe, latent_space, make_model, train
from latentloop.loop.trajectory_source import load_trajectories

VAE = {"latent": {"model": {"name": "vae", "parameters": {"n_latent": 2, "hidden": [8], "epochs": 3}}}}


@pytest.mark.parametrize("changes", [VAE, {}], ids=["vae", "pca"])
def test_the_same_configuration_trains_the_same_model(config, changes):
    made = config(**changes)
    trajectories = load_trajectories(made)
    one, same = train(made, trajectories, 0, 1), train(made, trajectories, 0, 1)
    assert one.data == same.data
    np.testing.assert_array_equal(one.encoded, same.encoded)
    restored = one.restore()
    np.testing.assert_allclose(restored.encode(trajectories.values), one.encoded, rtol=1e-12)
    assert one.encoded.shape == (40, 2)


def test_each_version_and_each_seed_has_a_stream_of_its_own(config):
    made = config(**VAE)
    trajectories = load_trajectories(made)
    data = {
        train(made, trajectories, 0, 1).data,
        train(made, trajectories, 1, 1).data,
        train(config(seed=4, **VAE), trajectories, 0, 1).data,
    }
    assert len(data) == 3


def test_progress_counts_the_epochs_and_the_curve_has_their_losses(config):
    made = config(**VAE)
    told = []
    trained = train(made, load_trajectories(made), 0, 1, progress=lambda *facts: told.append(facts))
    assert [done for done, _, _ in told] == [1, 2, 3]
    assert {total for _, total, _ in told} == {3}
    assert trained.curve.shape == (3,)
    assert np.isfinite(trained.curve).all()
    facts = describe(trained, np.array([[0.0, 1.0], [0.0, 1.0]]), "vae")
    assert (facts["kind"], facts["n_latent"], facts["final_loss"]) == ("vae", 2, trained.curve[-1])


def test_a_model_fitted_in_one_step_has_no_curve(config):
    made = config()
    trained = train(made, load_trajectories(made), 0, 1)
    assert trained.curve is None
    assert describe(trained, np.zeros((2, 2)), "pca")["final_loss"] is None


def test_the_box_is_that_of_the_encoded_data_unless_one_is_given(config):
    made = config()
    trained = train(made, load_trajectories(made), 0, 1)
    _, box = latent_space(made, trained.restore(), trained.encoded)
    np.testing.assert_allclose(box, np.stack([trained.encoded.min(axis=0), trained.encoded.max(axis=0)], axis=1))
    _, wider = latent_space(config(latent={"margin": 0.5}), trained.restore(), trained.encoded)
    np.testing.assert_allclose(np.diff(wider), 2 * np.diff(box))
    _, given = latent_space(config(latent={"box": [[-1, 1], [0, 2]]}), trained.restore(), trained.encoded)
    assert given.tolist() == [[-1, 1], [0, 2]]


def test_a_box_of_another_dimension_is_refused_before_training(config):
    made = config(latent={"box": [[-1, 1]]})
    with pytest.raises(ConfigError, match=r"latent\.box has 1 rows, the latent model 2 dimensions"):
        make_model(made)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "pca", "parameters": {"banana": 1}}, "no parameter 'banana'; known are n_latent"),
        ({"name": "pca", "parameters": {"n_latent": 0}}, "n_latent is 0"),
        ({"name": "pca", "parameters": {"n_latent": "two"}}, "'n_latent'"),
        ({"name": "vae", "parameters": {"epochs": 0}}, "epochs"),
    ],
)
def test_a_wrong_parameter_of_a_model_is_named(config, model, words):
    with pytest.raises(ConfigError, match=words):
        make_model(config(latent={"model": model}))


def test_a_model_that_cannot_be_trained_on_these_trajectories_says_why(config):
    made = config(latent={"model": {"name": "pca", "parameters": {"n_latent": 30}}})
    with pytest.raises(ConfigError, match="latent model 'pca' cannot be trained: n_latent is 30"):
        train(made, load_trajectories(made), 0, 1)
