"""Tables of separated values with a header: commas, semicolons or tabs; columns by usual names or as specified."""

from __future__ import annotations

import csv
import math
import re
from itertools import pairwise

from assay.errors import AssayError
from assay.logs.columns import column_mapping, mapping_sentence
from assay.logs.lines import accuracy_unit, finite, fraction, lines_of, number_of, seconds_of
from assay.logs.log import QUANTITIES, Options, Reading, Record

_SEPARATORS = ",;\t"
_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
_ABSENT = ("", "-", "null", "none", "n/a", "na")

Row = tuple[int, str, dict[str, float | None]]


def looks_csv(content: bytes) -> int:
    """The number of lines, if the first one is a header with a step and a measured quantity."""
    lines = lines_of(content)
    start, header = _header(lines)
    names = column_mapping(header, {}, what="column")
    known = {"iteration", "epoch"} & set(names) and set(QUANTITIES) & set(names)
    return len(lines) - start if known else 0


def read_csv(content: bytes, options: Options) -> Reading:
    """Reads the table; rows of the same step with different columns are joined. Raises: AssayError."""
    lines = lines_of(content)
    reading = Reading(lines=len(lines))
    start, header = _header(lines)
    separator = _separator(lines[start]) if start < len(lines) else ","
    names = column_mapping(header, options.columns, what="column")
    if not {"iteration", "epoch"} & set(names) or not set(QUANTITIES) & set(names):
        raise AssayError(
            f"the columns are {', '.join(map(repr, header[:20])) or 'none'}; expected a step and a measured quantity, "
            "such as --column epoch=N --column test_accuracy=NAME"
        )
    positions = {target: header.index(name) for target, name in names.items()}
    rows: list[Row] = []
    for number, text in enumerate(lines, 1):
        cells = _cells(text, separator)
        if not text.strip() or text.lstrip().startswith("#"):
            reading.ignored += 1
        elif cells == header:
            reading.headings += 1
        elif number <= start:
            reading.ignored += 1
        elif cells is None:
            reading.reject(number, "cannot be split", text)
        elif len(cells) != len(header):
            reading.reject(number, f"has {len(cells)} cells where the header has {len(header)}", text)
        else:
            values = _values({target: cells[position] for target, position in positions.items()}, separator)
            if isinstance(values, str):
                reading.reject(number, values, text)
            else:
                rows.append((number, text, values))
    _records(reading, rows, options)
    reading.units["columns"] = mapping_sentence(names)
    if unused := [name for name in header if name not in names.values()]:
        reading.units["not taken"] = ", ".join(unused)
    return reading


def _header(lines: list[str]) -> tuple[int, list[str]]:
    """The position of the first line that is neither empty nor a comment, and its cells."""
    for position, text in enumerate(lines):
        if text.strip() and not text.lstrip().startswith("#"):
            return position, _cells(text, _separator(text)) or []
    return len(lines), []


def _separator(header: str) -> str:
    return max(_SEPARATORS, key=header.count)


def _cells(text: str, separator: str) -> list[str] | None:
    try:
        rows = list(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return [cell.strip() for cell in rows[0]] if rows else []


def _values(cells: dict[str, str], separator: str) -> dict[str, float | None] | str:
    """The numbers of a row, or the reason why it is malformed. An empty cell gives no entry, NaN gives None."""
    values: dict[str, float | None] = {}
    for target, cell in cells.items():
        if cell.casefold() in _ABSENT:
            continue
        if separator != "," and _COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        percent = cell.endswith("%") and target.endswith("accuracy")
        value = seconds_of(cell) if target == "seconds" else number_of(cell.rstrip("% ") if percent else cell)
        if value is None:
            return f"its {target.replace('_', ' ')} is {cell[:30]!r}, which is not a number"
        if target in ("iteration", "epoch", "examples"):
            valid = target == "epoch" or value == int(value) if math.isfinite(value) else False
            if not valid or not 0 <= value < 1e15:
                return f"its {target} is {cell[:30]!r}"
        values[target] = finite(value / 100 if percent else value)
    if not {"iteration", "epoch"} & set(values):
        return "has no step"
    return values


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
            reading.reject(number, str(error), text)
            continue
        reading.add(number, record, text)
    if accuracies:
        reading.units["accuracy"] = unit
    if shift:
        reading.units["epoch"] = "finished epochs: the log counts from 0"
    _clock(reading, options)


def _clock(reading: Reading, options: Options) -> None:
    """Sets whether the seconds are elapsed or of each row alone: as specified, else by whether they ever decrease."""
    seconds = [r.seconds for _, r in sorted(reading.records.items()) if r.seconds is not None]
    if not seconds:
        return
    decrease = any(b < a for a, b in pairwise(seconds))
    kind = options.seconds or ("each" if decrease else "elapsed")
    reason = "as specified" if options.seconds else "they decrease" if decrease else "they never decrease"
    reading.each = kind == "each"
    meaning = "of each row alone, cumulated" if reading.each else "since the start"
    reading.clock = f"of a table, {'each row' if reading.each else 'elapsed'}"  # stored: only equal clocks are ranked
    reading.units["seconds"] = f"by the log: {meaning} ({reason}); the table does not say what they include"
