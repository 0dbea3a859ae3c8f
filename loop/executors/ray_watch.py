"""Whether a Ray cluster still lives. ``ray.wait`` alone does not tell: when a raylet or the cluster's head dies, it stays pending.

Of a cluster that was started here the processes are watched: their death is known within a second. Of any cluster the head is asked which
nodes live, by a thread of its own, because a head that is gone does not answer.
"""

import threading
from time import monotonic
from typing import Any

from ..process import Process

_ASK_SECONDS = 2.0
_SILENCE = 30.0
"""Seconds without an answer after which the head counts as dead."""
_VITAL = ("raylet", "gcs_server")


class RayWatch:
    """Watches the cluster that this process is connected to.

    Args:
        ray: the module, initialized.
        is_own: whether the cluster was started by this process.
    """

    def __init__(self, ray: Any, is_own: bool) -> None:
        self._ray = ray
        self._vital = _own_processes(ray) if is_own else []
        self._dead_nodes: frozenset[str] = frozenset()
        self._heard = monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="ray watch", daemon=True)
        self._thread.start()

    def is_lost(self) -> bool:
        """Return whether the whole cluster is gone."""
        return any(process.is_alive() is False for process in self._vital) or monotonic() - self._heard > _SILENCE

    def is_node_lost(self, node: str) -> bool:
        """Return whether the node with this id is known to be dead."""
        return node in self._dead_nodes

    def close(self) -> None:
        """Watch no more; a question under way is not waited for."""
        self._stop.set()

    def _ask(self) -> None:
        while not self._stop.wait(_ASK_SECONDS):
            try:
                nodes = self._ray.nodes()
            except Exception:  # noqa: BLE001 - no answer, whatever the reason
                continue
            self._heard = monotonic()
            self._dead_nodes = frozenset(str(node["NodeID"]) for node in nodes if not node["Alive"])


def _own_processes(ray: Any) -> list[Process]:
    """Return the processes of the cluster that this process has started, without which it cannot live."""
    node = getattr(getattr(ray, "_private", None), "worker", None)
    started = getattr(getattr(node, "_global_node", None), "all_processes", {})
    return [Process.of(each.process.pid) for kind in _VITAL for each in started.get(kind, [])]
