import gc

import numpy as np
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters
from latentloop.simulators.ferrosim.frame_memory import FrameMemory

SHAPE = (3, 5, 16, 2)


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_dropped_memory_serves_again_and_held_memory_does_not() -> None:
    memory = FrameMemory()
    first = memory.empty(SHAPE, np.dtype(np.float64))
    where = address(first)
    second = memory.empty(SHAPE, np.dtype(np.float64))
    assert address(second) != where
    del first
    gc.collect()
    assert address(memory.empty(SHAPE, np.dtype(np.float64))) == where


def test_any_view_keeps_its_memory() -> None:
    memory = FrameMemory()
    corner = memory.empty(SHAPE, np.dtype(np.float64)).reshape(3, 5, 4, 4, 2)[1:, ::2].T[0]
    corner[...] = 7.0
    gc.collect()
    memory.empty(SHAPE, np.dtype(np.float64))[...] = 0.0
    assert (corner == 7.0).all()


def test_another_size_gets_memory_of_its_own() -> None:
    memory = FrameMemory()
    memory.empty(SHAPE, np.dtype(np.float64))
    gc.collect()
    assert memory.empty((2, *SHAPE), np.dtype(np.float32)).shape == (2, *SHAPE)
    assert memory.empty((0, 4), np.dtype(np.float64)).shape == (0, 4)


def test_a_history_that_is_kept_is_not_overwritten_by_the_next() -> None:
    simulator = FerroSim(FerroSimParameters(lattice_size=4, times=np.linspace(0, 0.1, 21)))
    strong, weak = (np.full((21, 2), value) for value in (3.0, 0.1))
    kept = simulator.simulate(strong, frames_every=5)
    assert kept.frames is not None
    before = kept.frames.copy()
    for _ in range(3):
        simulator.simulate(weak, frames_every=5)
    assert np.array_equal(kept.frames, before)
