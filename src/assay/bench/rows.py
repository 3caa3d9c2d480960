"""What a bench measures: rows with their certificates, starts and epochs, and the plain data that everything reads."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from assay.bench.calibration import Calibration, Work
from assay.store.benches import FORMAT


class State(StrEnum):
    """How a row stands: a closed set. All but the first three are ends, and the row's `reason` says why."""

    OPEN = "open"
    CERTIFIED = "certified"  # computes what the reference computes; not measured yet
    MEASURED = "measured"
    IMPOSSIBLE = "impossible"  # this machine or this engine cannot; nothing was tried
    DEVIATES = "fails parity"
    DIVERGED = "diverged"
    FAILED = "failed"  # an error in the program, or its process was killed
    OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Contender:
    """Who trains the recipe, and with what; `threads` is None where the device is no CPU."""

    engine: str
    device: str
    threads: int | None
    precision: str

    @property
    def label(self) -> str:
        """The row's name in tables and charts.

        >>> Contender("native", "cpu", 2, "float32").label
        'native, cpu, 2 threads, float32'
        """
        threads = [] if self.threads is None else [f"{self.threads} thread{'s' * (self.threads > 1)}"]
        return ", ".join([self.engine, self.device, *threads, self.precision])


@dataclass(frozen=True)
class Certificate:
    """How far a row's first iterations are from the reference, relative where a value is above 1."""

    reference: str
    iterations: int
    tolerance: float
    losses: float | None  # None where they are not finite
    weights: float | None
    outlier_fraction: float = 0.0  # the share of the weights that are not within the tolerance, and how large it may be
    allowed_outliers: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the row computes what the reference computes."""
        if self.losses is None or self.weights is None or self.losses >= self.tolerance:
            return False
        return self.weights < self.tolerance or 0 < self.outlier_fraction <= self.allowed_outliers

    def sentence(self) -> str:
        """The certificate in words."""
        losses, weights = ("not finite" if v is None else f"{v:.1e} off" for v in (self.losses, self.weights))
        beyond = f" ({self.outlier_fraction:.2%} of them beyond the tolerance)" if self.outlier_fraction else ""
        but = f" but for {self.allowed_outliers:.0%} of the weights" if self.allowed_outliers else ""
        return (
            f"losses {losses}, weights {weights}{beyond} after {self.iterations:,} iterations; "
            f"expected below {self.tolerance:.0e}{but}"
        )

    def plain(self) -> dict[str, Any]:
        """The certificate as it is stored; `parted` and `may_part` are the stored names of the two fractions."""
        return {
            "reference": self.reference,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
            "losses": self.losses,
            "weights": self.weights,
            "parted": self.outlier_fraction,
            "may_part": self.allowed_outliers,
            "notes": list(self.notes),
            "holds": self.holds,
        }


@dataclass(frozen=True)
class StartUp:
    """What comes before the first epoch, in seconds: the process with its imports and its engine; the data, brought to
    the device; compiling, which is the engine's warm-up and the first evaluation."""

    repeat: int
    start_up: float
    data: float
    compile: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.start_up + self.data + self.compile


@dataclass(frozen=True)
class Epoch:
    """One epoch: `begin` in seconds since the bench began, the others in seconds of their own."""

    repeat: int
    number: int
    begin: float
    batches: float  # making the row numbers
    train: float
    validate: float
    examples: int
    loss: float | None
    accuracy: float | None

    @property
    def total(self) -> float:
        """What an epoch takes with its batches and its evaluation."""
        return self.batches + self.train + self.validate


@dataclass
class Row:
    """One combination and all that is known of it."""

    combination: Contender
    state: State = State.OPEN
    reason: str = ""
    certificate: Certificate | None = None
    starts: list[StartUp] = field(default_factory=list[StartUp])
    epochs: list[Epoch] = field(default_factory=list[Epoch])
    peak_memory_bytes: int | None = None
    peak_device_memory_bytes: int | None = None

    @property
    def label(self) -> str:
        """The combination's name."""
        return self.combination.label

    @property
    def later(self) -> list[Epoch]:
        """Every epoch but the first of each repeat."""
        return [epoch for epoch in self.epochs if epoch.number > 1]

    def end(self, state: State, reason: str) -> None:
        """Ends the row; what it has measured stays."""
        self.state, self.reason = state, reason

    def totals(self, epochs: int) -> list[float]:
        """Seconds of each repeat that came to its end, from the start of its process."""
        found: list[float] = []
        for start in self.starts:
            mine = [epoch.total for epoch in self.epochs if epoch.repeat == start.repeat]
            if len(mine) == epochs:
                found.append(start.total + sum(mine))
        return found


def spread(values: Sequence[float]) -> dict[str, float | int] | None:
    """Median, smallest, largest and number of values, or None where there are none.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'min': 1.0, 'max': 3.0, 'n': 3}
    """
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


@dataclass
class Bench:
    """A whole bench. `outcome` is "running", "completed" or "interrupted"."""

    key: str
    name: str
    recipe: dict[str, Any]
    data: dict[str, Any]
    epochs: int
    repeats: int
    wanted_baseline: str
    work: Work  # of training for one epoch
    machine: dict[str, Any]
    rows: list[Row]
    before: Calibration | None = None
    after: Calibration | None = None
    outcome: str = "running"
    notes: list[str] = field(default_factory=list[str])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def baseline(self) -> tuple[Row | None, str]:
        """The row that the others are compared with, and why it is that one."""
        timed = [row for row in self.rows if row.later and row.certificate and row.certificate.holds]
        if not timed:
            return None, "no row has a later epoch, so there is nothing to compare with"
        first = self.rows[0].combination
        like = [row for row in timed if row.combination.engine == self.wanted_baseline]
        for same in ("device", "precision"):
            near = [row for row in like if getattr(row.combination, same) == getattr(first, same)]
            like = near or like
        if like:
            best = min(like, key=_steady)
            which = "the fastest of its threads" if len(like) > 1 else "as its users write it"
            if self.wanted_baseline != "torch-eager" and len(like) == 1:
                which = "asked for"
            return best, f"{best.label} ({which})"
        slowest = max(timed, key=_steady)
        return slowest, f"{slowest.label} (the slowest row, as there is no time of {self.wanted_baseline!r})"

    def plain(self) -> dict[str, Any]:
        """The bench as plain data: what is stored, printed as JSON, drawn and tabulated."""
        base, why = self.baseline()
        return {
            "format": FORMAT,
            "bench": self.key,
            "name": self.name,
            "outcome": self.outcome,
            "recipe": self.recipe,
            "data": self.data,
            "epochs": self.epochs,
            "repeats": self.repeats,
            "work": asdict(self.work),
            "machine": self.machine,
            "calibration": {
                "before": _calibration(self.before),
                "after": _calibration(self.after),
            },
            "baseline": {"row": base.label if base else None, "why": why},
            "notes": list(self.notes),
            "rows": [self._row(row, base) for row in self.rows],
            "timeline": list(self.events),
        }

    def _row(self, row: Row, base: Row | None) -> dict[str, Any]:
        certificate = None
        if row.certificate is not None:
            certificate = row.certificate.plain()
        return {
            "label": row.label,
            **asdict(row.combination),
            "state": str(row.state),
            "reason": row.reason,
            "certificate": certificate,
            "summary": self._summary(row, base),
            "peak_memory_bytes": row.peak_memory_bytes,
            "peak_device_memory_bytes": row.peak_device_memory_bytes,
            "starts": [asdict(start) for start in row.starts],
            "epochs": [asdict(epoch) for epoch in row.epochs],
        }

    def _summary(self, row: Row, base: Row | None) -> dict[str, Any]:
        """What the row's starts and epochs come to; None for what they do not give."""
        later = row.later
        train = spread([epoch.train for epoch in later])
        accuracies = [e.accuracy for e in row.epochs if e.number == self.epochs and e.accuracy is not None]
        limit = None
        if self.before is not None and row.combination.threads is not None:
            limit = self.work.limit(self.before, row.combination.threads)
        certified = row.certificate is not None and row.certificate.holds
        return {
            "start_up": spread([start.start_up for start in row.starts]),
            "data": spread([start.data for start in row.starts]),
            "compile": spread([start.compile for start in row.starts]),
            "first_epoch": spread([epoch.total for epoch in row.epochs if epoch.number == 1]),
            "later_epoch": spread([epoch.total for epoch in later]),
            "train": train,
            "validate": spread([epoch.validate for epoch in later]),
            "total": spread(row.totals(self.epochs)),
            "examples_per_second": later[0].examples / train["median"] if train else None,
            "gflops": self.work.flops / train["median"] / 1e9 if train else None,
            "limit": limit,
            "times_limit": train["median"] / limit if train and limit else None,
            "ratio": _ratio(row, base) if base is not None and certified else None,
            "accuracy": spread(accuracies),
        }


def _steady(row: Row) -> float:
    return statistics.median(epoch.train for epoch in row.later)


def _ratio(row: Row, base: Row) -> dict[str, float | int] | None:
    """How many times as fast as the baseline a later epoch trains: that of the medians, and the range over the rounds
    that both did, in which the machine was the same."""
    theirs = {(epoch.repeat, epoch.number): epoch.train for epoch in base.later}
    rounds = [
        theirs[epoch.repeat, epoch.number] / epoch.train
        for epoch in row.later
        if (epoch.repeat, epoch.number) in theirs
    ]
    if not rounds:
        return None
    return {"median": _steady(base) / _steady(row), "min": min(rounds), "max": max(rounds), "n": len(rounds)}


def _calibration(found: Calibration | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"sgemm": {str(threads): rate for threads, rate in found.sgemm.items()}, "memory": found.memory}
