"""Counts the bytes that Python code allocates, by reading tracemalloc after every opcode.

tracemalloc knows the current and the peak size of traced memory, not the total that was allocated. Read and reset
after each opcode, the rise to the peak is what that opcode allocated; the sum only misses what one opcode frees and
allocates again. NumPy reports its arrays to tracemalloc; C++ and BLAS do not.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any


class _Counter:
    """Adds up what the opcodes of the traced frames allocate beyond `floor`, which tracing itself needs per opcode."""

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
    """The bytes that `work` allocates in its second call; what is allocated once is there by then."""
    work()
    rises = _traced(_no_allocations, _Counter()).rises
    return _traced(work, _Counter(sorted(rises)[len(rises) // 2])).total


def _no_allocations() -> int:
    """Opcodes that allocate nothing."""
    x = 0
    for _ in range(200):
        x = x ^ 1
    return x


def _traced(work: Callable[[], object], counter: _Counter) -> _Counter:
    """The counter after `work` ran under it."""
    previous_trace, was_tracing = sys.gettrace(), tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start(1)
    try:
        tracemalloc.reset_peak()
        counter.held = tracemalloc.get_traced_memory()[0]
        sys.settrace(counter)
        try:
            work()
        finally:
            sys.settrace(previous_trace)
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return counter


__all__ = ["allocated_bytes"]
