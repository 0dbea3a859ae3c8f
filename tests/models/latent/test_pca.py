import numpy as np
import pytest
from latentloop.models import ParameterError
from latentloop.models.latent import PCA


def test_data_of_rank_two_come_back_exactly():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((50, 2)) @ generator.standard_normal((2, 30)) + 4
    model = PCA(2).fit(X)
    np.testing.assert_allclose(model.decode(model.encode(X)), X, atol=1e-12)
    np.testing.assert_allclose(model.explained_variance_ratio.sum(), 1.0)


def test_encode_inverts_decode(trajectories):
    model = PCA(4).fit(trajectories)
    Z = np.random.default_rng(1).standard_normal((10, 4))
    np.testing.assert_allclose(model.encode(model.decode(Z)), Z, atol=1e-12)


def test_components_are_eigenvectors_of_the_covariance(trajectories):
    model = PCA(3).fit(trajectories)
    largest = np.linalg.eigvalsh(np.cov(trajectories.T))[::-1][:3]
    np.testing.assert_allclose(model.explained_variance, largest, rtol=1e-10)


def test_samples_have_the_variance_of_the_data_along_the_components(trajectories):
    model = PCA(2).fit(trajectories)
    Z = model.encode(model.sample(20_000, np.random.default_rng(0)))
    np.testing.assert_allclose(Z.var(axis=0), model.explained_variance, rtol=0.05)


def test_constant_trajectories_have_nothing_to_explain():
    model = PCA(1).fit(np.ones((5, 8)))
    np.testing.assert_array_equal(model.explained_variance_ratio, [0.0])
    np.testing.assert_allclose(model.decode(model.encode(np.ones((2, 8)))), 1.0)


def test_it_has_no_training_curve(trajectories):
    assert PCA().fit(trajectories).training_curve is None


def test_more_components_than_data_are_refused():
    with pytest.raises(ParameterError, match="at most 3 components"):
        PCA(4).fit(np.random.default_rng(0).standard_normal((3, 10)))
    with pytest.raises(ParameterError, match="n_latent"):
        PCA(0)
