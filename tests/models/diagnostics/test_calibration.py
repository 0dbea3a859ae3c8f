import numpy as np
import pytest
from latentloop.models import ObservationError
from latentloop.models.diagnostics import calibration_of, leave_one_out_calibration
from latentloop.models.surrogates import EnsembleSurrogate, GaussianProcess
from scipy.integrate import quad
from scipy.stats import norm

UNIT = np.tile([0.0, 1.0], (2, 1))


def wave(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.sin(6 * x[:, 0]) + x[:, 1]
    return values


def drawn(n: int, claimed: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values with standard deviation 2 around their means, and the one that is claimed."""
    generator = np.random.default_rng(0)
    mean = generator.standard_normal(n)
    return mean + 2.0 * generator.standard_normal(n), mean, np.full(n, claimed**2)


def test_an_honest_forecast_covers_what_it_promises():
    report = calibration_of(*drawn(20_000, 2.0))
    np.testing.assert_allclose(report.coverage, report.levels, atol=0.012)
    assert report.coverage_95 == pytest.approx(0.95, abs=0.006)
    assert report.miscalibration < 0.01
    assert report.rmse == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(("claimed", "is_too_narrow"), [(0.5, True), (8.0, False)])
def test_overconfidence_and_timidity_show_and_cost(claimed, is_too_narrow):
    honest, other = calibration_of(*drawn(5000, 2.0)), calibration_of(*drawn(5000, claimed))
    assert ((other.coverage < other.levels) == is_too_narrow).all()
    assert other.nlpd > honest.nlpd
    assert other.crps > honest.crps
    assert other.miscalibration > 0.2


def test_the_scores_are_those_of_their_definitions():
    y, mean, variance = np.array([0.7]), np.array([0.2]), np.array([0.09])
    report = calibration_of(y, mean, variance)
    below = quad(lambda t: norm.cdf(t, 0.2, 0.3) ** 2, -6, 0.7)[0]
    above = quad(lambda t: (norm.cdf(t, 0.2, 0.3) - 1) ** 2, 0.7, 6)[0]
    assert report.crps == pytest.approx(below + above, rel=1e-6)
    assert report.nlpd == pytest.approx(-norm.logpdf(0.7, 0.2, 0.3), rel=1e-12)


def test_every_value_is_predicted_without_having_been_seen():
    """A surrogate that remembers what it was given cannot know the values left out."""
    x = np.random.default_rng(1).random((30, 2))
    y = wave(x)
    report = leave_one_out_calibration(lambda: GaussianProcess(UNIT), x, y, noise=1e-6)
    np.testing.assert_array_equal(report.measured, y)
    others = GaussianProcess(UNIT)
    others.fit(np.delete(x, [3, 23], axis=0), np.delete(y, [3, 23]))
    assert report.mean[3] == pytest.approx(others.posterior(x[3:4]).mean[0], rel=1e-9)
    assert 0 < report.rmse < 0.3 * y.std()


def test_noise_that_the_surrogate_knows_widens_its_predictions():
    generator = np.random.default_rng(2)
    x = generator.random((40, 2))
    y = wave(x) + 0.3 * generator.standard_normal(40)
    report = leave_one_out_calibration(lambda: EnsembleSurrogate(UNIT), x, y)
    assert (report.std > 0.2).mean() > 0.9
    assert 0.8 < report.coverage_95 <= 1
    given = leave_one_out_calibration(lambda: GaussianProcess(UNIT), x, y, np.full(40, 0.09))
    assert (given.std >= 0.3).all()


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ObservationError, match="shapes"):
        calibration_of([1.0, 2.0], [1.0], [1.0])
    with pytest.raises(ObservationError, match="positive"):
        calibration_of([1.0], [1.0], [0.0])
    with pytest.raises(ObservationError, match="at least 3"):
        leave_one_out_calibration(lambda: GaussianProcess(UNIT), np.zeros((2, 2)), [0.0, 1.0])
