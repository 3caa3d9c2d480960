"""Ctrl-C as a flag: the first one cancels without losing results, the second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruption(stop: Callable[[], None]) -> Generator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag and calls `stop`; a second one raises KeyboardInterrupt.

    `stop` runs in the signal handler, so it must be short and must not block. Yields a function that returns whether
    the flag is set. Outside the main thread signals cannot be caught, so the flag is never set there.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted.is_set
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
