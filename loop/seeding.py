"""Streams of random numbers derived by purpose and number, never by the order in which workers finish.

``generator(seed, "acquisition", 17)`` is the same stream whichever worker ran trial 16, before and after a restart. Streams of different
purposes are independent: NumPy's SeedSequence with a spawn key (M. O'Neill, "Developing a seed_seq alternative", 2015).
"""

import zlib

import numpy as np


def generator(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """Return the Generator for one purpose ("training", "initial", "acquisition", ...) and number (a trial, a model version)."""
    return np.random.default_rng(_sequence(seed, purpose, number))


def derive_seed(seed: int, purpose: str, number: int = 0) -> int:
    """Return a 32-bit seed for libraries that take an integer."""
    return int(_sequence(seed, purpose, number).generate_state(1)[0])


def _sequence(seed: int, purpose: str, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), number))
