import numpy as np
import pytest
from latentloop.models import ParameterError, TrajectoryShapeError
from latentloop.models.latent import PCA, LatentSpace


@pytest.fixture(scope="module")
def space(vae, trajectories):
    return LatentSpace.from_trajectories(vae, trajectories)


def test_the_full_box_holds_all_encoded_data_and_nothing_more(space):
    assert space.contains(space.encoded).all()
    np.testing.assert_array_equal(space.bounds, space.model.bounds)
    assert not space.contains(space.bounds[:, 1][None] + 1e-9).any()


def test_a_quantile_box_leaves_out_that_share_on_each_side(vae, trajectories):
    space = LatentSpace.from_trajectories(vae, trajectories, quantile=0.1)
    inside = (space.encoded >= space.bounds[:, 0]) & (space.encoded <= space.bounds[:, 1])
    np.testing.assert_allclose(inside.mean(axis=0), 0.8, atol=0.01)


def test_a_margin_widens_the_box_by_its_share(vae, trajectories):
    tight, wide = (LatentSpace.from_trajectories(vae, trajectories, margin=margin).bounds for margin in (0.0, 0.25))
    np.testing.assert_allclose(np.diff(wide), 1.5 * np.diff(tight))


def test_distance_is_about_one_inside_and_grows_outside(space):
    assert 0.5 < np.median(space.distance(space.encoded)) <= 1.0
    centre = space.encoded.mean(axis=0)
    away = centre + np.array([[1.0, 1.0]]) * np.array([[10.0], [20.0], [40.0]])
    assert (np.diff(space.distance(away)) > 0).all()
    assert space.distance(away)[0] > 10


def test_distance_does_not_depend_on_the_units_of_a_coordinate(trajectories):
    model = PCA(2).fit(trajectories)
    Z = model.encode(trajectories)
    stretched = LatentSpace(model, Z * [1.0, 1000.0])
    asked = Z[:9] + np.array([0.5, 0.0])
    np.testing.assert_allclose(stretched.distance(asked * [1.0, 1000.0]), LatentSpace(model, Z).distance(asked))


def test_a_linear_model_is_consistent_everywhere_and_a_vae_is_not(space, trajectories):
    linear = LatentSpace.from_trajectories(PCA().fit(trajectories), trajectories)
    far = np.array([[30.0, -40.0]])
    assert linear.consistency(far)[0] < 1e-10
    assert space.consistency(far)[0] > 10
    assert np.median(space.consistency(space.encoded)) < 0.5


def test_decode_is_that_of_the_model(space):
    np.testing.assert_array_equal(space.decode(space.encoded[:3]), space.model.decode(space.encoded[:3]))


def test_impossible_boxes_are_refused(vae, trajectories):
    Z = vae.encode(trajectories)
    with pytest.raises(ParameterError, match="quantile"):
        LatentSpace(vae, Z, quantile=0.5)
    with pytest.raises(ParameterError, match="margin"):
        LatentSpace(vae, Z, margin=-1)
    with pytest.raises(ParameterError, match="at least 2"):
        LatentSpace(vae, Z[:1])
    with pytest.raises(ParameterError, match=r"latent dimension \[1\]"):
        LatentSpace(vae, Z * [1, 0])
    with pytest.raises(TrajectoryShapeError):
        LatentSpace(vae, Z[:, :1])
