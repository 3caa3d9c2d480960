"""Bytes that a piece of Python allocates, counted: tracemalloc read after every opcode.

tracemalloc knows how much is held and the most that was held, not how much was allocated together. Read and reset
after each opcode, the rise to the peak since the opcode before is what that opcode allocated; their sum misses only
what one opcode frees and allocates again. NumPy reports its arrays to tracemalloc; C++ and BLAS do not.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any


class _Counter:
    """Adds up what the opcodes of the traced frames allocate beyond `floor`, which tracing itself needs for each."""

    def __init__(self, floor: int = 0) -> None:
        self.floor, self.held = floor, 0
        self.rises: list[int] = []
        self.total = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> _Counter:
        rise = tracemalloc.get_traced_memory()[1] - self.held
        self.total += max(0, rise - self.floor)
        if not self.floor:
            self.rises.append(rise)
        frame.f_trace_opcodes = True
        tracemalloc.reset_peak()
        self.held = tracemalloc.get_traced_memory()[0]
        return self


def allocated_bytes(work: Callable[[], object]) -> int:
    """The bytes that `work` allocates, counted in a second call, when what is made once is made."""
    work()
    floor = _counted(_nothing, _Counter()).rises
    return _counted(work, _Counter(sorted(floor)[len(floor) // 2])).total


def _nothing() -> int:
    """Opcodes that allocate nothing."""
    x = 0
    for _ in range(200):
        x = x ^ 1
    return x


def _counted(work: Callable[[], object], counter: _Counter) -> _Counter:
    before, was_tracing = sys.gettrace(), tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start(1)
    try:
        tracemalloc.reset_peak()
        counter.held = tracemalloc.get_traced_memory()[0]
        sys.settrace(counter)
        try:
            work()
        finally:
            sys.settrace(before)
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return counter


__all__ = ["allocated_bytes"]
