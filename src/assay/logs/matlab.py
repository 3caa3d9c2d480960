"""The table that MATLAB's trainNetwork prints: one row per logged iteration, times since the start as hh:mm:ss."""

from __future__ import annotations

import re

from assay.logs.clocks import seconds_of
from assay.logs.lines import lines_of, number_of, plain_numbers
from assay.logs.log import Cell, Options, Reading, Row
from assay.logs.numerals import BEGIN, DECIMAL_COMMAS, commas_of, numeral, without_commas
from assay.logs.rows import finish

_TOTAL = re.compile(r"Total time:\s*", re.IGNORECASE)
_ROW = re.compile(r"\s*\|\s*\d+\s*\|\s*\d+\s*\|")
_HEADERS = {  # the text of a header cell, joined over its lines -> what the column holds
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
_DEFAULT_COLUMNS = {  # of a table without a header, by the number of cells
    8: ("epoch", "iteration", "seconds", "train_accuracy", "validation_accuracy", "train_loss", "validation_loss", ""),
    6: ("epoch", "iteration", "seconds", "train_accuracy", "train_loss", ""),
}
_UNITS = re.compile(r"\((?:hh:mm:ss|seconds|s)\)")


def looks_matlab(content: bytes) -> int:
    """The number of lines that are rows of the table."""
    return sum(bool(_ROW.match(line)) for line in lines_of(content))


def read_matlab(content: bytes, options: Options) -> Reading:
    """Reads the table, which may lack its header, be cut off, or have other lines between its rows."""
    lines = lines_of(content)
    reading = Reading(lines=len(lines), framework="MATLAB", clocked=True)
    header: list[str] = []
    after_header = assumed = False
    rows: list[tuple[int, str, dict[str, str]]] = []
    boundaries: set[int] = set()
    ignored: set[str] = set()
    for number, written in enumerate(lines, 1):
        text = plain_numbers(written)
        if _is_rule(text):
            reading.headings += 1
            reading.ended = bool(rows)  # the rule below the last row is printed at the end
        elif not text.lstrip().startswith("|"):
            _other(reading, text)
        elif _is_header(cells := _cells(text)):
            header = _joined(header, cells) if after_header else cells
            reading.headings += 1
            after_header = True
            boundaries.add(len(rows))
            continue
        else:
            names = [_meaning(word, ignored) for word in header] if header else _DEFAULT_COLUMNS.get(len(cells), ())
            assumed |= not header
            if len(names) != len(cells) or not text.rstrip().endswith("|"):
                expected = f"the header has {len(names)}" if header else "there is no header"
                reading.reject(number, f"has {len(cells)} cells where {expected}, or is cut off", text)
            else:
                rows.append((number, text, {n: c for n, c in zip(names, cells, strict=True) if n and c}))
                reading.ended = False
        after_header = False
    _records(reading, rows, options, boundaries)
    if assumed and rows:
        reading.units["columns"] = "no header: assumed to be the default columns of trainNetwork"
    if ignored:
        reading.units["not taken"] = ", ".join(sorted(ignored))
    return reading


def _is_rule(text: str) -> bool:
    """Whether a line is a rule of the table, such as |====|====|."""
    characters = set(text.strip())
    return text.strip().startswith("|") and characters <= set("=-|+ ") and bool(characters & set("=-"))


def _other(reading: Reading, text: str) -> None:
    total = _TOTAL.search(text)
    begin = BEGIN.match(text, total.end()) if total else None
    seconds = seconds_of(numeral(text, begin, time=True).cell) if begin else None
    if seconds is None:
        reading.ignored += 1
        return
    reading.totals["wall"] = seconds
    reading.headings += 1
    reading.ended = True


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")] if text.strip("| ") else [""]


def _is_header(cells: list[str]) -> bool:
    return not any(any(c.isdigit() for c in cell) for cell in cells) and any(any(map(str.isalpha, c)) for c in cells)


def _joined(header: list[str], cells: list[str]) -> list[str]:
    """The cells of a header that spans several lines."""
    if len(header) != len(cells):
        return cells
    return [f"{above} {below}".strip() for above, below in zip(header, cells, strict=True)]


def _meaning(word: str, ignored: set[str]) -> str:
    name = " ".join(_UNITS.sub("", word).casefold().split())
    if name not in _HEADERS:
        ignored.add(word)
    return _HEADERS.get(name, "")


def _records(
    reading: Reading, rows: list[tuple[int, str, dict[str, str]]], options: Options, boundaries: set[int]
) -> None:
    kept: list[Row] = []
    cells = ((c, n.endswith("accuracy")) for *_, row in rows for n, c in row.items() if n not in ("epoch", "iteration"))
    commas = commas_of(cells, decimal=False)
    if commas == "decimal":
        reading.notes.append(DECIMAL_COMMAS)
    for position, (number, text, written) in enumerate(rows):
        row = _row(number, text, {name: without_commas(cell, commas) for name, cell in written.items()})
        if isinstance(row, str):
            reading.reject(number, row, text)
        else:
            row.boundary = position in boundaries
            kept.append(row)
    present = {name for _, _, row in rows for name in row}
    if present & {"train_loss", "train_accuracy"}:
        reading.units["training"] = "on the mini-batch of that iteration, not on all training examples"
    if "seconds" in present or reading.totals:
        reading.clock = "elapsed, validation included"
        reading.units["seconds"] = "by MATLAB: elapsed since the start, in whole seconds, validation included"
    finish(reading, kept, options, source="a log")


def _row(number: int, text: str, cells: dict[str, str]) -> Row | str:
    """The numbers of a row, or the reason why it is malformed."""
    row = Row(number, text)
    for name in ("epoch", "iteration"):
        if name in cells:
            if not re.fullmatch(r"\d{1,15}", cells[name]):
                return f"its {name} is {cells[name]!r}"
            setattr(row, name, int(cells[name]))
    if row.epoch is None and row.iteration is None:
        return "has neither an epoch nor an iteration"
    for name, cell in cells.items():
        if name in ("epoch", "iteration"):
            continue
        value = seconds_of(cell) if name == "seconds" else number_of(cell.rstrip("% "))
        if value is None:
            kind = "time" if name == "seconds" else "number"
            return f"its {name.replace('_', ' ')} is {cell!r}, which is not a {kind}"
        if name == "seconds":
            row.seconds = value
        else:
            row.values[name] = Cell(value, "%" if name.endswith("accuracy") and cell.endswith("%") else "")
    return row
