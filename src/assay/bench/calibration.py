"""Fair timing for comparisons: calibration, interleaving, numerical equivalence before time, the roofline, the rows.

The repetitions of all candidates are interleaved, so that a machine that slows down affects all of them. A fixed matrix
product before and after the run shows by how much the machine changed. Results are medians with minimum and maximum,
and ratios within one run; seconds of different runs are not compared.
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
from assay.report.text import counted
from assay.system.machine import cores, describe

MOVED = 0.15
"""A run whose calibration moved by more than this fraction gets a note."""


@dataclass(frozen=True)
class Calibration:
    """The speed of the machine at this moment: sgemm by number of threads [GFLOP/s], and reading memory [GB/s]."""

    sgemm: dict[int, float]
    memory: float

    def moved(self, later: Calibration) -> float:
        """The largest relative change of an sgemm rate."""
        return max(abs(later.sgemm[n] / rate - 1.0) for n, rate in self.sgemm.items())


def calibrate(threads: Iterable[int] = (1, 2), *, size: int = 1024, repetitions: int = 8) -> Calibration:
    """Measures a fixed product of float32 matrices for each number of `threads`, and a reduction over 256 MB.

    The rates are those of the median over the repetitions.
    """
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
    """One implementation of a workload.

    Attributes:
        name: in the rows.
        threads: that it uses.
        unit_per_call: the number of units (iterations, epochs) per call of `run`.
    """

    name: str
    threads: int
    unit_per_call: int

    def check(self) -> NDArray[np.float64] | None:
        """The losses of the first batches from the common weights (k,); None if it cannot use these weights."""
        ...

    def run(self) -> None:
        """Does the work once; returns when it is finished."""
        ...


@dataclass(frozen=True)
class Work:
    """The minimum work of a unit of a workload: operations, and bytes read from memory."""

    flops: float
    bytes: float

    def roofline(self, calibration: Calibration, threads: int) -> float:
        """The minimum seconds on this machine, bounded by arithmetic or by memory."""
        known = max((n for n in calibration.sgemm if n <= threads), default=min(calibration.sgemm))
        return max(self.flops / calibration.sgemm[known], self.bytes / calibration.memory) / 1e9


def work_of(recipe: Recipe, network: Network, x: NDArray[Any], *, iterations: int, examples: int) -> Work:
    """The work of training on `examples` of the inputs x (N, D): the operations of the model and reading the inputs.

    A first dense layer is counted without the inputs that are only background.
    """
    flops = float(flops_training(network, recipe.loss, recipe.optimizer, iterations=iterations, examples=examples))
    fraction, dense = _foreground(x), _first_dense(network)
    if dense is None:
        return Work(flops, x.shape[1] * examples * x.itemsize)
    flops -= (1.0 - fraction) * 4 * dense.inputs * dense.units * examples
    return Work(flops, fraction * dense.inputs * examples * (x.itemsize + 2))  # a value and its column number


def work_of_evaluation(network: Network, x: NDArray[Any], examples: int) -> float:
    """The operations of the outputs of `examples`, counted as in `work_of`."""
    flops, dense = float(flops_forward(network)), _first_dense(network)
    if dense is not None:
        flops -= (1.0 - _foreground(x)) * 2 * dense.inputs * dense.units
    return examples * flops


def _first_dense(network: Network) -> Dense | None:
    first = network.layers[0]
    return first if isinstance(first, Dense) else None


def _foreground(x: NDArray[Any]) -> float:
    """The fraction of inputs that differ from the background of their example, its median."""
    return float(np.mean(x[:2000] != np.median(x[:2000], axis=1, keepdims=True)))


@dataclass(frozen=True)
class Timing:
    """The times of one candidate on one workload.

    Attributes:
        workload: its name.
        candidate: its name.
        threads: that it used.
        median: of the repetitions, in `unit`.
        min: of the repetitions, in `unit`.
        max: of the repetitions, in `unit`.
        unit: such as "us/it".
        ratio: the speedup over the best candidate with the name of the baseline; None without one.
        limit: the roofline, in `unit`.
        deviation: the maximum difference of the losses from the reference, relative above 1; None if not compared.
    """

    workload: str
    candidate: str
    threads: int
    median: float
    min: float
    max: float
    unit: str
    ratio: float | None
    limit: float
    deviation: float | None


@dataclass
class Report:
    """The rows of a run with the machine, its calibrations, and notes."""

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
        """Calibrates again, and adds a note if the machine has changed since."""
        self.after = calibrate()
        moved = self.before.moved(self.after)
        if moved > MOVED:
            self.notes.append(
                f"the machine changed during the run: sgemm moved by {100 * moved:.0f} %; "
                "ratios are more reliable than seconds"
            )

    def markdown(self) -> str:
        """The rows as a Markdown table, with the machine."""
        rates = "; ".join(f"{n} thread{'s' * (n > 1)}: {rate:.0f}" for n, rate in self.before.sgemm.items())
        later = ", ".join(f"{rate:.0f}" for rate in self.after.sgemm.values()) if self.after else "-"
        lines = [
            f"Machine: {self.machine['cpu']}, {counted(self.machine['cores'], 'core')}, "
            f"{self.machine['memory_bytes'] / 2**30:.0f} GiB; "
            + ", ".join(f"{name} {version}" for name, version in self.machine["versions"].items()),
            "",
            f"sgemm [GFLOP/s] before: {rates}; after: {later}. Memory: {self.before.memory:.0f} GB/s.",
            "",
            *[f"Note: {note}." for note in self.notes],
            "",
            "| workload | candidate | threads | median | min | max | unit | x torch eager | x roofline | deviation |",
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
    """A report that begins with the description and the calibration of the machine."""
    return Report(describe(), calibrate())


class DisagreementError(AssayError):
    """A candidate is not numerically equivalent to the reference, so its time is meaningless."""


@dataclass(frozen=True)
class Workload:
    """What the candidates do, and how it is measured.

    Attributes:
        name: in the rows.
        reference: the losses of the first batches (k,), by the reference.
        work: the minimum work of a unit.
        unit: of the reported times, such as "us/it".
        scale: converts seconds to `unit`.
        repetitions: of every candidate.
        tolerance: of the losses.
        baseline: the name of the candidates that the ratios refer to.
        per_core: whether times are seconds times threads, as where a machine has work for each core.
    """

    name: str
    reference: NDArray[np.float64]
    work: Work
    unit: str
    scale: float
    repetitions: int = 5
    tolerance: float = 1e-3
    baseline: str = "torch eager"
    per_core: bool = False


def measure(
    report: Report,
    workload: Workload,
    candidates: Sequence[Competitor],
    *,
    show: Callable[[str], None] = print,
) -> None:
    """Checks that the candidates agree with the reference losses, times them interleaved, and adds rows to the report.

    `show` is called with a line for each row. Raises: DisagreementError.
    """
    deviations = [_deviation(workload, candidate) for candidate in candidates]
    widths = [candidate.threads if workload.per_core else 1 for candidate in candidates]
    by_candidate = zip(_interleaved(candidates, workload.repetitions), widths, strict=True)
    seconds = [[width * time for time in times] for times, width in by_candidate]
    medians = [statistics.median(times) for times in seconds]
    best = min((m for c, m in zip(candidates, medians, strict=True) if c.name == workload.baseline), default=None)
    columns = zip(candidates, seconds, medians, deviations, widths, strict=True)
    for candidate, times, median, deviation, width in columns:
        row = Timing(
            workload=workload.name,
            candidate=candidate.name,
            threads=candidate.threads,
            median=median * workload.scale,
            min=min(times) * workload.scale,
            max=max(times) * workload.scale,
            unit=workload.unit,
            ratio=None if best is None else best / median,
            limit=workload.work.roofline(report.before, candidate.threads) * width * workload.scale,
            deviation=deviation,
        )
        report.rows.append(row)
        show(
            f"{row.workload:28s} {row.candidate:22s} {row.threads} {row.median:10.4g} {row.unit:8s} "
            f"x {row.ratio or 0:.2f}"
        )


def _deviation(workload: Workload, candidate: Competitor) -> float | None:
    """The maximum difference of a candidate's losses, None where it has none. Raises: DisagreementError."""
    losses = candidate.check()
    if losses is None:
        return None
    reference = workload.reference
    deviation = float((np.abs(losses - reference) / np.maximum(1.0, np.abs(reference))).max())
    if not deviation < workload.tolerance:
        raise DisagreementError(
            f"{workload.name}: the losses of {candidate.name} differ from the reference by {deviation:.1e}; "
            f"expected below {workload.tolerance:.0e}"
        )
    return deviation


def _interleaved(candidates: Sequence[Competitor], repetitions: int) -> list[list[float]]:
    """The seconds per unit of every repetition of each candidate; each round runs every candidate once."""
    seconds: list[list[float]] = [[] for _ in candidates]
    for _ in range(repetitions):
        for candidate, times in zip(candidates, seconds, strict=True):
            times.append(_timed(candidate.run) / candidate.unit_per_call)
    return seconds


def _timed(call: Callable[[], Any]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin
