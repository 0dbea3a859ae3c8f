"""Every figure shows its input, and copes with having none."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from latentloop.loop.figures import (
    SurrogateGrid,
    apply_theme,
    draw_best_trajectory,
    draw_drift,
    draw_incumbent_trace,
    draw_latent_grid,
    draw_latent_space,
    draw_objective_map,
    draw_polarization,
    draw_training_curve,
)
from latentloop.loop.figures.incumbent_trace import running_incumbent
from latentloop.loop.figures.objective_map import enclosing_levels
from latentloop.loop.figures.thinning import thinned_rows
from latentloop.loop.records import Trial, TrialState

finite = st.floats(-1e6, 1e6)


def trial(number, objective=np.nan, state=TrialState.COMPLETED, z=(0.0, 0.0), acquisition="log_ei", reason=""):
    return Trial(number, state, np.asarray(z, dtype=float), acquisition, 0.0, 0.0, 0.0, 0, 0.0, objective=objective, reason=reason)


@pytest.mark.parametrize(("minutes", "unit", "last"), [(0.012, "s", 0.72), (1.5, "s", 90), (90, "min", 90), (600, "h", 10)])
def test_drift_is_drawn_in_a_unit_that_fits_the_span_and_said_per_hour(minutes, unit, last):
    readings = [
        replace(trial(k, objective=1 + k / 4), acquisition="control", refers_to=0 if k else None, finished_at=1e9 + 15 * k * minutes)
        for k in range(5)
    ]
    figure = draw_drift(readings, objective_name="charge")
    assert figure.layout.xaxis.title.text == f"time since the first reading ({unit})"
    assert figure.data[0].x[-1] == pytest.approx(last, rel=1e-4)
    assert f" {unit}<" in figure.data[0].hovertemplate
    assert f"trend: {60 / minutes:+.3g} per hour" in figure.data[1].name


def trace(figure, name):
    found = [item for item in figure.data if item.name is not None and item.name.startswith(name)]
    assert found, f"no trace {name!r} among {[item.name for item in figure.data]}"
    return found[0]


def values(array):
    return np.asarray(array, dtype=float)


def words(figure):
    return " ".join(note.text for note in figure.layout.annotations)


# ------------------------------------------------------------------------------------------------------------------ the package


def test_importing_the_package_loads_no_plotly():
    code = "import sys, latentloop.loop.figures; print(any(name.split('.')[0] == 'plotly' for name in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_every_public_name_can_be_imported():
    from latentloop.loop import figures

    assert figures.__all__ == sorted(figures._HOMES)
    for name in figures.__all__:
        assert callable(getattr(figures, name))


def test_an_unknown_name_is_an_attribute_error():
    from latentloop.loop import figures

    with pytest.raises(AttributeError, match="draw_nothing"):
        figures.draw_nothing  # noqa: B018


# ------------------------------------------------------------------------------------------------------------------ thinning


@given(n=st.integers(0, 20_000), limit=st.integers(2, 3000))
def test_thinned_rows_are_distinct_in_order_with_both_ends(n, limit):
    rows = thinned_rows(n, limit)
    assert len(rows) == min(n, limit)
    assert (np.diff(rows) > 0).all()
    if n:
        assert rows[0] == 0
        assert rows[-1] == n - 1


def test_thinning_to_one_row_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        thinned_rows(10, 1)


# ------------------------------------------------------------------------------------------------------------------ incumbent trace


@given(objective=hnp.arrays(np.float64, st.integers(1, 60), elements=finite), goal=st.sampled_from(["maximize", "minimize"]))
def test_the_running_incumbent_is_the_best_so_far(objective, goal):
    best, improved = running_incumbent(objective, goal)
    extreme = max if goal == "maximize" else min
    assert best.tolist() == [extreme(objective[: k + 1]) for k in range(len(objective))]
    assert improved.tolist() == [True] + [best[k] != best[k - 1] for k in range(1, len(best))]


@settings(max_examples=20, deadline=None)
@given(objective=hnp.arrays(np.float64, st.integers(1, 40), elements=finite), goal=st.sampled_from(["maximize", "minimize"]))
def test_the_incumbent_line_is_monotone_and_ends_at_the_last_trial_with_the_best_value(objective, goal):
    figure = draw_incumbent_trace([trial(k, y) for k, y in enumerate(objective)], goal=goal)
    line = trace(figure, "incumbent")
    steps = np.diff(values(line.y))
    assert (steps >= 0).all() if goal == "maximize" else (steps <= 0).all()
    assert line.x[-1] == len(objective) - 1
    assert line.y[-1] == (objective.max() if goal == "maximize" else objective.min())


def test_initial_and_optimized_trials_stand_apart_with_their_values():
    trials = [trial(0, 3.0, acquisition="initial"), trial(1, 1.0, acquisition="initial"), trial(2, 5.0), trial(4, 4.0)]
    figure = draw_incumbent_trace(list(reversed(trials)))
    assert values(trace(figure, "initial").y).tolist() == [3.0, 1.0]
    assert values(trace(figure, "optimized").x).tolist() == [2, 4]
    assert trace(figure, "best").name == "best (trial 2)"


def test_what_the_surrogate_expected_stands_behind_each_trial_as_a_bar():
    trials = [
        trial(0, 3.0, acquisition="initial"),
        *(replace(trial(k, float(k)), predicted_objective=2.0 * k, predicted_error=0.5) for k in (1, 2)),
    ]
    figure = draw_incumbent_trace(trials)
    bars = trace(figure, "predicted")
    assert values(bars.x).reshape(-1, 3)[:, :2].tolist() == [[1, 1], [2, 2]]
    np.testing.assert_allclose(values(bars.y).reshape(-1, 3)[:, :2], [[2 - 0.98, 2 + 0.98], [4 - 0.98, 4 + 0.98]])
    assert np.isnan(values(bars.y)[2::3]).all(), "the line is broken between them"
    assert trace(figure, "optimized").customdata[1] == "log_ei<br>predicted 4 ± 0.5"
    assert figure.data[figure.layout.meta["latentloop"]["predicted"]] is bars
    assert "predicted" not in draw_incumbent_trace(trials[:1]).layout.meta["latentloop"]


def test_a_surrogate_that_is_unsure_without_end_does_not_press_the_values_together():
    known = [replace(trial(k, float(k)), predicted_objective=0.0, predicted_error=0.1) for k in range(3)]
    assert draw_incumbent_trace(known).layout.yaxis.range is None
    low, high = draw_incumbent_trace([*known, replace(trial(3, 1.0), predicted_objective=0.0, predicted_error=1e6)]).layout.yaxis.range
    assert -1.5 < low < 0
    assert 2 < high < 3.5


def test_trials_without_a_value_are_marked_on_the_axis_by_state():
    trials = [trial(0, 1.0), trial(1, state=TrialState.FAILED, reason="<b>broken</b>"), trial(2, 7.0, TrialState.QUARANTINED)]
    trials += [trial(3, np.nan), trial(4, state=TrialState.ARMED)]
    figure = draw_incumbent_trace(trials)
    assert values(trace(figure, "failed").x).tolist() == [1]
    assert trace(figure, "failed").customdata[0] == "&lt;b&gt;broken&lt;/b&gt;"
    assert values(trace(figure, "quarantined").x).tolist() == [2]
    assert values(trace(figure, "completed without a value").x).tolist() == [3]
    assert values(trace(figure, "under way").x).tolist() == [4]
    assert values(trace(figure, "incumbent").y).tolist() == [1.0, 1.0], "a quarantined value is never the incumbent"


def test_a_hundred_thousand_trials_are_thinned_but_keep_every_improvement():
    generator = np.random.default_rng(5)
    objective = generator.normal(size=100_000)
    figure = draw_incumbent_trace([trial(k, y) for k, y in enumerate(objective)])
    shown = values(trace(figure, "optimized").x).astype(int)
    assert len(shown) <= 4000
    _, improved = running_incumbent(objective, "maximize")
    assert np.isin(np.flatnonzero(improved), shown).all()


@pytest.mark.parametrize("trials", [[], [trial(7, state=TrialState.FAILED)], [trial(0, np.nan)], [trial(3, np.inf)]])
def test_a_trace_without_values_says_so(trials):
    assert "no trial" in words(draw_incumbent_trace(trials))


# ------------------------------------------------------------------------------------------------------------------ latent space


def surrogate(nx=5, ny=4):
    x, y = np.linspace(-2, 2, nx), np.linspace(-1, 1, ny)
    return SurrogateGrid(x, y, np.add.outer(y, x), np.full((ny, nx), 0.5))


def test_the_latent_space_shows_its_input():
    training = np.random.default_rng(1).normal(size=(50, 2))
    trials = [trial(0, 1.0, z=(0.1, 0.2)), trial(1, 9.0, z=(0.3, 0.4)), trial(2, state=TrialState.FAILED, z=(1.0, 1.0))]
    grid = surrogate()
    figure = draw_latent_space(trials, training=training, bounds=np.array([[-3.0, 3.0], [-2.0, 2.0]]), surrogate=grid)
    assert np.array_equal(values(trace(figure, "training data").x), training[:, 0])
    assert np.array_equal(trace(figure, "mean").z, grid.mean)
    assert np.array_equal(trace(figure, "standard deviation").z, grid.standard_deviation)
    explored = [item for item in figure.data if item.legendgroup == "explored" and item.customdata is not None]
    assert len(explored) == 3, "one per panel"
    assert values(explored[0].x).tolist() == [0.1, 0.3]
    assert values(explored[0].marker.color).tolist() == [1.0, 9.0]
    best = trace(figure, "best")
    assert best.name == "best (trial 1)"
    assert (best.x[0], best.y[0]) == (0.3, 0.4)
    assert tuple(figure.layout.xaxis.range) == (-3.0, 3.0)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (figure.layout.coloraxis2.cmin, figure.layout.coloraxis2.cmax)


def test_where_low_is_good_the_lowest_is_the_incumbent_and_the_colours_are_reversed():
    trials = [trial(0, 1.0), trial(1, 9.0)]
    low, high = draw_latent_space(trials, goal="minimize"), draw_latent_space(trials, goal="maximize")
    assert trace(low, "best").name == "best (trial 0)"
    assert (
        low.layout.coloraxis.colorscale == high.layout.coloraxis.colorscale[::-1]
        or low.layout.coloraxis.colorscale[0][1] == (high.layout.coloraxis.colorscale[-1][1])
    )


def test_much_training_data_is_thinned_and_the_legend_says_so():
    figure = draw_latent_space([], training=np.random.default_rng(0).normal(size=(7500, 2)))
    assert len(trace(figure, "training data").x) == 2000
    assert "2,000 of 7,500" in trace(figure, "training data").name


def test_five_dimensions_show_the_first_two_and_say_so():
    trials = [trial(k, float(k), z=np.arange(5.0) + k) for k in range(3)]
    figure = draw_latent_space(trials, training=np.ones((4, 5)), surrogate=surrogate())
    assert "first two of 5" in figure.layout.title.text
    assert "slice through the incumbent" in figure.layout.title.text
    assert "of 5" in figure.layout.xaxis.title.text


def test_one_dimension_is_a_curve_with_its_band():
    x = np.linspace(-1, 1, 7)
    grid = SurrogateGrid(x, np.empty(0), x**2, np.full(7, 0.1))
    figure = draw_latent_space([trial(0, 0.3, z=(0.5,))], training=np.zeros((3, 1)), bounds=np.array([[-1.0, 1.0]]), surrogate=grid)
    assert np.array_equal(trace(figure, "surrogate mean").y, x**2)
    assert values(trace(figure, "two standard deviations").y).max() == pytest.approx(1.2)
    assert values(trace(figure, "explored").y).tolist() == [0.3]


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_latent_space_without_completed_trials_says_so(d):
    figure = draw_latent_space(
        [trial(0, state=TrialState.ARMED, z=np.zeros(d))], training=np.zeros((3, d)), bounds=np.tile([-1.0, 1.0], (d, 1))
    )
    assert "no trial has completed yet" in words(figure)


def test_a_latent_space_of_nothing_says_so():
    assert "no trial has completed yet" in words(draw_latent_space([]))


def test_a_surrogate_of_another_shape_than_its_grid_is_refused():
    with pytest.raises(ValueError, match="meshgrid"):
        SurrogateGrid(np.zeros(3), np.zeros(2), np.zeros((3, 2)), np.zeros((2, 3)))


# ------------------------------------------------------------------------------------------------------------------ latent grid


def test_small_lines_keep_the_shape_of_their_trajectories_and_stay_in_their_cells():
    x, y = np.linspace(-2, 2, 5), np.linspace(-3, 3, 4)
    trajectories = np.random.default_rng(2).normal(size=(4, 5, 30))
    figure = draw_latent_grid(x, y, trajectories, distance=np.ones((4, 5)), incumbent=np.array([0.5, 0.1]))
    line = trace(figure, "channel 1")
    cells_x = np.append(values(line.x), np.nan).reshape(4, 5, 31)
    cells_y = np.append(values(line.y), np.nan).reshape(4, 5, 31)
    assert np.isnan(cells_y[..., -1]).all(), "cells are not joined"
    heights = cells_y[..., :-1] - y[:, None, None]
    scale = np.ptp(heights) / np.ptp(trajectories)
    assert np.allclose(np.diff(heights, axis=2), scale * np.diff(trajectories, axis=2))
    assert (np.abs(heights) <= 1.0).all(), "half of the cells' distance in y"
    assert (np.abs(cells_x[..., :-1] - x[None, :, None]) <= 0.5).all()
    assert trace(figure, "best trial").x[0] == 0.5


def test_channels_of_a_latent_grid_are_lines_of_their_own():
    figure = draw_latent_grid(np.arange(3.0), np.arange(2.0), np.ones((2, 3, 10, 2)), channels=["field", "heat"])
    assert [item.name for item in figure.data] == ["field", "heat"]


def test_a_latent_grid_in_one_dimension_hides_the_second_axis():
    figure = draw_latent_grid(np.arange(3.0), np.zeros(1), np.zeros((1, 3, 10)), n_latent=1)
    assert figure.layout.yaxis.visible is False


def test_an_empty_latent_grid_says_so_and_a_wrong_one_is_refused():
    assert "no latent grid" in words(draw_latent_grid(np.empty(0), np.empty(0), np.empty((0, 0, 0))))
    with pytest.raises(ValueError, match=r"ny, nx"):
        draw_latent_grid(np.arange(3.0), np.arange(2.0), np.ones((3, 2, 10)))


# ------------------------------------------------------------------------------------------------------------------ best trajectory


def test_the_best_trajectory_is_drawn_as_it_is_over_its_times():
    times, best, first = np.linspace(0, 3, 50), np.sin(np.arange(50.0)), np.cos(np.arange(50.0))
    figure = draw_best_trajectory(
        best, times=times, trial=12, objective=9.5, initial=first, initial_trial=3, envelope=(best - 1, best + 1), unit="Ec", time_unit="s"
    )
    line = trace(figure, "best trial (12)")
    assert np.array_equal(line.x, times)
    assert np.array_equal(line.y, best)
    assert np.array_equal(trace(figure, "best initial trial (3)").y, first)
    assert "9.5" in line.name
    assert "Ec" in figure.layout.yaxis.title.text
    assert "time (s)" in figure.layout.xaxis.title.text


def test_each_channel_of_a_trajectory_is_a_line():
    both = np.stack([np.arange(9.0), -np.arange(9.0)], axis=1)
    figure = draw_best_trajectory(both, initial=both, envelope=(both, both), channels=["field", "heat"])
    assert np.array_equal(trace(figure, "heat, best trial").y, both[:, 1])
    assert len(figure.data) == 6


def test_no_trajectory_says_so_and_wrong_shapes_are_refused():
    assert "no trial has completed yet" in words(draw_best_trajectory(None))
    with pytest.raises(ValueError, match="resample"):
        draw_best_trajectory(np.zeros(9), initial=np.zeros(8))
    with pytest.raises(ValueError, match="one time per step"):
        draw_best_trajectory(np.zeros(9), times=np.zeros(8))


# ------------------------------------------------------------------------------------------------------------------ polarization


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 1000))
def test_arrows_are_parallel_to_the_polarization_of_one_scale_and_centred_on_their_sites(n, seed):
    field = np.random.default_rng(seed).normal(size=(n, n, 2))
    shaft = trace(draw_polarization(field), "polarization")
    points = np.stack([values(shaft.x), values(shaft.y)], axis=-1).reshape(n, n, 3, 2)
    tail, tip = points[..., 0, :], points[..., 1, :]
    scale = np.linalg.norm(tip - tail, axis=-1) / np.linalg.norm(field, axis=-1)
    assert np.allclose(scale, scale[0, 0])
    assert np.allclose(tip - tail, scale[0, 0] * field)
    sites = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1)
    assert np.allclose(0.5 * (tip + tail), sites)


def test_the_curl_map_stands_with_the_first_index_to_the_right_and_zero_in_the_middle():
    curl = np.arange(12.0).reshape(3, 4) - 2
    figure = draw_polarization(np.ones((3, 4, 2)), curl)
    assert np.array_equal(trace(figure, "curl").z, curl.T)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-9.0, 9.0)
    assert figure.layout.yaxis.scaleanchor == "x"


def test_side_by_side_has_two_panels():
    figure = draw_polarization(np.ones((3, 3, 2)), np.ones((3, 3)), arrangement="side_by_side", trial=4)
    assert trace(figure, "curl").xaxis == "x2"
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    assert "trial 4" in figure.layout.title.text


def test_large_lattices_show_means_of_blocks():
    field = np.random.default_rng(0).normal(size=(100, 100, 2))
    shaft = trace(draw_polarization(field), "polarization")
    points = np.stack([values(shaft.x), values(shaft.y)], axis=-1).reshape(-1, 3, 2)
    assert len(points) == 34 * 34
    arrow = points[0, 1] - points[0, 0]
    assert np.cross(np.append(arrow, 0), np.append(field[:3, :3].mean(axis=(0, 1)), 0))[2] == pytest.approx(0.0)


@pytest.mark.parametrize("field", [np.zeros((4, 4, 2)), np.full((4, 4, 2), np.nan), np.full((1, 1, 2), 3.0)])
def test_fields_of_zeros_nan_or_one_site_are_drawn(field):
    assert isinstance(draw_polarization(field, field[..., 0]), go.Figure)


def test_no_polarization_says_so_and_wrong_shapes_are_refused():
    assert "no polarization" in words(draw_polarization(None))
    with pytest.raises(ValueError, match=r"\(n, n, 2\)"):
        draw_polarization(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="same lattice"):
        draw_polarization(np.zeros((4, 4, 2)), np.zeros((3, 3)))


# ------------------------------------------------------------------------------------------------------------------ training curve


@settings(max_examples=50, deadline=None)
@given(loss=hnp.arrays(np.float64, st.integers(1, 80), elements=finite))
def test_the_training_axis_keeps_the_order_of_all_losses_and_its_ticks_are_ascending(loss):
    figure = draw_training_curve(loss)
    line = figure.data[0]
    assert values(line.customdata).tolist() == loss.tolist()
    assert values(line.x).tolist() == list(range(1, len(loss) + 1))
    order = np.argsort(loss, kind="stable")
    assert (np.diff(values(line.y)[order]) >= 0).all()
    assert (np.diff(values(figure.layout.yaxis.tickvals)) > 0).all()


def test_a_steep_start_leaves_room_for_the_rest():
    epochs = np.arange(75)
    loss = -1175 + 42_000 * np.exp(-epochs) + 100 * np.exp(-epochs / 9)
    height = values(draw_training_curve(loss).data[0].y)
    assert height[10] - height[-1] > 0.25 * np.ptp(height), "from epoch ten on the loss falls by thirty of forty-three thousand"


def test_an_even_fall_is_drawn_evenly():
    height = values(draw_training_curve(np.linspace(10, 2, 9)).data[0].y)
    assert np.allclose(np.diff(height), np.diff(height)[0], rtol=1e-3)


def test_the_last_loss_is_written_into_the_figure():
    assert "−1,171.6" in words(draw_training_curve(np.array([5000.0, -900.0, -1171.6])))


@pytest.mark.parametrize("loss", [None, np.empty(0), np.array([np.nan, np.inf])])
def test_no_training_says_so(loss):
    assert "not trained by epochs" in words(draw_training_curve(loss))


# ------------------------------------------------------------------------------------------------------------------ objective map


def test_the_objective_map_shows_its_input_and_marks_the_optimum():
    x, y = np.linspace(-1, 1, 6), np.linspace(0, 2, 5)
    objective = np.random.default_rng(3).normal(size=(5, 6))
    objective[0, 0] = np.nan
    training = np.random.default_rng(4).normal(0, 0.5, size=(500, 2))
    for goal, choose in (("maximize", np.nanargmax), ("minimize", np.nanargmin)):
        figure = draw_objective_map(x, y, objective, training=training, goal=goal)
        j, i = np.unravel_index(choose(objective), objective.shape)
        star = trace(figure, "optimum")
        assert (star.x[0], star.y[0]) == (x[i], y[j])
        assert np.array_equal(figure.data[0].z, objective, equal_nan=True)
        assert trace(figure, "95% of the training data")


@settings(max_examples=30, deadline=None)
@given(density=hnp.arrays(np.float64, st.integers(2, 80), elements=st.floats(0.01, 10.0)))
def test_levels_enclose_at_least_their_share_of_the_mass(density):
    for share, level in zip((0.5, 0.95), enclosing_levels(density, (0.5, 0.95))):
        assert density[density >= level].sum() >= share * density.sum() * (1 - 1e-12)
        assert density[density > level].sum() <= share * density.sum() * (1 + 1e-12)


def test_a_map_in_one_dimension_is_a_curve_and_one_of_nan_says_so():
    x = np.linspace(0, 1, 9)
    assert np.array_equal(draw_objective_map(x, np.empty(0), x**2).data[0].y, x**2)
    assert "no finite value" in words(draw_objective_map(x, x, np.full((9, 9), np.nan)))
    assert trace(draw_objective_map(np.zeros(1), np.zeros(1), np.ones((1, 1))), "optimum").x[0] == 0
    with pytest.raises(ValueError, match="meshgrid"):
        draw_objective_map(x, x[:4], np.zeros((9, 4)))


# ------------------------------------------------------------------------------------------------------------------ theme


def everything():
    field = np.ones((3, 3, 2))
    return {
        "trace": draw_incumbent_trace([trial(0, 1.0)]),
        "space": draw_latent_space([trial(0, 1.0)], training=np.zeros((3, 2)), surrogate=surrogate()),
        "grid": draw_latent_grid(np.arange(3.0), np.arange(2.0), np.ones((2, 3, 10)), distance=np.ones((2, 3))),
        "best": draw_best_trajectory(np.arange(4.0)),
        "polarization": draw_polarization(field, field[..., 0], arrangement="side_by_side"),
        "training": draw_training_curve(np.arange(4.0)),
        "map": draw_objective_map(np.arange(3.0), np.arange(2.0), np.ones((2, 3))),
    }


@pytest.mark.parametrize("name", list(everything()))
def test_themes_change_the_template_and_nothing_else(name):
    figure = everything()[name]
    light, dark = apply_theme(figure, dark=False), apply_theme(figure, dark=True)
    assert light.layout.template.layout.font.color != dark.layout.template.layout.font.color
    for themed in (light, dark):
        themed.layout.template = figure.layout.template
        assert themed == figure


@pytest.mark.parametrize("name", list(everything()))
def test_no_figure_needs_webgl_or_leaves_a_transparent_page(name):
    figure = everything()[name]
    assert not any(item.type.endswith(("gl", "3d")) or item.type == "surface" for item in figure.data)
    assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.title.text


@pytest.mark.parametrize("name", list(everything()))
def test_both_arrangements_of_a_figure_can_be_laid_out(name):
    figure = everything()[name]
    for side in ("wide", "narrow"):
        wish = figure.layout.meta[side]
        assert "aspect" in wish or "height" in wish
        figure.update_layout({key.replace(".", "_"): value for key, value in wish["layout"].items()})
        domains = [axis.domain for axis in figure.select_yaxes() if axis.domain is not None]
        assert all(0.0 <= low < high <= 1.0 for low, high in domains)


def test_names_of_objectives_cannot_bring_markup_into_a_figure():
    evil = "<a href='x'>y</a>"
    for figure in (
        draw_incumbent_trace([trial(0, 1.0)], objective_name=evil),
        draw_latent_space([trial(0, 1.0)], objective_name=evil),
        draw_objective_map(np.arange(3.0), np.arange(2.0), np.ones((2, 3)), objective_name=evil),
        draw_best_trajectory(np.arange(3.0), objective=1.0, objective_name=evil, channels=[evil], unit=evil),
    ):
        assert "<a href" not in figure.to_json().replace("\\u003c", "<")
