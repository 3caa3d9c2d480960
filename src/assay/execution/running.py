"""The driver's notes on what it trains: one transaction at most once a second, none for short trainings."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter

from assay.errors import StoreError
from assay.store.progress import Running, write
from assay.store.store import Store

LEAST_SECONDS = 5.0
"""Trajectories that have been trained for less are not noted."""
_INTERVAL = 1.0  # seconds between two transactions
_FRACTION = 0.004  # of the time, at most; a slow store makes the interval longer


class RunningNotes:
    """Notes what is being trained in the store.

    Args:
        store: where it is noted.

    Attributes:
        seconds: what the notes have cost so far.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._holder = f"process {os.getpid()} on {socket.gethostname()}"
        self._next = 0.0
        self._noted = False  # in the last note
        self._has_noted = False  # ever: a row stays while its lease is held
        self.seconds = 0.0

    def due(self) -> bool:
        """Whether a note may be written now."""
        return perf_counter() >= self._next

    def note(self, running: Sequence[Running]) -> None:
        """Notes what has been trained for long enough; what ended is removed. A store that is busy is left alone."""
        running = [one for one in running if one.seconds >= LEAST_SECONDS]
        if not running and not self._noted:
            self._next = perf_counter() + _INTERVAL
            return
        begin = perf_counter()
        with suppress(StoreError):  # results say what is wrong with a store
            write(self._store.database, running, self._holder)
            self._noted = bool(running)
            self._has_noted |= self._noted
        cost = perf_counter() - begin
        self.seconds += cost
        self._next = begin + max(_INTERVAL, cost / _FRACTION)

    def end(self) -> None:
        """Removes the notes, after the leases were released."""
        if self._has_noted:
            self._noted = self._has_noted = False
            with suppress(StoreError):
                write(self._store.database, [], self._holder)
