"""The compiled kernels on disk: loaded quickly, and safe when a pool of workers starts at once."""

import os
import subprocess
import sys

import pytest
from latentloop.simulators.ferrosim import kernel, lanes

RUN = """
import time
start = time.perf_counter()
import numpy as np
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters
from latentloop.simulators.ferrosim.kernel_random_sites import random_sites_blocks
history = FerroSim(FerroSimParameters.published()).simulate(np.full((950, 2), 30.0))
hits = sum(random_sites_blocks.stats.cache_hits.values())
print(history.total_polarization[0, -1].tolist(), hits, time.perf_counter() - start, sep=";")
"""


def start(cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not err
    total, hits, seconds = out.strip().split(";")
    return total, int(hits), float(seconds)


@pytest.mark.slow
def test_processes_that_start_at_once_with_an_empty_cache_agree_and_leave_a_good_one(tmp_path):
    together = [finish(process) for process in [start(tmp_path) for _ in range(4)]]
    assert len({total for total, _, _ in together}) == 1
    later = finish(start(tmp_path))
    assert later[0] == together[0][0]
    assert later[1] == 1, "the kernel was compiled again"
    assert later[2] < 5.0  # about half a second on an idle machine


def test_parameters_and_observables_come_without_the_compiler():
    code = "import sys; from latentloop.simulators.ferrosim import FerroSimParameters, curl; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_cache_is_stale_as_soon_as_any_source_of_the_kernels_changes():
    # A kernel holds the subroutines of other files; Numba alone would look at the kernel's own file only.
    stamp = lanes._source_stamp()
    names = [name for name, _, _ in stamp]
    assert {"lanes.py", "kernel.py", "kernel_sites.py", "kernel_random_sites.py", "kernel_runge_kutta.py"} <= set(names)
    assert kernel.sweep_blocks._cache._cache_file._source_stamp == stamp
