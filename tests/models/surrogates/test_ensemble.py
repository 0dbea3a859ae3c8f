import numpy as np
from latentloop.models.surrogates import EnsembleSurrogate, GaussianProcess, PCAGaussianProcess

UNIT = np.tile([0.0, 1.0], (3, 1))


def rough(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.where(x[:, 0] > 0.5, 1.0, 0.0) + 0.5 * np.sin(9 * x[:, 1])
    return values


def points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 3))


def test_the_moments_are_those_of_the_mixture_of_its_members():
    model, x = EnsembleSurrogate(UNIT, noise=1e-4), points(50, 1)
    model.fit(points(25, 0), rough(points(25, 0)))
    layer, mixture, units = model._learned()
    assert len(mixture.members) == 12
    moments = [member.belief.moments(member.features(layer(x))) for member in mixture.members]
    means, variances = np.array([each.mean for each in moments]), np.array([each.variance for each in moments])
    belief = model.posterior(x)
    np.testing.assert_allclose(belief.mean, units.centre + units.unit * means.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(belief.variance, units.unit**2 * (variances.mean(axis=0) + means.var(axis=0)), rtol=1e-9)


def test_with_few_observations_its_intervals_cover_about_as_much_as_those_of_a_single_process():
    inside = {GaussianProcess: [], EnsembleSurrogate: []}
    x = points(500, 99)
    for seed in range(6):
        for kind, shares in inside.items():
            model = kind(UNIT)
            model.fit(points(15, seed), rough(points(15, seed)))
            belief = model.posterior(x)
            shares.append((np.abs(belief.mean - rough(x)) < 1.96 * np.sqrt(belief.variance)).mean())
    assert np.mean(inside[EnsembleSurrogate]) > np.mean(inside[GaussianProcess]) - 0.02


def test_principal_scores_do_not_care_how_the_latent_space_is_stretched():
    """The same trajectories under two codes give the same predictions."""
    times = np.linspace(0, 1, 30)

    def straight(z: np.ndarray) -> np.ndarray:
        return z[:, :1] * np.sin(3 * times) + z[:, 1:2] * times + z[:, 2:] * times**2

    def stretched(z: np.ndarray) -> np.ndarray:
        return straight(np.sinh(4 * z) / np.sinh(4))

    z, others = points(40, 0), points(30, 1)
    first, second = PCAGaussianProcess(UNIT, features=straight), PCAGaussianProcess(UNIT, features=stretched)
    first.fit(z, rough(z))
    second.fit(np.arcsinh(z * np.sinh(4)) / 4, rough(z))
    np.testing.assert_allclose(
        first.posterior(others).mean, second.posterior(np.arcsinh(others * np.sinh(4)) / 4).mean, rtol=1e-6, atol=1e-8
    )
