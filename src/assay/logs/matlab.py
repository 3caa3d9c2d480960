"""The table that MATLAB's trainNetwork prints: a row an iteration, times since the start as hh:mm:ss."""

from __future__ import annotations

import re

from assay.logs.lines import accuracy_unit, finite, fraction, lines_of, number_of, seconds_of
from assay.logs.log import Options, Reading, Record

_RULE = re.compile(r"\s*\|[=\-|+ ]*[=\-][=\-|+ ]*\|?\s*")
_TOTAL = re.compile(r"Total time:\s*([\d.:]+)", re.IGNORECASE)
_ROW = re.compile(r"\s*\|\s*\d+\s*\|\s*\d+\s*\|")
_HEADS = {  # the words of a head, joined over its lines -> what the column holds
    "epoch": "epoch",
    "iteration": "iteration",
    "time elapsed": "seconds",
    "mini-batch accuracy": "train_accuracy",
    "validation accuracy": "validation_accuracy",
    "mini-batch loss": "train_loss",
    "validation loss": "validation_loss",
    "base learning rate": "",
    "learning rate": "",
}
_PLAIN = {  # without a head, by the number of cells
    8: ("epoch", "iteration", "seconds", "train_accuracy", "validation_accuracy", "train_loss", "validation_loss", ""),
    6: ("epoch", "iteration", "seconds", "train_accuracy", "train_loss", ""),
}
_UNITS = re.compile(r"\((?:hh:mm:ss|seconds|s)\)")


def looks_matlab(content: bytes) -> int:
    """How many lines are rows of the table."""
    return sum(bool(_ROW.match(line)) for line in lines_of(content))


def read_matlab(content: bytes, options: Options) -> Reading:
    """The table, also without its head, cut off, or with other lines between its rows."""
    lines = lines_of(content)
    reading = Reading(lines=len(lines), framework="MATLAB")
    head: list[str] = []
    was_head = guessed = False
    rows: list[tuple[int, str, dict[str, str]]] = []
    ignored: set[str] = set()
    for number, text in enumerate(lines, 1):
        if _RULE.fullmatch(text):
            reading.headings += 1
            reading.ended = bool(rows)  # the rule below the last row is printed at the end
        elif not text.lstrip().startswith("|"):
            _other(reading, text)
        elif _is_head(cells := _cells(text)):
            head = _joined(head, cells) if was_head else cells
            reading.headings += 1
            was_head = True
            continue
        else:
            names = [_meaning(word, ignored) for word in head] if head else _PLAIN.get(len(cells), ())
            guessed |= not head
            if len(names) != len(cells) or not text.rstrip().endswith("|"):
                expected = f"the head has {len(names)}" if head else "there is no head that names them"
                reading.wrong(number, f"has {len(cells)} cells where {expected}, or is cut off", text)
            else:
                rows.append((number, text, {n: c for n, c in zip(names, cells, strict=True) if n and c}))
                reading.ended = False
        was_head = False
    _records(reading, rows, options)
    if guessed and rows:
        reading.units["columns"] = "there is no head; taken as trainNetwork prints them by default"
    if ignored:
        reading.units["not taken"] = ", ".join(sorted(ignored))
    return reading


def _other(reading: Reading, text: str) -> None:
    total = _TOTAL.search(text)
    seconds = seconds_of(total[1]) if total else None
    if seconds is None:
        reading.apart += 1
        return
    reading.totals["wall"] = seconds
    reading.headings += 1
    reading.ended = True


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")] if text.strip("| ") else [""]


def _is_head(cells: list[str]) -> bool:
    return not any(any(c.isdigit() for c in cell) for cell in cells) and any(any(map(str.isalpha, c)) for c in cells)


def _joined(head: list[str], cells: list[str]) -> list[str]:
    """The words of a head that stands on several lines."""
    if len(head) != len(cells):
        return cells
    return [f"{above} {below}".strip() for above, below in zip(head, cells, strict=True)]


def _meaning(word: str, ignored: set[str]) -> str:
    name = " ".join(_UNITS.sub("", word).casefold().split())
    if name not in _HEADS:
        ignored.add(word)
    return _HEADS.get(name, "")


def _records(reading: Reading, rows: list[tuple[int, str, dict[str, str]]], options: Options) -> None:
    percents = [cell for _, _, row in rows for name, cell in row.items() if name.endswith("accuracy")]
    signed = any(cell.endswith("%") for cell in percents)
    values = [number_of(cell.rstrip("%")) for cell in percents]
    divisor, unit = accuracy_unit(values, options.accuracy or ("percent" if signed else ""))
    for number, text, row in rows:
        record = _record(row, divisor)
        if isinstance(record, str):
            reading.wrong(number, record, text)
        else:
            reading.add(number, record, text)
    present = {name for _, _, row in rows for name in row}
    if percents:
        reading.units["accuracy"] = "percent in the log (its % signs), fractions here" if signed else unit
    if present & {"train_loss", "train_accuracy"}:
        reading.units["training"] = "of the one mini-batch of that iteration, not of all training examples"
    if "seconds" in present or reading.totals:
        reading.clock = "elapsed, validation included"
        reading.units["seconds"] = "MATLAB's own: elapsed since the start, in whole seconds, validation included"


def _record(row: dict[str, str], divisor: float) -> Record | str:
    """A row's record, or why it is none."""
    steps: dict[str, int] = {}
    for name in ("epoch", "iteration"):
        if name in row:
            if not re.fullmatch(r"\d{1,15}", row[name]):
                return f"its {name} is {row[name]!r}"
            steps[name] = int(row[name])
    if not steps:
        return "has neither an epoch nor an iteration"
    record = Record(iteration=steps.get("iteration"), epoch=steps.get("epoch"))
    for name, cell in row.items():
        if name in steps:
            continue
        value = seconds_of(cell) if name == "seconds" else number_of(cell.rstrip("% "))
        if value is None:
            return f"its {name.replace('_', ' ')} is {cell!r}, which is no {'time' if name == 'seconds' else 'number'}"
        if name == "seconds":
            record.seconds = value
        elif name.endswith("accuracy"):
            try:
                record.values[name] = fraction(value, divisor)
            except ValueError as error:
                return str(error)
        else:
            record.values[name] = finite(value)
    return record
