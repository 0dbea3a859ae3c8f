import numpy as np
from latentloop.models.latent import Identity, LatentSpace, latent_model_from_bytes

CORNERS = np.array([[0.0, -1.0, 5.0], [200.0, 2.0, 6.0]])


def test_encoding_and_decoding_change_nothing() -> None:
    points = np.random.default_rng(0).uniform(size=(7, 3))
    model = Identity().fit(CORNERS)
    assert np.array_equal(model.encode(points), points)
    assert np.array_equal(model.decode(points), points)


def test_the_space_of_the_corners_is_the_box() -> None:
    space = LatentSpace.from_trajectories(Identity().fit(CORNERS), CORNERS)
    assert np.array_equal(space.bounds, CORNERS.T)
    assert np.array_equal(space.consistency(CORNERS), [0.0, 0.0])


def test_samples_fill_the_box_and_stay_in_it() -> None:
    drawn = Identity().fit(CORNERS).sample(500, np.random.default_rng(1))
    assert ((drawn >= CORNERS[0]) & (drawn <= CORNERS[1])).all()
    assert (np.ptp(drawn, axis=0) > 0.9 * np.ptp(CORNERS, axis=0)).all()


def test_bytes_restore_the_model() -> None:
    model = Identity().fit(CORNERS)
    restored = latent_model_from_bytes(model.to_bytes())
    assert isinstance(restored, Identity)
    assert restored.n_latent == 3
    assert np.array_equal(restored.bounds, model.bounds)
