"""What holds for every latent model."""

import numpy as np
import pytest
from latentloop.models import NonFiniteError, NotFittedError, ParameterError, TrajectoryShapeError
from latentloop.models.latent import PCA, VAE, LatentModel
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

SMALL = {"hidden": (16,), "epochs": 20, "batch_size": 32}


@pytest.fixture(params=["vae", "pca"])
def unfitted(request) -> LatentModel:
    return VAE(**SMALL) if request.param == "vae" else PCA()


@pytest.fixture
def model(unfitted, trajectories) -> LatentModel:
    return unfitted.fit(trajectories, seed=5)


def test_shapes_and_types_there_and_back(model, trajectories):
    Z = model.encode(trajectories)
    X = model.decode(Z)
    assert Z.shape == (400, 2)
    assert X.shape == trajectories.shape
    assert Z.dtype == X.dtype == np.float64
    assert model.trajectory_shape == (60,)


def test_decoding_the_codes_explains_most_of_the_trajectories(model, trajectories):
    left = ((model.decode(model.encode(trajectories)) - trajectories) ** 2).sum()
    total = ((trajectories - trajectories.mean(0)) ** 2).sum()
    assert left < 0.45 * total


def test_bounds_are_the_extremes_of_the_encoded_training_data(model, trajectories):
    Z = model.encode(trajectories)
    np.testing.assert_array_equal(model.bounds, np.stack([Z.min(0), Z.max(0)], axis=1))


def test_a_code_decodes_alike_alone_and_in_a_batch(model, trajectories):
    Z = model.encode(trajectories)
    np.testing.assert_allclose(model.decode(Z[7:8])[0], model.decode(Z)[7], rtol=0, atol=1e-13)


def test_several_channels_come_back_in_their_places(unfitted, trajectories):
    both = np.stack([trajectories, 0.5 * trajectories], axis=2)
    model = unfitted.fit(both, seed=1)
    assert model.trajectory_shape == (60, 2)
    back = model.decode(model.encode(both))
    assert back.shape == both.shape
    # the second channel is half as large as the first, and must not be mixed up with it
    assert back[..., 1].std() == pytest.approx(0.5 * back[..., 0].std(), rel=0.05)


def test_samples_have_the_shape_of_trajectories_and_follow_the_generator(model):
    draws = model.sample(5, np.random.default_rng(1))
    assert draws.shape == (5, 60)
    np.testing.assert_array_equal(draws, model.sample(5, np.random.default_rng(1)))
    assert not np.array_equal(draws, model.sample(5, np.random.default_rng(2)))


def test_scikit_learn_can_clone_and_pipe_the_model(unfitted, trajectories):
    copy = clone(unfitted.set_params(n_latent=3))
    assert copy.get_params() == unfitted.get_params()
    assert not copy.is_fitted
    piped = make_pipeline(copy, StandardScaler()).fit_transform(trajectories)
    assert piped.shape == (400, 3)
    check_is_fitted(copy)


def test_transform_is_encode(model, trajectories):
    np.testing.assert_array_equal(model.transform(trajectories), model.encode(trajectories))
    Z = model.encode(trajectories[:3])
    np.testing.assert_array_equal(model.inverse_transform(Z), model.decode(Z))


def test_a_model_that_has_not_learned_says_so(unfitted, trajectories):
    for use in (
        lambda: unfitted.encode(trajectories),
        lambda: unfitted.decode(np.zeros((1, 2))),
        lambda: unfitted.sample(1, np.random.default_rng(0)),
        lambda: unfitted.bounds,
        lambda: unfitted.to_bytes(),
    ):
        with pytest.raises(NotFittedError, match="fit"):
            use()


def test_a_trajectory_of_another_length_is_refused_with_a_mend(model):
    with pytest.raises(TrajectoryShapeError, match="trajectory has 51 steps, the latent model was trained on 60; resample"):
        model.encode(np.zeros((2, 51)))


def test_trajectories_of_other_dimensions_are_refused(model):
    with pytest.raises(TrajectoryShapeError, match=r"x\[None\]"):
        model.encode(np.zeros(60))
    with pytest.raises(TrajectoryShapeError, match=r"\(n, 60\)"):
        model.encode(np.zeros((2, 60, 1)))
    with pytest.raises(TrajectoryShapeError, match=r"\(n, 2\)"):
        model.decode(np.zeros((4, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_by_index(unfitted, trajectories, bad):
    X = trajectories.copy()
    X[11, 4] = bad
    with pytest.raises(NonFiniteError, match=r"\[11, 4\]"):
        unfitted.fit(X)
    unfitted.fit(trajectories)
    with pytest.raises(NonFiniteError, match=r"\[11, 4\]"):
        unfitted.encode(X)


def test_too_few_or_ragged_trajectories_are_refused(unfitted):
    with pytest.raises(TrajectoryShapeError, match="at least two"):
        unfitted.fit(np.zeros((1, 60)))
    with pytest.raises(TrajectoryShapeError, match="same length"):
        unfitted.fit([[1.0, 2.0], [1.0]])
    with pytest.raises(TrajectoryShapeError, match="x\\[None\\]"):
        unfitted.fit(np.zeros(60))


def test_a_negative_seed_and_an_empty_sample_are_refused(unfitted, trajectories):
    with pytest.raises(ParameterError, match="seed"):
        unfitted.fit(trajectories, seed=-1)
    unfitted.fit(trajectories)
    with pytest.raises(ParameterError, match="at least 1"):
        unfitted.sample(0, np.random.default_rng(0))
