"""From what a reader found to a History: points in order, seconds since the start, what is not known left out."""

from __future__ import annotations

from collections.abc import Sequence

from assay.errors import AssayError
from assay.logs.log import Options, Reading, Record
from assay.training.history import History, Outcome, Point, Source

_SHOWN = 5  # problems that are named; the rest is counted


def counts(reading: Reading) -> dict[str, int]:
    """How many lines there are of each kind; they add up to all."""
    found = {"records": reading.taken, "headings": reading.headings, "malformed": len(reading.problems)}
    return {"lines": reading.lines, **found, "apart": reading.apart}


def problem_sentences(reading: Reading) -> list[str]:
    """The first malformed lines with their places and reasons, and how many more there are."""
    told = [problem.sentence(reading.kind) for problem in sorted(reading.problems, key=lambda p: p.line)]
    rest = len(told) - _SHOWN
    return told if rest <= 0 else [*told[:_SHOWN], f"{rest:,} more malformed {reading.kind}s"]


def history_of(reading: Reading, options: Options, *, name: str, format: str, file: str, sha256: str) -> History:
    """The curve of a log that was read. Raises: AssayError where it has no record, or an epoch that is not whole."""
    records = [reading.records[step] for step in sorted(reading.records)]
    if not records:
        raise AssayError("there is no record in it")
    notes: list[str] = problem_sentences(reading)
    steps = _steps(records, options)
    seconds = _seconds(records, reading, notes)
    rate = options.batch_size if _counts_iterations(records, options) else None
    points = [
        Point(step, _examples(record, step, rate), elapsed, **_values(record, options))
        for record, step, elapsed in zip(records, steps, seconds, strict=True)
    ]
    units = dict(reading.units)
    if options.evaluated_on == "test":
        units["test"] = "the log's validation lines, which were measured on the test set, as was said"
    if options.iterations_per_epoch and not _has_iterations(records):
        units["iterations"] = f"{options.iterations_per_epoch:,} an epoch, as was said"
    told = _told(records, reading, points)
    source = Source(
        name=name,
        format=format,
        framework=reading.framework,
        file=file,
        sha256=sha256,
        steps="iterations" if _counts_iterations(records, options) else "epochs",
        clock=reading.clock or "no seconds",
        machine=options.machine,
        units=units,
        told=told,
        lines=counts(reading),
    )
    outcome, reason = _outcome(records, reading, points[-1], source.steps)
    return History.imported(source, points, outcome, reason, notes)


def _has_iterations(records: Sequence[Record]) -> bool:
    return all(record.iteration is not None for record in records)


def _counts_iterations(records: Sequence[Record], options: Options) -> bool:
    return _has_iterations(records) or options.iterations_per_epoch is not None


def _steps(records: Sequence[Record], options: Options) -> list[int]:
    """Iterations where the log has them, or says how many an epoch is; else epochs. Raises: AssayError."""
    if _has_iterations(records):
        return [int(record.iteration or 0) for record in records]
    found: list[int] = []
    for record in records:
        if record.epoch is None:
            raise AssayError("some of its records name iterations alone, others epochs alone; expected one of the two")
        step = record.epoch * (options.iterations_per_epoch or 1)
        if step != int(step) and not options.iterations_per_epoch:
            raise AssayError(f"epoch {record.epoch:g} is not whole; give --iterations-per-epoch")
        found.append(round(step))
    if len(set(found)) < len(found):
        raise AssayError("two of its records fall on one iteration; expected more iterations an epoch")
    return found


def _examples(record: Record, step: int, batch_size: int | None) -> int | None:
    if record.examples is not None or batch_size is None:
        return record.examples
    return step * batch_size


def _seconds(records: Sequence[Record], reading: Reading, notes: list[str]) -> list[float | None]:
    """Seconds since the start at each record, None where the log does not tell them; what is lost is noted."""
    return _added(records, reading, notes) if reading.each else _elapsed(records, notes)


def _elapsed(records: Sequence[Record], notes: list[str]) -> list[float | None]:
    """The clock as it stands in the log, up to where it falls back: another start, of which nothing is known."""
    latest = 0.0
    for i, record in enumerate(records):
        if record.seconds is not None and record.seconds < latest:
            notes.append(f"the clock falls back at {_where(record)}; seconds are not known from there on")
            return [*(r.seconds for r in records[:i]), *([None] * (len(records) - i))]
        latest = record.seconds if record.seconds is not None else latest
    return [record.seconds for record in records]


def _added(records: Sequence[Record], reading: Reading, notes: list[str]) -> list[float | None]:
    """Each record's own seconds added up while none is missing; at the end the log's total where it has one."""
    found: list[float | None] = []
    total, before = 0.0, 0.0
    for record in records:
        epoch = record.epoch if record.epoch is not None else before + 1
        if epoch > before + 1 or record.seconds is None:
            missing = f"epochs {before + 1:g} to {epoch - 1:g} are not in the log"
            why = missing if epoch > before + 1 else "it has no time of training"
            notes.append(f"seconds are not known from {_where(record)} on: {why}")
            break
        total, before = total + record.seconds, epoch
        found.append(total)
    found += [None] * (len(records) - len(found))
    if found[-1] is None and reading.ended and "train" in reading.totals:
        found[-1] = reading.totals["train"]
        notes.append("the seconds at the end are the log's total")
    return found


def _where(record: Record) -> str:
    return f"iteration {record.iteration}" if record.iteration is not None else f"epoch {record.epoch:g}"


def _values(record: Record, options: Options) -> dict[str, float | None]:
    """The quantities of a point; what was validated on the test set stands under test."""
    values = dict(record.values)
    if options.evaluated_on == "test":
        for measure in ("loss", "accuracy"):
            if f"validation_{measure}" in values:
                values.setdefault(f"test_{measure}", values.pop(f"validation_{measure}"))
    return values


def _told(records: Sequence[Record], reading: Reading, points: Sequence[Point]) -> dict[str, float]:
    """The seconds of the whole training as the log tells them: its totals, or what its records add up to."""
    found: dict[str, float] = {}
    last = points[-1].seconds
    if last is not None:
        found["train" if reading.each else "wall"] = last
    if reading.each and last is not None and any(record.evaluation is not None for record in records):
        found["evaluate"] = sum(record.evaluation or 0.0 for record in records)
    return found | reading.totals


def _outcome(records: Sequence[Record], reading: Reading, last: Point, steps: str) -> tuple[Outcome, str]:
    for record in records:
        if any(value is None for value in record.values.values()):
            return Outcome.DIVERGED, f"a number of the log is not finite at {_where(record)}"
    done = f"{last.iteration:,} {steps} in the log"
    return Outcome.COMPLETED, done + ("" if reading.ended else "; whether the training went on it does not say")
