"""What a worker reports of its batch, several trials in one message: plain data, and the bytes of what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.recipe.model import Recipe
from assay.system.machine import GPU
from assay.training.checkpoints import described, history_of, to_bytes
from assay.training.history import History

_SECONDS = 1.0  # that a report waits for others at most
_BYTES = 64 * 2**20  # of what is kept, after which reports are sent


class Reports:
    """Collects what is reported, and sends it in few messages.

    Args:
        send: Sends a kind, the list of reports, and their contents one after the other.
    """

    def __init__(self, send: Callable[[str, list[dict[str, Any]], bytes], None]) -> None:
        self._send = send
        self._kind, self._reports, self._contents = "", list[dict[str, Any]](), list[bytes]()
        self._bytes, self._since = 0, 0.0

    def add(self, kind: str, report: dict[str, Any], content: bytes = b"") -> None:
        """Adds a report, to be sent with those that follow."""
        if kind != self._kind:
            self.flush()
            self._kind, self._since = kind, perf_counter()
        self._reports.append({**report, "size": len(content)})
        self._contents.append(content)
        self._bytes += len(content)
        if self._bytes > _BYTES:
            self.flush()

    def tick(self) -> None:
        """Sends what has waited for a second; called between the chunks of a training."""
        if self._reports and perf_counter() - self._since > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Sends what was collected."""
        if self._reports:
            self._send(self._kind, self._reports, b"".join(self._contents))
        self._kind, self._reports, self._contents, self._bytes = "", [], [], 0


def joined(contents: Sequence[bytes]) -> tuple[list[int], bytes]:
    """Contents as one, and the size of each."""
    return [len(content) for content in contents], b"".join(contents)


def split(content: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The contents that were joined.

    >>> split(b"abc", [1, 0, 2])
    [b'a', b'', b'bc']
    """
    ends = itertools.accumulate(sizes, initial=0)
    return [content[begin:end] for begin, end in itertools.pairwise(ends)]


def end_report(
    key: str, history: History, confusion: NDArray[np.int64] | None, *, keep: bool
) -> tuple[dict[str, Any], bytes]:
    """The end of a trial as plain data, and its weights if they are kept."""
    about = described(history)
    del about["recipe"]  # the driver has it
    report = {
        "key": key,
        "outcome": str(history.outcome),
        "reason": history.reason,
        "history": about,
        "confusion": confusion.tolist() if confusion is not None else None,
        "peak_device_memory_bytes": history.peak_device_memory_bytes,
        "gpu": history.machine.get(GPU),
    }
    return report, to_bytes(history) if keep and history.checkpoint.weights else b""


def reported_history(report: dict[str, Any], recipe: Recipe, machine: dict[str, Any]) -> History | None:
    """The history of a reported trial without its weights; None if it failed."""
    if report.get("history") is None:
        return None
    history = history_of(report["history"], {}, recipe)
    if report.get("gpu"):
        machine = {**machine, GPU: report["gpu"]}
    return replace(history, machine=machine, peak_device_memory_bytes=report.get("peak_device_memory_bytes"))
