"""A map over Ray workers: results in order, memory bounded, each worker warm.

Unlike an executor it knows nothing of trials: ``make`` builds a function once in each worker, and every item goes through one of them.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ..errors import ExecutorError
from ..threads import limit_threads, thread_environment
from .ray_signals import handlers_kept

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items under way per worker: one that runs, one that waits."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class _MapActor:
    """Holds the function that ``make`` built."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], n_threads: int) -> None:
        limit_threads(n_threads)
        self._function = make()

    def apply(self, item: Any) -> Any:
        return self._function(item)


def ray_map(
    make: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    n_workers: int,
    *,
    n_threads: int = 1,
    address: str | None = None,
) -> Iterator[Result]:
    """Yield ``make()(item)`` for every item, in the order of the items.

    At most two items per worker are under way, and as many results wait for their turn: items are drawn from the iterable only as they
    are needed. An item should take at least 50 ms; a Ray call costs 1-3 ms.

    Args:
        make: importable; called once in each worker.
        items: drawn lazily.
        n_workers: number of actors.
        n_threads: threads that each may take.
        address: a running cluster; None uses the one that is connected, or starts one here.

    Raises:
        ExecutorError: Ray cannot be started, or a worker is lost.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    owns = not ray.is_initialized()
    if owns:
        size: dict[str, Any] = {} if address else {"num_cpus": n_workers, "include_dashboard": False}
        try:
            with handlers_kept():
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **size)
        except Exception as error:
            raise ExecutorError(f"cannot start Ray: {error}") from error
    actors: list[Any] = []
    try:
        environment = {"env_vars": {**thread_environment(n_threads), **_QUIET}}
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "runtime_env": environment}
        actors = [ray.remote(_MapActor).options(**options).remote(make, n_threads) for _ in range(n_workers)]
        under_way: deque[Any] = deque()
        source = enumerate(items)
        while True:
            while len(under_way) < _AHEAD * n_workers and (drawn := next(source, None)) is not None:
                under_way.append(actors[drawn[0] % n_workers].apply.remote(drawn[1]))
            if not under_way:
                return
            try:
                result: Result = ray.get(under_way.popleft())
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise ExecutorError(f"a Ray worker was lost: {error}") from error
            yield result
    finally:
        for actor in actors:
            ray.kill(actor)
        if owns:
            ray.shutdown()
