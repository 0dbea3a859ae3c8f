"""Names become things; what is wrong with a name or a parameter becomes a sentence."""

import sys

import pytest
from latentloop.loop.errors import ConfigError, UnknownNameError
from latentloop.loop.registry import ACQUISITIONS, EVALUATORS, EXECUTORS, FAMILIES, LATENT_MODELS, SURROGATES, Registry

ALL = [FAMILIES, LATENT_MODELS, SURROGATES, ACQUISITIONS, EVALUATORS, EXECUTORS]


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_every_built_in_name_can_be_imported(registry):
    for name in registry.built_in:
        assert callable(registry.load(name))


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_an_unknown_name_lists_the_known_ones(registry):
    with pytest.raises(UnknownNameError) as caught:
        registry.load("banana")
    sentence = str(caught.value)
    assert registry.kind in sentence
    assert "'banana'" in sentence
    assert all(name in sentence for name in registry.built_in)
    assert isinstance(caught.value, (ValueError, KeyError))


def test_the_acquisition_functions_and_surrogates_of_the_contract_are_there():
    assert {"log_ei", "ucb", "thompson", "max_variance", "random"} <= set(ACQUISITIONS.names())
    assert {"vae", "pca"} <= set(LATENT_MODELS.names())
    assert {"ferrosim", "python"} <= set(EVALUATORS.names())
    assert {"local", "ray"} <= set(EXECUTORS.names())
    assert {"published", "damped_sinusoid", "lecture_sine", "legendre"} <= set(FAMILIES.names())


class Thing:
    def __init__(self, n: int, size: float = 1.0, kind: str = "a", seed: int = 0) -> None:
        if n < 0:
            raise ValueError(f"n must be at least 0, not {n}")
        self.values = n, size, kind, seed


@pytest.fixture
def things(monkeypatch):
    module = type(sys)("registered_things")
    module.Thing = Thing
    monkeypatch.setitem(sys.modules, "registered_things", module)
    return Registry("thing", "latentloop.no_such_group", {"thing": "registered_things:Thing"})


def test_parameters_are_converted_to_the_annotated_types(things):
    assert things.create("thing", {"n": 3, "size": 2}, seed=7).values == (3, 2.0, "a", 7)
    assert isinstance(things.create("thing", {"n": 3, "size": 2}).values[1], float)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n": 1, "colour": "red"}, ["'colour'", "known are n, size, kind"]),
        ({"n": "three"}, ["'n'", "'three'"]),
        ({"n": 1, "kind": 4}, ["'kind'", "4"]),
        ({}, ["'n' is missing"]),
        ({"n": -1}, ["n must be at least 0, not -1"]),
        ({"n": "x", "colour": 1}, ["'n'", "'colour'"]),
        ({"n": 1, "seed": 3}, ["'seed'"]),
    ],
)
def test_a_wrong_parameter_is_named_with_the_known_ones(things, parameters, words):
    with pytest.raises(ConfigError) as caught:
        things.create("thing", parameters, seed=1)
    for word in ["thing", *words]:
        assert word in str(caught.value)


def test_accept_refuses_what_create_would_and_makes_nothing(things, monkeypatch):
    monkeypatch.setattr(Thing, "__init__", lambda self, n: pytest.fail("made"))
    with pytest.raises(ConfigError, match="colour"):
        things.accept("thing", {"n": 1, "colour": 2})
    things.accept("thing", {"n": 1})


def test_an_entry_point_of_a_plug_in_is_found(tmp_path, monkeypatch):
    (tmp_path / "plugged.py").write_text("class Plugged:\n    def __init__(self, speed: int = 3) -> None:\n        self.speed = speed\n")
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[latentloop.evaluators]\nplugged_instrument = plugged:Plugged\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "plugged_instrument" in EVALUATORS.names()
    assert EVALUATORS.create("plugged_instrument", {"speed": 5}).speed == 5
    with pytest.raises(UnknownNameError, match="plugged_instrument"):
        EVALUATORS.check("banana")
