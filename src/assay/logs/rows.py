"""From the rows of a log to the records of its trainings: steps, units of accuracies, restarts, clocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from assay.errors import AssayError
from assay.logs.clocks import clock_of
from assay.logs.lines import accuracy_unit, fraction
from assay.logs.log import MAX_COUNT, Cell, Options, Reading, Record, Row
from assay.logs.trainings import trainings
from assay.report.text import counted


def finish(
    reading: Reading, rows: list[Row], options: Options, *, named: str = "", name: str = "seconds", source: str = ""
) -> None:
    """Adds the records of the rows to the reading, with the units and notes that say what was decided.

    Args:
        reading: of the log so far.
        rows: in the order of the log.
        options: of the user.
        named: the kind of clock that the name of the seconds says, or "".
        name: of the column of seconds.
        source: what the seconds are of, such as "a table"; it begins the stored name of the clock.

    Raises: AssayError where the log leaves open what only the user can say.
    """
    rows = _counted(reading, rows)
    rows = _steps(reading, rows, options)
    rows = _accuracies(reading, rows, options)
    groups = trainings(reading, rows)
    _clock(reading, groups, options, named=named, name=name, source=source)
    for position, group in enumerate(groups):
        records = reading.records if position == 0 else {}
        for row in group:
            reading.add(row.line, _record(row), row.text, to=records)
        if position and records:
            reading.more.append(records)


def _counted(reading: Reading, rows: list[Row]) -> list[Row]:
    kept: list[Row] = []
    for row in rows:
        if any(count is not None and not 0 <= count <= MAX_COUNT for count in (row.iteration, row.epoch, row.examples)):
            reading.reject(row.line, f"counts beyond {MAX_COUNT:,}", row.text)
        elif row.values or row.seconds is not None or row.evaluation is not None:
            kept.append(row)
        else:  # a step alone is no point of a curve
            reading.ignored += 1
    return kept


def _record(row: Row) -> Record:
    values = {name: cell.value if math.isfinite(cell.value) else None for name, cell in row.values.items()}
    return Record(
        iteration=None if row.iteration is None else int(row.iteration),
        epoch=row.epoch,
        examples=None if row.examples is None else int(row.examples),
        seconds=row.seconds,
        evaluation=row.evaluation,
        values=values,
    )


# --- steps -----------------------------------------------------------------------------------------------------------


def _steps(reading: Reading, rows: list[Row], options: Options) -> list[Row]:
    """The rows with one kind of step, counted from 1 where they are epochs."""
    if options.steps == "epoch":
        rows = [
            replace(row, epoch=row.epoch if row.epoch is not None else row.iteration, iteration=None, batches=None)
            for row in rows
        ]
    elif options.steps == "iteration":
        rows = [replace(row, iteration=row.iteration if row.iteration is not None else row.epoch) for row in rows]
    rows = _within_examples(reading, rows, options)
    rows = _within_batches(reading, rows, options)
    counted = [row.epoch for row in rows if row.iteration is None and row.epoch is not None]
    if counted and min(counted) == 0 and all(row.iteration is None for row in rows) and _from_zero(counted):
        for row in rows:
            row.epoch = None if row.epoch is None else row.epoch + 1
        reading.units["epoch"] = "finished epochs: the log counts from 0"
        reading.notes.append("the log counts epochs from 0; here an epoch is counted when it is finished, from 1")
    return rows


def _from_zero(epochs: Sequence[float]) -> bool:
    """Whether epochs are counted from 0: a fraction of an epoch shows that 0 is the start itself."""
    return all(epoch == int(epoch) for epoch in epochs)


def _within_examples(reading: Reading, rows: list[Row], options: Options) -> list[Row]:
    """Lines of mini-batches that count the examples of their epoch: as iterations, or the last one of each epoch."""
    if not any(row.within for row in rows):
        return rows
    totals = {row.within[1] for row in rows if row.within}
    total = max(totals)
    first = min((row.epoch for row in rows if row.epoch is not None), default=1.0)
    size = options.batch_size
    if size and len(totals) == 1:
        length = math.ceil(total / size)
        reading.notes.append(f"iterations are counted from the examples: {length:,} per epoch of {total:,} examples")
        return [_as_iteration(row, first, size=size, total=total) for row in rows]
    last = {row.epoch: row.line for row in rows if row.within}
    kept = [row for row in rows if not row.within or last[row.epoch] == row.line]
    reading.ignored += len(rows) - len(kept)
    if len(kept) < len(rows):
        reading.notes.append(
            "the train loss of an epoch is that of its last mini-batch in the log; "
            f"{counted(len(rows) - len(kept), 'line')} of other mini-batches ignored (--batch-size N reads them all)"
        )
    reading.units["training"] = "on the last mini-batch of the epoch that the log shows, not on all training examples"
    done = 1 if first == 0 else 0
    return [
        replace(row, examples=(row.epoch + done) * total) if row.epoch is not None and len(totals) == 1 else row
        for row in kept
    ]


def _as_iteration(row: Row, first: float, *, size: int, total: int) -> Row:
    before = (row.epoch if row.epoch is not None else first) - (0 if first == 0 else 1)
    length = math.ceil(total / size)
    if row.within is None:
        return replace(row, iteration=(before + 1) * length, examples=(before + 1) * total)
    seen = row.within[0]
    step = min(length, math.ceil(seen / size))
    return replace(row, iteration=before * length + step, examples=before * total + seen, within=None)


def _within_batches(reading: Reading, rows: list[Row], options: Options) -> list[Row]:
    """Iterations that begin anew in each epoch, as iterations since the start. Raises: AssayError."""
    ranges: dict[float, tuple[float, float]] = {}
    for row in rows:
        if row.epoch is not None and row.iteration is not None and row.epoch == int(row.epoch):
            low, high = ranges.get(row.epoch, (math.inf, -math.inf))
            ranges[row.epoch] = min(low, row.iteration), max(high, row.iteration)
    ordered = [ranges[epoch] for epoch in sorted(ranges)]
    lengths = {row.batches for row in rows if row.batches}
    restart = sum(after[0] <= before[0] for before, after in pairwise(ordered))
    if not ordered or (restart < max(1, len(ordered) - 1) if len(ordered) > 1 else not lengths):
        return rows
    length = max(lengths) if len(lengths) == 1 else options.iterations_per_epoch
    if options.iterations_per_epoch and length == options.iterations_per_epoch:
        reading.units["iterations"] = f"{length:,} per epoch, as specified"
    if length is None and all(low == high for low, high in ordered):
        return [replace(row, iteration=None) for row in rows]  # the same step in every epoch says nothing
    if length is None:
        raise AssayError(
            "the iterations begin anew in each epoch; give --iterations-per-epoch N to count them from the start, "
            "or --steps epoch for a log with one row per epoch"
        )
    if max(high for _, high in ordered) > length:
        raise AssayError(f"an iteration is beyond the {length:,} of its epoch")
    first = min(ranges)
    shift = 1 if min(low for low, _ in ordered) == 0 else 0
    reading.notes.append(f"iterations begin anew in each epoch; counted from the start, {length:,} per epoch")
    return [_since_start(row, first, length=length, shift=shift) for row in rows]


def _since_start(row: Row, first: float, *, length: int, shift: int) -> Row:
    if row.epoch is None:
        return row
    before = int(row.epoch) - (0 if first == 0 else 1)
    step = length if row.iteration is None else min(length, row.iteration + shift)
    return replace(row, iteration=before * length + step)


# --- accuracies ------------------------------------------------------------------------------------------------------


_DIVISORS = {"%": 100.0, "1": 1.0}


def _accuracies(reading: Reading, rows: list[Row], options: Options) -> list[Row]:
    """The rows with accuracies as fractions; the unit is decided for each quantity on its own."""
    sentences: dict[str, str] = {}
    units: dict[str, float] = {}
    refused: dict[int, str] = {}
    for name in dict.fromkeys(name for row in rows for name in row.values if name.endswith("accuracy")):
        cells = {i: row.values[name] for i, row in enumerate(rows) if name in row.values}
        units[name], sentences[name] = _unit(name, cells, options, refused)
    _state_units(reading, rows, units, sentences)
    kept: list[Row] = []
    for i, row in enumerate(rows):
        values: dict[str, Cell] = {}
        reason = refused.get(i, "")
        for name, cell in row.values.items():
            if not name.endswith("accuracy") or reason:
                values[name] = cell
                continue
            try:
                value = fraction(cell.value, _DIVISORS.get(cell.unit, units[name]))
            except ValueError as error:
                reason = str(error)
            else:
                values[name] = Cell(math.nan if value is None else value)
        if reason:
            reading.reject(row.line, reason, row.text)
        else:
            row.values = values
            kept.append(row)
    return kept


def _state_units(reading: Reading, rows: list[Row], units: dict[str, float], sentences: dict[str, str]) -> None:
    """Adds to the reading what the units of its accuracies are, and a note where they were decided by the values."""
    by_values = [name for name, text in sentences.items() if "the highest is" in text]
    for divisor in dict.fromkeys(units[name] for name in by_values):
        names = [name for name in by_values if units[name] == divisor]
        values = [cell.value for row in rows for name, cell in row.values.items() if name in names and not cell.unit]
        text = accuracy_unit([value for value in values if value <= divisor], "")[1]
        sentences |= dict.fromkeys(names, text)
        titles = " and ".join(name.replace("_", " ") for name in names)
        reading.notes.append(f"{titles} read as {text.removesuffix(', fractions here')}")
    texts = list(dict.fromkeys(sentences.values()))
    if len(set(units.values())) > 1:
        differ = ", ".join(f"{name.replace('_', ' ')} {sentences[name].split(' in the log')[0]}" for name in units)
        reading.notes.append(f"the log writes accuracies in two units: {differ}")
    if len(texts) > 1:
        texts = ["; ".join(f"{name.replace('_', ' ')} {text}" for name, text in sentences.items())]
    if texts:
        reading.units["accuracy"] = texts[0]


def _unit(name: str, cells: dict[int, Cell], options: Options, refused: dict[int, str]) -> tuple[float, str]:
    """The divisor of a quantity's accuracies and a sentence on it. Adds to `refused` the rows of another unit."""
    signed = {i for i, cell in cells.items() if cell.unit == "%"}
    plain = {i: cell.value for i, cell in cells.items() if not cell.unit}
    title = name.replace("_", " ")
    if signed and options.accuracy == "fraction":
        refused.update(dict.fromkeys(signed, f"its {title} has a % sign, but --accuracy fraction is specified"))
    if signed and not options.accuracy:
        refused.update(dict.fromkeys(plain, f"its {title} has no % sign where others have; say --accuracy percent"))
        return 100.0, "percent in the log (its % signs), fractions here"
    if not plain:
        return (
            1.0,
            "percent in the log (its % signs), fractions here" if signed else "counts in the log, fractions here",
        )
    if not options.accuracy:
        mixed = _mixed([(i, plain[i]) for i in sorted(plain)])
        reason = f"its {title} is a fraction where others are percent; say --accuracy percent if it is percent"
        refused.update(dict.fromkeys(mixed, reason))
        plain = {i: value for i, value in plain.items() if i not in mixed} or plain
    return accuracy_unit(plain.values(), options.accuracy)


def _mixed(values: Sequence[tuple[int, float]]) -> list[int]:
    """The positions of values up to 1 that fit their neighbours above 1 only as fractions: 0.87 next to 91.2."""
    known = [(i, value) for i, value in values if math.isfinite(value)]
    if not any(value > 1 for _, value in known):
        return []
    mixed: list[int] = []
    for position, (i, value) in enumerate(known):
        if not 0 < value <= 1:
            continue
        after = next((v for _, v in known[position:] if v > 1), None)
        before = next((v for _, v in reversed(known[:position]) if v > 1), None)
        nearby = after if after is not None else before
        if nearby is not None and abs(100 * value - nearby) < abs(nearby - value):
            mixed.append(i)
    return mixed


# --- clocks ----------------------------------------------------------------------------------------------------------


def _clock(reading: Reading, groups: list[list[Row]], options: Options, *, named: str, name: str, source: str) -> None:
    """Sets what the seconds of the rows count; changes the rows of an absolute clock to seconds since the first."""
    timed = [_timed(group) for group in groups]
    longest = max(timed, key=len, default=[])
    if not longest:
        if options.seconds and not reading.totals:
            raise AssayError(f"--seconds {options.seconds}: the log has no seconds that can be read")
        return
    if reading.clocked and not options.seconds:
        return
    for rows in timed:
        if not rows:
            continue
        clock = clock_of(
            [row.seconds or 0.0 for row in rows],
            [row.stamp for row in rows],
            specified=options.seconds,
            named=named,
            name=name,
        )
        if clock.kind == "unix":
            for row, seconds in zip(rows, clock.seconds, strict=True):
                row.seconds = seconds
        if rows is longest:
            _state(reading, clock.kind, clock.reason, source=source)
    _drop_untimed(groups, timed)
    if not options.seconds and named != "per-epoch":
        _check_batches(reading, longest, [row for group in groups for row in group], name)


def _timed(rows: Iterable[Row]) -> list[Row]:
    """The first row with seconds of each step, in the order of the steps."""
    first: dict[float, Row] = {}
    for row in rows:
        step = row.iteration if row.iteration is not None else row.epoch
        if row.seconds is not None and step is not None:
            first.setdefault(step, row)
    return [first[step] for step in sorted(first)]


def _drop_untimed(groups: list[list[Row]], timed: list[list[Row]]) -> None:
    """Leaves the seconds of a step to its first row, because only those were converted."""
    for rows, kept in zip(groups, timed, strict=True):
        known = {id(row) for row in kept}
        for row in rows:
            if row.seconds is not None and id(row) not in known:
                row.seconds = None


def _state(reading: Reading, kind: str, reason: str, *, source: str) -> None:
    reading.each = kind == "per-epoch"
    of = source or "a log"
    meaning, clock = {
        "per-epoch": ("of each row alone, cumulated", "each row"),
        "elapsed": ("since the start", "elapsed"),
        "unix": ("an absolute clock, counted from the first row", "since the first row"),
    }[kind]
    reading.clock = f"of {of}, {clock}"  # stored: only equal clocks are ranked together
    unsaid = f"the {of.split()[-1]} does not say what they include"
    reading.units["seconds"] = f"by the log: {meaning} ({reason}); {unsaid}"
    if not reason.startswith("as specified"):
        reading.notes.append(f"the seconds are {_KINDS[kind]}: {reason}")
    if kind == "unix":
        reading.notes.append("the time before the first row is unknown and not in the seconds")


_KINDS = {
    "per-epoch": "read as those of each row alone and added up",
    "elapsed": "read as elapsed since the start",
    "unix": "counted from the first row",
}


def _check_batches(reading: Reading, rows: Sequence[Row], all_rows: Sequence[Row], name: str) -> None:
    """Leaves out seconds of each row where rows are many iterations apart: they may be those of one iteration."""
    steps = [row.iteration for row in rows if row.iteration is not None]
    if not (reading.each and len(steps) == len(rows) > 1 and steps[1] - steps[0] > 1):
        return
    for row in all_rows:
        row.seconds = None
    reading.each, reading.clock = False, ""
    reading.units.pop("seconds", None)
    reading.notes = [note for note in reading.notes if not note.startswith("the seconds are")]
    reading.notes.append(
        f"the seconds in {name!r} are not read: they may be those of one iteration or of all "
        f"{steps[1] - steps[0]:g} since the row before (--seconds per-epoch adds them up)"
    )
