"""Where compiled programs are kept on disk, and one compilation of a program for all processes that start together.

The cache serves CPUs and GPUs. Workers of a run that begin with the same program would all compile it: the first one
does, and the others wait for it and read it from the cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

import jax

LEAST_SECONDS = 0.1
"""A compilation that takes longer is kept."""
_LOCKS = 64  # files: programs whose numbers agree wait for each other too
_LONGEST_WAIT = 600.0
_POLL_SECONDS = 0.02


def cache_on_disk() -> None:
    """Sets jax's compilation cache on disk, unless the user has set one or the folder is not writable."""
    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None:
        return
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("ASSAY_CACHE") or Path(home) / "assay") / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        config.update("jax_compilation_cache_dir", str(folder))
        config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)


@contextmanager
def one_at_a_time(program: str, *, longest: float = _LONGEST_WAIT) -> Generator[None]:
    """While one process compiles a program, others that begin with the same one wait, at most `longest` seconds.

    Without a local folder as cache, or where it has no locks for this user, nothing is waited for. `program`: its text.
    """
    config: Any = jax.config
    folder = Path(config.jax_compilation_cache_dir or "")
    if config.jax_compilation_cache_dir is None or not os.access(folder, os.W_OK):
        yield
        return
    number = int(hashlib.blake2b(program.encode(), digest_size=4).hexdigest(), 16) % _LOCKS
    with ExitStack() as opened:
        with suppress(OSError):  # a file of another user, or a file system without locks
            file = opened.enter_context((folder / f"compiling-{number:02d}.lock").open("a"))
            _wait_for(file, deadline=monotonic() + longest)
        yield


def _wait_for(file: TextIO, *, deadline: float) -> None:
    """Locks a file, or returns after the deadline. Raises: OSError where it cannot be locked."""
    while monotonic() < deadline:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the file, also that of a killed process
            return
        except BlockingIOError:
            sleep(_POLL_SECONDS)
