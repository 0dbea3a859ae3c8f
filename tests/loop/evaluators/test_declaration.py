"""What an evaluator wants is compared with the campaign's trajectories before anything is fired."""

import numpy as np
import pytest
from latentloop.loop.errors import ConfigError
from latentloop.loop.evaluators.declaration import require_wanted
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Signal
from latentloop.loop.run import run_campaign

SIGNAL = Signal(np.arange(5) * 0.5, "V", "ms", ("E",))
FITS = {"channels": ["E"], "units": {"value": "V", "time": "ms"}, "steps": 5, "sample_rate": [1.0, 2.0]}


def test_what_fits_is_taken():
    require_wanted(FITS, SIGNAL, "bench")
    require_wanted({}, SIGNAL, "bench")
    require_wanted({"kind": "physical", "channels": ("E",)}, SIGNAL, "bench")


@pytest.mark.parametrize(
    ("wants", "sentence"),
    [
        ({"channels": ["E", "T"]}, r"the channels \['E', 'T'\]"),
        ({"units": {"value": "kV"}}, "the unit 'kV'"),
        ({"units": {"time": "s"}}, "the unit of time 's'"),
        ({"steps": 6}, "the number of steps 6"),
        ({"sample_rate": [3, 5]}, "3 to 5 steps per ms, the campaign's trajectories have 2"),
        ({"sample_rate": [0.1, 1.9]}, "have 2; resample"),
        ({"sample_rate": 3}, "must read"),
        (["E"], "must be a mapping"),
    ],
)
def test_what_does_not_fit_is_said(wants, sentence):
    with pytest.raises(ConfigError, match=sentence):
        require_wanted(wants, SIGNAL, "bench")


def test_uneven_times_are_bounded_by_their_shortest_and_longest_step():
    uneven = Signal(np.array([0.0, 0.1, 1.1]), "", "s", ("E",))
    require_wanted({"sample_rate": [1.0, 10.0]}, uneven, "bench")
    for wanted in ([1.1, 10.0], [1.0, 9.9]):
        with pytest.raises(ConfigError, match="steps per s"):
            require_wanted({"sample_rate": wanted}, uneven, "bench")


def test_a_python_class_that_wants_others_is_refused_before_the_store_is_made(config, tmp_path):
    chosen = config(evaluator={"parameters": {"target": "laboratory:Choosy"}})
    with pytest.raises(ConfigError, match="evaluator laboratory:Choosy wants the unit 'kV'"):
        run_campaign(chosen, tmp_path / "film")
    assert not (tmp_path / "film").exists()


def test_a_generator_that_cannot_play_so_fast_is_refused():
    parameters = {"address": "TCPIP::x::1::SOCKET", "metrics": {"a": "A?"}, "seconds_per_time_unit": 1e-3, "sample_rate": [1.0, 1500.0]}
    with pytest.raises(ConfigError, match="wants 1 to 1500 steps per s, the campaign's trajectories have 2000"):
        EvaluatorSpec("scpi", parameters, signal=SIGNAL).make()
    EvaluatorSpec("scpi", {**parameters, "sample_rate": [1.0, 2000.0]}, signal=SIGNAL).make()
