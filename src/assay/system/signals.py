"""Ctrl-C as a flag: the first one asks for an end that loses nothing, the second one ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruption(stop: Callable[[], None]) -> Generator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag and calls `stop`, which may do no more than a signal handler may; a second
    one raises KeyboardInterrupt.

    Yields a function that says whether the flag is set. Outside the main thread signals cannot be caught, so there it
    never is.
    """
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield seen.is_set
        return

    def note(number: int, frame: FrameType | None) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()
        stop()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)
