"""The simulator's figures show the numbers they are given."""

import base64
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latentloop.loop.figures import (
    ExploredPoints,
    draw_curl_decay,
    draw_hysteresis_loop,
    draw_parameter_map,
    draw_polarization_animation,
    render_polarization_animation,
)
from latentloop.loop.figures.hysteresis_loop import crossings
from latentloop.loop.figures.parameter_map import coarser_grids
from latentloop.loop.figures.polarization_animation import frame_bytes
from latentloop.simulators.ferrosim.observables import curl_map


def trace(figure, name):
    found = [item for item in figure.data if item.name is not None and item.name.startswith(name)]
    assert found, f"no trace {name!r} among {[item.name for item in figure.data]}"
    return found[0]


def values(array):
    return np.asarray(array, dtype=float)


# ------------------------------------------------------------------------------------------------------------------ hysteresis loop


def ellipse(lag, steps=400, periods=2):
    phase = 2.0 * np.pi * np.arange(periods * steps + 1) / steps
    return phase, 3.0 * np.sin(phase), 0.5 * np.sin(phase - lag)


@given(lag=st.floats(0.2, 1.4))
@settings(max_examples=20, deadline=None)
def test_the_marks_of_an_ellipse_lie_where_it_crosses_the_axes(lag):
    figure = draw_hysteresis_loop(*ellipse(lag), 400)
    coercive, remnant = trace(figure, "coercive field"), trace(figure, "remnant polarization")
    assert sorted(values(coercive.x)) == pytest.approx([-3.0 * np.sin(lag), 3.0 * np.sin(lag)], rel=1e-3)
    assert values(coercive.y).tolist() == [0.0, 0.0]
    assert sorted(values(remnant.y)) == pytest.approx([-0.5 * np.sin(lag), 0.5 * np.sin(lag)], rel=1e-3)


def test_the_loop_is_drawn_closed_with_its_area():
    figure = draw_hysteresis_loop(*ellipse(0.7), 400)
    loop = trace(figure, "last period")
    assert (loop.x[0], loop.y[0]) == (loop.x[-1], loop.y[-1])
    assert float(re.search(r"area ([\d.]+)", loop.name)[1]) == pytest.approx(np.pi * 1.5 * np.sin(0.7), rel=1e-3)


def test_crossings_count_a_zero_that_is_hit_exactly_once():
    of, zero = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, -1.0, -1.0])
    assert sorted(crossings(of, zero)) == pytest.approx([2.0, 2.5])


def test_a_polarization_that_never_turns_has_no_coercive_mark():
    times, field, _ = ellipse(0.5)
    figure = draw_hysteresis_loop(times, field, 1.0 + 0.1 * field, 400)
    assert not [item for item in figure.data if item.name.startswith("coercive")]


def test_a_loop_that_does_not_fit_is_refused():
    times, field, polarization = ellipse(0.5)
    with pytest.raises(ValueError, match="does not fit"):
        draw_hysteresis_loop(times, field, polarization, times.size + 1)
    with pytest.raises(ValueError, match="shapes"):
        draw_hysteresis_loop(times, field[:-1], polarization, 400)
    assert "not finite" in draw_hysteresis_loop(times, field, polarization * np.nan, 400).layout.meta["says"]


# ------------------------------------------------------------------------------------------------------------------ parameter map

X, Y = np.linspace(0.0, 10.0, 6), np.linspace(-1.0, 1.0, 5)
HILL = -((X[None, :] - 4.0) ** 2) - 5.0 * Y[:, None] ** 2


@pytest.mark.parametrize(("goal", "best"), [("maximize", (4.0, 0.0)), ("minimize", (10.0, -1.0))])
def test_the_star_stands_on_the_best_cell(goal, best):
    star = trace(draw_parameter_map(X, Y, HILL, ("a", "b"), goal=goal), "best of the grid")
    assert (star.x[0], star.y[0]) == best


def test_cells_without_a_value_stay_empty_and_are_counted():
    holes = HILL.copy()
    holes[0, :2] = np.nan
    holes[2, 2] = np.inf
    figure = draw_parameter_map(X, Y, holes, ("a", "b"), empty_reason="unstable")
    assert trace(figure, "unstable (3 cells)")
    shown = values(trace(figure, "grid search").z)
    assert np.isnan(shown[0, :2]).all()
    assert np.isnan(shown).sum() == 3
    assert "no cell" in draw_parameter_map(X, Y, HILL * np.nan, ("a", "b")).layout.meta["says"]


def test_explored_points_share_the_colours_and_the_best_one_has_a_star():
    explored = ExploredPoints(np.array([[1.0, 0.5], [9.0, 0.0], [4.2, 0.1], [2.0, 0.0]]), np.array([-10.0, np.nan, 0.5, -4.0]), 2)
    figure = draw_parameter_map(X, Y, HILL, ("a", "b"), explored=explored)
    star = trace(figure, "best of the campaign")
    assert (star.x[0], star.y[0]) == (4.2, 0.1)
    assert "evaluation 3" in star.name
    assert trace(figure, "without a value (1)")
    assert figure.layout.coloraxis.cmax == 0.5
    assert figure.layout.coloraxis.cmin == HILL.min()
    so_far = trace(figure, "campaign so far")
    assert values(so_far.x).tolist() == [1, 3, 4]
    assert values(so_far.y).tolist() == [-10.0, 0.5, 0.5]


def test_a_campaign_without_any_value_still_shows_the_grid():
    figure = draw_parameter_map(X, Y, HILL, ("a", "b"), explored=ExploredPoints(np.array([[1.0, 0.5]]), np.array([np.nan])))
    assert trace(figure, "best of the grid")
    assert not [item for item in figure.data if (item.name or "").startswith("campaign so far")]


@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(2, 30), st.integers(2, 30)), goal=st.sampled_from(["maximize", "minimize"]))
@settings(max_examples=40, deadline=None)
def test_coarser_grids_are_parts_of_the_map_that_end_with_the_whole(seed, shape, goal):
    cells = np.random.default_rng(seed).normal(size=shape)
    counts, best = coarser_grids(cells, goal)
    assert (np.diff(counts) > 0).all()
    assert counts[-1] == cells.size
    whole = cells.max() if goal == "maximize" else cells.min()
    assert best[-1] == whole
    assert np.isin(best, cells).all()


def test_shapes_that_do_not_fit_the_map_are_refused():
    with pytest.raises(ValueError, match="one row per y"):
        draw_parameter_map(X, Y, HILL.T, ("a", "b"))
    with pytest.raises(ValueError, match="give \\(k, 2\\)"):
        draw_parameter_map(X, Y, HILL, ("a", "b"), explored=ExploredPoints(np.zeros((3, 3)), np.zeros(3)))


# ------------------------------------------------------------------------------------------------------------------ curl decay


def test_every_trajectory_is_a_line_and_a_point_and_the_fit_is_drawn():
    times = np.linspace(0.0, 1.0, 7)
    curls = 5.0 + np.array([1.0, 4.0, 9.0])[:, None] * np.exp(-times)
    rate = curls[:, 0] - curls[:, -1]
    figure = draw_curl_decay(times, curls, rate=rate, line=(0.632, 5.0), correlation=1.0)
    for row in range(3):
        assert values(trace(figure, f"trajectory {row}").y) == pytest.approx(curls[row])
    points = trace(figure, "trajectories")
    assert values(points.y) == pytest.approx(rate)
    line = trace(figure, "rate = 0.632 (curl − 5)")
    assert values(line.y) == pytest.approx(0.632 * (values(line.x) - 5.0))


def test_many_trajectories_are_thinned_with_the_extremes_kept():
    start = np.linspace(5.0, 25.0, 1000)
    curls = start[:, None] * np.ones(3)
    figure = draw_curl_decay(np.arange(3.0), curls, rate=np.zeros(1000), line=(1.0, 5.0), correlation=0.0)
    lines = [item for item in figure.data if item.name.startswith("trajectory ")]
    assert len(lines) <= 200
    assert {lines[0].y[0], lines[-1].y[0]} == {5.0, 25.0}


def test_shapes_that_do_not_fit_the_decay_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        draw_curl_decay(np.arange(4.0), np.ones((3, 5)), rate=np.zeros(3), line=(1.0, 0.0), correlation=0.0)


# ------------------------------------------------------------------------------------------------------------------ animation


def movie(n_frames=5, n=6, seed=0):
    frames = np.random.default_rng(seed).normal(size=(n_frames, n, n, 2))
    times = np.linspace(0.0, 1.0, 10 * n_frames)
    field = np.zeros((times.size, 2))
    field[:, 0] = np.sin(6.0 * times)
    return frames, times[::10], times, field


def test_every_frame_shows_its_curl_its_arrows_and_its_time():
    frames, frame_times, times, field = movie()
    figure = draw_polarization_animation(frames, frame_times, times, field)
    assert len(figure.frames) == 5
    limit = figure.layout.coloraxis.cmax
    for frame, state, time in zip(figure.frames, frames, frame_times, strict=True):
        assert values(frame.data[0].z) == pytest.approx(curl_map(state).T, abs=2e-3 * limit)
        line = np.stack([values(frame.data[1].x), values(frame.data[1].y)], axis=1).reshape(6, 6, 6, 2)
        along = line[:, :, 1] - line[:, :, 0]
        assert along / along[0, 0, 0] == pytest.approx(state / state[0, 0, 0], rel=1e-3, abs=1e-3)
        assert (line[:, :, 0] + line[:, :, 1]) / 2 == pytest.approx(np.stack(np.indices((6, 6)), axis=-1), abs=1e-5)
        assert values(frame.data[2].x).tolist() == [time, time]


def test_all_frames_share_one_scale():
    frames, frame_times, times, field = movie()
    frames[1] = 2.0 * frames[0]
    figure = draw_polarization_animation(frames, frame_times, times, field)
    first, second = (values(figure.frames[k].data[1].x).reshape(-1, 6) for k in (0, 1))
    assert second[:, 1] - second[:, 0] == pytest.approx(2.0 * (first[:, 1] - first[:, 0]), rel=1e-4, abs=1e-5)


def test_frames_are_thinned_until_they_fit_with_both_ends_kept():
    frames, frame_times, times, field = movie(n_frames=60)
    most = 10 * frame_bytes(6)
    figure = draw_polarization_animation(frames, frame_times, times, field, max_bytes=most)
    shown = [frame.data[2].x[0] for frame in figure.frames]
    assert len(shown) == 10
    assert (shown[0], shown[-1]) == (frame_times[0], frame_times[-1])


def test_a_large_lattice_is_drawn_as_means_of_blocks():
    frames, frame_times, times, field = movie(n_frames=2, n=90)
    figure = draw_polarization_animation(frames, frame_times, times, field)
    cells = values(figure.frames[0].data[0].z)
    assert cells.shape == (30, 30)
    assert cells[0, 0] == pytest.approx(curl_map(frames[0])[:3, :3].mean(), abs=1e-2)


def test_the_page_holds_every_frame_and_loads_nothing():
    frames, frame_times, times, field = movie()
    figure = draw_polarization_animation(frames, frame_times, times, field)
    page = render_polarization_animation(figure, title="a <b>", explanation="what & why")
    held = json.loads(re.search(r'id="frames">(.*?)</script>', page)[1])
    assert held["times"] == pytest.approx(frame_times.tolist())
    cells = np.frombuffer(base64.b64decode(held["data"][3][0]), dtype="<f4").reshape(6, 6)
    assert cells == pytest.approx(curl_map(frames[3]).T, abs=1e-2)
    assert "a &lt;b&gt;" in page
    assert "<b>" not in page.split("<body>")[1].split("<script")[0]
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="http', page.split("<body>")[1])


def test_a_lattice_at_rest_and_a_field_that_is_off_can_be_shown():
    frames, frame_times, times, field = movie()
    figure = draw_polarization_animation(0.0 * frames, frame_times, times, 0.0 * field)
    assert render_polarization_animation(figure, title="rest")


def test_no_frames_say_so_and_wrong_shapes_are_refused():
    frames, frame_times, times, field = movie()
    empty = draw_polarization_animation(frames[:0], frame_times[:0], times, field)
    assert "no frame" in empty.layout.meta["says"]
    assert "no frame" in render_polarization_animation(empty, title="none")
    with pytest.raises(ValueError, match="do not fit"):
        draw_polarization_animation(frames, frame_times[1:], times, field)
    with pytest.raises(ValueError, match="finite"):
        draw_polarization_animation(np.nan * frames, frame_times, times, field)
