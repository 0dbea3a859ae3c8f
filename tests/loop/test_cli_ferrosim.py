"""The simulator's commands: each does its work in a real process, and says in one sentence what it cannot do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

LATENTLOOP = Path(sys.executable).with_name("latentloop")
SMALL = ("--size", "4", "--steps", "400", "--frequency", "0.25")


def latentloop(*arguments, folder=None):
    command = [str(LATENTLOOP), "ferrosim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, env={**os.environ, "COLUMNS": "200"})


def refused(*arguments, folder=None):
    answer = latentloop(*arguments, folder=folder)
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_a_loop_is_drawn_and_its_numbers_are_said(tmp_path):
    answer = latentloop("loop", *SMALL, "-o", "new/loop.html", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == "latentloop ferrosim loop"
    said = {line.split()[0]: line.split()[1] for line in lines[1:-1]}
    assert float(said["loop_area"]) > 1.0
    assert float(said["coercive_field"]) > 1.0
    page = (tmp_path / "new/loop.html").read_text(encoding="utf-8")
    assert "last period" in page
    assert "src=" not in page.split("<body>")[1]


def test_json_is_one_object_and_nothing_else(tmp_path):
    weak = latentloop("loop", *SMALL, "--amplitude", "0.2", "--json", folder=tmp_path)
    numbers = json.loads(weak.stdout)
    assert numbers["coercive_field"] is None  # too weak a field to turn the polarization
    assert numbers["loop_area"] > 0.0
    assert numbers["closing_error"] > 0.01  # ... and too few periods for the lattice to settle, which is said
    assert "more --periods" in weak.stderr


def test_a_map_writes_picture_and_zarr_and_reports_cells_without_a_value(tmp_path):
    arguments = ("map", "--x", "coupling", 0, 800, "--y", "depolarization", 0, 2, "--grid", 4, *SMALL)
    answer = latentloop(*arguments, "-o", "map.html", "--zarr", "map.zarr", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("latentloop ferrosim map\n")
    assert "best: loop_area = " in answer.stdout
    assert "16/16" in answer.stdout
    assert "cells have no value: unstable" in answer.stderr
    values = zarr.open_group(tmp_path / "map.zarr", mode="r")["objective"][:]
    n_empty = int(np.isnan(values).sum())
    assert 0 < n_empty < 16
    assert f"unstable ({n_empty} cells)" in (tmp_path / "map.html").read_text(encoding="utf-8")


def test_an_animation_is_one_file_with_its_frames(tmp_path):
    answer = latentloop("animate", "--preset", "small", "--sine", 50, 2, "--every", 100, "-o", "movie.html", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "frames: 10 of 10" in answer.stdout
    page = (tmp_path / "movie.html").read_text(encoding="utf-8")
    assert 'id="play"' in page
    assert 'max="9"' in page


def test_an_animation_takes_a_trajectory_of_ones_own(tmp_path):
    np.save(tmp_path / "one.npy", np.stack([np.sin(np.linspace(0, 6, 80)), np.cos(np.linspace(0, 6, 80))], axis=1))
    answer = latentloop("animate", "--preset", "small", "--trajectory", "one.npy", "--hold-steps", 20, "-o", "m.html", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "frames: 10 of 10" in answer.stdout
    assert "the trajectory in one.npy" in (tmp_path / "m.html").read_text(encoding="utf-8")


def test_the_decay_of_the_curl_is_drawn_and_said(tmp_path):
    answer = latentloop("decay", "--preset", "small", "-n", 12, "--hold-steps", 20, "-o", "decay.html", "--json", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert facts["trajectories"] == 12
    assert -1.0 <= facts["correlation"] <= 1.0
    assert "12 trajectories on the small lattice" in (tmp_path / "decay.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("loop", "--coupling", "900"), "give --steps"),
        (("loop", "--mode", "cubic"), "known are tetragonal"),
        (("map", "--observable", "nope"), "known are loop_area"),
        (("map", "--x", "nope", "0", "1"), "known are coupling"),
        (("map", "--x", "coupling", "5", "1"), "the smaller number comes first"),
        (("animate", "--preset", "large", "-o", "m.html"), "known are published, small"),
        (("animate", "--trajectory", "absent.npy", "-o", "m.html"), "cannot read absent.npy"),
        (("animate", "--preset", "small", "--every", "5000", "-o", "m.html"), "give a smaller number"),
        (("decay", "--preset", "large"), "known are published, small"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(arguments, said, tmp_path):
    error = refused(*arguments, folder=tmp_path)
    assert error.startswith("error: ")
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_existing_zarr_group_is_not_overwritten(tmp_path):
    (tmp_path / "map.zarr").mkdir()
    assert "exists already" in refused("map", "--grid", 2, "--zarr", "map.zarr", folder=tmp_path)


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    assert "cannot write folder" in refused("map", "-o", "folder", folder=tmp_path)
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    assert "cannot write file/loop.html" in refused("loop", "-o", "file/loop.html", folder=tmp_path)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


def test_a_command_that_fails_leaves_an_existing_page_as_it_was(tmp_path):
    (tmp_path / "loop.html").write_text("kept", encoding="utf-8")
    refused("loop", "--coupling", 900, "-o", "loop.html", folder=tmp_path)
    assert (tmp_path / "loop.html").read_text(encoding="utf-8") == "kept"
