"""The latent space in one panel, as the live page shows it."""

import numpy as np
import pytest
from latentloop.loop.figures import LatentLayers, SurrogateGrid, draw_incumbent_trace, draw_latent_map
from latentloop.loop.records import Trial, TrialState


def trial(number, state=TrialState.COMPLETED, objective=float("nan"), acquisition="log_ei", d=2):
    z = np.linspace(-1.0, 1.0, d) + 0.1 * number
    return Trial(number, state, z, acquisition, float("nan"), 0.0, 0.0, 0, 0.0, objective=objective)


def layers(acquisition=True, n=5):
    x = np.linspace(-2.0, 2.0, n)
    mean = np.add.outer(x, x)
    value = np.where(mean > 0, mean, -np.inf) if acquisition else None
    return LatentLayers(SurrogateGrid(x, x, mean, np.ones((n, n))), value)


TRIALS = [trial(0, objective=1.0, acquisition="initial"), trial(1, objective=3.0), trial(2, TrialState.ARMED), trial(3, TrialState.FAILED)]


def test_one_surface_is_shown_and_the_page_finds_the_others():
    figure = draw_latent_map(TRIALS, layers=layers())
    roles = figure.layout.meta["latentloop"]
    assert list(roles["layers"]) == ["mean", "uncertainty", "acquisition"]
    assert [figure.data[number].visible for number in roles["layers"].values()] == [True, False, False]
    assert all(figure.data[number].type == "heatmap" for number in roles["layers"].values())


def test_points_carry_the_number_of_their_trial_in_the_trace_of_their_role():
    figure = draw_latent_map(TRIALS, layers=layers())
    roles = figure.layout.meta["latentloop"]
    numbers = {role: list(figure.data[roles[role]].customdata) for role in ("trials", "pending", "incumbent")}
    assert numbers == {"trials": [0, 1], "pending": [2], "incumbent": [1]}
    assert list(draw_latent_map(TRIALS, goal="minimize").data[roles["incumbent"] - 3].customdata) == [0]


def test_a_page_can_append_to_every_set_of_points_before_the_first_trial():
    figure = draw_latent_map([], bounds=np.array([[-1.0, 1.0], [0.0, 2.0]]))
    assert figure.layout.coloraxis.showscale is False  # nor does one come with the trials that a page appends
    assert "objective" not in " ".join(note.text for note in figure.layout.annotations)
    assert draw_latent_map(TRIALS).layout.coloraxis.showscale is True
    roles = figure.layout.meta["latentloop"]
    assert roles["layers"] == {}
    for role in ("training", "trials", "pending", "incumbent"):
        assert len(figure.data[roles[role]].x) == 0
    assert figure.layout.yaxis.range == (0.0, 2.0)


def test_an_acquisition_without_a_finite_value_is_no_layer():
    surrogate = layers().surrogate
    figure = draw_latent_map(TRIALS, layers=LatentLayers(surrogate, np.full((5, 5), np.nan)))
    assert list(figure.layout.meta["latentloop"]["layers"]) == ["mean", "uncertainty"]


def test_surfaces_of_different_grids_are_refused():
    with pytest.raises(ValueError, match="use one grid for both"):
        LatentLayers(layers().surrogate, np.zeros((3, 3)))


def test_a_space_of_one_dimension_becomes_a_curve():
    figure = draw_latent_map([trial(0, objective=1.0, d=1)], bounds=np.array([[-1.0, 1.0]]))
    assert "latentloop" not in (figure.layout.meta or {})


def test_nothing_needs_webgl():
    figure = draw_latent_map(TRIALS, layers=layers(), training=np.zeros((5000, 2)))
    assert {trace.type for trace in figure.data} == {"heatmap", "scatter"}
    assert len(figure.data[figure.layout.meta["latentloop"]["training"]].x) <= 2000


def test_the_trace_says_which_of_its_lines_is_which():
    figure = draw_incumbent_trace(TRIALS)
    roles = figure.layout.meta["latentloop"]
    assert list(figure.data[roles["initial"]].x) == [0]
    assert list(figure.data[roles["optimized"]].x) == [1]
    assert list(figure.data[roles["incumbent"]].y)[-1] == 3.0
    assert list(figure.data[roles["best"]].x) == [1]
