"""Where the workers of an execution are: on this machine, or on a Ray cluster. This module chooses."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from assay.errors import AssayError, nearest
from assay.execution.executors import Executor, LocalExecutor

LOCAL, RAY = "local", "ray"


@contextmanager
def executor_on(on: str | None) -> Generator[Executor]:
    """The executor that `--on` names; a Ray cluster is joined, or started here, and left at the end.

    Args:
        on: "local" or None for this machine; "ray" for the cluster of RAY_ADDRESS, or a new one on this machine;
            "ray://HOST:PORT" for a cluster by its client.

    Raises:
        AssayError: It is something else, Ray is not installed, or the cluster cannot be reached.

    >>> with executor_on("local") as executor:
    ...     type(executor).__name__
    'LocalExecutor'
    """
    if on in (None, LOCAL):
        yield LocalExecutor()
    elif on == RAY or (on or "").startswith("ray://"):
        from assay.execution.ray.cluster import joined

        with joined(on or RAY) as cluster:
            yield cluster
    else:
        guess = nearest(on or "", [LOCAL, RAY, "ray://HOST:PORT"])
        hint = f"; did you mean {guess}?" if guess else ""
        raise AssayError(f"--on: got {on!r}; expected local, ray or ray://HOST:PORT{hint}")
