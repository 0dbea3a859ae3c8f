"""Threads, set explicitly in every process.

Two processes with two threads each on two cores trained a VAE fifty times slower than with one: whoever owns a process says how many
threads its libraries may take. Environment variables only act before the libraries load, hence both halves.
"""

import os
from collections.abc import Mapping

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def thread_environment(n_threads: int) -> Mapping[str, str]:
    """Return the environment variables that limit a process to ``n_threads`` threads, for a child process."""
    return {name: str(n_threads) for name in _VARIABLES}


def limit_threads(n_threads: int) -> None:
    """Limit this process, before its numerical libraries load, to ``n_threads`` threads; explicit settings of the user stay."""
    for name, value in thread_environment(n_threads).items():
        os.environ.setdefault(name, value)


def set_model_threads(n_threads: int) -> None:
    """Set the threads of torch and BLAS in this process, loaded or not (imports torch)."""
    from ..models.threads import set_threads

    set_threads(n_threads)
