"""From the records of a log to a History: points in order, seconds since the start, None for what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay.errors import AssayError
from assay.logs.log import QUANTITIES, Options, Reading, Record
from assay.report.text import counted
from assay.training.history import History, Point
from assay.training.outcome import Outcome
from assay.training.source import Source

_SHOWN = 5  # problems that are shown; the others are counted


@dataclass(frozen=True)
class LogFile:
    """A log file: its format, its name without the folder, and the hash of its content."""

    format: str
    file: str
    sha256: str


def counts(reading: Reading) -> dict[str, int]:
    """The number of lines in total and of each kind; the kinds add up to the total."""
    return {
        "lines": reading.lines,
        "records": reading.accepted,
        "headings": reading.headings,
        "malformed": len(reading.problems),
        "ignored": reading.ignored,
    }


def problem_sentences(reading: Reading) -> list[str]:
    """The first malformed lines with their numbers and reasons, and the number of the others."""
    sentences = [problem.sentence(reading.kind) for problem in sorted(reading.problems, key=lambda p: p.line)]
    rest = len(sentences) - _SHOWN
    return sentences if rest <= 0 else [*sentences[:_SHOWN], f"{rest:,} more malformed {reading.kind}s"]


def history_of(reading: Reading, options: Options, file: LogFile, *, name: str) -> History:
    """The curve of a log, of its first training. Raises: AssayError where it has no record or no whole epochs."""
    return _history(reading, reading.records, options, file, name=name, training=1)


def histories_of(reading: Reading, options: Options, file: LogFile, *, name: str, named: bool = False) -> list[History]:
    """The curves of all trainings in a log. Raises: AssayError.

    The further ones add their number to the name. Where the log has names for them, these are taken, after the name if
    it is one that the user chose (`named`).
    """
    curves: list[History] = []
    for number, records in enumerate([reading.records, *reading.more], 1):
        title = f"{name} (training {number})" if number > 1 else name
        if len(reading.names) == 1 + len(reading.more):
            title = f"{name} {reading.names[number - 1]}" if named else reading.names[number - 1]
        curves.append(_history(reading, records, options, file, name=title, training=number))
    return curves


def _history(
    reading: Reading, by_step: dict[float, Record], options: Options, file: LogFile, *, name: str, training: int
) -> History:
    records = [by_step[step] for step in sorted(by_step)]
    if not any(value is not None for record in records for value in record.values.values()):
        raise AssayError("the log has no record" if not records else "the log has no finite value of any quantity")
    notes: list[str] = problem_sentences(reading)
    steps = _steps(records, options)
    seconds = _seconds(records, reading, notes)
    rate = options.batch_size if _counts_iterations(records, options) else None
    points = [
        Point(step, _examples(record, step, rate), elapsed, **_values(record, options))
        for record, step, elapsed in zip(records, steps, seconds, strict=True)
        if record.values
    ]
    if len(points) < len(records):
        notes.append(f"{counted(len(records) - len(points), 'step')} without a measured quantity left out")
    points = _with_values(points)
    notes += _unused(records, points, options, reading)
    source = Source(
        name=name,
        format=file.format,
        framework=reading.framework,
        file=file.file,
        sha256=file.sha256,
        steps="iterations" if _counts_iterations(records, options) else "epochs",
        clock=reading.clock or "no seconds",
        machine=options.machine,
        units=_units(reading, records, options),
        seconds=_total_seconds(records, reading, points),
        lines=counts(reading),
        training=training,
    )
    outcome, reason = _outcome(records, reading, points[-1], source.steps, notes=notes)
    return History.imported(source, points, outcome, reason, [*notes, *reading.notes])


def _with_values(points: Sequence[Point]) -> list[Point]:
    """The points without those that hold no finite number, unless none follows that does."""
    full = [i for i, p in enumerate(points) if any(getattr(p, name) is not None for name in QUANTITIES)]
    known = set(full)
    return [point for i, point in enumerate(points) if i in known or i > full[-1]]


def _units(reading: Reading, records: Sequence[Record], options: Options) -> dict[str, str]:
    units = dict(reading.units)
    if options.evaluated_on == "test":
        units["test"] = "the log's validation lines, measured on the test set as specified"
    if options.iterations_per_epoch and not _has_iterations(records):
        units["iterations"] = f"{options.iterations_per_epoch:,} per epoch, as specified"
    return units


def _unused(records: Sequence[Record], points: Sequence[Point], options: Options, reading: Reading) -> list[str]:
    """Sentences on options that change nothing. Raises: AssayError where one would hide values of the log."""
    notes: list[str] = []
    names = {name for record in records for name in record.values}
    if options.evaluated_on == "test":
        both = [m for m in ("loss", "accuracy") if {f"validation_{m}", f"test_{m}"} <= names]
        if both:
            raise AssayError(
                f"--evaluated-on test: the log has a test {both[0]} of its own next to a validation {both[0]}"
            )
        if not any(name.startswith("validation") for name in names):
            notes.append("--evaluated-on test changes nothing: the log has no validation values")
    if options.iterations_per_epoch and _has_iterations(records) and "iterations" not in reading.units:
        notes.append("--iterations-per-epoch changes nothing: the log counts iterations")
    if options.batch_size and all(point.examples is None for point in points):
        notes.append("--batch-size changes nothing without iterations: give --iterations-per-epoch too")
    if options.accuracy and not any(name.endswith("accuracy") for name in names):
        notes.append(f"--accuracy {options.accuracy} changes nothing: the log has no accuracy that is read")
    return notes


def _has_iterations(records: Sequence[Record]) -> bool:
    return all(record.iteration is not None for record in records)


def _counts_iterations(records: Sequence[Record], options: Options) -> bool:
    return _has_iterations(records) or options.iterations_per_epoch is not None


def _steps(records: Sequence[Record], options: Options) -> list[int]:
    """Iterations if the log has them or the iterations per epoch are specified, else epochs. Raises: AssayError."""
    if _has_iterations(records):
        return [int(record.iteration or 0) for record in records]
    steps: list[int] = []
    for record in records:
        if record.epoch is None:
            raise AssayError("some records have only an iteration, others only an epoch; expected the same for all")
        step = record.epoch * (options.iterations_per_epoch or 1)
        if step != int(step) and not options.iterations_per_epoch:
            raise AssayError(f"epoch {record.epoch:g} is not a whole number; specify --iterations-per-epoch")
        steps.append(round(step))
    if len(set(steps)) < len(steps):
        raise AssayError("two records have the same iteration; expected more iterations per epoch")
    return steps


def _examples(record: Record, step: int, batch_size: int | None) -> int | None:
    if record.examples is not None or batch_size is None:
        return record.examples
    return step * batch_size


def _seconds(records: Sequence[Record], reading: Reading, notes: list[str]) -> list[float | None]:
    """Seconds since the start at each record, None where they are unknown. Adds sentences on losses to `notes`."""
    return _cumulated(records, reading, notes) if reading.each else _elapsed(records, notes)


def _elapsed(records: Sequence[Record], notes: list[str]) -> list[float | None]:
    """The seconds in the log up to where they decrease, which shows a restart at an unknown time."""
    latest = 0.0
    for i, record in enumerate(records):
        if record.seconds is not None and record.seconds < latest:
            notes.append(f"the seconds decrease at {_where(record)}; they are unknown from there on")
            return [*(r.seconds for r in records[:i]), *([None] * (len(records) - i))]
        latest = record.seconds if record.seconds is not None else latest
    return [record.seconds for record in records]


def _cumulated(records: Sequence[Record], reading: Reading, notes: list[str]) -> list[float | None]:
    """The cumulated seconds of the records up to the first gap; at the end the total of the log, if it has one."""
    cumulated: list[float | None] = []
    total, last_epoch = 0.0, 0.0
    for record in records:
        epoch = record.epoch if record.epoch is not None else last_epoch + 1
        if epoch > last_epoch + 1 or record.seconds is None:
            missing = f"epochs {last_epoch + 1:g} to {epoch - 1:g} are not in the log"
            reason = missing if epoch > last_epoch + 1 else "it has no training time"
            notes.append(f"seconds are unknown from {_where(record)} on: {reason}")
            break
        total, last_epoch = total + record.seconds, epoch
        cumulated.append(total)
    cumulated += [None] * (len(records) - len(cumulated))
    if cumulated[-1] is None and reading.ended and "train" in reading.totals:
        cumulated[-1] = reading.totals["train"]
        notes.append("the seconds at the end are the total in the log")
    return cumulated


def _where(record: Record) -> str:
    return f"iteration {record.iteration}" if record.iteration is not None else f"epoch {record.epoch:g}"


def _values(record: Record, options: Options) -> dict[str, float | None]:
    """The quantities of a point; those of validation lines count as test if they were measured on the test set."""
    values = dict(record.values)
    if options.evaluated_on == "test":
        for measure in ("loss", "accuracy"):
            if f"validation_{measure}" in values:
                values.setdefault(f"test_{measure}", values.pop(f"validation_{measure}"))
    return values


def _total_seconds(records: Sequence[Record], reading: Reading, points: Sequence[Point]) -> dict[str, float]:
    """The entries of the ledger: the totals in the log, else the sums over its records."""
    seconds: dict[str, float] = {}
    last = points[-1].seconds
    if last is not None:
        seconds["train" if reading.each else "wall"] = last
    if reading.each and last is not None and any(record.evaluation is not None for record in records):
        seconds["evaluate"] = sum(record.evaluation or 0.0 for record in records)
    return seconds | reading.totals


def _every(records: Sequence[Record], name: str) -> int:
    """Every how many records a quantity is finite, if it is so from the start to the end; else 0."""
    finite = [i for i, record in enumerate(records) if record.values[name] is not None]
    steps = {b - a for a, b in pairwise(finite)}
    if len(finite) < 3 or len(steps) != 1:
        return 0
    every = steps.pop()
    return every if finite[0] < every and len(records) - 1 - finite[-1] < every else 0


def _outcome(
    records: Sequence[Record], reading: Reading, last: Point, steps: str, *, notes: list[str]
) -> tuple[Outcome, str]:
    """How the training ended: diverged if a quantity is not finite where it is measured last. Adds to `notes`."""
    names = dict.fromkeys(name for record in records for name in record.values)
    for name in names:
        measured = [record for record in records if name in record.values]
        if (every := _every(measured, name)) > 1:
            notes.append(f"the {name.replace('_', ' ')} is NaN but in every {every} rows: read as not measured there")
            continue
        if measured[-1].values[name] is None:
            finite = [i for i, record in enumerate(measured) if record.values[name] is not None]
            begin = measured[finite[-1] + 1] if finite else measured[0]
            title = name.replace("_", " ")
            return Outcome.DIVERGED, f"the {title} in the log is not finite from {_where(begin)} on, up to its end"
        if gaps := [record for record in measured if record.values[name] is None]:
            notes.append(
                f"the {name.replace('_', ' ')} is not finite at {_where(gaps[0])}"
                + (f" and {len(gaps) - 1:,} later points" if len(gaps) > 1 else "")
                + "; it is finite again afterwards"
            )
    done = f"{last.iteration:,} {steps} in the log"
    return Outcome.COMPLETED, done + ("" if reading.ended else "; the log does not show the end of the training")
