"""Fair clocks for comparisons: calibration, interleaving, agreement before time, limits of the machine, the row schema.

Candidates are timed in turn, every repetition all of them, so that a machine that slows down slows all of them. A fixed
product of matrices before and after says how much it did. What is reported are medians with the smallest and the
largest, and ratios within one run; seconds of different runs are not compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from assay.errors import AssayError
from assay.parts.layers import Dense, Network
from assay.parts.models import flops_forward, flops_training
from assay.recipe.model import Recipe
from assay.system.machine import cores, describe

MOVED = 0.15
"""A run whose calibration moved by more than this share says so."""


@dataclass(frozen=True)
class Calibration:
    """What the machine does at this moment: sgemm by threads [GFLOP/s], and reading memory [GB/s]."""

    sgemm: dict[int, float]
    memory: float

    def moved(self, later: Calibration) -> float:
        """The largest relative change of an sgemm rate."""
        return max(abs(later.sgemm[n] / rate - 1.0) for n, rate in self.sgemm.items())


def calibrate(threads: Iterable[int] = (1, 2), *, size: int = 1024, repetitions: int = 8) -> Calibration:
    """Measures a fixed product of float32 matrices on so many `threads`, medians, and a sum over 256 MB."""
    a = np.ones((size, size), np.float32)
    out = np.empty_like(a)
    rates: dict[int, float] = {}
    for number in sorted({min(n, cores()) for n in threads}):
        with threadpool_limits(number):
            seconds = [_timed(lambda: np.matmul(a, a, out=out)) for _ in range(repetitions + 2)][2:]
        rates[number] = 2.0 * size**3 / statistics.median(seconds) / 1e9
    block = np.ones(64 * 2**20, np.float32)
    seconds = [_timed(block.max) for _ in range(4)][1:]
    return Calibration(rates, block.nbytes / statistics.median(seconds) / 1e9)


class Competitor(Protocol):
    """One way to do a workload."""

    name: str
    threads: int
    unit_per_call: int
    """How many units (iterations, epochs) one call of `run` does."""

    def check(self) -> NDArray[np.float64] | None:
        """Losses of the first batches from the given weights, for the agreement; None where they cannot be had."""
        ...

    def run(self) -> None:
        """Does the work once; returns when it is finished."""
        ...


@dataclass(frozen=True)
class Work:
    """What a unit of a workload cannot do without: operations, and bytes that come from memory."""

    flops: float
    bytes: float

    def limit(self, calibration: Calibration, threads: int) -> float:
        """Seconds that this machine needs at the least, by arithmetic or by memory."""
        known = max((n for n in calibration.sgemm if n <= threads), default=min(calibration.sgemm))
        return max(self.flops / calibration.sgemm[known], self.bytes / calibration.memory) / 1e9


def work_of(recipe: Recipe, network: Network, x: NDArray[Any], *, iterations: int, examples: int) -> Work:
    """What training on `examples` of the inputs x (N, D) needs: the operations of the model, in a first dense layer
    without those on inputs that are only background, and the inputs themselves."""
    flops = float(flops_training(network, recipe.loss, recipe.optimizer, iterations=iterations, examples=examples))
    share, dense = _lit(x), _first_dense(network)
    if dense is None:
        return Work(flops, x.shape[1] * examples * x.itemsize)
    flops -= (1.0 - share) * 4 * dense.inputs * dense.units * examples
    return Work(flops, share * dense.inputs * examples * (x.itemsize + 2))  # the value and a column's number


def work_of_evaluation(network: Network, x: NDArray[Any], examples: int) -> float:
    """Operations of the outputs for so many `examples`, counted as `work_of` does."""
    flops, dense = float(flops_forward(network)), _first_dense(network)
    if dense is not None:
        flops -= (1.0 - _lit(x)) * 2 * dense.inputs * dense.units
    return examples * flops


def _first_dense(network: Network) -> Dense | None:
    first = network.layers[0]
    return first if isinstance(first, Dense) else None


def _lit(x: NDArray[Any]) -> float:
    """The share of inputs that differ from their example's most common kind of value, its median."""
    return float(np.mean(x[:2000] != np.median(x[:2000], axis=1, keepdims=True)))


@dataclass(frozen=True)
class Timing:
    """One candidate on one workload; times in `unit`, `ratio` times as fast as the best `baseline` candidate."""

    workload: str
    candidate: str
    threads: int
    median: float
    min: float
    max: float
    unit: str
    ratio: float | None
    limit: float
    deviation: float | None  # of the losses from the reference, relative where above 1


@dataclass
class Report:
    """Rows with what must be known to read them."""

    machine: dict[str, Any]
    before: Calibration
    after: Calibration | None = None
    rows: list[Timing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "machine": self.machine,
            "calibration": {"before": asdict(self.before), "after": asdict(self.after) if self.after else None},
            "rows": [asdict(row) for row in self.rows],
            "notes": self.notes,
        }

    def finish(self) -> None:
        """Calibrates again, and says so if the machine has changed meanwhile."""
        self.after = calibrate()
        moved = self.before.moved(self.after)
        if moved > MOVED:
            self.notes.append(
                f"the machine changed during the run: sgemm moved by {moved:.0%}; ratios hold better than seconds"
            )

    def markdown(self) -> str:
        """A table for each workload, with the machine."""
        rates = "; ".join(f"{n} thread{'s' * (n > 1)}: {rate:.0f}" for n, rate in self.before.sgemm.items())
        later = ", ".join(f"{rate:.0f}" for rate in self.after.sgemm.values()) if self.after else "-"
        lines = [
            f"Machine: {self.machine['cpu']}, {self.machine['cores']} cores, "
            f"{self.machine['memory_bytes'] / 2**30:.0f} GiB; "
            + ", ".join(f"{name} {version}" for name, version in self.machine["versions"].items()),
            "",
            f"sgemm [GFLOP/s] before: {rates}; after: {later}. Memory: {self.before.memory:.0f} GB/s.",
            "",
            *[f"Note: {note}." for note in self.notes],
            "",
            "| workload | candidate | threads | median | min | max | unit | x torch eager | x limit | deviation |",
            "|---|---|---:|---:|---:|---:|---|---:|---:|---:|",
        ]
        for row in self.rows:
            ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
            deviation = "-" if row.deviation is None else f"{row.deviation:.0e}"
            lines.append(
                f"| {row.workload} | {row.candidate} | {row.threads} | {row.median:.4g} | {row.min:.4g} "
                f"| {row.max:.4g} | {row.unit} | {ratio} | {row.median / row.limit:.1f} | {deviation} |"
            )
        return "\n".join(lines) + "\n"


def start() -> Report:
    """A report with the machine as it is now."""
    return Report(describe(), calibrate())


class DisagreementError(AssayError):
    """A candidate computes something else than the reference: its time means nothing."""


def measure(
    report: Report,
    workload: str,
    candidates: Sequence[Competitor],
    *,
    reference: NDArray[np.float64],
    work: Work,
    scale: float,
    unit: str,
    repetitions: int = 5,
    tolerance: float = 1e-3,
    baseline: str = "torch eager",
    told: Callable[[str], None] = print,
) -> None:
    """Checks that candidates agree with the reference losses, times them in turn, and adds their rows.

    `scale` turns seconds into `unit`. Raises: DisagreementError.
    """
    deviations: list[float | None] = []
    for candidate in candidates:
        losses = candidate.check()
        if losses is None:
            deviations.append(None)
            continue
        deviation = float((np.abs(losses - reference) / np.maximum(1.0, np.abs(reference))).max())
        if not deviation < tolerance:
            raise DisagreementError(
                f"{workload}: {candidate.name} is {deviation:.1e} off; expected below {tolerance:.0e}"
            )
        deviations.append(deviation)
    seconds: list[list[float]] = [[] for _ in candidates]
    for _ in range(repetitions):
        for candidate, times in zip(candidates, seconds, strict=True):
            times.append(_timed(candidate.run) / candidate.unit_per_call)
    best = min(
        (statistics.median(t) for c, t in zip(candidates, seconds, strict=True) if c.name == baseline), default=None
    )
    for candidate, times, deviation in zip(candidates, seconds, deviations, strict=True):
        median = statistics.median(times)
        row = Timing(
            workload=workload,
            candidate=candidate.name,
            threads=candidate.threads,
            median=median * scale,
            min=min(times) * scale,
            max=max(times) * scale,
            unit=unit,
            ratio=None if best is None else best / median,
            limit=work.limit(report.before, candidate.threads) * scale,
            deviation=deviation,
        )
        report.rows.append(row)
        told(f"{workload:28s} {candidate.name:22s} {row.threads} {row.median:10.4g} {unit:8s} x {row.ratio or 0:.2f}")


def _timed(call: Callable[[], Any]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin
