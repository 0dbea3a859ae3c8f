"""Keeps Ctrl-C and SIGTERM with the campaign: Ray takes both over when it starts, and its SIGTERM aborts the process.

A driver that is aborted neither awaits what runs nor brings an instrument to rest, so whoever starts Ray here puts the handlers back.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Have the handlers of Ctrl-C and SIGTERM that were there before the block after it too."""
    is_main = threading.current_thread() is threading.main_thread()  # elsewhere handlers can neither be set nor, by Ray, be taken
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):  # where there was none, Ray's own ends its cluster in order
                signal.signal(number, handler)
