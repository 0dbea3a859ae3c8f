"""The process on decoded trajectories: what it sees, what that is worth, and that asking it is cheap."""

import numpy as np
import pytest
from latentloop.models import NotFittedError
from latentloop.models.acquisition import Box, LogEI, Observed, Portfolio
from latentloop.models.surrogates import GaussianProcess, PCAGaussianProcess, SparseGaussianProcess, automatic_surrogate
from latentloop.models.surrogates.input_layer import layer_of

BOX = np.array([[-3.0, 3.0], [-3.0, 3.0]])
TIMES = np.linspace(0, 1, 60)


def decode(z: np.ndarray) -> np.ndarray:
    """A latent space with a fold: the trajectories turn over within a narrow band across it."""
    turned = np.tanh(12 * (z[:, :1] - 0.6 * z[:, 1:]))
    waves: np.ndarray = turned * np.sin(5 * TIMES) + 0.3 * z[:, 1:] * TIMES
    return waves


def memory(x: np.ndarray) -> np.ndarray:
    """An objective that depends on the last steps of a trajectory."""
    values: np.ndarray = np.cos(2 * x[:, -8:].mean(axis=1)) + 0.2 * x[:, -1]
    return values


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, (n, 2))


def error(model: GaussianProcess | PCAGaussianProcess) -> float:
    model.fit(points(40), memory(decode(points(40))))
    others = points(400, 1)
    return float(np.sqrt(np.mean((model.posterior(others).mean - memory(decode(others))) ** 2)))


def test_a_fold_of_the_latent_space_is_seen_in_the_trajectories():
    assert error(PCAGaussianProcess(BOX, features=decode)) < 0.2 * error(GaussianProcess(BOX))


def test_a_gradient_takes_one_call_of_the_decoder():
    calls = []

    def counted(z: np.ndarray) -> np.ndarray:
        calls.append(len(z))
        return decode(z)

    model = PCAGaussianProcess(BOX, features=counted)
    model.fit(points(20), memory(decode(points(20))))
    calls.clear()
    model.posterior_gradient(points(7, 2))
    assert calls == [35]
    path = model.draw_path(np.random.default_rng(0))
    calls.clear()
    np.testing.assert_array_equal(path.value(points(7, 2)), path(points(7, 2))[0])
    assert calls == [7, 35]


def test_channels_of_decoded_trajectories_keep_their_own_tail_means():
    z = points(30)

    def two_channels(z: np.ndarray) -> np.ndarray:
        return np.stack([decode(z), -2.0 * decode(z[:, ::-1])], axis=2)

    np.testing.assert_allclose(layer_of(BOX, z, two_channels)(z), layer_of(BOX, z, two_channels, 2)(z))


def test_between_refits_a_restarted_process_believes_the_same():
    z, y = points(75), memory(decode(points(75)))
    growing, fresh = PCAGaussianProcess(BOX, features=decode), PCAGaussianProcess(BOX, features=decode)
    for n in range(68, 76):
        growing.fit(z[:n], y[:n])
    fresh.fit(z, y)
    np.testing.assert_array_equal(growing.posterior(points(9, 3)).mean, fresh.posterior(points(9, 3)).mean)
    np.testing.assert_array_equal(growing.posterior(points(9, 3)).variance, fresh.posterior(points(9, 3)).variance)


def test_the_automatic_surrogate_looks_at_trajectories_where_there_are_some():
    assert isinstance(automatic_surrogate(BOX), GaussianProcess)
    assert isinstance(automatic_surrogate(BOX, features=lambda z: z), GaussianProcess)
    assert isinstance(automatic_surrogate(BOX, features=decode), PCAGaussianProcess)
    with pytest.raises(NotFittedError):
        automatic_surrogate(BOX, features=decode).posterior(points(1))


def test_the_portfolio_does_not_measure_where_nothing_is_left_to_learn():
    """Its answers lie far from everything known once expected improvement has become negligible; log EI stays at the incumbent."""
    model = PCAGaussianProcess(BOX, noise=0.0, features=lambda z: np.outer(z[:, 0], TIMES) + np.outer(z[:, 1], TIMES**2))

    def hill(z: np.ndarray) -> np.ndarray:
        values: np.ndarray = -((z - 0.5) ** 2).sum(axis=1)
        return values

    z = np.vstack([points(25, 4), [[0.5, 0.5]], 0.5 + 1e-3 * np.random.default_rng(5).standard_normal((10, 2))])
    model.fit(z, hill(z))
    known = Observed(z, hill(z))
    for turn in range(3):
        point = Portfolio().propose(model, Box(BOX), observed=known, generator=np.random.default_rng(turn)).points[0]
        assert np.abs(point - z).max(axis=1).min() > 0.1
    greedy = LogEI().propose(model, Box(BOX), observed=known, generator=np.random.default_rng(0)).points[0]
    assert np.abs(greedy - z).max(axis=1).min() < 0.1


def test_thousands_of_observations_go_to_the_sparse_process_behind_the_same_inputs():
    x = points(1700)
    model = PCAGaussianProcess(BOX, noise=1e-6, features=decode)
    model.fit(x, memory(decode(x)))
    assert isinstance(model._learned()[1], SparseGaussianProcess)
    others = points(200, 3)
    truth = memory(decode(others))
    assert np.sqrt(np.mean((model.posterior(others).mean - truth) ** 2)) < 0.05 * truth.std()
    path = model.draw_path(np.random.default_rng(0))
    np.testing.assert_allclose(path.value(others[:5]), path(others[:5])[0])
    assert model.condition(others[:1]).posterior(others[:1]).variance[0] < model.posterior(others[:1]).variance[0]


def test_the_automatic_choice_becomes_sparse_with_many_observations():
    from latentloop import Optimizer

    optimizer = Optimizer(BOX)
    x = points(1502)
    optimizer.tell(x[:1500], memory(x[:1500]))
    assert isinstance(optimizer.surrogate, GaussianProcess)
    optimizer.tell(x[1500:], memory(x[1500:]))
    assert isinstance(optimizer.surrogate, SparseGaussianProcess)
    again = Optimizer.from_state(optimizer.state())
    np.testing.assert_array_equal(again.ask(), optimizer.ask())
