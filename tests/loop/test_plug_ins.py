"""A mistake in a user's own code ends in a sentence that says whose it is, and loses nothing."""

import sys

import pytest
from latentloop import Optimizer, open_campaign, run_campaign
from latentloop.loop.errors import ConfigError, PlugInError, UnknownNameError
from latentloop.loop.records import TrialState
from latentloop.loop.registry import ACQUISITIONS, LATENT_MODELS, SURROGATES
from latentloop.loop.replay import replay
from latentloop.loop.report import write_report
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.verification import verify

MODULE = """
from latentloop.models.acquisition import LogEI
from latentloop.models.latent import PCA
from latentloop.models.surrogates import GaussianProcess


class Greedy(LogEI):
    name = "own_greedy"


class Flat(LogEI):
    name = "own_flat"

    def score(self, surrogate, known, generator):
        class Value:
            def value(self, x):
                return surrogate.posterior(x).mean

        return Value()


class Forgetful(GaussianProcess):
    def posterior(self, x):
        return {}["mean"]


class Torn(PCA):
    def fit(self, *arguments, **options):
        raise RuntimeError("not fitted today")


class Unmade(LogEI):
    name = "own_unmade"

    def __init__(self):
        self.nothing.at_all()
"""
ENTRIES = """
[latentloop.acquisitions]
own_greedy = own_module:Greedy
own_flat = own_module:Flat
own_unmade = own_module:Unmade
own_nowhere = own_module_that_is_not:Thing
own_misspelt = own_module:Gredy
own_broken = own_broken_module:Thing

[latentloop.surrogates]
own_forgetful = own_module:Forgetful

[latentloop.latent_models]
own_torn = own_module:Torn
"""


def install(folder, name):
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (folder / "own_module.py").write_text(MODULE)
    (folder / "own_broken_module.py").write_text("1 / 0\n")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A user's package, installed; returns what uninstalls it."""
    install(tmp_path / "site", "own-package")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path / "site"))
        yield patch.undo
    for module in ("own_module", "own_broken_module"):
        sys.modules.pop(module, None)


def method(**chosen):
    return {"optimizer": {"n_initial": 3, **chosen}, "budget": {"trials": 6}}


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "own_nowhere",
            "'own_module_that_is_not:Thing' of the package 'own-package' cannot be loaded: ModuleNotFoundError: No module named",
        ),
        ("own_misspelt", "'own_module:Gredy' of the package 'own-package' cannot be loaded: AttributeError: .*Gredy"),
        ("own_broken", "'own_broken_module:Thing' of the package 'own-package' cannot be loaded: ZeroDivisionError"),
        ("own_unmade", "'own_unmade' cannot be made: AttributeError: .*nothing"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_refused_before_anything_is_measured(name, words, config, tmp_path):
    with pytest.raises(PlugInError, match=words):
        run_campaign(config(**method(acquisition=name)), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(ConfigError, match=words):
        Optimizer([[0.0, 1.0]], acquisition=name)


def test_two_packages_with_one_name_are_told_apart(tmp_path, monkeypatch):
    install(tmp_path / "site", "own-package")
    install(tmp_path / "other", "other-package")
    entries = tmp_path / "other/other-package-1.0.dist-info/entry_points.txt"
    entries.write_text(entries.read_text().replace("own_module:", "other_module:"))
    for folder in ("site", "other"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    with pytest.raises(PlugInError, match="'own_greedy' is what two installed packages call their own"):
        ACQUISITIONS.load("own_greedy")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("chosen", "n_measured", "words"),
    [
        ({"acquisition": "own_flat"}, 3, r"acquisition function 'own_flat' \(own_module:Flat\), .* AttributeError: .*value_and_gradient"),
        (
            {"surrogate": "own_forgetful", "acquisition": "log_ei"},
            3,
            r"surrogate 'own_forgetful' \(own_module:Forgetful\), .* KeyError: 'mean' \(line \d+ of own_mod",
        ),
    ],
)
def test_an_exception_of_a_users_own_code_ends_the_campaign_and_loses_nothing(chosen, n_measured, words, config, tmp_path):
    with pytest.raises(PlugInError, match=words) as caught:
        run_campaign(config(**method(**chosen)), tmp_path / "x")
    history = CampaignStore.open(tmp_path / "x").history
    assert (history.last_session, history.reason) == ("failed", str(caught.value))
    assert [trial.state for trial in history.trials] == [TrialState.COMPLETED] * n_measured
    assert verify(tmp_path / "x").damages == ()


@pytest.mark.usefixtures("package")
def test_a_latent_model_of_ones_own_is_named_where_its_code_raises(config, tmp_path):
    torn = {"latent": {"model": {"name": "own_torn", "parameters": {"n_latent": 2}}}}
    with pytest.raises(PlugInError, match=r"latent model 'own_torn' \(own_module:Torn\), .* RuntimeError: not fitted today"):
        run_campaign(config(**method(acquisition="log_ei"), **torn), tmp_path / "x")


def test_what_is_ours_keeps_its_traceback(config, tmp_path, monkeypatch):
    from latentloop.models.acquisition import LogEI

    monkeypatch.setattr(LogEI, "score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_campaign(config(**method(acquisition="log_ei")), tmp_path / "x")


def test_where_a_package_is_missing_the_report_is_made_and_the_rest_says_so(package, config, tmp_path):
    run_campaign(config(**method(acquisition="own_greedy")), tmp_path / "x")
    assert replay(tmp_path / "x").n_exact == 6
    whole = write_report(tmp_path / "x", tmp_path / "whole.html").read_text()
    package()
    page = write_report(tmp_path / "x", tmp_path / "x.html").read_text()
    assert "Objective against trial" in page
    assert "Best trajectory" in page
    assert "needs that package installed here" in page
    assert "needs that package installed here" not in whole
    for refused in (lambda: open_campaign(tmp_path / "x", trials=8), lambda: replay(tmp_path / "x")):
        with pytest.raises(ConfigError, match=r"unknown acquisition function 'own_greedy'.*needs that package installed here"):
            refused()
    for registry in (ACQUISITIONS, SURROGATES, LATENT_MODELS):
        with pytest.raises(UnknownNameError, match="needs that package installed here"):
            registry.check("banana")
