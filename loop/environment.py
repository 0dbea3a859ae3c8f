"""What bit-identical proposals depend on besides the journal: processor type, versions of the libraries, number of threads."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_info

_LIBRARIES = ("numpy", "scipy", "torch", "gpytorch", "botorch")


def environment(n_threads: int | None = None) -> dict[str, str]:
    """Return the processor and the library versions, and the number of threads where it is given."""
    facts = {
        "machine": platform.machine(),
        "processor": processor(),
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }
    return facts if n_threads is None else {**facts, "threads": str(n_threads)}


def n_threads() -> int:
    """Return how many threads the numerical libraries of this process take, at most."""
    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


@cache
def processor() -> str:
    """Return the processor's type, with a hash of what it can do: libraries choose their kernels, and so their rounding, by that."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    abilities = " ".join(sorted((facts.get("flags") or facts.get("Features") or "").split()))
    return f"{facts.get('model name', platform.machine())} {hashlib.sha256(abilities.encode()).hexdigest()[:8]}"
