import numpy as np
import pytest
from latentloop.models import NonFiniteError, ParameterError, TrajectoryShapeError
from latentloop.models.diagnostics import latent_spectrum
from latentloop.models.latent import PCA, VAE


def trajectories(n: int = 400, scales: tuple[float, ...] = (3.0, 1.0, 0.1), noise: float = 0.01) -> np.ndarray:
    """Sums of sines that are orthonormal over 60 steps, with these standard deviations."""
    generator = np.random.default_rng(0)
    t = np.arange(60) + 0.5
    waves = np.array([np.sin((j + 1) * np.pi * t / 60) for j in range(len(scales))]) * np.sqrt(2 / 60)
    return generator.standard_normal((n, len(scales))) * scales @ waves + noise * generator.standard_normal((n, 60))


@pytest.mark.parametrize("n", [400, 30])
def test_the_eigenvalues_are_those_of_principal_components(n):
    x = trajectories(n)
    spectrum = latent_spectrum(x)
    pca = PCA(min(n - 1, 25)).fit(x)
    np.testing.assert_allclose(spectrum.eigenvalues[:25], pca.explained_variance[:25], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(spectrum.explained[:3], np.cumsum(pca.explained_variance_ratio)[:3], rtol=1e-9)
    assert len(spectrum.eigenvalues) == min(n - 1, 60)


def test_dimensions_stay_active_while_their_eigenvalue_exceeds_beta_sigma_squared():
    spectrum = latent_spectrum(trajectories())
    assert [spectrum.n_active(sigma) for sigma in (5.0, 2.0, 0.5, 0.05)] == [0, 1, 2, 3]
    assert spectrum.n_active(0.5, beta=8.0) == 1
    assert spectrum.n_for(0.85) == 1
    assert spectrum.n_for(0.99) == 2
    assert spectrum.n_for(1.0) == 60


def test_the_residual_is_the_error_of_principal_components():
    x = trajectories()
    spectrum = latent_spectrum(x)
    for d in (1, 2, 3):
        model = PCA(d).fit(x)
        error = np.sqrt(((model.decode(model.encode(x)) - x) ** 2).sum() / (len(x) - 1) / 60)
        assert spectrum.residual(d) == pytest.approx(error, rel=1e-6)
    assert spectrum.residual(60) == 0


def test_a_variational_autoencoder_keeps_about_as_many_dimensions():
    """Four offered, two have eigenvalues above sigma squared: the posteriors of the others are the prior's."""
    x = trajectories(800)
    model = VAE(n_latent=4, sigma=0.3, hidden=(32,), epochs=60, batch_size=64).fit(x, seed=0)
    _, std = model.encode_distribution(x)
    assert int((std.mean(axis=0) < 0.8).sum()) == latent_spectrum(x).n_active(0.3) == 2


def test_channels_count_as_values_and_bad_input_is_refused():
    x = trajectories(50)
    assert latent_spectrum(x.reshape(50, 30, 2)).n_values == 60
    with pytest.raises(TrajectoryShapeError, match="at least two"):
        latent_spectrum(x[:1])
    with pytest.raises(NonFiniteError, match="NaN"):
        latent_spectrum(np.where(x > 1, np.nan, x))
    with pytest.raises(ParameterError, match="positive"):
        latent_spectrum(x).n_active(0.0)
    with pytest.raises(ParameterError, match="share"):
        latent_spectrum(x).n_for(1.5)
    with pytest.raises(ParameterError, match="n_latent"):
        latent_spectrum(x).residual(-1)
