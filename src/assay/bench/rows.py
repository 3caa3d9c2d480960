"""The results of a bench: rows with their certificates, starts and epochs, and the plain data that is stored."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from assay.bench.calibration import Calibration, Work
from assay.bench.device_rates import DeviceRates
from assay.engines.promises import kind_of
from assay.report.text import percent
from assay.store.benches import FORMAT
from assay.system.load import BUSY, JUDGED_SECONDS, Load

SCORES = ("accuracy", "r2", "rmse")
"""What an epoch is evaluated by: an accuracy, or R2 and RMSE of a regression; the others are None."""


class State(StrEnum):
    """The state of a row, a closed set. All but the first three are final and have a `reason` in the row."""

    OPEN = "open"
    CERTIFIED = "certified"  # numerically equivalent to the reference; not measured yet
    MEASURED = "measured"
    IMPOSSIBLE = "impossible"  # not supported by this machine or this engine; not tried
    DEVIATES = "fails parity"
    DIVERGED = "diverged"
    FAILED = "failed"  # an error in the program, or its process was killed
    OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Contender:
    """What trains the recipe; `threads` is None if the device is not a CPU."""

    engine: str
    device: str
    threads: int | None
    precision: str

    @property
    def label(self) -> str:
        """The name in tables and charts.

        >>> Contender("native", "cpu", 2, "float32").label
        'native, cpu, 2 threads, float32'
        """
        threads = [] if self.threads is None else [f"{self.threads} thread{'s' * (self.threads > 1)}"]
        return ", ".join([self.engine, self.device, *threads, self.precision])


@dataclass(frozen=True)
class Check:
    """One check of a row's arithmetic: the largest deviation as a fraction of its bound.

    Attributes:
        what: was compared.
        deviation: as a fraction of the bound; None if it is not finite.
        array: that has the largest deviation; empty for a single number.
    """

    what: str
    deviation: float | None
    array: str

    @property
    def holds(self) -> bool:
        """Whether the deviation is within its bound."""
        return self.deviation is not None and self.deviation <= 1.0

    def sentence(self) -> str:
        """The check in words.

        >>> Check("gradient of a batch", 0.25, "0.weight").sentence()
        'gradient of a batch (0.weight): 0.25 of the bound'
        """
        where = f" ({self.array})" if self.array else ""
        size = "not finite" if self.deviation is None else f"{self.deviation:.2g} of the bound"
        return f"{self.what}{where}: {size}"


@dataclass(frozen=True)
class Certificate:
    """The proof that a row computes what the reference computes.

    Attributes:
        reference: the engine and its precision.
        iterations: in float64 after which losses and weights are compared; 0 on a device without float64.
        tolerance: of the differences, which are relative where a value is above 1.
        losses: the maximum difference of a loss; None if one is not finite.
        weights: the maximum difference of a weight; None if one is not finite.
        outlier_fraction: the fraction of the weights with a difference above the tolerance.
        notes: sentences on the comparison.
        arithmetic: the precision whose rounding bound the checks use.
        checks: of the arithmetic at the precision that is timed.
    """

    reference: str
    iterations: int
    tolerance: float
    losses: float | None
    weights: float | None
    outlier_fraction: float = 0.0
    notes: tuple[str, ...] = ()
    arithmetic: str = ""
    checks: tuple[Check, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the row is numerically equivalent to the reference."""
        if self.losses is None or self.weights is None or self.losses >= self.tolerance:
            return False
        return self.weights < self.tolerance and all(check.holds for check in self.checks)

    def sentence(self) -> str:
        """The certificate in words."""
        losses, weights = ("not finite" if v is None else f"differ by {v:.1e}" for v in (self.losses, self.weights))
        outliers = f" ({percent(self.outlier_fraction)} of them above the tolerance)" if self.outlier_fraction else ""
        algorithm = (
            f"losses {losses}, weights {weights}{outliers} in float64 after {self.iterations:,} iterations; "
            f"expected below {self.tolerance:.0e}"
        )
        parts = [algorithm] if self.iterations else []
        parts += [check.sentence() for check in self.checks if not check.holds]
        return "; ".join(parts)

    def plain(self) -> dict[str, Any]:
        """The certificate as it is stored. `parted` is the fraction, which earlier versions allowed."""
        return {
            "reference": self.reference,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
            "losses": self.losses,
            "weights": self.weights,
            "parted": self.outlier_fraction,
            "may_part": 0.0,
            "notes": list(self.notes),
            "holds": self.holds,
            "arithmetic": self.arithmetic,
            "checks": [asdict(check) for check in self.checks],
        }


@dataclass(frozen=True)
class StartUp:
    """The seconds before the first epoch.

    Attributes:
        repeat: from 1.
        start_up: starting the process, importing, and creating the engine.
        data: loading the data and copying it to the device.
        compile: the warm-up of the engine and the first evaluation.
    """

    repeat: int
    start_up: float
    data: float
    compile: float

    @property
    def total(self) -> float:
        """The sum, in seconds."""
        return self.start_up + self.data + self.compile


@dataclass(frozen=True)
class Epoch:
    """One epoch of a row; `begin` is in seconds since the start of the bench, the other times are durations.

    `accuracy`, `r2` and `rmse` are those of the test set.
    """

    repeat: int
    number: int
    begin: float
    batches: float  # generating the row numbers
    train: float
    validate: float
    examples: int
    loss: float | None
    accuracy: float | None
    r2: float | None = None
    rmse: float | None = None

    @property
    def total(self) -> float:
        """The seconds of an epoch with its batches and its evaluation."""
        return self.batches + self.train + self.validate


@dataclass
class BenchRow:
    """One contender and its results."""

    contender: Contender
    state: State = State.OPEN
    reason: str = ""
    certificate: Certificate | None = None
    starts: list[StartUp] = field(default_factory=list[StartUp])
    epochs: list[Epoch] = field(default_factory=list[Epoch])
    peak_memory_bytes: int | None = None
    peak_device_memory_bytes: int | None = None
    loads: dict[int, tuple[float, float]] = field(default_factory=dict[int, tuple[float, float]])
    """By repeat: the seconds of foreign load, and of training; without an entry where foreign load is unknown."""

    @property
    def label(self) -> str:
        """The name of the contender."""
        return self.contender.label

    @property
    def later(self) -> list[Epoch]:
        """Every epoch but the first of each repeat."""
        return [epoch for epoch in self.epochs if epoch.number > 1]

    def end(self, state: State, reason: str) -> None:
        """Ends the row; its measurements stay."""
        self.state, self.reason = state, reason

    def totals(self, epochs: int) -> list[float]:
        """The seconds of each complete repeat, from the start of its process."""
        totals: list[float] = []
        for start in self.starts:
            seconds = [epoch.total for epoch in self.epochs if epoch.repeat == start.repeat]
            if len(seconds) == epochs:
                totals.append(start.total + sum(seconds))
        return totals


def spread(values: Sequence[float]) -> dict[str, float | int] | None:
    """The median, minimum, maximum and number of the values; None without values.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'min': 1.0, 'max': 3.0, 'n': 3}
    """
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


@dataclass
class Bench:
    """A bench with its results. `outcome` is "running", "completed" or "interrupted"."""

    key: str
    name: str
    recipe: dict[str, Any]
    data: dict[str, Any]
    epochs: int
    repeats: int
    wanted_baseline: str
    work: Work  # of training for one epoch
    machine: dict[str, Any]
    rows: list[BenchRow]
    before: Calibration | None = None
    after: Calibration | None = None
    device_rates: dict[tuple[str, str], DeviceRates] = field(default_factory=dict[tuple[str, str], DeviceRates])
    """By device and precision, of devices that are not CPUs."""
    outcome: str = "running"
    notes: list[str] = field(default_factory=list[str])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def baseline(self) -> tuple[BenchRow | None, str]:
        """The row that the others are compared with, and the reason for its choice."""
        timed = [row for row in self.rows if row.later and row.certificate and row.certificate.holds]
        if not timed:
            return None, "no row has a later epoch, so there is nothing to compare with"
        first = self.rows[0].contender
        candidates = [row for row in timed if row.contender.engine == self.wanted_baseline]
        for attribute in ("device", "precision"):
            same = [row for row in candidates if getattr(row.contender, attribute) == getattr(first, attribute)]
            candidates = same or candidates
        if candidates:
            best = min(candidates, key=_later_median)
            reason = "the fastest of its threads" if len(candidates) > 1 else "idiomatic PyTorch"
            if self.wanted_baseline != "torch-eager" and len(candidates) == 1:
                reason = "as specified"
            return best, f"{best.label} ({reason})"
        slowest = max(timed, key=_later_median)
        return slowest, f"{slowest.label} (the slowest row, because {self.wanted_baseline!r} was not measured)"

    def plain(self) -> dict[str, Any]:
        """The bench as plain data, which is stored, printed as JSON, plotted and tabulated."""
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
                "devices": {
                    f"{device}, {precision}": asdict(r) for (device, precision), r in self.device_rates.items()
                },
            },
            "baseline": {"row": base.label if base else None, "why": why},
            "notes": [*self.notes, *busy_notes(self.rows)],
            "rows": [self._row(row, self._baseline_of(row, base)) for row in self.rows],
            "timeline": list(self.events),
        }

    def _baseline_of(self, row: BenchRow, base: BenchRow | None) -> BenchRow | None:
        """The row that a row is compared with: on a CUDA device, PyTorch's plain loop there at the same precision."""
        own = row.contender
        if self.wanted_baseline != "torch-eager" or kind_of(own.device) != "cuda":
            return base
        wanted = "torch-eager-float32" if own.precision == "float32" else "torch-eager"
        for other in self.rows:
            same = (other.contender.engine, other.contender.device, other.contender.precision)
            certified = other.certificate is not None and other.certificate.holds
            if same == (wanted, own.device, own.precision) and other.later and certified:
                return other
        return base

    def _row(self, row: BenchRow, base: BenchRow | None) -> dict[str, Any]:
        return {
            "label": row.label,
            **asdict(row.contender),
            "state": str(row.state),
            "reason": row.reason,
            "certificate": row.certificate.plain() if row.certificate is not None else None,
            "summary": self._summary(row, base),
            "peak_memory_bytes": row.peak_memory_bytes,
            "peak_device_memory_bytes": row.peak_device_memory_bytes,
            "starts": [asdict(start) for start in row.starts],
            "epochs": [asdict(epoch) for epoch in row.epochs],
        }

    def _summary(self, row: BenchRow, base: BenchRow | None) -> dict[str, Any]:
        """The statistics of the row's starts and epochs; None where something was not measured."""
        later = row.later
        train = spread([epoch.train for epoch in later])
        last = [epoch for epoch in row.epochs if epoch.number == self.epochs]
        ends = {name: [value for epoch in last if (value := getattr(epoch, name)) is not None] for name in SCORES}
        limit = None
        if self.before is not None and row.contender.threads is not None:
            limit = self.work.roofline(self.before, row.contender.threads)
        rates = self.device_rates.get((row.contender.device, row.contender.precision))
        if rates is not None:
            limit = max(self.work.flops / rates.product, self.work.bytes / rates.memory) / 1e9
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
            "ratio_to": base.label if base is not None and certified else None,
            **{name: spread(values) for name, values in ends.items()},
        }


def busy_notes(rows: Sequence[BenchRow]) -> list[str]:
    """A sentence on the rows that foreign load has slowed down, if there are any.

    A row is judged like a trial, by `Load.judged`. Rows with too few seconds to be judged are judged together.
    """
    totals = [
        (row.label, sum(foreign for foreign, _ in row.loads.values()), sum(train for _, train in row.loads.values()))
        for row in rows
        if row.loads
    ]
    short = [total for total in totals if total[2] < JUDGED_SECONDS]
    groups = [total for total in totals if total[2] >= JUDGED_SECONDS]
    if short:
        name = short[0][0] if len(short) == 1 else f"the {len(short)} rows under {JUDGED_SECONDS:g} s together"
        groups.append((name, sum(total[1] for total in short), sum(total[2] for total in short)))
    busy = [g for g in groups if Load.judged(processor=None, foreign=g[1], seconds=g[2]).busy]
    if not busy:
        return []
    parts = "; ".join(f"{label}: {foreign:.3g} s in {train:.3g} s of training" for label, foreign, train in busy)
    return [
        f"{BUSY}: other processes took processor time from the trainings ({parts}), so seconds and ratios are not "
        "those of an idle machine; run the bench again when nothing else runs"
    ]


def _later_median(row: BenchRow) -> float:
    """The median training seconds of a later epoch."""
    return statistics.median(epoch.train for epoch in row.later)


def _ratio(row: BenchRow, base: BenchRow) -> dict[str, float | int] | None:
    """The speedup over the baseline in later epochs: of the medians, and its range over the rounds of both rows.

    Epochs of the same round are compared with each other, because the state of the machine was the same.
    """
    of_base = {(epoch.repeat, epoch.number): epoch.train for epoch in base.later}
    rounds = [
        of_base[epoch.repeat, epoch.number] / epoch.train
        for epoch in row.later
        if (epoch.repeat, epoch.number) in of_base
    ]
    if not rounds:
        return None
    median = _later_median(base) / _later_median(row)
    return {"median": median, "min": min(rounds), "max": max(rounds), "n": len(rounds)}


def _calibration(calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {"sgemm": {str(threads): rate for threads, rate in calibration.sgemm.items()}, "memory": calibration.memory}
