import numpy as np
import pytest
import torch
from latentloop.models import ParameterError, TrainingDivergedError
from latentloop.models.latent import VAE
from latentloop.simulators.trajectories import published_trajectories
from pydantic import ValidationError, validate_call

SMALL = {"hidden": (16,), "epochs": 20, "batch_size": 32}


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(vae, trajectories):
    again = VAE(**SMALL).fit(trajectories, seed=3)
    assert again.to_bytes() == vae.to_bytes()
    assert VAE(**SMALL).fit(trajectories, seed=4).to_bytes() != vae.to_bytes()


def test_training_neither_reads_nor_moves_the_global_random_state(vae, trajectories):
    torch.manual_seed(99)
    before = torch.get_rng_state().clone()
    again = VAE(**SMALL).fit(trajectories, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.to_bytes() == vae.to_bytes()


def test_a_generator_can_stand_for_the_seed(trajectories):
    first, second = (VAE(**SMALL).fit(trajectories[:64], seed=np.random.default_rng(8)) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()


def test_the_negative_elbo_is_that_of_a_direct_calculation(vae, trajectories):
    """A Monte-Carlo mean over many posterior samples, with densities from SciPy, agrees with the mean over seeds."""
    from scipy.stats import norm

    X = trajectories[:20]
    mean, std = vae.encode_distribution(X)
    generator = np.random.default_rng(0)
    values = []
    for _ in range(300):
        z = mean + std * generator.standard_normal(mean.shape)
        log_ratio = norm.logpdf(X, vae.decode(z), vae.sigma).sum(1) + norm.logpdf(z).sum(1) - norm.logpdf(z, mean, std).sum(1)
        values.append(-log_ratio.mean())
    ours = [vae.negative_elbo(X, seed) for seed in range(300)]
    error = np.hypot(np.std(values), np.std(ours)) / np.sqrt(300)
    assert np.mean(ours) == pytest.approx(np.mean(values), abs=5 * error)
    assert vae.negative_elbo(X, 1) == vae.negative_elbo(X, 1)


def test_the_training_curve_falls_towards_the_final_value(vae, trajectories):
    curve = vae.training_curve
    assert curve.shape == (20,)
    assert curve[-1] < curve[0]
    # the closing regression can only help
    assert vae.negative_elbo(trajectories) < curve[-1]


def test_the_closing_regression_lowers_the_negative_elbo_and_leaves_the_encoder_alone(trajectories):
    with_it, without = (VAE(**SMALL, least_squares_finish=flag).fit(trajectories, seed=2) for flag in (True, False))
    np.testing.assert_array_equal(with_it.encode(trajectories), without.encode(trajectories))
    assert with_it.negative_elbo(trajectories) < without.negative_elbo(trajectories) - 1


def test_the_closing_regression_does_not_overfit_a_handful_of_trajectories(trajectories):
    few, others = trajectories[:12], trajectories[12:]
    with_it, without = (VAE(hidden=(64,), epochs=100, least_squares_finish=flag).fit(few, seed=2) for flag in (True, False))
    assert with_it.negative_elbo(others) < without.negative_elbo(others) + 20


def test_progress_hears_of_every_epoch(trajectories):
    heard = []
    model = VAE(**SMALL).fit(trajectories[:64], progress=lambda *news: heard.append(news))
    assert [news[:2] for news in heard] == [(epoch, 20) for epoch in range(1, 21)]
    np.testing.assert_array_equal([news[2] for news in heard], model.training_curve)


def test_early_stopping_stops_and_keeps_the_best_weights(trajectories):
    model = VAE(hidden=(16,), epochs=500, batch_size=32, schedule="constant", patience=3, learning_rate=2e-2).fit(trajectories, seed=1)
    curve = model.training_curve
    assert len(curve) < 500
    assert np.argmin(curve) == len(curve) - 1 - 3


def test_kl_warmup_changes_the_path_but_not_the_goal(trajectories):
    plain, warm = (VAE(**SMALL, kl_warmup=n).fit(trajectories, seed=1) for n in (0, 10))
    assert plain.to_bytes() != warm.to_bytes()
    assert warm.negative_elbo(trajectories) < plain.training_curve[0]


def test_a_heavier_kl_weight_pulls_the_codes_towards_the_prior(trajectories):
    light, heavy = (VAE(**SMALL, kl_weight=weight).fit(trajectories, seed=1) for weight in (0.1, 30.0))
    # posterior standard deviations grow towards 1, the prior's
    assert heavy.encode_distribution(trajectories)[1].mean() > light.encode_distribution(trajectories)[1].mean()


def test_range_scaling_makes_the_units_of_the_trajectories_irrelevant(trajectories):
    volts = VAE(**SMALL, scaling="range").fit(trajectories, seed=1)
    millivolts = VAE(**SMALL, scaling="range").fit(1000 * trajectories + 7, seed=1)
    Z = volts.encode(trajectories)
    np.testing.assert_allclose(millivolts.encode(1000 * trajectories + 7), Z, atol=1e-3)
    np.testing.assert_allclose((millivolts.decode(Z) - 7) / 1000, volts.decode(Z), atol=1e-3)


def test_a_constant_channel_survives_range_scaling(trajectories):
    X = np.stack([trajectories, np.full_like(trajectories, 3.0)], axis=2)
    model = VAE(**SMALL, scaling="range").fit(X, seed=1)
    np.testing.assert_allclose(model.decode(model.encode(X[:5]))[..., 1], 3.0, atol=0.3)


def test_fewer_trajectories_than_a_batch_are_trained_on(trajectories):
    model = VAE(hidden=(16,), epochs=30, batch_size=512).fit(trajectories[:40], seed=0)
    assert model.training_curve[-1] < model.training_curve[0]


def test_more_latent_dimensions_explain_more(trajectories):
    one, four = (
        VAE(n_latent=d, hidden=(32,), epochs=60, batch_size=32).fit(trajectories, seed=0).negative_elbo(trajectories) for d in (1, 4)
    )
    assert four < one


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_latent", 0),
        ("hidden", (0,)),
        ("sigma", 0.0),
        ("activation", "sine"),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", -1.0),
        ("schedule", "step"),
        ("kl_weight", -1.0),
        ("kl_warmup", -1),
        ("patience", 0),
        ("validation_fraction", 1.0),
        ("scaling", "log"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(name, value, trajectories):
    with pytest.raises(ParameterError, match=name):
        VAE(**{name: value})
    late = VAE().set_params(**{name: value})
    with pytest.raises(ParameterError, match=name):
        late.fit(trajectories)


def test_a_diverging_training_ends_in_a_sentence(trajectories):
    with pytest.raises(TrainingDivergedError, match="learning_rate"):
        VAE(hidden=(16,), activation="relu", epochs=20, learning_rate=1e12).fit(trajectories * 1e18)


def test_pydantic_can_call_the_constructor():
    model = VAE.__new__(VAE)
    validate_call(VAE.__init__)(model, n_latent=3, hidden=[32, 32], patience=None)
    assert model.hidden == (32, 32)
    with pytest.raises(ValidationError, match="epochs"):
        validate_call(VAE.__init__)(model, epochs="many")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_published_quality_is_reached_with_defaults(seed):
    X = published_trajectories()
    assert VAE().fit(X, seed=seed).negative_elbo(X) <= -1171.6
