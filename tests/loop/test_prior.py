"""A campaign that starts from earlier measurements: labels that are honest, rows that are named, and a resume that knows them all."""

import json

import numpy as np
import pytest
from latentloop import open_campaign, run_campaign
from latentloop.loop.config import load_config
from latentloop.loop.controller import StopFlag
from latentloop.loop.errors import ConfigError
from latentloop.loop.records import TrialState
from latentloop.loop.report import report_content
from latentloop.loop.restoration import restored_campaign
from latentloop.loop.run import SilentObserver
from latentloop.loop.status import campaign_status
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.earlier import read_earlier
from latentloop.loop.trajectory_source import load_trajectories

METHOD = {"optimizer": {"acquisition": "log_ei", "n_initial": 5}, "budget": {"trials": 5}}


class StopAfter(SilentObserver):
    def __init__(self, n):
        self.flag, self._n = StopFlag(), n

    def trial(self, trial, history):
        if trial.number + 1 >= self._n:
            self.flag.set()


def facts(history):
    return [(trial.number, trial.state, trial.z.tobytes(), trial.objective, trial.acquisition) for trial in history.trials]


def observations(path, config):
    store = CampaignStore.open(path)
    return restored_campaign(store, config, store.history, "pure", None).optimizer.observations


def write_table(path, header, rows):
    path.write_text("\n".join([",".join(header), *(",".join(str(cell) for cell in row) for row in rows)]) + "\n")
    return path


def smooth(trajectory):
    return -float(np.mean((trajectory - 0.3) ** 2))


def test_trials_of_a_campaign_with_the_same_latent_model_are_taken_over_as_they_are(config, tmp_path):
    first = run_campaign(config(**METHOD), tmp_path / "first")
    second = run_campaign(config(**METHOD), tmp_path / "second", prior=tmp_path / "first")
    assert [trial.acquisition for trial in second.trials] == ["log_ei"] * 5  # five earlier ones were the initial design
    x, y = observations(tmp_path / "second", config(**METHOD))
    np.testing.assert_array_equal(x[:5], [trial.z for trial in first.trials])
    np.testing.assert_array_equal(y[:5], [trial.objective for trial in first.trials])
    assert all(point["lost"] == 0 and point["code"]["extra"] == 0 for point in second.prior["points"])
    # Two campaigns in a row are one: the ninth point follows from the eight before, wherever they were measured.
    assert len({trial.z.tobytes() for trial in [*first.trials, *second.trials]}) == 10
    kept = read_earlier(CampaignStore.open(tmp_path / "second"))
    np.testing.assert_array_equal(kept[3], CampaignStore.open(tmp_path / "first").trajectory(first.trials[3]))


def test_the_earlier_points_are_journalled_before_any_trial_and_survive_a_resume_to_the_last_bit(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "first")
    whole = run_campaign(config(**METHOD), tmp_path / "whole", prior=tmp_path / "first")
    kinds = [json.loads(path.read_bytes())["event"]["kind"] for path in sorted((tmp_path / "whole" / "journal").glob("0*.json"))]
    assert kinds.index("model") < kinds.index("prior") < kinds.index("armed")
    watcher = StopAfter(2)
    run_campaign(config(**METHOD), tmp_path / "cut", prior=tmp_path / "first", observer=watcher, should_stop=watcher.flag)
    (tmp_path / "first").rename(tmp_path / "gone")
    assert facts(open_campaign(tmp_path / "cut")) == facts(whole)


def test_a_driver_killed_before_the_earlier_points_were_journalled_takes_them_up_on_resume(config, tmp_path, monkeypatch):
    run_campaign(config(**METHOD), tmp_path / "first")
    whole = run_campaign(config(**METHOD), tmp_path / "whole", prior=tmp_path / "first")
    from latentloop.loop import run

    def plug(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "take_up", plug)
        with pytest.raises(KeyboardInterrupt):
            run_campaign(config(**METHOD), tmp_path / "cut", prior=tmp_path / "first")
    assert not CampaignStore.open(tmp_path / "cut").history.prior
    assert facts(open_campaign(tmp_path / "cut")) == facts(whole)


def test_trajectories_of_another_latent_model_are_encoded_anew_and_their_labels_widened_by_what_is_lost(config, tmp_path):
    wide = {"latent": {"model": {"parameters": {"n_latent": 4}}}}
    run_campaign(config(optimizer={"n_initial": 12}, budget={"trials": 12}, **wide), tmp_path / "first")
    made = config(optimizer={"acquisition": "log_ei", "n_initial": 5, "noise": 0}, budget={"trials": 3})
    history = run_campaign(made, tmp_path / "second", prior=tmp_path / "first")
    first, second = CampaignStore.open(tmp_path / "first"), CampaignStore.open(tmp_path / "second")
    model = restored_campaign(second, made, history, "pure", None).space.model
    training = load_trajectories(made).values
    spread = np.var([trial.objective for trial in first.history.trials])
    assert history.prior["points"]
    for point in history.prior["points"]:
        trial = first.history.trials[int(point["label"].split()[1])]
        x = first.trajectory(trial)
        back = model.decode(model.encode(x[None]))[0]
        lost = ((x - back) ** 2).sum() / training.var(axis=0).sum()
        assert point["lost"] == pytest.approx(lost)
        assert 0 < lost <= 0.25
        assert point["code"]["extra"] == pytest.approx(lost * spread)
        np.testing.assert_allclose(point["code"]["z"], model.encode(x[None])[0], atol=1e-12)
        assert point["objective"] == trial.objective
    assert len(history.prior["points"]) + len(history.prior["skipped"]) == 12
    assert all("lost on the way" in each["reason"] or "outside the box" in each["reason"] for each in history.prior["skipped"])
    optimizer = restored_campaign(second, made, history, "pure", None).optimizer
    extras = [point["code"]["extra"] for point in history.prior["points"]]
    assert optimizer.state()["y_extra"] == [*extras, 0.0, 0.0, 0.0]  # measured here: nothing on top of the configured variance
    assert set(optimizer.state()["y_var"]) == {None}
    watcher = StopAfter(1)
    run_campaign(made, tmp_path / "cut", prior=tmp_path / "first", observer=watcher, should_stop=watcher.flag)
    assert facts(open_campaign(tmp_path / "cut")) == facts(history)


class Listener(SilentObserver):
    def __init__(self):
        self.said = []

    def stage(self, text):
        self.said.append(text)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_a_run_says_what_of_the_earlier_measurements_it_uses_and_warns_when_the_best_is_left_out(config, tmp_path, goal):
    made = config(objective={"goal": goal}, optimizer={"n_initial": 2}, budget={"trials": 1})
    known = load_trajectories(made)
    sign = 1 if goal == "maximize" else -1
    header = [*(f"E@{time!r}" for time in known.times.tolist()), "objective"]
    wild = known.values[0] + 5 * (-1.0) ** np.arange(20)  # no sum of two smooth components
    rows = [[*known.values[1].tolist(), sign], [*known.values[2].tolist(), 2 * sign], [*wild.tolist(), 3 * sign]]
    listener = Listener()
    run_campaign(made, tmp_path / "x", prior=write_table(tmp_path / "x.csv", header, rows), observer=listener)
    (told,) = [text for text in listener.said if "are used" in text]
    assert told.startswith("2 of 3 measurements of ")
    assert "1 left out: 1 because more than a quarter of its trajectory's variance is lost" in told
    (warned,) = [text for text in listener.said if text.startswith("warning: the best of them is left out")]
    assert f"(row 4: {3 * sign}, the best used {2 * sign})" in warned
    listener = Listener()
    run_campaign(made, tmp_path / "y", prior=write_table(tmp_path / "y.csv", header, rows[:2]), observer=listener)
    assert [text for text in listener.said if "are used" in text or "warning" in text] == [
        f"2 of 2 measurements of {tmp_path / 'y.csv'} are used"
    ]


def test_a_table_of_points_counts_towards_the_initial_design(config, tmp_path):
    rows = [[0.5, -0.5, -0.2, 0.01], [-0.4, 0.3, -0.1, ""]]
    table = write_table(tmp_path / "x.csv", ["z0", "z1", "objective", "objective_error"], rows)
    made = config(optimizer={"acquisition": "log_ei", "n_initial": 4}, budget={"trials": 4})
    history = run_campaign(made, tmp_path / "x", prior=table)
    assert [trial.acquisition for trial in history.trials] == ["initial", "initial", "log_ei", "log_ei"]
    x, y = observations(tmp_path / "x", made)
    np.testing.assert_array_equal(x[:2], [row[:2] for row in rows])
    np.testing.assert_array_equal(y[:2], [-0.2, -0.1])
    assert history.incumbent.trial in range(4)  # an earlier point is no trial


def test_a_table_of_trajectories_is_encoded(config, tmp_path):
    made = config(optimizer={"acquisition": "log_ei", "n_initial": 3}, budget={"trials": 2})
    known = load_trajectories(made)
    header = [*(f"E@{time!r}" for time in known.times.tolist()), "objective", "note"]
    table = write_table(tmp_path / "x.csv", header, [[*x.tolist(), smooth(x), "by hand"] for x in known.values[:12]])
    history = run_campaign(made, tmp_path / "x", prior=table)
    assert 3 <= len(history.prior["points"]) <= 12
    point = history.prior["points"][0]
    row = int(point["label"].split()[1]) - 2
    assert point["objective"] == smooth(known.values[row])
    assert {trial.acquisition for trial in history.trials} == {"log_ei"}


def test_a_box_of_parameters_takes_a_table_under_their_names(mapping, tmp_path):
    from latentloop.loop.config import config_from_mapping

    data = mapping(optimizer={"acquisition": "log_ei", "n_initial": 2}, budget={"trials": 2})
    data["trajectories"] = {"box": {"force": [0, 2], "speed": [-1, 1]}}
    data["latent"] = {"model": "identity"}
    made = config_from_mapping(data)
    table = write_table(tmp_path / "x.csv", ["speed", "force", "objective"], [[0.5, 1.5, 3.0], [-0.5, 0.5, 2.0]])
    history = run_campaign(made, tmp_path / "x", prior=table)
    assert [point["code"]["z"] for point in history.prior["points"]] == [[1.5, 0.5], [0.5, -0.5]]
    assert {trial.acquisition for trial in history.trials} == {"log_ei"}
    again = run_campaign(made, tmp_path / "y", prior=tmp_path / "x")
    assert len(again.prior["points"]) == 2
    write_table(tmp_path / "bad.csv", ["speed", "force", "objective"], [[0.5, 1.5, 3.0], [-0.5, 2.5, 2.0]])
    with pytest.raises(ConfigError, match=r"row 3, column force: 2.5 lies outside the box \[0, 2\]"):
        run_campaign(made, tmp_path / "z", prior=tmp_path / "bad.csv")
    assert not (tmp_path / "z").exists()


BAD = [
    (["z0", "z1", "objective"], [[0, 0, 1], [0, "", 1]], "row 3, column z1: 'nothing' is not a finite number"),
    (["z0", "z1", "objective"], [[0, 0, "nan"]], "row 2, column objective: 'nan'"),
    (["z0", "z1", "objective"], [[0, 0, 1], [0, 1]], "row 3, column objective"),
    (["z0", "z1", "yield"], [[0, 0, 1]], "needs one column named 'objective'.*z0, z1, yield"),
    (["z0", "objective"], [[0, 1]], "lacks the column 'z1'"),
    (["z0", "z1", "z2", "objective"], [[0, 0, 0, 1]], "has 2 dimensions"),
    (["objective"], [[1]], "says nowhere what was measured"),
    (["E@0", "E@1", "objective"], [[1, 2, 1]], "2 columns E@time"),
    (["E@now", "objective"], [[1, 1]], "column E@now"),
    (["z0", "z1", "objective", "objective_error"], [[0, 0, 1, -1]], "row 2, column objective_error"),
    (["z0", "z1", "objective"], [[0, 0, 1e200]], "row 2, column objective: 1e\\+200 is outside the plausible range"),
    (["z0", "z1", "objective"], [], "holds no measurement"),
]


@pytest.mark.parametrize(("header", "rows", "words"), BAD)
def test_a_bad_table_is_refused_with_its_row_and_column_and_nothing_is_left_behind(config, tmp_path, header, rows, words):
    table = write_table(tmp_path / "bad.csv", header, rows)
    with pytest.raises(ConfigError, match=words):
        run_campaign(config(), tmp_path / "x", prior=table)
    assert not (tmp_path / "x").exists()


def test_a_point_outside_the_trained_box_is_named(config, tmp_path):
    table = write_table(tmp_path / "x.csv", ["z0", "z1", "objective"], [[0, 0, 1], [999, 0, 1]])
    with pytest.raises(ConfigError, match=r"row 3, column z0: 999 lies outside the box"):
        run_campaign(config(), tmp_path / "x", prior=table)


def test_another_metric_or_other_trajectories_are_refused(config, tmp_path, target):
    run_campaign(config(), tmp_path / "first")
    with pytest.raises(ConfigError, match=r"trial 0 of .* has no metric 'end'; it has: objective"):
        run_campaign(config(objective={"metric": "end"}, **target("pictures")), tmp_path / "x", prior=tmp_path / "first")
    longer = {"trajectories": {"family": {"parameters": {"n_steps": 30, "n_times": 60}}}}
    with pytest.raises(ConfigError, match=r"have shape \(20,\).* this campaign \(30,\)"):
        run_campaign(config(**longer), tmp_path / "x", prior=tmp_path / "first")
    assert not (tmp_path / "x").exists()


def test_failed_trials_are_not_taken_over(config, tmp_path, target):
    first = run_campaign(config(optimizer={"n_initial": 8}, budget={"trials": 10}, **target("moody")), tmp_path / "first")
    good = [trial.number for trial in first.trials if trial.state is TrialState.COMPLETED]
    assert len(good) < 10
    second = run_campaign(config(**METHOD), tmp_path / "second", prior=tmp_path / "first")
    assert [point["label"] for point in second.prior["points"]] == [f"trial {number}" for number in good]


def test_status_and_report_say_where_it_started_from(config, tmp_path):
    run_campaign(config(**METHOD), tmp_path / "first")
    history = run_campaign(config(**METHOD), tmp_path / "second", prior=tmp_path / "first")
    shown = campaign_status(tmp_path / "second")["prior"]
    assert (shown["n_points"], shown["source"]) == (5, str(tmp_path / "first"))
    assert shown["best"] == max(point["objective"] for point in history.prior["points"])
    content = report_content(CampaignStore.open(tmp_path / "second"))
    assert any("5 earlier measurements" in figure.explanation for figure in content.figures)


def test_the_configuration_can_name_them_too(mapping, tmp_path):
    import yaml

    write_table(tmp_path / "x.csv", ["z0", "z1", "objective"], [[0, 0, -1]])
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(mapping(prior=str(tmp_path / "x.csv"))))
    assert run_campaign(load_config(str(tmp_path / "c.yaml")), tmp_path / "x").prior["points"][0]["label"] == "row 2"
