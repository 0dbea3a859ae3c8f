import numpy as np
import pytest
from latentloop.models import ParameterError
from latentloop.models.surrogates.input_layer import as_rows, box_layer, layer_of, tail_means, trajectory_layer


def trajectories(n: int = 60, n_steps: int = 100, seed: int = 0) -> np.ndarray:
    """Sums of three sines with noise, and a last value of their own."""
    generator = np.random.default_rng(seed)
    t = np.linspace(0, 1, n_steps)
    waves = np.array([np.sin((j + 1) * np.pi * t) for j in range(3)])
    x = generator.standard_normal((n, 3)) @ waves + 1e-4 * generator.standard_normal((n, n_steps))
    x[:, -1] += generator.standard_normal(n)
    return x


def test_a_box_becomes_a_cube_in_which_uniform_points_have_variance_one():
    box = np.array([[-5.0, 10.0], [0.0, 0.1]])
    layer = box_layer(box)
    np.testing.assert_allclose(layer(box.T), layer.bounds.T)
    x = box[:, 0] + np.random.default_rng(0).random((20_000, 2)) * (box[:, 1] - box[:, 0])
    np.testing.assert_allclose(layer(x).std(axis=0), 1, rtol=0.02)


def test_tail_means_average_the_last_steps_of_each_channel():
    x = np.random.default_rng(1).standard_normal((4, 10, 2))
    means = as_rows(x) @ tail_means(10, 2)
    wanted = [x[:, -length:, channel].mean(axis=1) for length in (1, 2, 4, 8) for channel in (0, 1)]
    np.testing.assert_allclose(means, np.array(wanted).T, rtol=1e-12)


def test_inputs_of_trajectories_are_standardized():
    x = trajectories()
    u = trajectory_layer(x)(x)
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(u.std(axis=0), 1, rtol=1e-9)


def test_principal_scores_leave_noise_out_and_the_last_value_is_still_seen():
    x = trajectories()
    alone = trajectory_layer(x, with_tail_means=False)
    assert alone(x).shape[1] == 4  # three sines and the last step
    layer = trajectory_layer(x)
    other = x[:1].copy()
    other[0, -1] += 1.0
    last = layer(other) - layer(x[:1])
    assert np.abs(last[0, 4]) == pytest.approx(1 / x[:, -1].std(), rel=1e-6)


def test_features_that_do_not_vary_are_left_out():
    x = trajectories()
    x[:, -1] = 2.0
    layer = trajectory_layer(x)
    assert np.isfinite(layer(x + 1.0)).all()
    assert layer.matrix.shape[1] == trajectory_layer(trajectories()).matrix.shape[1] - 2  # neither the last value nor its component


@pytest.mark.parametrize("x", [np.ones((5, 40)), np.zeros((1, 40)), np.full((3, 1), 7.0)])
def test_equal_trajectories_still_make_a_layer(x):
    layer = trajectory_layer(x)
    assert layer(x).shape == (len(x), 1)
    assert np.isfinite(layer(x)).all()


def test_the_way_back_is_the_slope_of_the_way_there():
    decode_matrix = np.random.default_rng(2).standard_normal((2, 30))

    def decode(z: np.ndarray) -> np.ndarray:
        return np.tanh(z @ decode_matrix).reshape(-1, 15, 2)

    z = np.random.default_rng(3).standard_normal((20, 2))
    for layer, points in ((layer_of(np.tile([-3.0, 3.0], (2, 1)), z, decode, 2), z), (trajectory_layer(trajectories()), trajectories())):
        slope = np.random.default_rng(4).standard_normal((len(points), len(layer.bounds)))
        pulled = layer.pullback(points, slope)
        for k in (0, points.shape[1] - 1):
            step = 1e-4 * np.eye(points.shape[1])[k]
            quotient = ((layer(points + step) - layer(points - step)) * slope).sum(axis=1) / 2e-4
            np.testing.assert_allclose(pulled[:, k], quotient, rtol=1e-4, atol=1e-4 * np.abs(quotient).max())


def test_channels_that_do_not_divide_the_steps_are_refused():
    with pytest.raises(ParameterError, match="n_channels"):
        trajectory_layer(trajectories(), n_channels=7)
