"""The rows of `benchmarks.scale`: what training many trials takes, and what answers about them take, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from assay.bench.calibration import MOVED, Calibration, calibrate
from benchmarks.many_trials import Run

BASELINE = "Optuna, SQLite"
"""The way that the ratios refer to: Optuna as its tutorial stores a study."""


@dataclass(frozen=True)
class Spread:
    """The median, minimum and maximum of n repetitions."""

    median: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def text(self, digits: int = 3) -> str:
        """The median with its range: "12 (11 to 14)"."""
        middle, low, high = (_rounded(value, digits) for value in (self.median, self.min, self.max))
        return f"{middle} ({low} to {high})" if self.n > 1 else middle


def _rounded(value: float, digits: int) -> str:
    """A value to so many significant digits, but whole digits are never cut and no exponent is written."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{float(f'{value:.{digits}g}'):g}"


@dataclass(frozen=True)
class Measurement:
    """One repetition of a way: a whole run, and the run of a few trials that says what starting takes."""

    run: Run
    few: Run
    peak_bytes: int | None

    @property
    def running_seconds(self) -> float:
        """The seconds of the whole run without those of the start."""
        return self.run.seconds - self.few.seconds


@dataclass(frozen=True)
class TrialRow:
    """What a way takes for trials of one length on a number of workers.

    Attributes:
        length: Of the trials, such as "1 ms".
        workers: Processes that train, one per core.
        way: Its name.
        trials: In a run.
        rate: Trials per second, with the start.
        processor_ms: Processor milliseconds per trial of all processes, with the start.
        running_processor_ms: The same without the start.
        start_seconds: The seconds of a run of a few trials.
        overhead_ms: Milliseconds of a core per trial beyond those of the loop over the engine, with the start.
        running_ms: The same without the start of either.
        peak_bytes: The median of the peak memory.
        ratio: Times as many trials per second as Optuna with SQLite; None without it.
        problem: Why there are no figures; None if there are.
    """

    length: str
    workers: int
    way: str
    trials: int
    rate: Spread | None = None
    processor_ms: Spread | None = None
    running_processor_ms: Spread | None = None
    start_seconds: Spread | None = None
    overhead_ms: Spread | None = None
    running_ms: Spread | None = None
    peak_bytes: float | None = None
    ratio: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class AnswerRow:
    """What a command takes on a store of so many trials."""

    trials: int
    command: str
    seconds: Spread | None = None
    processor: Spread | None = None
    peak_bytes: float | None = None
    output_bytes: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Cell:
    """What is compared: trials of one length on so many workers.

    Attributes:
        length: Such as "1 ms".
        workers: Processes that train.
        trials: In a run.
        few: Trials in the run that says what starting takes.
    """

    length: str
    workers: int
    trials: int
    few: int


def trial_rows(
    cell: Cell, measurements: dict[str, list[Measurement]], problems: dict[str, str], bare: str
) -> list[TrialRow]:
    """The rows of a cell, in the order of `measurements`; differences are taken within each repetition.

    Args:
        cell: What is compared.
        measurements: The repetitions of each way.
        problems: Why a way has no figures.
        bare: The way whose seconds are no overhead.
    """
    measured = {way: ones for way, ones in measurements.items() if ones and way not in problems}
    rows: list[TrialRow] = []
    for way in measurements:
        if way not in measured:
            reason = problems.get(way, "not measured")
            rows.append(TrialRow(cell.length, cell.workers, way, cell.trials, problem=reason))
        else:
            rows.append(_trial_row(cell, way, measured[way], measured.get(bare, [])))
    base = next((row.rate.median for row in rows if row.way == BASELINE and row.rate), None)
    return [replace(row, ratio=row.rate.median / base) if base and row.rate else row for row in rows]


def _trial_row(cell: Cell, way: str, ones: Sequence[Measurement], bare: Sequence[Measurement]) -> TrialRow:
    """A row without its ratio."""
    later = max(1, cell.trials - cell.few)  # trials after the start
    runs = list(zip(ones, bare, strict=False))
    wall = [1e3 * cell.workers * (a.run.seconds - b.run.seconds) / cell.trials for a, b in runs]
    running = [1e3 * cell.workers * (a.running_seconds - b.running_seconds) / later for a, b in runs]
    processor = [1e3 * (one.run.processor - one.few.processor) / later for one in ones]
    peaks = [one.peak_bytes for one in ones if one.peak_bytes is not None]
    return TrialRow(
        cell.length,
        cell.workers,
        way,
        cell.trials,
        rate=Spread.of([cell.trials / one.run.seconds for one in ones]),
        processor_ms=Spread.of([1e3 * one.run.processor / cell.trials for one in ones]),
        running_processor_ms=Spread.of(processor),
        start_seconds=Spread.of([one.few.seconds for one in ones]),
        overhead_ms=Spread.of(wall) if wall else None,
        running_ms=Spread.of(running) if running else None,
        peak_bytes=statistics.median(peaks) if peaks else None,
    )


@dataclass
class ScaleReport:
    """The rows of a run with the machine, its speed before and after, and its load.

    Attributes:
        machine: Its description, with the versions of what is compared.
        before: The calibration at the start.
        load_before: The load average over a minute at the start; None if unknown.
        after: The calibration at the end.
        load_after: The load average at the end.
        trials: The rows of training.
        answers: The rows of commands.
        foreign: The fractions of the machine that other processes used, one for each run.
        notes: Sentences on the run.
    """

    machine: dict[str, Any]
    before: Calibration
    load_before: float | None
    after: Calibration | None = None
    load_after: float | None = None
    trials: list[TrialRow] = field(default_factory=list)
    answers: list[AnswerRow] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def finish(self, load: float | None) -> None:
        """Calibrates again, and adds a note if the machine has changed since."""
        self.after, self.load_after = calibrate(), load
        moved = self.before.moved(self.after)
        if moved > MOVED:
            self.notes.append(
                f"the machine changed during the run: sgemm moved by {100 * moved:.0f} %; "
                "ratios are more reliable than seconds"
            )

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        content = asdict(self)
        calibrations = {"before": content.pop("before"), "after": content.pop("after")}
        load = {"before": content.pop("load_before"), "after": content.pop("load_after")}
        return {"machine": content.pop("machine"), "calibration": calibrations, "load_average": load, **content}

    def markdown(self) -> str:
        """The tables, with the machine."""
        machine, versions = self.machine, self.machine["versions"]
        lines = [
            f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB; "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
            + f". {self._load()}",
            *[f"\nNote: {note}." for note in self.notes],
        ]
        if self.trials:
            lines += ["", *_trials_table(self.trials)]
        if self.answers:
            lines += ["", *_answers_table(self.answers)]
        return "\n".join(lines) + "\n"

    def _load(self) -> str:
        """How busy the machine was."""
        sentences: list[str] = []
        if self.load_before is not None and self.load_after is not None:
            sentences.append(f"Load average before: {self.load_before:.1f}; after: {self.load_after:.1f}.")
        if self.foreign:
            middle, low, high = statistics.median(self.foreign), min(self.foreign), max(self.foreign)
            sentences.append(
                f"Other processes used {100 * middle:.0f} % of the machine during a run (median; {100 * low:.0f} to "
                f"{100 * high:.0f} %)."
            )
        if self.after is not None:
            before, after = ("/".join(f"{rate:.0f}" for rate in c.sgemm.values()) for c in (self.before, self.after))
            sentences.append(f"sgemm [GFLOP/s] before: {before}; after: {after}.")
        return " ".join(sentences)


def _trials_table(rows: Sequence[TrialRow]) -> list[str]:
    """Lines of the table of training."""
    lines = [
        "| trials of | workers | way | trials | trials/s | x Optuna SQLite | overhead ms/trial | after the start "
        "| processor ms/trial | after the start | start [s] | memory [MB] |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        head = f"| {row.length} | {row.workers} | {row.way} | {row.trials:,} "
        if row.problem is not None:
            lines.append(f"{head}| {row.problem} |" + " - |" * 7)
            continue
        columns = (row.overhead_ms, row.running_ms, row.processor_ms, row.running_processor_ms, row.start_seconds)
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            f"{head}| {_text(row.rate)} | {ratio} | {' | '.join(map(_text, columns))} | {_megabytes(row.peak_bytes)} |"
        )
    return lines


def _answers_table(rows: Sequence[AnswerRow]) -> list[str]:
    """Lines of the table of commands."""
    lines = [
        "| trials | command | seconds | processor seconds | memory [MB] | output [MB] |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        head = f"| {row.trials:,} | {row.command} "
        if row.problem is not None:
            lines.append(f"{head}| {row.problem} | - | {_megabytes(row.peak_bytes)} | - |")
            continue
        output = "-" if row.output_bytes is None else f"{row.output_bytes / 1e6:.2f}"
        lines.append(
            f"{head}| {_text(row.seconds)} | {_text(row.processor)} | {_megabytes(row.peak_bytes)} | {output} |"
        )
    return lines


def _text(spread: Spread | None) -> str:
    return "-" if spread is None else spread.text()


def _megabytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.0f}"
