"""How many threads the numerical libraries use.

No module of this package sets a thread count when it is imported: whoever owns the process decides, once, at its start. Two
processes with two threads each on two cores train a variational autoencoder some fifty times slower than with one thread each.
"""

from .errors import ParameterError


def set_threads(n: int) -> None:
    """Set the threads of PyTorch and of every loaded BLAS and OpenMP library of this process.

    Args:
        n: Number of threads, at least 1.

    Raises:
        ParameterError: `n` is below 1.
    """
    import torch
    from threadpoolctl import threadpool_limits

    if n < 1:
        raise ParameterError(f"the number of threads is {n}; it must be at least 1")
    torch.set_num_threads(n)
    threadpool_limits(limits=n)  # not used as a context: the limits stay
