"""The generator standard: what it promises, and two programs that drive it."""

import math

import numpy as np
import pytest
from gest_api.generator import Generator
from gest_api.tests import test_generator as standard
from gest_api.vocs import VOCS, ContextualVariable
from latentloop import LatentloopGenerator


def plane(**changes):
    return VOCS(**{"variables": {"x": [-1.0, 2.0], "y": [0.0, 5.0]}, "objectives": {"f": "MINIMIZE"}, **changes})


def measured(points):
    return [{**point, "f": (point["x"] - 0.3) ** 2 + (point["y"] - 4.0) ** 2} for point in points]


def found(generator):
    return dict(zip("xy", generator.optimizer.incumbent.z.tolist(), strict=True))


STANDARD = [
    "test_gen_fails_without_variable",
    "test_gen_fails_without_objective",
    "test_gen_fails_with_discrete_variable",
    "test_gen_has_constant_alpha",
    "test_suggest_default_single_point",
]
"""Those of the standard's own tests that are not about its example generator alone."""


@pytest.mark.parametrize("name", STANDARD)
def test_the_standards_own_tests_pass(monkeypatch, name):
    monkeypatch.setattr(standard, "RandomGenerator", LatentloopGenerator)
    getattr(standard, name)()


def test_it_is_a_generator_that_gives_exactly_the_points_asked_for():
    generator = LatentloopGenerator(plane(constants={"gas": "argon", "power": 5}), batch=3)
    assert isinstance(generator, Generator)
    assert generator.returns_id
    for n in (1, 2, 7):
        points = generator.suggest(n)
        assert len(points) == n
        for point in points:
            assert set(point) == {"x", "y", "gas", "power", "_id"}
            assert (point["gas"], point["power"]) == ("argon", 5)
            assert -1 <= point["x"] <= 2
            assert 0 <= point["y"] <= 5
            assert type(point["x"]) is float
    assert len(generator.suggest()) == 3
    with pytest.raises(ValueError, match="at least 1"):
        generator.suggest(0)


def test_it_finds_the_optimum_of_a_small_function_in_a_few_suggestions():
    generator = LatentloopGenerator(plane())
    for _ in range(12):
        generator.ingest(measured(generator.suggest(2)))
    assert math.dist(found(generator).values(), (0.3, 4.0)) < 0.02
    generator.finalize()
    assert len(generator.optimizer.pending) == 0


def test_a_maximum_is_sought_where_the_objective_says_so():
    generator = LatentloopGenerator(plane(objectives={"f": "MAXIMIZE"}))
    for _ in range(12):
        generator.ingest([{**point, "f": -point["f"]} for point in measured(generator.suggest(2))])
    assert math.dist(found(generator).values(), (0.3, 4.0)) < 0.02


def test_results_come_in_any_order_and_number_and_from_elsewhere():
    generator = LatentloopGenerator(plane(), n_initial=8)
    points = generator.suggest(5)
    generator.ingest(measured([points[3]]))
    generator.ingest(measured([points[4], points[0]]))
    assert len(generator.optimizer.pending) == 2
    generator.ingest(measured([{"x": 0.0, "y": 1.0}, {"x": 1.0, "y": 2.0}]))
    assert len(generator.optimizer.pending) == 2
    assert len(generator.optimizer.observations[1]) == 5
    generator.ingest(measured([{name: points[1][name] for name in "xy"}]))  # a suggested point without its mark
    assert len(generator.optimizer.pending) == 1
    generator.suggest(3)
    assert generator.optimizer.last_origins == ["initial", "portfolio", "portfolio"]  # earlier results count towards the design


def test_a_result_counts_where_it_was_measured():
    generator = LatentloopGenerator(plane())
    (point,) = generator.suggest(1)
    generator.ingest(measured([{**point, "x": point["x"] * 0.999}]))
    assert generator.optimizer.observations[0][0, 0] == point["x"] * 0.999
    assert len(generator.optimizer.pending) == 0


@pytest.mark.parametrize("bad", [{"f": math.nan}, {"f": math.inf}, {"f": None}, {}])
def test_a_failed_result_frees_its_point_and_teaches_nothing(bad):
    generator = LatentloopGenerator(plane())
    points = generator.suggest(2)
    generator.ingest([{**points[0], **bad}])
    assert len(generator.optimizer.pending) == 1
    assert len(generator.optimizer.observations[1]) == 0
    generator.ingest(measured(points[1:]))
    again = generator.suggest(10)
    assert all((other["x"], other["y"]) != (points[0]["x"], points[0]["y"]) for other in again)


def test_constraints_are_kept():
    generator = LatentloopGenerator(plane(constraints={"c": ["LESS_THAN", 3.0]}, observables=["t"]))
    late = []
    for _ in range(40):
        (point,) = generator.suggest(1)
        late.append(point["y"])
        generator.ingest([{**result, "c": result["y"], "t": 1.0} for result in measured([point])])
    x, y = generator.optimizer.observations
    assert (x[:, 1] < 3.0).all()  # nothing is learned from the others, though their objective is better
    assert len(y) == sum(value < 3.0 for value in late)
    assert sum(value < 3.0 for value in late[-15:]) >= 10  # and it looks where the constraint holds
    assert y.min() < np.median(y[:6]) / 2


def test_discrete_variables_are_all_combinations_once():
    vocs = VOCS(variables={"n": {1, 2, 3, 5}, "m": {10, 20}}, objectives={"f": "MAXIMIZE"})
    generator = LatentloopGenerator(vocs, seed=1)
    seen = []
    for _ in range(8):
        (point,) = generator.suggest(1)
        seen.append((point["n"], point["m"]))
        generator.ingest([{**point, "f": point["n"] * point["m"]}])
    assert sorted(seen) == [(n, m) for n in (1, 2, 3, 5) for m in (10, 20)]
    assert generator.optimizer.incumbent.objective == 100
    with pytest.raises(ValueError, match="0 of 8 are left"):
        generator.suggest(1)
    with pytest.raises(ValueError, match="none of its values"):
        generator.ingest([{"n": 4, "m": 10, "f": 1.0}])


REFUSED = [
    ({"variables": {"x": [0, 1], "k": {1, 2}}}, "continuous and discrete variables together"),
    ({"variables": {"x": [0, 1], "t": ContextualVariable()}}, "'t' is contextual"),
    ({"variables": {"x": {"type": "ContinuousVariable", "domain": [0, 1], "dtype": "int"}}}, "dtype 'int'"),
    ({"variables": {"x": [0, math.inf]}}, "must be finite"),
    ({"variables": {"x": {1}}}, "1 combinations"),
    ({"variables": {name: set(range(100)) for name in "abc"}}, "1,000,000 combinations"),
    ({"objectives": {"f": "MINIMIZE", "g": "MAXIMIZE"}}, "given are: f, g"),
    ({"objectives": {"f": "EXPLORE"}}, "max_variance"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_what_cannot_be_served_is_refused_with_the_reason(changes, words):
    with pytest.raises(ValueError, match=words):
        LatentloopGenerator(plane(**changes))


WRONG = [
    ({"x": 0.0, "f": 1.0}, "'y' is None"),
    ({"x": math.nan, "y": 1.0, "f": 1.0}, "'x' is nan"),
    ({"x": 7.0, "y": 1.0, "f": 1.0}, "'x' is 7, outside its domain"),
    ({"x": 0.0, "y": 1.0, "f": 1.0, "gas": "neon"}, "constant 'gas'"),
    ({"x": 0.0, "y": 1.0, "f": 1.0, "_id": 99}, "_id 99 is not waited for"),
]


@pytest.mark.parametrize(("bad", "words"), WRONG)
def test_a_bad_result_is_named_and_nothing_is_learned(bad, words):
    generator = LatentloopGenerator(plane(constants={"gas": "argon"}))
    good = measured(generator.suggest(1))
    with pytest.raises(ValueError, match=f"result 1: .*{words}"):
        generator.ingest([*good, bad])
    assert len(generator.optimizer.observations[1]) == 0
    assert len(generator.optimizer.pending) == 1
    generator.ingest(good)
    with pytest.raises(ValueError, match="is not waited for"):
        generator.ingest(good)


@pytest.mark.filterwarnings("ignore")
def test_xopt_drives_it_to_the_optimum():
    from xopt import Evaluator, Xopt

    generator = LatentloopGenerator(plane(constants={"offset": 2.0}), seed=3)

    def evaluate(point):
        if point["x"] > 1.8:
            raise RuntimeError("the beam is gone")
        return {"f": (point["x"] - 0.3) ** 2 + (point["y"] - 4.0) ** 2 + point["offset"]}

    driver = Xopt(generator=generator, evaluator=Evaluator(function=evaluate), strict=False)
    driver.evaluate_data({"x": [0.0, 1.9], "y": [1.0, 2.0]})  # from elsewhere, the second fails
    for _ in range(20):
        driver.step()
    assert driver.data["f"].min() < 2.001
    assert len(driver.data) == 22
    ours = driver.generator.optimizer
    assert len(ours.observations[1]) == np.isfinite(driver.data["f"]).sum()
    assert len(ours.pending) == 0


@pytest.mark.filterwarnings("ignore")
def test_libensemble_drives_it_to_the_optimum(tmp_path, monkeypatch):
    from libensemble import Ensemble
    from libensemble.alloc_funcs.start_only_persistent import only_persistent_gens
    from libensemble.specs import AllocSpecs, ExitCriteria, GenSpecs, LibeSpecs, SimSpecs

    monkeypatch.chdir(tmp_path)
    vocs = VOCS(variables={"x": [-1.0, 2.0], "y": [0.0, 5.0]}, objectives={"f": "MINIMIZE"})
    generator = LatentloopGenerator(vocs)

    def simulate(point):
        return {"f": (point["x"] - 0.3) ** 2 + (point["y"] - 4.0) ** 2}

    specs = LibeSpecs(comms="threads", nworkers=2, disable_log_files=True, save_H_and_persis_on_abort=False)
    ensemble = Ensemble(parse_args=False, libE_specs=specs)
    ensemble.gen_specs = GenSpecs(generator=generator, vocs=vocs, batch_size=2, initial_batch_size=4)
    ensemble.sim_specs = SimSpecs(simulator=simulate, vocs=vocs)
    ensemble.alloc_specs = AllocSpecs(alloc_f=only_persistent_gens)
    ensemble.exit_criteria = ExitCriteria(sim_max=24)
    history, _, flag = ensemble.run()
    assert flag == 0
    done = history[history["sim_ended"]]
    assert len(done) >= 24
    assert done["f"].min() < 0.01
