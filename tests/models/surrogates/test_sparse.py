import numpy as np
import pytest
import torch
from latentloop.models import ParameterError
from latentloop.models.surrogates import SparseGaussianProcess
from latentloop.models.surrogates.feature_posterior import FeaturePosterior
from latentloop.models.surrogates.inducing_posterior import InducingPosterior, chosen_inducing
from latentloop.models.surrogates.kernels import KERNELS
from latentloop.models.surrogates.sparse import representative

KERNEL = KERNELS["matern52"]
UNIT = np.tile([0.0, 1.0], (2, 1))


def wave(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.sin(6 * x[:, 0]) * np.cos(4 * x[:, 1]) + x[:, 0]
    return values


def data(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((n, 2)), generator.standard_normal(n), generator.uniform(0.05, 0.2, n)


def test_with_every_observation_inducing_it_is_the_exact_posterior():
    phi, y, noise = data()
    sparse = InducingPosterior(KERNEL, phi, y, noise, phi, 0.2, 1.7).moments(np.random.default_rng(1).standard_normal((9, 2)))
    exact = FeaturePosterior(KERNEL, phi, y, noise, 0.2, 1.7).moments(np.random.default_rng(1).standard_normal((9, 2)))
    np.testing.assert_allclose(sparse.mean, exact.mean, atol=1e-5)
    np.testing.assert_allclose(sparse.variance, exact.variance, atol=1e-5)


def test_the_posterior_is_that_of_gpytorchs_inducing_point_kernel():
    from gpytorch.distributions import MultivariateNormal
    from gpytorch.kernels import InducingPointKernel, MaternKernel
    from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
    from gpytorch.means import ConstantMean
    from gpytorch.models import ExactGP
    from gpytorch.settings import sgpr_diagonal_correction

    phi, y, _ = data()
    noise = np.full(len(y), 0.1)

    class Model(ExactGP):
        def __init__(self, likelihood):
            super().__init__(torch.from_numpy(phi), torch.from_numpy(y), likelihood)
            self.mean_module = ConstantMean()
            self.base = MaternKernel(nu=2.5)
            self.base.lengthscale = 1.0
            self.covar_module = InducingPointKernel(self.base, torch.from_numpy(phi[:12]).clone(), likelihood)

        def forward(self, x):
            return MultivariateNormal(self.mean_module(x), self.covar_module(x))

    model = Model(FixedNoiseGaussianLikelihood(torch.from_numpy(noise))).double()
    model.eval()
    others = np.random.default_rng(1).standard_normal((9, 2))
    with torch.no_grad(), sgpr_diagonal_correction(False):  # without it is the variational posterior's mean
        theirs = model(torch.from_numpy(others)).mean.numpy()
    ours = InducingPosterior(KERNEL, phi, y, noise, phi[:12], 0.0, 1.0).moments(others)
    np.testing.assert_allclose(ours.mean, theirs, atol=2e-3)


def test_inducing_points_are_the_most_uncertain_ones_in_turn():
    phi = data()[0]
    chosen = chosen_inducing(KERNEL, phi, 6)
    assert len(np.unique(chosen)) == 6
    for turn in range(1, 6):
        before = phi[chosen[:turn]]
        gram = KERNEL.matrix(before, before, np.ones(2))
        cross = KERNEL.matrix(phi, before, np.ones(2))
        left = 1.0 - np.einsum("ij,ji->i", cross, np.linalg.solve(gram, cross.T))
        assert left[chosen[turn]] == pytest.approx(left.max(), rel=1e-6)


def test_duplicates_are_induced_from_once():
    phi = np.repeat(data(5)[0], 4, axis=0)
    assert len(chosen_inducing(KERNEL, phi, 20)) == 5


def test_a_choice_of_rows_holds_the_best_and_is_even_otherwise():
    y = np.random.default_rng(2).standard_normal(5000)
    rows = representative(y, 200)
    assert set(np.argsort(-y)[:50]) <= set(rows)
    assert len(rows) <= 200
    assert np.diff(rows).max() < 60
    np.testing.assert_array_equal(representative(y[:10], 200), np.arange(10))


def test_thousands_of_observations_are_learned_from_and_the_best_are_interpolated():
    x = np.random.default_rng(3).random((3000, 2))
    model = SparseGaussianProcess(UNIT)
    model.fit(x, wave(x))
    others = np.random.default_rng(4).random((500, 2))
    belief = model.posterior(others)
    assert np.sqrt(np.mean((belief.mean - wave(others)) ** 2)) < 0.02 * wave(others).std()
    best = x[np.argsort(-wave(x))[:20]]
    assert np.abs(model.posterior(best).mean - wave(best)).max() < 0.01 * wave(x).std()


def test_fewer_inducing_points_mean_more_doubt():
    x = np.random.default_rng(3).random((1600, 2))
    few, many = (SparseGaussianProcess(UNIT, noise=1e-4, n_inducing=n) for n in (10, 200))
    for model in (few, many):
        model.fit(x, wave(x))
    others = np.random.default_rng(4).random((100, 2))
    assert (few.posterior(others).variance > many.posterior(others).variance).mean() > 0.95


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ParameterError, match="n_inducing"):
        SparseGaussianProcess(UNIT, n_inducing=0)
