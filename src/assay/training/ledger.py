"""The time breakdown of a training."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from time import perf_counter, process_time
from typing import Any


@dataclass
class Ledger:
    """The time breakdown of a trial, in seconds.

    wall = data + compile + train + evaluate + checkpoint + wait + other

    Attributes:
        data: loading and preparing the data, and generating the batches.
        compile: compiling and warming up the engine.
        train: inside the engine's `advance` and nothing else.
        evaluate: evaluating at the log points.
        checkpoint: exporting the weights and the optimizer state.
        wait: waiting for other trials on this machine.
        wall: from the beginning to the end of the trial.
        processor: processor seconds of the entries (user and system, all threads), those left out are 0; None if they
            were not measured.

    >>> ledger = Ledger(train=2.0, evaluate=0.5, wall=3.0)
    >>> ledger.other
    0.5
    """

    data: float = 0.0
    compile: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    checkpoint: float = 0.0
    wait: float = 0.0
    wall: float = 0.0
    processor: dict[str, float] | None = None

    @property
    def other(self) -> float:
        """The seconds that no entry accounts for."""
        named = self.data + self.compile + self.train + self.evaluate + self.checkpoint + self.wait
        return max(0.0, self.wall - named)

    @contextmanager
    def book(self, entry: str, *, wall: bool = False) -> Generator[None]:
        """Adds the time and the processor seconds of the block to an entry, and to `wall` where nothing else does."""
        begin, processor_begin = perf_counter(), process_time()
        try:
            yield
        finally:
            seconds, processor = perf_counter() - begin, process_time() - processor_begin
            for name in (entry, "wall") if wall else (entry,):
                self.add(name, seconds, processor)

    def add(self, entry: str, seconds: float, processor: float) -> None:
        """Adds seconds and processor seconds to an entry; where processor seconds are unknown, they stay so."""
        setattr(self, entry, getattr(self, entry) + seconds)
        if self.processor is not None:
            self.processor[entry] = self.processor.get(entry, 0.0) + processor

    def plus(self, earlier: Ledger) -> Ledger:
        """The sum of two ledgers, the ledger of a resumed training."""
        seconds = {name: getattr(self, name) + getattr(earlier, name) for name in ENTRIES}
        own, other = self.processor, earlier.processor
        processor = None
        if own is not None and other is not None:
            processor = {name: own.get(name, 0.0) + other.get(name, 0.0) for name in ENTRIES}
        return Ledger.stored(seconds, processor)

    def plain(self) -> dict[str, float]:
        """Every entry in seconds, `wall` last."""
        entries = {name: getattr(self, name) for name in ENTRIES}
        wall = entries.pop("wall")
        return entries | {"other": self.other, "wall": wall}

    def plain_processor(self) -> dict[str, float] | None:
        """The processor seconds of every entry, as `plain` has its seconds; None if they were not measured."""
        if self.processor is None:
            return None
        return Ledger.stored({name: self.processor.get(name, 0.0) for name in ENTRIES}, None).plain()

    @classmethod
    def stored(cls, seconds: Mapping[str, float], processor: Mapping[str, float] | None) -> Ledger:
        """The ledger of its plain forms; older ones have no processor seconds."""
        own = None if processor is None else {name: float(processor.get(name, 0.0)) for name in ENTRIES}
        entries: dict[str, Any] = {name: value for name, value in seconds.items() if name != "other"}
        return cls(**entries, processor=own)


ENTRIES = tuple(f.name for f in fields(Ledger) if f.name != "processor")
"""The entries of a ledger."""
