"""Tables of separated values with a head: commas, semicolons or tabs; columns by their usual names or as asked."""

from __future__ import annotations

import csv
import math
import re
from itertools import pairwise

from assay.errors import AssayError
from assay.logs.columns import chosen, told
from assay.logs.lines import accuracy_unit, finite, fraction, lines_of, number_of, seconds_of
from assay.logs.log import QUANTITIES, Options, Reading, Record

_SEPARATORS = ",;\t"
_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
_ABSENT = ("", "-", "null", "none", "n/a", "na")

Row = tuple[int, str, dict[str, float | None]]


def looks_csv(content: bytes) -> int:
    """How many lines there are, where the first one is a head that names a step and something measured."""
    lines = lines_of(content)
    at, head = _head(lines)
    names = chosen(head, {}, what="column")
    known = {"iteration", "epoch"} & set(names) and set(QUANTITIES) & set(names)
    return len(lines) - at if known else 0


def read_csv(content: bytes, options: Options) -> Reading:
    """The table, a record a step: rows of one step that say different things are joined. Raises: AssayError."""
    lines = lines_of(content)
    reading = Reading(lines=len(lines))
    at, head = _head(lines)
    separator = _separator(lines[at]) if at < len(lines) else ","
    names = chosen(head, options.columns, what="column")
    if not {"iteration", "epoch"} & set(names) or not set(QUANTITIES) & set(names):
        raise AssayError(
            f"the columns are {', '.join(map(repr, head[:20])) or 'none'}; expected one of steps and one measured, "
            "such as --column epoch=N --column test_accuracy=NAME"
        )
    places = {target: head.index(name) for target, name in names.items()}
    rows: list[Row] = []
    for number, text in enumerate(lines, 1):
        cells = _cells(text, separator)
        if not text.strip() or text.lstrip().startswith("#"):
            reading.apart += 1
        elif cells == head:
            reading.headings += 1
        elif number <= at:
            reading.apart += 1
        elif cells is None or len(cells) != len(head):
            count = "cannot be split" if cells is None else f"has {len(cells)} cells where the head has {len(head)}"
            reading.wrong(number, count, text)
        else:
            values = _values({target: cells[place] for target, place in places.items()}, separator)
            if isinstance(values, str):
                reading.wrong(number, values, text)
            else:
                rows.append((number, text, values))
    _records(reading, rows, options)
    reading.units["columns"] = told(names)
    if spare := [name for name in head if name not in names.values()]:
        reading.units["not taken"] = ", ".join(spare)
    return reading


def _head(lines: list[str]) -> tuple[int, list[str]]:
    """The place of the first line that is neither empty nor a comment, and its cells."""
    for at, text in enumerate(lines):
        if text.strip() and not text.lstrip().startswith("#"):
            return at, _cells(text, _separator(text)) or []
    return len(lines), []


def _separator(head: str) -> str:
    return max(_SEPARATORS, key=head.count)


def _cells(text: str, separator: str) -> list[str] | None:
    try:
        rows = list(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return [cell.strip() for cell in rows[0]] if rows else []


def _values(cells: dict[str, str], separator: str) -> dict[str, float | None] | str:
    """The numbers of a row, or why it has none; a cell that is empty says nothing, one of NaN that it diverged."""
    found: dict[str, float | None] = {}
    for target, cell in cells.items():
        if cell.casefold() in _ABSENT:
            continue
        if separator != "," and _COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        percent = cell.endswith("%") and target.endswith("accuracy")
        value = seconds_of(cell) if target == "seconds" else number_of(cell.rstrip("% ") if percent else cell)
        if value is None:
            return f"its {target.replace('_', ' ')} is {cell[:30]!r}, which is no number"
        if target in ("iteration", "epoch", "examples"):
            whole = target == "epoch" or value == int(value) if math.isfinite(value) else False
            if not whole or not 0 <= value < 1e15:
                return f"its {target} is {cell[:30]!r}"
        found[target] = finite(value / 100 if percent else value)
    if not {"iteration", "epoch"} & set(found):
        return "has no step"
    return found


def _records(reading: Reading, rows: list[Row], options: Options) -> None:
    accuracies = [v for _, _, row in rows for name, v in row.items() if name.endswith("accuracy")]
    divisor, unit = accuracy_unit(accuracies, options.accuracy)
    steps = [row["epoch"] for _, _, row in rows if "iteration" not in row and row.get("epoch") is not None]
    shift = 1 if steps and len(steps) == len(rows) and min(s for s in steps if s is not None) == 0 else 0
    for number, text, row in rows:
        record = Record(seconds=row.get("seconds"))
        iteration, epoch, examples = (row.get(name) for name in ("iteration", "epoch", "examples"))
        record.iteration = int(iteration) if iteration is not None else None
        record.epoch = epoch + shift if epoch is not None else None
        record.examples = int(examples) if examples is not None else None
        measured = {name: row[name] for name in QUANTITIES if name in row}
        try:
            record.values = {n: fraction(v, divisor) if n.endswith("accuracy") else v for n, v in measured.items()}
        except ValueError as error:
            reading.wrong(number, str(error), text)
            continue
        reading.add(number, record, text)
    if accuracies:
        reading.units["accuracy"] = unit
    if shift:
        reading.units["epoch"] = "epochs that are done: the log counts from 0"
    _clock(reading, options)


def _clock(reading: Reading, options: Options) -> None:
    """Whether the seconds are since the start or each row's own: as was said, else by whether they ever fall."""
    seconds = [r.seconds for _, r in sorted(reading.records.items()) if r.seconds is not None]
    if not seconds:
        return
    falls = any(b < a for a, b in pairwise(seconds))
    kind = options.seconds or ("each" if falls else "elapsed")
    why = "as was said" if options.seconds else "they fall at times" if falls else "they never fall"
    reading.each = kind == "each"
    said = "each row's own, added up" if reading.each else "since the start"
    reading.clock = f"of a table, {'each row' if reading.each else 'elapsed'}"
    reading.units["seconds"] = f"the log's own: {said} ({why}); what they hold the table does not say"
