"""The last of what a worker has written to standard error: read without waiting, so that no worker waits for it."""

from __future__ import annotations

import os
from contextlib import suppress

BYTES = 64 * 1024
"""How much of it is kept."""


class KeptEnd:
    """The end of what was written, since it was cleared."""

    def __init__(self) -> None:
        self._kept, self._lost = bytearray(), False

    def add(self, content: bytes) -> None:
        """Adds what was written next."""
        self._kept += content
        self._lost |= len(self._kept) > BYTES
        del self._kept[:-BYTES]

    def clear(self) -> None:
        """Forgets what has been written until now, which is of earlier work."""
        self._kept.clear()
        self._lost = False

    def text(self) -> str:
        """What is kept, as text that any store can hold; it begins with "..." where more was written."""
        text = self._kept.decode(errors="replace").replace("\0", "").strip()
        return f"...{text}" if self._lost else text


class Tail:
    """The end of what is written into a pipe, since `begin` was called.

    Args:
        descriptor: The end of the pipe to read from, which this object closes.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._kept = descriptor, KeptEnd()
        self.is_open = True

    def fileno(self) -> int:
        """The descriptor, to wait for."""
        return self._descriptor

    def read(self) -> bytes:
        """Reads what has been written so far, and returns it."""
        new = bytearray()
        with suppress(BlockingIOError):
            while self.is_open:
                content = os.read(self._descriptor, BYTES)
                if not content:  # the other end is closed
                    self.close()
                new += content
        content = bytes(new)
        self._kept.add(content)
        return content

    def begin(self) -> None:
        """Forgets what has been written until now, which is of earlier work."""
        self.read()
        self._kept.clear()

    def text(self) -> str:
        """What is kept, as text; see `KeptEnd`."""
        self.read()
        return self._kept.text()

    def close(self) -> None:
        """Closes the pipe; what was read is kept."""
        if self.is_open:
            self.is_open = False
            os.close(self._descriptor)
