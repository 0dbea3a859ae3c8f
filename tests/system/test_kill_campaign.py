"""Campaigns killed at fault points and at random moments, again and again: nothing is lost, nothing is there twice, nothing fires twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "data" / "killing.py"


def killed(folder, *arguments, seconds=600):
    """Run the kill campaign; return its tally."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def require_whole(tally, n_kills):
    assert tally["complaints"] == []
    assert (tally["lost"], tally["duplicated"], tally["fired_twice"], tally["different"]) == (0, 0, 0, 0)
    assert tally["kills"] >= n_kills


def test_twenty_kills_lose_nothing_repeat_nothing_and_change_no_bit(tmp_path):
    require_whole(killed(tmp_path, "--kills", 20, "--seed", 7), 20)


def test_the_kill_campaign_notices_an_instrument_that_fires_twice(tmp_path):
    tally = killed(tmp_path, "--kills", 1, "--scene", "physical", "--cheat")
    assert tally["fired_twice"] > 0


@pytest.mark.slow
def test_kills_of_driver_workers_and_raylet_on_ray_lose_nothing(tmp_path):
    require_whole(killed(tmp_path, "--kills", 6, "--seed", 3, "--ray"), 6)
