"""The few verbs of a store, kept by a folder and by object storage alike."""

import os
import subprocess
import sys
import threading

import pytest
from latentloop.loop.errors import StoreError
from latentloop.loop.store.objects import LocalObjects, digest, open_objects


@pytest.fixture(params=["folder", "durable folder", "s3"])
def objects(request, tmp_path):
    """Return an empty place of each kind."""
    if request.param == "s3":
        return open_objects(request.getfixturevalue("s3"))
    (tmp_path / "x").mkdir()
    found = open_objects(tmp_path / "x")
    found.is_durable = request.param == "durable folder"
    return found


def test_what_is_written_comes_back(objects):
    objects.put("a/b/c.json", b"one")
    objects.create("a/d.json", b"two")
    assert (objects.get("a/b/c.json"), objects.get("a/d.json")) == (b"one", b"two")
    objects.put("a/d.json", b"")
    assert objects.get_many(["a/d.json", "a/b/c.json"]) == [b"", b"one"]
    assert objects.exists("a/d.json")
    assert not objects.exists("a/e.json")


def test_an_object_is_created_once(objects):
    objects.create("a/x.json", b"mine")
    with pytest.raises(FileExistsError):
        objects.create("a/x.json", b"other")
    assert objects.get("a/x.json") == b"mine"


def test_of_many_creators_exactly_one_wins(objects):
    won, start = [], threading.Barrier(6)

    def create(index):
        start.wait()
        try:
            objects.create("race.json", b"%d" % index)
            won.append(index)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=create, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert objects.get("race.json") == b"%d" % won[0]


def test_what_is_not_there_is_a_file_not_found_error(objects):
    with pytest.raises(FileNotFoundError):
        objects.get("nothing.json")
    objects.delete("nothing.json")
    assert objects.names("nowhere") == []
    assert objects.walk("nowhere") == []


def test_names_are_sorted_and_of_one_folder(objects):
    for name in ("j/00000002.json", "j/00000000.json", "j/00000001.json", "j/deep/00000009.json", "jj.json"):
        objects.put(name, b"x")
    assert objects.names("j") == ["00000000.json", "00000001.json", "00000002.json"]
    assert objects.names("j", after="00000000.json") == ["00000001.json", "00000002.json"]
    assert objects.names("j", after="00000002.json") == []
    assert objects.walk("j") == ["j/00000000.json", "j/00000001.json", "j/00000002.json", "j/deep/00000009.json"]
    assert len(objects.walk()) == 5
    objects.delete("j/00000001.json")
    assert objects.names("j") == ["00000000.json", "00000002.json"]


def test_the_hash_of_what_is_written_is_noted_where_somebody_wants_it(objects):
    objects.put("a.json", b"before")
    objects.digests = {}
    objects.put("a.json", b"one")
    objects.create("b.json", b"two")
    objects.delete("b.json")
    assert objects.digests == {"a.json": digest(b"one")}


def test_zarr_writes_through_the_same_verbs(objects):
    import numpy as np
    import zarr

    objects.digests = {}
    root = zarr.open_group(objects.zarr(is_read_only=False), mode="w-", zarr_format=3)
    root.create_array("a", data=np.arange(6.0), chunks=(3,))
    assert set(objects.walk()) == {"zarr.json", "a/zarr.json", "a/c/0", "a/c/1"} == set(objects.digests)
    assert all(digest(objects.get(name)) == value for name, value in objects.digests.items())
    again = zarr.open_group(objects.zarr(is_read_only=True), mode="r")
    assert again["a"][:].tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="read-only"):
        again["a"][:] = 0


def test_a_folder_is_adopted_whole_and_once(objects, tmp_path):
    place = objects if objects.folder is None else LocalObjects(tmp_path / "new")
    place.is_durable = objects.is_durable
    for index in range(2):
        (tmp_path / str(index) / "deep").mkdir(parents=True)
        (tmp_path / str(index) / "deep" / "b.json").write_bytes(b"%d" % index)
        (tmp_path / str(index) / "a.json").write_bytes(b"%d" % index)
    place.adopt(tmp_path / "0", first="a.json", last="deep/b.json")
    with pytest.raises(FileExistsError):
        place.adopt(tmp_path / "1", first="a.json", last="deep/b.json")
    assert place.walk() == ["a.json", "deep/b.json"]
    assert place.get("deep/b.json") == b"0"
    assert not (tmp_path / "0").exists()


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder of the campaign is gone"):
        LocalObjects(tmp_path / "x").put("journal/a.json", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_durable_write_is_confirmed_by_the_disk_before_it_has_its_name_and_its_folders_after(tmp_path, is_durable):
    (tmp_path / "x").mkdir()
    code = (
        "from pathlib import Path; from latentloop.loop.store.objects import LocalObjects; "
        f"o = LocalObjects(Path({str(tmp_path / 'x')!r})); o.is_durable = {is_durable}; o.create('a/b.json', b'x')"
    )
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-e", "trace=fsync,link,linkat,mkdir", "-o", str(trace)]
    try:
        subprocess.run([*strace, sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    calls = [
        line.split("(")[0].split()[-1] for line in trace.read_text().splitlines() if "b.json" in line or "fsync" in line or "/x/a" in line
    ]
    assert calls == (["mkdir", "fsync", "fsync", "link", "fsync"] if is_durable else ["mkdir", "link"])


def test_other_places_are_refused_with_what_to_write():
    with pytest.raises(StoreError, match=r"write a path or s3://bucket/prefix"):
        open_objects("gs://bucket/prefix")
    with pytest.raises(StoreError, match="the prefix being the campaign's own"):
        open_objects("s3://bucket")


def test_a_bucket_that_is_not_there_is_a_sentence(s3):
    objects = open_objects(s3.replace("bucket", "other"))
    with pytest.raises(OSError, match=r"no such bucket"):
        objects.put("a.json", b"")


def test_without_the_extra_object_storage_says_what_to_install(tmp_path):
    (tmp_path / "obstore.py").write_text("raise ImportError('not installed')")
    code = "from latentloop.loop.store.objects import open_objects; open_objects('s3://bucket/prefix')"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert "pip install 'latentloop[s3]'" in done.stderr
