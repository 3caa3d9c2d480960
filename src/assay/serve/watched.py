"""The store of the live page: opened read-only, opened again where it was replaced, and asked for changes."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.errors import AssayError, StoreError
from assay.store.stamps import CommitCounter, Stamp, stamp
from assay.store.store import Store, default_url
from assay.store.urls import Place, file_of, parsed, without_password

_PATIENCE = 2.0  # seconds of waiting for a lock, after which the page says that the store is locked


class WatchedStore:
    """A store that is read while other processes write it, and that may be locked, moved, replaced or missing.

    Args:
        url: Of the store; None: that of the environment.

    Raises:
        StoreError: The address is no address of a store.
    """

    def __init__(self, url: Place | None) -> None:
        typed = None if url is None else os.fspath(url)
        self.url = typed or default_url()
        address = parsed(self.url)
        self.path: Path | None = file_of(address) if address.get_backend_name() == "sqlite" else None
        self.name = str(self.path) if self.path else without_password(address.render_as_string(hide_password=True))
        self._boot, self._number = secrets.token_hex(4), 0
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._identity: Any = None
        self._counter: CommitCounter | None = None
        self._state: object = None
        self._stamp: tuple[str, Stamp] = ("", ())
        self._recent = (0.0, "")
        self.typed = None if typed is None else without_password(typed) if "://" in typed else typed

    def store(self) -> Store:
        """The open store. Raises: StoreError, where it cannot be read now."""
        with self._lock:
            identity = self._identity_now()
            if self._store is not None and identity != self._identity:
                self.close()
            if self._store is None:
                self._store = Store(self.url, read_only=True, patience=_PATIENCE)
                self._identity = identity
            return self._store

    def _identity_now(self) -> Any:
        """What tells the file from another one of its name; None where there is none, and for a server."""
        if self.path is None:
            return None
        try:
            state = os.stat(self.path)  # noqa: PTH116 (four times a second)
        except OSError:
            return None
        return state.st_dev, state.st_ino

    def revision(self) -> str:
        """A text that is another one after every commit, and after the store was replaced, lost or found again."""
        with self._lock:
            state = self._look()
            if state != self._state:
                self._state, self._number = state, self._number + 1
            return f"{self._boot}-{self._number}"

    def recent(self, seconds: float) -> str:
        """The revision, looked for at most once in so many seconds however many ask for it."""
        at, revision = self._recent
        now = time.monotonic()
        if now - at >= seconds:
            revision = self.revision()
            self._recent = (now, revision)
        return revision

    @property
    def identity(self) -> Any:
        """What tells the open file from another one of its name."""
        return self._identity

    def _look(self) -> object:
        identity = self._identity_now()
        try:
            if self._store is not None and identity != self._identity:
                self.close()
            if self._counter is None:
                self._counter = CommitCounter(self.store().database)
            return identity, self._counter.value()
        except (AssayError, sqlite3.Error) as error:
            if identity != self._identity or self.path is None:
                self.close()
            return identity, type(error).__name__

    def stamp(self) -> Stamp:
        """Changes when what charts are drawn from may have changed. Raises: StoreError."""
        revision = self.revision()
        with self._lock:
            if self._stamp[0] == revision:
                return self._stamp[1]
        store = self.store()
        if store.database.schema_version() != store.database.version:  # it was migrated by a newer Assay
            self.reopen()
            store = self.store()
        made = (*stamp(store.database), self._identity)
        with self._lock:
            self._stamp = (revision, made)
        return made

    def reopen_if_lost(self) -> None:
        """Opens the store anew at the next request where it cannot be read now: a copy may have taken its place."""
        with self._lock:
            try:
                if self._store is not None:
                    self._store.database.schema_version()
            except StoreError:
                self.close()

    def reopen(self) -> None:
        """Opens the store anew at the next request: its schema was migrated, or it could not be read."""
        with self._lock:
            self.close()

    def close(self) -> None:
        """Closes every connection; the next request opens the store again."""
        with self._lock:
            if self._counter is not None:
                self._counter.close()
            if self._store is not None:
                with suppress(StoreError):
                    self._store.close()
            self._store = self._counter = None


__all__ = ["WatchedStore"]
