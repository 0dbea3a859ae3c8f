"""Figures about methods: calibration, eigenvalues, convergence, comparison, acquisition, length scales."""

import json

import numpy as np
import pytest
from latentloop.loop.figures import (
    apply_theme,
    draw_acquisition_surface,
    draw_calibration,
    draw_convergence,
    draw_eigenvalues,
    draw_length_scales,
    draw_objective_comparison,
)
from latentloop.loop.figures.convergence import mean_and_interval
from scipy import stats

GRID = np.linspace(-2, 2, 21)


def surface() -> np.ndarray:
    """A hill at (1, -1): rows are y."""
    values: np.ndarray = -((GRID[None, :] - 1) ** 2) - (GRID[:, None] + 1) ** 2
    return values


def named(figure, name: str):
    """The first trace whose name starts so."""
    return next(trace for trace in figure.data if trace.name and trace.name.startswith(name))


def all_figures() -> list:
    generator = np.random.default_rng(0)
    truth, runs = surface(), np.maximum.accumulate(generator.random((5, 30)), axis=1)
    return [
        draw_calibration(generator.standard_normal(40), np.zeros(40), np.ones(40)),
        draw_eigenvalues(10.0 ** -np.arange(8.0), n_values=50, sigma=0.1, n_latent=2),
        draw_convergence({"random": runs, "ours": runs**0.5}, target=0.97, n_initial=5),
        draw_objective_comparison(GRID, GRID, truth, truth + 0.1, std=np.ones_like(truth), explored=generator.random((9, 2))),
        draw_acquisition_surface(GRID, GRID, truth, observed=np.zeros((3, 2)), pending=np.ones((1, 2)), proposed=np.array([[1.0, -1.0]])),
        draw_length_scales(np.arange(5.0, 10.0), generator.random((5, 3)) + 0.1, noise=np.full(5, 0.1)),
    ]


def test_every_figure_is_complete_json_in_both_themes_and_without_webgl():
    for figure in all_figures():
        for dark in (False, True):
            text = apply_theme(figure, dark=dark).to_json()
            assert "NaN" not in text
            assert not any(trace["type"].endswith("gl") for trace in json.loads(text)["data"])
        assert figure.layout.title.text
        assert figure.layout.meta["breakpoint"] > 0


def test_intervals_that_miss_are_told_from_those_that_hold():
    figure = draw_calibration(np.array([0.0, 1.0, 5.0]), np.array([0.5, 1.0, 1.0]), np.ones(3))
    np.testing.assert_array_equal(named(figure, "95 % interval holds").x, [0, 1])
    np.testing.assert_array_equal(named(figure, "it does not").x, [5])
    np.testing.assert_allclose(named(figure, "it does not").error_y.array, [1.959964], rtol=1e-6)
    assert any("67 %" in note.text for note in figure.layout.annotations)


def test_the_coverage_curve_is_the_share_of_values_inside():
    y = np.random.default_rng(1).standard_normal(4000)
    curve = named(draw_calibration(y, np.zeros(4000), np.ones(4000)), "coverage")
    np.testing.assert_allclose(curve.y, curve.x, atol=0.03)
    narrow = named(draw_calibration(y, np.zeros(4000), np.full(4000, 0.3)), "coverage")
    assert (np.array(narrow.y) < np.array(narrow.x)).all()


def test_predictions_that_are_not_numbers_are_left_out():
    figure = draw_calibration(np.array([0.0, np.nan]), np.zeros(2), np.ones(2))
    assert len(named(figure, "95 % interval holds").x) == 1
    assert draw_calibration(np.array([np.nan]), np.zeros(1), np.ones(1)).layout.meta["says"]


def test_eigenvalues_above_beta_sigma_squared_are_active():
    values = np.array([4.0, 1.0, 0.02, 0.001])
    figure = draw_eigenvalues(values, n_values=2, sigma=0.1, beta=5.0)
    np.testing.assert_array_equal(named(figure, "active (2)").y, [4.0, 1.0])
    assert named(figure, "collapses (2)") is not None
    left = next(trace for trace in figure.data if trace.xaxis == "x2")
    np.testing.assert_allclose(left.y, np.sqrt(np.array([5.021, 1.021, 0.021, 0.001, 0.0]) / 2), rtol=1e-12)
    assert draw_eigenvalues(np.zeros(3), n_values=5, sigma=0.1).layout.meta["says"]


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(2).random((12, 7))
    mean, lower, upper = mean_and_interval(values)
    for k in range(7):
        low, high = stats.t.interval(0.95, 11, values[:, k].mean(), stats.sem(values[:, k]))
        assert (lower[k], mean[k], upper[k]) == pytest.approx((low, values[:, k].mean(), high))
    np.testing.assert_allclose(mean_and_interval(values, is_log=True)[0], stats.gmean(values, axis=0))


def test_a_single_run_has_no_interval_and_zero_regrets_have_a_place():
    figure = draw_convergence({"one": np.array([[1.0, 0.1, 0.0]])}, is_log=True)
    assert len(figure.data) == 1
    assert figure.data[0].y[2] > 0
    assert "1 run)" in figure.data[0].name


def test_both_surfaces_have_the_colours_of_the_truth():
    truth = surface()
    figure = draw_objective_comparison(GRID, GRID, truth, 100 * truth, goal="maximize")
    for axis in (figure.layout.coloraxis, figure.layout.coloraxis2):
        assert (axis.cmin, axis.cmax) == (truth.min(), truth.max())
    optimum = named(figure, "optimum")
    assert (optimum.x[0], optimum.y[0]) == pytest.approx((1.0, -1.0))
    worst = named(draw_objective_comparison(GRID, GRID, truth, truth, goal="minimize"), "optimum")
    assert (worst.x[0], worst.y[0]) == pytest.approx((-2.0, 2.0))


def test_an_acquisition_surface_shows_its_peaks_and_who_is_where():
    value = surface() * 1000
    value[0, 0] = -np.inf
    figure = draw_acquisition_surface(GRID, GRID, value, pending=np.ones((1, 2)))
    assert figure.layout.coloraxis.cmax == 0
    assert figure.layout.coloraxis.cmin > value[np.isfinite(value)].min()
    assert named(figure, "under way (1)").x[0] == 1
    assert draw_acquisition_surface(GRID, GRID, np.full((21, 21), np.nan)).layout.meta["says"]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        draw_calibration(np.zeros(3), np.zeros(2), np.ones(3))
    with pytest.raises(ValueError, match="runs, evaluations"):
        draw_convergence({"a": np.zeros(4)})
    with pytest.raises(ValueError, match="grid"):
        draw_objective_comparison(GRID, GRID, surface(), surface()[:3])
    with pytest.raises(ValueError, match="grid"):
        draw_acquisition_surface(GRID, GRID, surface()[1:])
    with pytest.raises(ValueError, match="fit together"):
        draw_length_scales(np.zeros(3), np.ones((2, 2)))
    with pytest.raises(ValueError, match="names"):
        draw_length_scales(np.zeros(2), np.ones((2, 2)), names=["a"])


def test_nothing_to_show_is_said():
    for figure in (draw_convergence({}), draw_length_scales(np.zeros(0), np.zeros((0, 2)))):
        assert figure.layout.meta["says"]


def test_the_axis_of_length_scales_has_numbers_within_one_power_of_ten():
    figure = draw_length_scales(np.array([3.0, 6.0]), np.array([[0.25], [0.6]]))
    assert sum(0.25 <= tick <= 0.6 for tick in figure.layout.yaxis.tickvals) >= 2
    assert figure.layout.yaxis.ticktext[figure.layout.yaxis.tickvals.index(0.5)] == "0.5"
