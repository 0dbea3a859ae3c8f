"""Training trajectories from families and files, and what is wrong with them."""

import re

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from latentloop.loop.config import config_from_mapping
from latentloop.loop.errors import ConfigError
from latentloop.loop.trajectory_source import PUBLISHED_SEED, load_trajectories
from latentloop.simulators.trajectories import published_trajectories

VALUES = np.arange(12.0).reshape(3, 4) ** 2 / 7
TWO = np.stack([VALUES, -VALUES], axis=2)


@pytest.fixture
def load(mapping):
    def make(path, **more):
        data = mapping()
        data["trajectories"] = {"file": str(path), **more}
        return load_trajectories(config_from_mapping(data))

    return make


def test_a_family_is_drawn_from_the_seed_of_the_campaign(config):
    one, same, other = (load_trajectories(config(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)
    assert one.values.shape == (40, 20)
    assert (one.unit, one.channels) == ("V", ("E",))


def test_the_published_family_ignores_the_seed_of_the_campaign(config):
    found = load_trajectories(config(seed=9, trajectories={"family": "published", "n": 6}))
    np.testing.assert_array_equal(found.values, published_trajectories(6, PUBLISHED_SEED))
    assert found.values.shape == (6, 900)


@pytest.mark.parametrize("values", [VALUES, TWO, TWO[:, :, :1]])
def test_an_npy_file_is_read_as_it_is(load, tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    found = load(tmp_path / "x.npy", dt=0.5, unit="V", time_unit="ms")
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.times, [0, 0.5, 1.0, 1.5])
    assert (found.unit, found.time_unit) == ("V", "ms")
    assert len(found.channels) == (1 if values.ndim == 2 else values.shape[2])


def test_integers_and_float32_become_float64(load, tmp_path):
    for kind in (np.int16, np.float32, np.bool_):
        np.save(tmp_path / "x.npy", VALUES.astype(kind))
        assert load(tmp_path / "x.npy").values.dtype == np.float64


def test_a_csv_file_without_a_header_is_one_trajectory_a_row(load, tmp_path):
    np.savetxt(tmp_path / "x.csv", VALUES, delimiter=",", fmt="%.17g")
    found = load(tmp_path / "x.csv", channels=["Ex"])
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.channels == ("Ex",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_header_gives_channels_and_times_in_any_order(load, tmp_path, encoding):
    header = "Ex@0.0, Ey@0.0, Ex@0.1, Ey@0.1, Ey@0.2, Ex@0.2, Ex@0.4, Ey@0.4"
    columns = TWO[:, [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 1, 0, 0, 1]]
    rows = [header, *(",".join(repr(float(value)) for value in row) for row in columns), ""]
    (tmp_path / "x.csv").write_text("\n".join(rows), encoding=encoding)
    found = load(tmp_path / "x.csv")
    np.testing.assert_array_equal(found.values, TWO)
    np.testing.assert_array_equal(found.times, [0, 0.1, 0.2, 0.4])
    assert found.channels == ("Ex", "Ey")


def test_a_csv_header_of_one_channel_gives_two_dimensions(load, tmp_path):
    (tmp_path / "x.csv").write_text("E@0,E@1\n1,2\n3,4\n")
    found = load(tmp_path / "x.csv")
    assert found.values.tolist() == [[1, 2], [3, 4]]
    assert found.channels == ("E",)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_group_brings_its_times_unit_and_channels(load, tmp_path, zarr_format):
    group = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=zarr_format)
    array = group.create_array("trajectory", data=TWO)
    array.attrs.update({"unit": "kV", "channels": ["Ex", "Ey"]})
    group.create_array("time", data=np.array([0.0, 1.0, 3.0, 4.0]))
    found = load(tmp_path / "x.zarr", unit="V", channels=["a", "b"])
    np.testing.assert_array_equal(found.values, TWO)
    assert (found.unit, found.channels, found.times.tolist()) == ("kV", ("Ex", "Ey"), [0.0, 1.0, 3.0, 4.0])


def test_a_zarr_group_with_nothing_but_trajectories_takes_the_rest_from_the_configuration(load, tmp_path):
    zarr.open_group(tmp_path / "x.zarr", mode="w").create_array("trajectory", data=VALUES, attributes={"channels": "Ex"})
    found = load(tmp_path / "x.zarr", unit="V", dt=2)
    assert (found.unit, found.channels, found.times.tolist()) == ("V", ("Ex",), [0.0, 2.0, 4.0, 6.0])


@given(
    values=hnp.arrays(
        np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.floats(allow_nan=False, allow_infinity=False)
    )
)
@settings(max_examples=30)
def test_any_finite_trajectories_survive_a_csv_file(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text("\n".join(",".join(repr(float(value)) for value in row) for row in values))
    data = {"name": "x", "trajectories": {"file": str(path)}, "evaluator": {"name": "python", "parameters": {"target": "a:b"}}}
    np.testing.assert_array_equal(load_trajectories(config_from_mapping(data)).values, values)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", "", "no trajectories"),
        ("x.csv", "\n\n", "comma-separated numbers"),
        ("x.csv", "E@0,E@1\n", "no trajectories"),
        ("x.csv", "a,b\n1,2\n3,4\n", "comma-separated numbers"),
        ("x.csv", "1,2\n3\n", "comma-separated numbers"),
        ("x.csv", "1,2\n3,\n", "comma-separated numbers"),
        ("x.csv", "1,2\nnan,4\n5,inf\n", "2 training trajectories are not finite, the first is row 1"),
        ("x.csv", "1,2\n", "at least 2 trajectories"),
        ("x.csv", "E@a,E@1\n1,2\n3,4\n", "channel@time in every column"),
        ("x.csv", "E@0,x\n1,2\n3,4\n", "channel@time in every column"),
        ("x.csv", "E@1,E@0\n1,2\n3,4\n", "must rise"),
        ("x.csv", "E@0,E@1,T@0\n1,2,3\n3,4,5\n", "lacks the column T@1.0"),
        ("x.csv", "E@0,E@1\n1,2,3\n3,4,5\n", "names 2 different columns, its rows have 3"),
        ("x.csv", "E@0,E@0\n1,2\n3,4\n", "names 1 different columns, its rows have 2"),
        ("x.csv", b"\xff\xfe\x00", "comma-separated numbers"),
        ("x.npy", b"no array", "as an array of numbers"),
        ("x.npy", b"", "as an array of numbers"),
        ("x.txt", "1,2\n", "'.txt'; known are .npy, .csv, .zarr"),
        ("x.zarr", "a file", "must be a Zarr group"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(load, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array(3.0), "shape ()"),
        (np.zeros(5), "shape (5,)"),
        (np.zeros((2, 3, 4, 5)), "shape (2, 3, 4, 5)"),
        (np.zeros((0, 5)), "shape (0, 5)"),
        (np.zeros((3, 4)) * 1j, "complex"),
        (np.array([["a", "b"]]), "array of numbers"),
        (np.array([[1.0, np.nan], [2.0, 3.0]]), "not finite, the first is row 0"),
        (np.array([[1, 2], None], dtype=object), "array of numbers"),
    ],
)
def test_an_array_of_a_wrong_shape_or_content_is_refused(load, tmp_path, values, words):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(tmp_path / "x.npy")


def test_a_pickle_is_never_opened(load, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    np.save(tmp_path / "x.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    (tmp_path / "sprung").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="array of numbers"):
        load(tmp_path / "x.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("case", ["empty", "group", "times", "complex", "array"])
def test_a_zarr_group_that_is_not_what_it_should_be_is_refused(load, tmp_path, case):
    path = tmp_path / "x.zarr"
    if case == "array":
        zarr.create_array(path, data=VALUES)
    else:
        group = zarr.open_group(path, mode="w")
        if case == "group":
            group.create_group("trajectory")
        if case in ("times", "complex"):
            group.create_array("trajectory", data=VALUES * (1j if case == "complex" else 1))
            group.create_array("time", data=np.zeros((4, 1)))
    words = "times of shape" if case == "times" else "must be a Zarr group with an array `trajectory`"
    with pytest.raises(ConfigError, match=words):
        load(path)


def test_a_missing_file_is_named(load, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"there is no {tmp_path / 'x.npy'}")):
        load(tmp_path / "x.npy")


def test_a_folder_is_no_file(load, tmp_path):
    for name in ("x.npy", "x.csv", "x.zarr"):
        (tmp_path / name).mkdir()
        with pytest.raises(ConfigError, match=r"trajectories\.file"):
            load(tmp_path / name)


def test_too_many_channel_names_are_refused(load, tmp_path):
    np.save(tmp_path / "x.npy", TWO)
    with pytest.raises(ConfigError, match="3 channel names for 2 channels"):
        load(tmp_path / "x.npy", channels=["a", "b", "c"])


def test_a_wrong_parameter_of_a_family_is_refused(config):
    with pytest.raises(ConfigError, match=r"trajectory family 'damped_sinusoid'.*'banana'"):
        load_trajectories(config(trajectories={"family": {"name": "damped_sinusoid", "parameters": {"banana": 1}}}))
