"""Fault points: places in the store and the controller at which a test may kill the process, to prove that nothing is lost there.

``LATENTLOOP_FAULT=controller.committed:3`` ends the process by SIGKILL the third time it reaches that point; ``any:40`` the fortieth
time it reaches any; ``controller.armed:2:STOP`` stops it there until SIGCONT, like a laptop that sleeps. Without that variable a point
costs one comparison. The points are listed, so that the kill campaign can visit each of them.
"""

import os
import signal

POINTS = (
    "object.before",  # nothing of an object is on disk
    "object.written",  # its temporary file is whole, its name is not there
    "object.after",
    "store.built",  # a new store is whole and has not its name yet
    "store.named",
    "epoch.started",  # the event is there, the epoch's object is not
    "epoch.announced",
    "model.written",  # the latent model's bytes are there, the event that makes them count is not
    "model.counted",
    "controller.asked",  # candidates are proposed, nothing of them is on disk
    "controller.payload",  # their trajectory is on disk, the event is not
    "controller.armed",  # durable, and not dispatched
    "controller.dispatched",
    "controller.measured",  # the outcome is here, nothing of it is on disk
    "controller.committed",  # and not told
    "controller.told",  # and not published
    "controller.published",
    "flush.before",
    "flush.midway",  # some columns are newer than others
    "flush.after",
    "ending",  # all is done, the `ended` event is not there
    "worker.firing",
    "worker.fired",
)
"""Every point, in the order in which a campaign first passes them."""

_VARIABLE = "LATENTLOOP_FAULT"
_ANY = "any"


class _Plan:
    """Where this process ends, and how often it has been there."""

    def __init__(self, text: str) -> None:
        self.point, _, rest = text.partition(":")
        count, _, name = rest.partition(":")
        self.left = int(count or 1)
        self.signal = signal.Signals[f"SIG{name or 'KILL'}"]
        if self.point not in (*POINTS, _ANY):
            raise ValueError(f"{_VARIABLE}={text}: there is no fault point {self.point!r}; known are {', '.join(POINTS)}")


_plan = _Plan(os.environ[_VARIABLE]) if os.environ.get(_VARIABLE) else None


def plan(text: str) -> None:
    """Plan the end of this process at ``point:count``; empty for none. For processes forked from a warm one."""
    global _plan
    _plan = _Plan(text) if text else None


def reach(point: str) -> None:
    """Reach a fault point: the process ends here when that is planned."""
    if _plan is not None and _plan.point in (point, _ANY):
        _plan.left -= 1
        if _plan.left == 0:
            os.kill(os.getpid(), _plan.signal)
