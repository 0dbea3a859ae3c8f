"""Where a campaign searches: a pool of trajectories as they are, a ball instead of a box, two to twenty dimensions."""

import io

import numpy as np
import pytest
from latentloop import Optimizer, open_campaign, run_campaign
from latentloop.loop.errors import ConfigError
from latentloop.loop.report import report_content
from latentloop.loop.restoration import restored_campaign
from latentloop.loop.status import campaign_status, status_table
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.trajectory_source import load_trajectories
from latentloop.models.acquisition import Ball
from rich.console import Console
from scipy.stats import chi2


@pytest.fixture
def pool(mapping):
    """Return a campaign over the trajectories themselves."""
    from latentloop.loop.config import config_from_mapping

    def make(trials=24, surrogate=None, **more):
        data = mapping(budget={"trials": trials}, **more)
        data["latent"] = {"model": "pool"}
        data["optimizer"] = {"n_initial": 8, "noise": 0, **({} if surrogate is None else {"surrogate": surrogate})}
        return config_from_mapping(data)

    return make


def facts(history):
    return [(trial.number, trial.z.tobytes(), trial.objective, repr(trial.acquisition_value)) for trial in history.trials]


@pytest.mark.parametrize("surrogate", [None, "gp_pca"])
def test_a_pool_campaign_measures_rows_of_the_pool_each_at_most_once(pool, tmp_path, surrogate):
    config = pool(surrogate=surrogate)
    assert config.optimizer.surrogate.name == (surrogate or "dkl")
    history = run_campaign(config, tmp_path / "x")
    store, rows = CampaignStore.open(tmp_path / "x"), load_trajectories(config).values
    numbers = [int(trial.z[0]) for trial in history.trials]
    assert len(set(numbers)) == len(numbers) == 24
    for trial in history.trials:
        np.testing.assert_array_equal(store.trajectory(trial), rows[int(trial.z[0])])
        assert trial.consistency == 0
    truth = -((rows - 0.3) ** 2).mean(axis=1)
    assert history.incumbent.objective == truth.max()  # 24 of 40: by chance with a probability of .6, and always with a model that sees


def test_a_pool_campaign_that_was_cut_goes_on_to_the_last_bit(pool, tmp_path):
    whole = run_campaign(pool(trials=23), tmp_path / "whole")
    run_campaign(pool(trials=21), tmp_path / "cut")
    assert facts(open_campaign(tmp_path / "cut", trials=23)) == facts(whole)


def test_that_dkl_fell_back_to_the_plain_process_is_journalled_and_shown(pool, tmp_path):
    history = run_campaign(pool(trials=10), tmp_path / "x")
    said = "the plain Gaussian process answered instead of dkl: 9 observations are too few to hold some out; 20 are needed"
    assert [bool(trial.fallback) for trial in history.trials] == [False] * 8 + [True] * 2
    store = CampaignStore.open(tmp_path / "x")
    assert store.history.trials[9].fallback == said
    facts = campaign_status(tmp_path / "x")
    assert facts["fallback"] == {"n_trials": 2, "last": 9, "reason": said}
    terminal = Console(width=400, file=io.StringIO())
    terminal.print(status_table(facts))
    assert said in terminal.file.getvalue()
    assert f"For 2 trials, the last of them trial 9, {said}." in report_content(store).figures[0].explanation


def test_a_pool_campaign_has_a_report(pool, tmp_path):
    run_campaign(pool(trials=10), tmp_path / "x")
    figures = report_content(CampaignStore.open(tmp_path / "x")).figures
    assert "Pool of trajectories" in [figure.heading for figure in figures]
    assert all(figure.figure is not None or figure.absent for figure in figures)


def test_a_pool_that_does_not_fit_is_refused(pool, mapping, tmp_path):
    from latentloop.loop.config import config_from_mapping

    with pytest.raises(ConfigError, match=r"'gp' sees only the numbers .* choose dkl"):
        run_campaign(pool(surrogate="gp"), tmp_path / "x")
    with pytest.raises(ConfigError, match=r"budget.trials is 41, and the pool holds 40"):
        run_campaign(pool(trials=41), tmp_path / "x")
    for section, words in (
        ({"latent": {"margin": 0.1}}, "leave margin out"),
        ({"latent": {"region": "ball"}}, "leave region out"),
        ({"safety": {"on_violation": "project"}}, "set safety.on_violation to refuse"),
    ):
        data = mapping(latent={"model": {"name": "pool"}}, **{key: value for key, value in section.items() if key != "latent"})
        data["latent"] = {"model": "pool", **section.get("latent", {})}
        with pytest.raises(ConfigError, match=words):
            config_from_mapping(data)


def test_earlier_trajectories_of_the_pool_are_known_by_their_rows(pool, config, tmp_path):
    run_campaign(pool(trials=10), tmp_path / "first")
    history = run_campaign(pool(trials=10), tmp_path / "second", prior=tmp_path / "first")
    before = {point["code"]["z"][0] for point in history.prior["points"]}
    assert len(before) == 10
    assert not before & {trial.z[0] for trial in history.trials}


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_the_cube_is_mapped_onto_the_ball_one_to_one(d):
    generator = np.random.default_rng(d)
    ball = Ball(np.stack([-np.arange(1.0, d + 1), np.arange(2.0, d + 2)], axis=1))
    u = generator.random((200, d))
    x = ball.from_unit(u)
    assert ball.contains(x).all()
    np.testing.assert_allclose(ball.to_unit(x), u, atol=1e-12)
    radius = np.linalg.norm(2 * (x - ball.centre) / ball.edge, axis=1)
    assert np.quantile(radius**d, 0.5) == pytest.approx(0.5, abs=0.12)  # as of points that are uniform in a ball
    corner = ball.from_unit(np.ones((1, d)))
    assert ball.contains(corner).all()
    np.testing.assert_allclose(ball.from_unit(np.full((1, d), 0.5))[0], ball.centre)


@pytest.mark.parametrize("d", [1, 2, 6])
def test_gradients_are_pulled_back_as_differences_say(d):
    generator = np.random.default_rng(d)
    ball = Ball(np.stack([np.full(d, -2.0), np.linspace(1.0, 3.0, d)], axis=1))
    weights = generator.standard_normal(d)

    def value(u):
        return np.sin(ball.from_unit(u) @ weights)

    u = generator.random((30, d))
    slope = np.cos(ball.from_unit(u) @ weights)[:, None] * weights
    pulled, step = ball.pull_back(u, slope), 1e-6
    for j in range(d):
        ahead, behind = u.copy(), u.copy()
        ahead[:, j] += step
        behind[:, j] -= step
        np.testing.assert_allclose(pulled[:, j], (value(ahead) - value(behind)) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("acquisition", ["portfolio", "log_ei", "thompson", "random", "sobol", "max_variance"])
def test_an_optimizer_of_a_ball_stays_in_it_and_goes_on_from_its_state(acquisition):
    bounds = np.array([[-1.0, 2.0], [0.0, 5.0], [3.0, 4.0]])
    optimizer = Optimizer(bounds, acquisition=acquisition, region="ball", n_initial=6)
    for _ in range(12):
        z = optimizer.ask()
        assert Ball(bounds).contains(z).all()
        optimizer.tell(z, [z.sum()])  # towards a corner
    other = Optimizer.from_state(optimizer.state())
    np.testing.assert_array_equal(other.ask(2), optimizer.ask(2))


def test_an_optimizer_of_a_ball_finds_the_optimum_on_its_surface():
    optimizer = Optimizer([[-1.0, 1.0]] * 4, region="ball", noise=0.0)
    for _ in range(45):
        z = optimizer.ask()
        optimizer.tell(z, [z.sum()])
    assert optimizer.incumbent.objective > 1.95  # 2 in the middle of the surface between the axes, 4 in the corner of the box


def test_a_campaign_in_the_ball_holds_the_share_of_the_prior_that_was_asked_for(config, tmp_path):
    made = config(latent={"region": "ball", "ball_share": 0.9}, optimizer={"acquisition": "log_ei", "n_initial": 4}, budget={"trials": 10})
    history = run_campaign(made, tmp_path / "x")
    store = CampaignStore.open(tmp_path / "x")
    campaign = restored_campaign(store, made, history, "pure", None)
    codes = campaign.space.encoded
    gauss = np.random.default_rng(0).normal(codes.mean(axis=0), codes.std(axis=0), (20_000, 2))
    assert Ball(campaign.box).contains(gauss).mean() == pytest.approx(0.9, abs=0.01)
    for trial in history.trials:
        away = (((trial.z - codes.mean(axis=0)) / codes.std(axis=0)) ** 2).sum()
        assert away <= chi2.ppf(0.9, 2) * (1 + 1e-9)
    run_campaign(made.model_copy(update={"budget": made.budget.model_copy(update={"trials": 6})}), tmp_path / "cut")
    assert facts(open_campaign(tmp_path / "cut", trials=10)) == facts(history)


def test_a_ball_and_the_edges_of_a_box_exclude_each_other(config):
    with pytest.raises(ConfigError, match="quantile widens or narrows a box, and region is ball"):
        config(latent={"region": "ball", "quantile": 0.01})


@pytest.mark.parametrize(("d", "region"), [(2, "box"), (7, "ball"), (20, "box"), (20, "ball")])
def test_campaigns_run_in_two_to_twenty_latent_dimensions(config, tmp_path, d, region):
    made = config(
        trajectories={"n": 120, "family": {"parameters": {"n_steps": 40, "n_times": 60}}},
        latent={"model": {"parameters": {"n_latent": d}}, "region": region},
        optimizer={"acquisition": "log_ei", "n_initial": 6},
        budget={"trials": 12},
    )
    history = run_campaign(made, tmp_path / "x")
    assert all(trial.z.shape == (d,) for trial in history.trials)
    assert history.counts() == {"completed": 12}
    content = report_content(CampaignStore.open(tmp_path / "x"))
    assert any(figure.heading == "Latent space" and figure.figure is not None for figure in content.figures)


@pytest.mark.parametrize("d", [3, 20])
def test_a_vae_of_many_dimensions_decodes_what_it_encodes(config, tmp_path, d):
    model = {"name": "vae", "parameters": {"n_latent": d, "hidden": [32], "epochs": 40, "batch_size": 16}}
    made = config(trajectories={"n": 200}, latent={"model": model}, budget={"trials": 5})
    history = run_campaign(made, tmp_path / "x")
    assert history.counts() == {"completed": 5}
    assert all(trial.z.shape == (d,) for trial in history.trials)


def test_a_row_of_a_pool_whose_outcome_got_lost_is_never_asked_for_again_and_the_campaign_is_derived_again(pool, tmp_path):
    from latentloop.loop.replay import replay

    lost = {"evaluator": {"name": "python", "parameters": {"target": "laboratory:Eventful", "arguments": {"vanishing": [3, 10]}}}}
    history = run_campaign(pool(trials=16, **lost), tmp_path / "x")
    assert history.counts() == {"completed": 14, "unknown": 2}
    derived = replay(tmp_path / "x")
    assert (derived.first, derived.n_exact) == (None, 16)
    config = pool(trials=16, **lost)
    restored = restored_campaign(CampaignStore.open(tmp_path / "x"), config, history, "physical", None)
    spent = restored.optimizer.state()["spent"]
    assert spent == [history.trials[3].z.tolist(), history.trials[10].z.tolist()]
    assert len({trial.z.tobytes() for trial in open_campaign(tmp_path / "x", trials=30).trials}) == 30
