"""No trajectory outside the envelope is ever fired, and each refusal says what broke which bound."""

import json
import math
import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from latentloop.loop.config import SafetyConfig
from latentloop.loop.errors import ConfigError
from latentloop.loop.executors.worker import EvaluatorSpec, Worker
from latentloop.loop.records import Failure, Job, Measurement, Signal, TrialState
from latentloop.loop.registry import EVALUATORS
from latentloop.loop.report import write_report
from latentloop.loop.run import open_campaign, run_campaign
from latentloop.loop.safety import Band, ChannelBounds, Envelope
from latentloop.loop.store.campaign_store import CampaignStore

TIMES = np.linspace(0.0, 2.0, 41)
ONE = Signal(TIMES, "V", "ms", ("E",))


def envelope(signal=ONE, **safety):
    return Envelope.from_config(SafetyConfig.model_validate(safety), signal)


def bounded(**bounds):
    return envelope(bounds=bounds)


def sine(frequency=1.0, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * TIMES)


def oracle(x, times, bounds):
    """Say whether a trajectory of one channel keeps plain bounds, step by step and without NumPy."""
    x, times = [float(value) for value in x], [float(value) for value in times]
    low, high = bounds.get("amplitude", (-math.inf, math.inf))
    good = all(low <= value <= high for value in x)
    slews = [(b - a) / (t - s) for a, b, s, t in zip(x, x[1:], times, times[1:], strict=False)]
    good = good and all(abs(slew) <= bounds.get("slew_rate", math.inf) for slew in slews)
    bends = [2 * (q - p) / (t - s) for p, q, s, t in zip(slews, slews[1:], times, times[2:], strict=False)]
    good = good and all(abs(bend) <= bounds.get("curvature", math.inf) for bend in bends)
    return good and abs(x[-1]) <= bounds.get("end_tolerance", math.inf)


def test_nothing_bounded_is_no_envelope():
    assert envelope() is None
    assert envelope(units={"value": "V"}, approval="each") is None


CASES = {
    "amplitude": ({"amplitude": (-0.5, 2.0)}, "amplitude of channel E is -1 V at step 15, below the bound -0.5 V"),
    "slew rate": ({"slew_rate": 6.0}, "slew rate of channel E is 6.18034 V/ms at step "),
    "curvature": ({"curvature": 30.0}, "curvature of channel E is -"),
    "mean power": ({"mean_power": 0.4}, "V², above the bound 0.4 V²"),
    "dose": ({"dose": 1.0}, "V·ms, above the bound 1 V·ms"),
}


@pytest.mark.parametrize("figure", CASES)
def test_a_violation_names_figure_bound_unit_step_and_channel(figure):
    bounds, sentence = CASES[figure]
    values = sine(amplitude=1.0)
    found = bounded(**bounds).check(values, TIMES)
    assert found.figure == figure
    assert found.channel == "E"
    if figure == "curvature":
        assert abs(found.value) == pytest.approx(np.abs(np.diff(values, 2)).max() / 0.05**2)
    else:
        assert sentence in found.sentence


def test_ends_must_return_to_zero_within_their_tolerance():
    ramp = TIMES / 2.0
    assert bounded(start_tolerance=0.0).check(ramp, TIMES) is None
    found = bounded(end_tolerance=0.1).check(ramp, TIMES)
    assert (found.figure, found.value, found.bound, found.step) == ("last value", 1.0, 0.1, 40)
    found = bounded(end_tolerance=0.1).check(-ramp, TIMES)
    assert (found.value, found.bound) == (-1.0, -0.1)
    assert bounded(start_tolerance=0.5).check(1.0 - ramp, TIMES).figure == "first value"


def test_values_on_the_bound_are_inside():
    assert bounded(amplitude=(-1.0, 1.0)).check(np.clip(sine(amplitude=3.0), -1.0, 1.0), TIMES) is None
    assert bounded(slew_rate=1.0).check(np.arange(5.0), np.arange(5.0)) is None
    assert bounded(dose=4.0, mean_power=1.0).check(np.ones(5), np.arange(5.0)) is None


def test_a_forbidden_band_measures_the_power_that_lies_in_it():
    tone = math.sqrt(2.0) * sine(frequency=5.0, amplitude=0.8)
    inside, outside = Band(4.0, 6.0, 0.1), Band(0.0, 3.0, 0.1)
    found = Envelope(("E",), (ChannelBounds(forbidden_bands=(inside,)),), unit="V", time_unit="ms").check(tone, TIMES)
    assert found.figure == "root mean square in the forbidden band 4 to 6 1/ms"
    assert 0.7 < found.value < 0.8  # a short tone has a part of its power outside
    assert Envelope(("E",), (ChannelBounds(forbidden_bands=(outside,)),)).check(tone, TIMES) is None


@given(x=arrays(np.float64, 41, elements=st.floats(-10, 10)), edges=st.lists(st.floats(0, 10), min_size=1, max_size=4, unique=True))
@settings(max_examples=50, deadline=None)
def test_the_bands_of_a_partition_hold_all_of_the_power_together(x, edges):
    from latentloop.loop.waveform import band_rms

    cuts = [0.0, *sorted(edge for edge in edges if 1e-3 < edge < 9.999), 10.0]  # 10 is the Nyquist frequency
    parts = [band_rms(x, TIMES, (low, high)) ** 2 for low, high in pairwise(cuts)]
    assert sum(parts) == pytest.approx(np.mean(x**2), rel=1e-9, abs=1e-12)


@given(
    x=arrays(np.float64, 41, elements=st.floats(-3, 3)),
    amplitude=st.floats(0.1, 3),
    slew_rate=st.floats(0.1, 100),
    curvature=st.floats(1, 5000),
    end=st.floats(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_the_verdict_is_that_of_a_step_by_step_reading(x, amplitude, slew_rate, curvature, end):
    bounds = {"amplitude": (-amplitude, amplitude), "slew_rate": slew_rate, "curvature": curvature, "end_tolerance": end}
    assert (bounded(**bounds).check(x, TIMES) is None) == oracle(x, TIMES, bounds)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308])
def test_numbers_that_are_not_finite_or_too_large_never_pass(value):
    values = np.zeros(41)
    values[[3, 7]] = value, -value
    for bounds in ({"amplitude": (-1, 1)}, {"slew_rate": 1}, {"curvature": 1}, {"mean_power": 1}, {"dose": 1}):
        assert bounded(**bounds).check(values, TIMES) is not None
    assert envelope(bounds={"forbidden_bands": [{"low": 1, "high": 2, "rms": 1}]}).check(values, TIMES) is not None


def test_an_envelope_that_most_trajectories_break_is_said_beforehand():
    many = np.array([sine(amplitude=1.0 + 0.01 * n) for n in range(300)])
    assert bounded(amplitude=(-10, 10)).reach(many, TIMES) == ""
    said = bounded(amplitude=(-1.5, 1.5)).reach(many, TIMES)
    assert said.startswith("51 of 300 trajectories looked at keep the safety envelope (amplitude of channel")
    assert "on_violation project" in said


def test_wrong_shapes_are_violations_not_crashes():
    made = bounded(amplitude=(-1, 1))
    assert made.check(np.zeros((41, 2)), TIMES).figure == "number of channels"
    assert made.check(np.zeros(40), TIMES).figure == "number of steps"
    assert made.check(np.zeros((2, 2, 2)), TIMES).figure == "number of channels"


def test_channels_have_bounds_of_their_own_and_share_the_rest():
    signal = Signal(TIMES, "V", "ms", ("Ex", "Ey"))
    made = envelope(signal, bounds={"amplitude": (-1, 1), "slew_rate": 100}, channel_bounds={"Ey": {"amplitude": (-3, 3)}})
    both = np.stack([sine(amplitude=0.9), sine(amplitude=2.5)], axis=1)
    assert made.check(both, TIMES) is None
    found = made.check(both[:, ::-1], TIMES)
    assert (found.channel, found.figure) == ("Ex", "amplitude")
    assert made.bounds[1].slew_rate == 100


@pytest.mark.parametrize(
    ("safety", "sentence"),
    [
        ({"units": {"value": "mV"}, "bounds": {"dose": 1}}, "safety.units.value is 'mV', the trajectories are in 'V'"),
        ({"units": {"time": "s"}, "bounds": {"dose": 1}}, "safety.units.time is 's'"),
        ({"channel_bounds": {"Ez": {"dose": 1}}}, "names Ez; the channels are E"),
        ({"duration": (0, 1)}, "duration is 2 ms, above the bound 1 ms"),
        ({"sample_rate": (0, 10)}, "sample rate is 20 1/ms"),
        ({"bounds": {"amplitude": (1, 2), "end_tolerance": 0.1}}, "leave channel E no value at step 40"),
    ],
)
def test_an_envelope_that_no_trajectory_can_keep_is_refused_at_once(safety, sentence):
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(")):
        envelope(**safety)


def test_rounded_times_do_not_break_a_bound_on_the_sample_rate():
    times = np.cumsum(np.full(1000, 0.1)) - 0.1
    assert envelope(Signal(times, "V", "ms", ("E",)), sample_rate=(10, 10), duration=(99.9, 99.9)) is not None


def test_forbidden_bands_need_evenly_spaced_times():
    with pytest.raises(ConfigError, match="evenly spaced"):
        envelope(Signal(TIMES**2, "V", "ms", ("E",)), bounds={"forbidden_bands": [{"low": 1, "high": 2, "rms": 1}]})


def test_the_hash_names_every_bound_and_unit():
    made = bounded(amplitude=(-1, 1), slew_rate=5)
    others = [
        bounded(amplitude=(-1, 1.0000001), slew_rate=5),
        bounded(amplitude=(-1, 1)),
        replace(made, unit="mV"),
        replace(made, channels=("F",)),
        replace(made, duration=(0, 3)),
    ]
    assert made.hash == bounded(amplitude=(-1.0, 1.0), slew_rate=5.0).hash == pickle.loads(pickle.dumps(made)).hash
    assert len({made.hash, *(other.hash for other in others)}) == 6


@given(
    x=arrays(np.float64, (41, 2), elements=st.floats(-10, 10)),
    slew_rate=st.floats(0.5, 50),
    curvature=st.floats(10, 500),
    power=st.floats(0.01, 1),
    end=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=100, deadline=None)
def test_a_projected_trajectory_keeps_the_envelope_and_projecting_is_repeatable(x, slew_rate, curvature, power, end):
    signal = Signal(TIMES, "V", "ms", ("Ex", "Ey"))
    bounds = {"amplitude": (-1, 1), "slew_rate": slew_rate, "mean_power": power, "end_tolerance": end, "start_tolerance": end}
    bounds["forbidden_bands"] = [{"low": 6, "high": 8, "rms": 0.05}]
    made = envelope(signal, bounds=bounds, channel_bounds={"Ey": {"curvature": curvature, "dose": 0.5}})
    first = made.project(x, TIMES)
    assert made.check(first, TIMES) is None
    np.testing.assert_array_equal(first, made.project(x.copy(), TIMES))
    np.testing.assert_array_equal(first, made.project(first, TIMES))


def test_a_trajectory_inside_is_not_changed_by_projecting():
    x = sine(amplitude=0.5)
    np.testing.assert_array_equal(bounded(amplitude=(-1, 1), slew_rate=10, dose=5, curvature=100).project(x, TIMES), x)


def test_limits_narrow_towards_an_end_at_zero_as_the_slew_rate_allows():
    lower, upper = bounded(amplitude=(-1, 2), slew_rate=4, end_tolerance=0).limits(TIMES)
    assert upper.shape == (41, 1)
    np.testing.assert_allclose(upper[:, 0], np.minimum(2, 4 * (2.0 - TIMES)))
    np.testing.assert_allclose(lower[:, 0], np.maximum(-1, -4 * (2.0 - TIMES)))


class Recorder:
    """Keeps what reaches it."""

    kind = "physical"

    def __init__(self):
        self.seen = []

    def prepare(self):
        pass

    def measure(self, trajectory):
        self.seen.append(np.array(trajectory))
        return Measurement({"objective": 0.0})

    def close(self):
        pass


def test_of_100000_random_waveforms_none_that_violates_reaches_an_evaluator():
    generator = np.random.default_rng(5)
    times, n = np.arange(30) * 0.1, 100_000
    signal = Signal(times, "V", "s", ("E",))
    bounds = {"amplitude": (-1.0, 1.0), "slew_rate": 6.0, "curvature": 60.0, "end_tolerance": 0.3, "mean_power": 0.15}
    made = envelope(signal, bounds=bounds)
    spec = EvaluatorSpec("python", {"target": "laboratory:smooth"}, signal=signal, envelope=made)
    worker = Worker(spec, "here")
    worker.evaluator = recorder = Recorder()
    # Series of sines that are rough, large and loud in different degrees: about half of them keep each bound.
    basis = np.stack([np.sin(2 * np.pi * k * times / 6 + k) for k in range(1, 7)])
    waves = (generator.normal(size=(n, 6)) * generator.uniform(0, 0.6, (n, 1)) / np.arange(1, 7)) @ basis
    waves[::97, generator.integers(30)] = np.nan
    outcomes = worker.measure([Job(number, wave, made.hash) for number, wave in enumerate(waves)])
    seen = np.array(recorder.seen)
    slews = np.diff(seen) / np.diff(times)
    power = ((seen[:, :-1] ** 2 + seen[:, :-1] * seen[:, 1:] + seen[:, 1:] ** 2) / 3).mean(axis=1)
    assert np.isfinite(seen).all()
    assert np.abs(seen).max() <= 1.0
    assert np.abs(slews).max() <= 6.0
    assert np.abs(np.diff(slews) / 0.1).max() <= 60.0 * (1 + 1e-9)
    assert np.abs(seen[:, -1]).max() <= 0.3
    assert power.max() <= 0.15 * (1 + 1e-9)
    fired = [outcome for outcome in outcomes if isinstance(outcome.result, Measurement)]
    refused = [outcome for outcome in outcomes if isinstance(outcome.result, Failure)]
    assert len(fired) == len(seen)
    assert len(fired) + len(refused) == n
    assert 10_000 < len(fired) < 90_000
    assert all(outcome.result.is_refused and outcome.result.reason.startswith("not fired: ") for outcome in refused)


def test_a_worker_fires_only_for_the_envelope_that_a_trial_was_armed_for():
    made, other = bounded(amplitude=(-1, 1)), bounded(amplitude=(-2, 2))
    spec = EvaluatorSpec("python", {"target": "laboratory:smooth"}, signal=ONE, envelope=made)
    assert spec.refusal(Job(0, sine(), made.hash)) == ""
    assert "armed for the envelope none" in spec.refusal(Job(0, sine()))
    assert other.hash[:12] in spec.refusal(Job(0, sine(), other.hash))
    assert "amplitude" in spec.refusal(Job(0, 1.5 * sine(), made.hash))
    assert "this worker has none" in replace(spec, envelope=None).refusal(Job(0, sine(), made.hash))
    assert "does not know the times" in replace(spec, signal=None).refusal(Job(0, sine(), made.hash))


def events(path, kind):
    return [event.data for event in CampaignStore.open(path).journal.read() if event.kind == kind]


TIGHT = {"units": {"value": "V"}, "bounds": {"amplitude": (-0.8, 0.8)}}


def test_a_refused_candidate_is_a_recorded_trial_and_is_not_measured(config, tmp_path, target, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv("LABORATORY_LOG", str(log))
    made = config(safety=TIGHT, budget={"trials": 12}, **target("counted"))
    history = run_campaign(made, tmp_path / "x")
    counts = history.counts()
    assert set(counts) == {"completed", "refused"}
    assert sum(counts.values()) == 12
    assert len(log.read_text().splitlines()) == counts["completed"]
    store = CampaignStore.open(tmp_path / "x")
    for trial in history.trials:
        values = store.trajectory(trial)
        assert (np.abs(values).max() > 0.8) == (trial.state is TrialState.REFUSED)
    refused = events(tmp_path / "x", "refused")
    assert [data["trial"] for data in refused] == [trial.number for trial in history.trials if trial.state is TrialState.REFUSED]
    for data in refused:
        assert (data["figure"], data["unit"], data["channel"], abs(data["bound"])) == ("amplitude", "V", "E", 0.8)
        assert abs(store.trajectory(history.trials[data["trial"]])[data["step"]]) == abs(data["value"])
    assert {data["envelope"] for data in events(tmp_path / "x", "armed")} == {refused[0]["envelope"]}


def test_a_refused_point_is_told_to_the_optimizer_as_infeasible(config, tmp_path):
    made = config(safety=TIGHT, budget={"trials": 12}, optimizer={"n_initial": 3, "acquisition": "log_ei"})
    whole = run_campaign(made, tmp_path / "whole")
    assert whole.avoided == [trial.number for trial in whole.trials if trial.state is TrialState.REFUSED]
    assert len(whole.avoided) >= 2
    # and the proposals of a resumed campaign are those of the uninterrupted one, refusals included
    run_campaign(made.model_copy(update={"budget": made.budget.model_copy(update={"trials": 7})}), tmp_path / "part")
    resumed = open_campaign(tmp_path / "part", trials=12)
    assert [trial.z.tolist() for trial in resumed.trials] == [trial.z.tolist() for trial in whole.trials]
    assert resumed.counts() == whole.counts()


def test_a_campaign_in_which_everything_is_refused_ends_with_a_sentence(config, tmp_path):
    never = {"bounds": {"amplitude": (5, 6)}, "refused_in_a_row": 4}
    history = run_campaign(config(safety=never, budget={"trials": 30}), tmp_path / "x")
    assert (history.last_session, history.counts()) == ("failed", {"refused": 4})
    assert "4 trials in a row were refused, the last because amplitude of channel E is" in history.reason
    history = open_campaign(tmp_path / "x", trials=6)
    assert (history.last_session, history.counts()) == ("failed", {"refused": 6})
    assert history.reason.startswith("none of the 6 trials was measured")


def test_a_projected_candidate_is_measured_inside_and_recorded_as_such(config, tmp_path):
    made = config(safety={**TIGHT, "on_violation": "project"}, budget={"trials": 10}, optimizer={"n_initial": 4, "acquisition": "log_ei"})
    history = run_campaign(made, tmp_path / "x")
    assert history.counts() == {"completed": 10}
    moved = [trial for trial in history.trials if trial.is_projected]
    assert moved
    assert len(moved) < 10
    store = CampaignStore.open(tmp_path / "x")
    assert all(np.abs(store.trajectory(trial)).max() <= 0.8 for trial in history.trials)
    assert [data["trial"] for data in events(tmp_path / "x", "armed") if data.get("is_projected")] == [trial.number for trial in moved]
    from latentloop.loop.latent_training import restore_model

    code = restore_model(store.model(0)[0]).encode(store.trajectory(moved[0])[None])[0]
    box = np.array(store.history.models[0]["box"])
    np.testing.assert_array_equal(moved[0].z, np.clip(code, box[:, 0], box[:, 1]))


def test_the_report_draws_the_envelope(config, tmp_path):
    run_campaign(config(safety={"bounds": {"amplitude": (-3, 3), "slew_rate": 50, "end_tolerance": 2}}), tmp_path / "x")
    page = write_report(tmp_path / "x", tmp_path / "x.html").read_text()
    assert "safety envelope" in page


def test_an_envelope_has_no_place_in_a_campaign_over_plain_parameters(config, tmp_path):
    from latentloop.loop.config import config_from_mapping
    from latentloop.loop.preparation import evaluator_spec
    from latentloop.loop.trajectory_source import load_trajectories

    made = config_from_mapping(
        {
            "name": "box",
            "trajectories": {"box": {"a": (0, 1), "b": (0, 1)}},
            "evaluator": {"name": "python", "parameters": {"target": "laboratory:smooth"}},
            "safety": {"bounds": {"amplitude": (0, 0.5)}},
        }
    )
    with pytest.raises(ConfigError, match=r"bound its parameters in trajectories\.box"):
        evaluator_spec(made, trajectories=load_trajectories(made))
    with pytest.raises(ConfigError, match="needs to know the trajectories"):
        evaluator_spec(config(safety=TIGHT))


def test_the_grid_of_a_ground_truth_stays_in_the_envelope_too(config, monkeypatch):
    from latentloop.loop.ground_truth import measure_ground_truth

    free = measure_ground_truth(config(), 5)
    kept = measure_ground_truth(config(safety=TIGHT), 5)
    assert free.n_failed == 0
    assert 0 < kept.n_failed < 25
    inside = np.isfinite(kept.objective)
    np.testing.assert_array_equal(kept.objective[inside], free.objective[inside])


def test_the_configuration_of_an_envelope_is_checked():
    from pydantic import ValidationError

    for bad in (
        {"bounds": {"amplitude": (1, 1)}},
        {"bounds": {"slew_rate": 0}},
        {"bounds": {"forbidden_bands": [{"low": 2, "high": 1, "rms": 0}]}},
    ):
        with pytest.raises(ValidationError):
            SafetyConfig.model_validate(bad)
    assert json.loads(SafetyConfig.model_validate(TIGHT).model_dump_json())["on_violation"] == "refuse"
    assert "python" in EVALUATORS.names()


def test_a_pending_point_moves_with_its_projected_trajectory():
    from latentloop.loop.optimizer import Optimizer

    optimizer = Optimizer([[0, 1], [0, 1]], n_initial=5)
    first, second = optimizer.ask(2)
    optimizer.move_pending(first, np.array([0.25, 0.5]))
    np.testing.assert_array_equal(optimizer.pending, [[0.25, 0.5], second])
    with pytest.raises(ValueError, match="is not pending"):
        optimizer.move_pending(first, second)
    with pytest.raises(ValueError, match="outside the box"):
        optimizer.move_pending(second, np.array([2.0, 0.5]))


def test_the_figure_draws_bounds_where_there_are_any():
    from latentloop.loop.figures import draw_best_trajectory

    lower, upper = bounded(start_tolerance=0.0, slew_rate=8.0).limits(TIMES)
    figure = draw_best_trajectory(sine(), times=TIMES, bounds=(lower[:, 0], upper[:, 0]), channels=["E"])
    lines = [trace for trace in figure.data if trace.name == "safety envelope"]
    np.testing.assert_allclose(lines[0].y, 8 * TIMES)
    np.testing.assert_allclose(lines[1].y, -8 * TIMES)
    assert [line.showlegend for line in lines] == [True, False]
    nothing = (np.full(41, -np.inf), np.full(41, np.inf))
    assert len(draw_best_trajectory(sine(), times=TIMES, bounds=nothing).data) == 1


def test_a_test_problem_does_not_go_around_the_envelope():
    from latentloop.loop.problem import FerroSimProblem

    with pytest.raises(ConfigError, match="keeps no safety envelope"):
        FerroSimProblem.from_config("quick", ["safety.bounds.amplitude=[-1, 1]"])


def test_the_last_controller_of_a_killed_campaign_resumes_with_the_envelope_it_was_armed_for(config, tmp_path):
    made = config(safety={"bounds": {"amplitude": (-3, 3)}}, budget={"trials": 4})
    run_campaign(made, tmp_path / "x")
    journal = tmp_path / "x" / "journal"
    finished = [event.number for event in CampaignStore.open(tmp_path / "x").journal.read() if event.kind in ("completed", "ended")]
    for number in range(finished[-2], finished[-1] + 1):  # as if killed before the last trial was committed
        (journal / f"{number:08d}.json").unlink()
    history = open_campaign(tmp_path / "x")
    assert history.counts() == {"completed": 4}
    assert len({trial.envelope for trial in history.trials}) == 1
