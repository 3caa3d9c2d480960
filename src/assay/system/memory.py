"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Gives the system the freed memory that the C library keeps; nothing where it has no such function.

    After arrays of some megabytes each were made and freed among texts that stay, glibc keeps a third of it.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


__all__ = ["give_back"]
