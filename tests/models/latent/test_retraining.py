import numpy as np
import pytest
from latentloop.models import NonFiniteError, ObservationError, ParameterError
from latentloop.models.latent import VAE, LatentSpace, latent_model_from_bytes, retrain
from latentloop.models.latent.retraining import rank_weights


def family(n: int, seed: int = 0, n_steps: int = 80, n_parameters: int = 3) -> np.ndarray:
    """Damped waves with a few random parameters."""
    generator = np.random.default_rng(seed)
    t = np.linspace(0, 1, n_steps)
    waves = np.array([np.sin((j + 1) * 2.5 * t) * np.exp(-j * t / 2) for j in range(n_parameters)])
    return np.tanh(generator.standard_normal((n, n_parameters)) @ waves)


@pytest.fixture(scope="module")
def trained() -> tuple[VAE, np.ndarray]:
    x = family(600)
    return VAE(hidden=(32,), epochs=15, batch_size=32).fit(x, seed=0), x


@pytest.fixture(scope="module")
def explored() -> tuple[np.ndarray, np.ndarray]:
    """Trajectories unlike most of the data, the more so the better."""
    x = family(40, seed=9)
    y = x[:, -1]
    return x + 0.3 * (y[:, None] > 0.5) * np.sin(np.linspace(0, 30, 80)), y


def test_weights_are_those_of_the_publication():
    y = np.array([0.0, 3.0, 1.0, 2.0])
    weights, other = rank_weights(y, 4)
    np.testing.assert_allclose(weights, 1 / (0.004 + np.array([3, 0, 2, 1])))
    assert other == pytest.approx(weights.mean())
    np.testing.assert_allclose(rank_weights(y, 4, goal="minimize")[0], 1 / (0.004 + np.array([0, 3, 1, 2])))


def test_measured_ranks_are_stretched_to_all_trajectories_and_equal_values_weigh_the_same():
    weights, other = rank_weights([1.0, 1.0, 0.0, -1.0], 400)
    assert weights[0] == weights[1] == pytest.approx(1 / 0.4)
    assert weights[2] == pytest.approx(1 / (0.4 + 200))
    assert weights[3] < other < weights[0]


def test_a_large_constant_makes_weights_even():
    weights, other = rank_weights(np.arange(10.0), 10, k=1e6)
    np.testing.assert_allclose(weights / other, 1, rtol=1e-4)


def test_the_best_explored_trajectories_are_decoded_more_precisely(trained, explored):
    (model, x), (new_x, y) = trained, explored
    best = new_x[np.argsort(-y)[:8]]
    again = retrain(model, x, new_x, y, seed=1)

    def error(of: VAE, what: np.ndarray) -> float:
        return float(np.sqrt(np.mean((of.decode(of.encode(what)) - what) ** 2)))

    assert error(again, best) < 0.95 * error(model, best)
    assert error(again, x) < 1.5 * error(model, x)
    even = retrain(model, x, new_x, y, seed=1, k=1e6)
    assert error(again, best) < error(even, best)


def test_the_model_given_stays_as_it_was_and_the_new_one_is_complete(trained, explored):
    (model, x), (new_x, y) = trained, explored
    before = model.to_bytes()
    again = retrain(model, x, new_x, y, epochs=0.1)
    assert model.to_bytes() == before
    assert again.to_bytes() != before
    loaded = latent_model_from_bytes(again.to_bytes())
    np.testing.assert_array_equal(loaded.encode(new_x), again.encode(new_x))
    codes = again.encode(np.vstack([x, new_x]))
    np.testing.assert_allclose(again.bounds, np.stack([codes.min(axis=0), codes.max(axis=0)], axis=1))
    assert len(again.training_curve) == len(model.training_curve) + 1


def test_the_same_arguments_give_the_same_bits(trained, explored):
    (model, x), (new_x, y) = trained, explored
    first, second, other = (retrain(model, x, new_x, y, epochs=0.3, seed=seed) for seed in (5, 5, 6))
    assert first.to_bytes() == second.to_bytes()
    assert first.to_bytes() != other.to_bytes()


def test_bad_input_is_refused_by_name(trained, explored):
    (model, x), (new_x, y) = trained, explored
    with pytest.raises(ObservationError, match="as many values"):
        retrain(model, x, new_x, y[:3])
    with pytest.raises(NonFiniteError, match="trials"):
        retrain(model, x, new_x[:1], [np.nan])
    with pytest.raises(ParameterError, match="epochs"):
        retrain(model, x, new_x, y, epochs=0)
    with pytest.raises(ParameterError, match="k is"):
        rank_weights(y, 100, k=-1)
    with pytest.raises(ObservationError, match="m <= 2"):
        rank_weights(y, 2)


@pytest.mark.parametrize("d", [2, 5, 10, 20])
def test_latent_spaces_of_two_to_twenty_dimensions_work_throughout(d):
    """Trained, encoded, decoded, boxed, stored and retrained; more dimensions never reconstruct worse than two by much."""
    x = family(300, n_parameters=6)
    model = VAE(n_latent=d, hidden=(32,), epochs=15, batch_size=32, sigma=0.05).fit(x, seed=0)
    z = model.encode(x)
    assert z.shape == (300, d)
    space = LatentSpace(model, z)
    assert space.bounds.shape == (d, 2)
    assert space.contains(z).all()
    assert np.isfinite(space.consistency(z[:10])).all()
    two = VAE(n_latent=2, hidden=(32,), epochs=15, batch_size=32, sigma=0.05).fit(x, seed=0)
    error = np.sqrt(np.mean((model.decode(z) - x) ** 2))
    assert error <= 1.05 * np.sqrt(np.mean((two.decode(two.encode(x)) - x) ** 2))
    np.testing.assert_array_equal(latent_model_from_bytes(model.to_bytes()).decode(z[:3]), model.decode(z[:3]))
    assert retrain(model, x, x[:20], x[:20, -1], epochs=0.1).encode(x).shape == (300, d)
