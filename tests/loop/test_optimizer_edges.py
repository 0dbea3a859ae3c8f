"""Ask and tell at the edges: what is kept, what is refused, what is left after an error."""

import json

import numpy as np
import pytest
from latentloop import Optimizer
from latentloop.loop.errors import PlugInError
from latentloop.models.errors import DomainError

BOX = [[-1.0, 2.0], [3.0, 4.0]]


def valley(points):
    """Largest, 1.0, at (0.5, 3.2)."""
    return 1.0 - ((np.atleast_2d(points) - [0.5, 3.2]) ** 2).sum(axis=1)


def test_variances_are_known_of_some_values_of_one_tell():
    optimizer = Optimizer(BOX)
    optimizer.tell([[0.1, 3.2], [0.3, 3.4]], [1.0, 2.0], [np.nan, 0.01])
    assert optimizer.state()["y_var"] == [None, 0.01]


@pytest.mark.parametrize("name", ["sobol", "random", "portfolio"])
def test_what_gave_nothing_is_not_asked_again(name):
    optimizer = Optimizer(BOX, acquisition=name, n_initial=2)
    optimizer.tell(points := optimizer.ask(2), valley(points))
    asked = []
    for _ in range(5):
        asked.append(optimizer.ask())
        optimizer.discard(asked[-1], infeasible=True)
    assert len(np.unique(np.concatenate(asked), axis=0)) == 5


def test_the_sobol_sequence_has_the_seed_of_the_optimizer_where_it_has_none_of_its_own():
    def first(seed, acquisition="sobol"):
        optimizer = Optimizer(BOX, acquisition=acquisition, n_initial=1, seed=seed)
        optimizer.tell([[0.1, 3.2], [0.3, 3.4]], [1.0, 2.0])
        return optimizer.ask().tolist()

    assert first(1) != first(2)
    own = {"name": "sobol", "parameters": {"seed": 7}}
    assert first(1, own) == first(2, own)


@pytest.mark.parametrize("name", ["sobol", "random", "portfolio"])
def test_a_box_with_no_further_point_is_an_error(name):
    optimizer = Optimizer([[1.0, 1.0 + 1e-15]], acquisition=name, n_initial=1)

    def fill():
        for value in range(20):
            optimizer.tell(optimizer.ask(), [float(value)])

    with pytest.raises(DomainError):
        fill()


def test_an_ask_that_fails_leaves_nothing_pending():
    is_broken = False

    def features(points):
        if is_broken:
            raise RuntimeError("no decoder here")
        return np.column_stack([points, points**2])

    optimizer = Optimizer(BOX, n_initial=5, features=features)
    optimizer.tell([[0.1, 3.2], [0.3, 3.4], [0.5, 3.5], [0.6, 3.6]], [1.0, 2.0, 3.0, 4.0])
    before, is_broken = optimizer.state(), True
    with pytest.raises(RuntimeError, match="no decoder here"):
        optimizer.ask(3)
    assert optimizer.state() == before


def test_a_state_with_features_wants_them_back():
    def features(points):
        return np.column_stack([points, points**2])

    state = json.loads(json.dumps(Optimizer(BOX, features=features).state()))
    with pytest.raises(ValueError, match="looked at features"):
        Optimizer.from_state(state)
    assert Optimizer.from_state(state, features=features).features is features


def test_what_is_given_and_what_is_shown_is_not_what_is_kept():
    box, rows = np.array(BOX, dtype=np.float64), np.array([[0.0, 3.0], [0.5, 3.1]])
    optimizer = Optimizer(box, candidates=rows, acquisition={"name": "ucb", "parameters": {"beta": 2.0}})
    before = optimizer.state()
    box *= 10
    rows[:] = 0
    optimizer.bounds[:] = 0
    optimizer.state()["acquisition"]["parameters"]["beta"] = 99.0
    with pytest.raises(ValueError, match="read-only"):
        optimizer.candidates[:] = 0
    assert optimizer.state() == before


def test_a_point_comes_back_rounded_and_is_pending_no_more():
    optimizer = Optimizer(BOX)
    points = optimizer.ask(3)
    told = points[1].astype(np.float32)
    optimizer.tell(told, valley(told))
    np.testing.assert_array_equal(optimizer.pending, points[[0, 2]])


@pytest.mark.parametrize("box", [[[-1e308, 1e308]], [[0.0, 1e-320]]])
def test_a_box_whose_edges_are_no_usable_numbers_is_refused(box):
    with pytest.raises(ValueError, match="edges of a box"):
        Optimizer(box)


@pytest.mark.parametrize("name", ["acquisition", "surrogate"])
def test_an_empty_name_is_no_name(name):
    with pytest.raises(ValueError, match="unknown"):
        Optimizer(BOX, **{name: ""})


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (3, "must be a function"),
        (lambda z: None, r"have shape \(\)"),
        (lambda z: z[:1], r"have shape \(1, 2\); return one trajectory for each"),
        (lambda z: z[:, :, None, None], "have shape"),
        (lambda z: z * np.nan, "NaN or infinity"),
        (lambda z: z[:, 7], "IndexError"),
    ],
)
def test_features_that_cannot_serve_are_refused_at_once(features, words):
    with pytest.raises(ValueError, match=words):
        Optimizer(BOX, features=features)


@pytest.mark.parametrize("name", ["bounds", "candidates"])
@pytest.mark.parametrize("value", ["box", [["a", 5], [0, 1]], [[1, 5], [0]], {"x": 1}])
def test_an_argument_that_is_no_numbers_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be real numbers"):
        Optimizer(**{"bounds": BOX, name: value})


def test_a_candidate_that_is_no_point_is_named():
    with pytest.raises(ValueError, match="candidate 1 holds NaN"):
        Optimizer(BOX, candidates=[[0.0, 3.5], [0.0, np.nan]])


def test_a_surrogate_that_knows_nothing_says_so():
    with pytest.raises(ValueError, match="tell observations first"):
        Optimizer(BOX).surrogate  # noqa: B018


def test_an_optimizer_says_what_it_is():
    optimizer = Optimizer(BOX, acquisition="ucb")
    optimizer.ask(3)
    assert repr(optimizer) == "<Optimizer (auto, ucb) in a box of 2 dimensions: 0 told, 3 pending>"


class Proposing:
    """An acquisition function that proposes what it was given."""

    name = "proposing"
    needs_surrogate = False

    def __init__(self, points):
        self.points = points

    def propose(self, surrogate, domain, q=1, *, pending=None, observed=None, generator):
        from latentloop.models.acquisition.base import Proposal

        points = np.array(self.points, dtype=float)
        return Proposal(points, np.full(len(points), np.nan), None)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[99.0, 99.0]], "lies outside the box"),
        ([[np.nan, 3.5]], "is no point"),
        ([[0.1, 3.2]], "measured, pending or chosen already"),
        ([[0.0, 3.5], [0.1, 3.5]], r"shape \(2, 2\) where \(1, 2\)"),
    ],
)
def test_an_acquisition_function_that_proposes_nonsense_is_blamed(points, words):
    optimizer = Optimizer(BOX, n_initial=1)
    optimizer.tell([[0.1, 3.2], [0.2, 3.6]], [1.0, 2.0])
    optimizer._acquisition = Proposing(points)
    with pytest.raises(PlugInError, match=f"acquisition function 'portfolio' proposed .*{words}"):
        optimizer.ask()
    assert not len(optimizer.pending)
