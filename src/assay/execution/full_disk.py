"""A disk that is full for a while: what only saves time is left out and said, and the trainings continue."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from assay.errors import FileError, StoreError

_log = logging.getLogger("assay.execution")
_FULL = ("no space left", "quota exceeded")


class WithoutRoom:
    """Says once what a full disk kept from being written, and again after a write has succeeded in between."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    @contextmanager
    def spared(self, consequence: str) -> Generator[None]:
        """Ends a block of writes that finds no room with a warning. Any other error is raised.

        Args:
            consequence: What it means for the user that the block was not written.
        """
        try:
            yield
        except (StoreError, FileError) as error:
            if not any(words in str(error).casefold() for words in _FULL):
                raise
            if consequence not in self._said:
                self._said.add(consequence)
                _log.warning("%s; %s", error, consequence)
        else:
            self._said.discard(consequence)
