"""A configuration is checked to the last key, and what is wrong with it becomes a sentence."""

import json
import re
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from latentloop.loop.config import CampaignConfig, apply_override, config_from_mapping, load_config, preset_names, preset_text
from latentloop.loop.errors import ConfigError, LatentloopError, UnknownNameError


@pytest.fixture
def write(tmp_path):
    def make(text, name="campaign.yaml"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return str(path)

    return make


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bugdet": {"trials": 3}}, ["unknown key 'bugdet'", "budget", "trajectories"]),
        ({"budget": {"trails": 3}}, ["unknown key 'budget.trails'", "known here are trials"]),
        ({"latent": {"model": {"parameter": {}}}}, ["unknown key 'latent.model.parameter'", "name, parameters"]),
        ({"evaluator": {"time_out": 3}}, ["unknown key 'evaluator.time_out'", "timeout"]),
        ({"optimizer": {"surrogat": "gp"}}, ["unknown key 'optimizer.surrogat'", "surrogate"]),
        ({"budget": {"trials": "many"}}, ["budget.trials", "'many'"]),
        ({"budget": {"trials": 2.5}}, ["budget.trials", "2.5"]),
        ({"budget": {"trials": 0}}, ["budget.trials", "greater than or equal to 1", "0"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 2**32}, ["seed", "less than 4294967296"]),
        ({"name": 5}, ["name", "5"]),
        ({"name": ""}, ["name"]),
        ({"trajectories": None}, ["trajectories", "None"]),
        ({"trajectories": {"family": "banana"}}, ["trajectories.family", "unknown trajectory family 'banana'", "published"]),
        ({"trajectories": {"file": "x.npy"}}, ["trajectories", "exactly one of"]),
        ({"trajectories": {"family": None}}, ["trajectories", "exactly one of"]),
        ({"trajectories": {"n": 1}}, ["trajectories.n"]),
        ({"trajectories": {"dt": 0}}, ["trajectories.dt"]),
        ({"latent": {"model": "banana"}}, ["latent.model", "unknown latent model 'banana'", "pca, pool, vae"]),
        ({"latent": {"quantile": 0.5}}, ["latent.quantile"]),
        ({"latent": {"box": [[1, 0], [0, 1]]}}, ["latent", "low < high"]),
        ({"latent": {"box": []}}, ["latent", "low < high"]),
        ({"latent": {"box": [[0, float("inf")]]}}, ["latent.box", "finite"]),
        ({"evaluator": {"name": "banana"}}, ["evaluator", "unknown evaluator 'banana'", "ferrosim", "python"]),
        ({"evaluator": {"timeout": -1}}, ["evaluator.timeout", "greater than 0"]),
        ({"evaluator": {"parameters": {"kind": float("nan")}}}, ["evaluator.parameters", "finite numbers"]),
        ({"optimizer": {"acquisition": "banana"}}, ["optimizer.acquisition", "'banana'", "log_ei", "ucb"]),
        ({"optimizer": {"surrogate": "banana"}}, ["optimizer.surrogate", "'banana'", "gp"]),
        ({"optimizer": {"n_initial": 0}}, ["optimizer.n_initial"]),
        ({"optimizer": {"noise": -1}}, ["optimizer.noise"]),
        ({"objective": {"goal": "best"}}, ["objective.goal", "maximize", "minimize", "'best'"]),
        ({"objective": {"plausible": [1, 1]}}, ["objective", "low < high"]),
        ({"objective": {"metric": ""}}, ["objective.metric"]),
        ({"executor": {"name": "banana"}}, ["executor", "'banana'", "local, ray"]),
        ({"executor": {"workers": 0}}, ["executor.workers"]),
        ({"executor": {"batch": 0}}, ["executor.batch"]),
    ],
)
def test_everything_wrong_is_said_with_its_place_and_what_is_known(mapping, write, changes, words):
    path = write(mapping(**changes))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for word in [path, *words]:
        assert word in str(caught.value)
    assert "For further information" not in str(caught.value)


def test_all_complaints_come_at_once(mapping):
    with pytest.raises(ConfigError) as caught:
        config_from_mapping(mapping(seed=-1, budget={"trials": "x"}, colour="red"))
    assert len(str(caught.value).splitlines()) == 4


def test_a_missing_key_is_named(mapping):
    data = mapping()
    del data["evaluator"], data["name"]
    with pytest.raises(ConfigError, match=r"(?s)key 'name' is missing.*key 'evaluator' is missing"):
        config_from_mapping(data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("name: [\n", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("\t- x", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(write, text, words):
    with pytest.raises(ConfigError, match=words):
        load_config(write(text))


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "campaign.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(str(tmp_path / "campaign.yaml"))


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, not a configuration file"):
        load_config(str(tmp_path))


def test_a_name_that_is_neither_file_nor_preset_lists_the_presets():
    with pytest.raises(ConfigError, match="neither a configuration file nor a preset") as caught:
        load_config("banana")
    assert all(name in str(caught.value) for name in preset_names())
    with pytest.raises(UnknownNameError, match="quick"):
        preset_text("banana")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_loads_and_survives_its_own_yaml(name, write):
    loaded = load_config(name)
    assert loaded.name == name
    assert loaded.description
    assert load_config(write(loaded.to_yaml())) == loaded


def test_the_presets_of_the_contract_are_there():
    assert {"ferrosim-curl", "quick"} <= set(preset_names())
    published = load_config("ferrosim-curl")
    assert (published.trajectories.n, published.optimizer.n_initial, published.budget.trials) == (7500, None, 120)
    assert published.evaluator.parameters["amplitude"] == 150
    assert published.evaluator.parameters["hold_steps"] == 50


def test_the_schema_covers_every_section_and_accepts_the_presets():
    schema = CampaignConfig.model_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == set(CampaignConfig.model_fields)
    assert schema["additionalProperties"] is False
    for section in schema["$defs"].values():
        assert section["additionalProperties"] is False
    for name in preset_names():
        require_schema(yaml.safe_load(preset_text(name)), schema, schema["$defs"])


def require_schema(value, schema, definitions):
    """Check the part of JSON Schema that pydantic uses for us: references, alternatives, types, keys, bounds and enumerations."""
    if "$ref" in schema:
        return require_schema(value, definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        complaints = []
        for choice in schema["anyOf"]:
            try:
                return require_schema(value, choice, definitions)
            except AssertionError as error:
                complaints.append(error)
        raise AssertionError(complaints)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]]), (value, schema)
    if "enum" in schema:
        assert value in schema["enum"]
    if "minimum" in schema:
        assert value >= schema["minimum"]
    if "exclusiveMinimum" in schema:
        assert value > schema["exclusiveMinimum"]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        assert set(schema.get("required", ())) <= set(value)
        assert schema.get("additionalProperties", True) is not False or set(value) <= set(known), (value, known)
        for key, item in value.items():
            if key in known:
                require_schema(item, known[key], definitions)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            require_schema(item, schema["items"], definitions)
    return None


def test_the_check_against_the_schema_can_fail():
    schema = CampaignConfig.model_json_schema()
    data = yaml.safe_load(preset_text("quick"))
    for changed in ({**data, "colour": 1}, {**data, "seed": "x"}, {**data, "budget": {"trials": 0}}):
        with pytest.raises(AssertionError):
            require_schema(changed, schema, schema["$defs"])


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optimizer.acquisition=ucb", ("optimizer", "acquisition", "name"), "ucb"),
        ("acquisition=ucb", ("optimizer", "acquisition", "name"), "ucb"),
        ("trials=7", ("budget", "trials"), 7),
        ("seed=11", ("seed",), 11),
        ("name=other", ("name",), "other"),
        ("workers=3", ("executor", "workers"), 3),
        ("metric=curl", ("objective", "metric"), "curl"),
        ("timeout=2.5", ("evaluator", "timeout"), 2.5),
        ("evaluator.timeout=null", ("evaluator", "timeout"), None),
        ("latent.model.parameters.epochs=5", ("latent", "model", "parameters", "epochs"), 5),
        ("latent.box=[[-1, 1], [0, 2]]", ("latent", "box"), [[-1.0, 1.0], [0.0, 2.0]]),
        ("optimizer.acquisition.parameters.beta=2", ("optimizer", "acquisition", "parameters", "beta"), 2),
    ],
)
def test_a_single_key_is_changed_by_its_path_or_its_last_part(override, path, value):
    found = load_config("quick", [override]).model_dump(mode="json")
    for part in path:
        found = found[part]
    assert found == value


def test_a_changed_parameter_keeps_the_others_and_the_bare_name():
    changed = load_config("quick", ["optimizer.acquisition.parameters.x=1"])
    assert changed.optimizer.acquisition.name == "log_ei"
    changed = load_config("quick", ["latent.model.parameters.epochs=5"])
    assert changed.latent.model.parameters["n_latent"] == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trials", "must read key=value"),
        ("=3", "must read key=value"),
        ("description=[", "not valid YAML"),
        ("banana=3", "unknown key 'banana'; known here are name"),
        ("budget.banana=3", "unknown key 'budget.banana'; known here are trials"),
        ("budget.trials.x=3", "'trials' is not a section"),
        ("seed.x=3", "'seed' is not a section"),
        ("acquisition=banana", "unknown acquisition function 'banana'"),
        ("trials=x", "budget.trials"),
        ("budget=3", "budget"),
        ("budget..trials=3", "budget"),
    ],
)
def test_a_wrong_override_is_refused_with_what_is_known(override, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config("quick", [override])


def test_a_last_part_that_occurs_twice_must_be_said_in_full(monkeypatch):
    from latentloop.loop.config import loading as module

    monkeypatch.setattr(module, "_leaves", lambda: {"n": [("trajectories", "n"), ("other", "n")]})
    with pytest.raises(ConfigError, match=r"say trajectories\.n or other\.n"):
        apply_override({}, "n=3")


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4), max_size=4)
)
def test_any_mapping_gives_a_configuration_or_a_sentence(data):
    with suppress(LatentloopError):  # any other error fails the test
        assert config_from_mapping(data).name == data["name"]


@given(st.text(max_size=30))
def test_any_override_gives_a_configuration_or_a_sentence(text):
    with suppress(LatentloopError):  # any other error fails the test
        assert load_config("quick", [text]).trajectories


def test_relative_paths_start_at_the_file_or_for_overrides_at_the_current_folder(mapping, write, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    data = mapping()
    data["trajectories"] = {"file": "x.npy"}
    path = write(data)
    assert load_config(path).trajectories.file == str(tmp_path / "x.npy")
    assert load_config(path, ["trajectories.file=y.npy"]).trajectories.file == str(elsewhere / "y.npy")
    assert load_config("quick", ["trajectories.family=null", "trajectories.file=y.npy"]).trajectories.file == str(elsewhere / "y.npy")


def test_a_configuration_cannot_be_changed(config):
    made = config()
    with pytest.raises(ValueError, match="frozen"):
        made.seed = 4


def test_the_wildest_configuration_survives_its_yaml(config, write):
    made = config(
        name="Größe: 'x' \"y\" # z",
        description="a\nb: c",
        seed=2**32 - 1,
        latent={"box": [[-1e-300, 1e300], [0, 1]], "quantile": 0.1},
        objective={"goal": "minimize", "plausible": [-5, 5]},
        evaluator={"timeout": 0.1, "parameters": {"target": "a:b", "kind": "physical"}},
    )
    assert load_config(write(made.to_yaml())) == made
