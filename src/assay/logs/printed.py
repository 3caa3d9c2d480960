"""The lines that scripts for PyTorch and Flux print after each epoch: training and validation, each with its time.

PyTorch's are `--->Train epoch 0, loss: 0.5, time: 1.2`, Flux's `--->Train, epoch: 1, loss: 0.5, time: 1.2`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from assay.logs.clocks import seconds_of
from assay.logs.lines import lines_of, number_of, plain_numbers, whole_number
from assay.logs.log import Cell, Options, Reading, Row
from assay.logs.numerals import BEGIN, DECIMAL_COMMAS, commas_of, numeral, without_commas
from assay.logs.rows import finish
from assay.logs.text import read_text

_ENTRY = re.compile(r",?\s*([A-Za-z]+(?: +[A-Za-z]+)*)\s*[:=]\s*")
_NAMED = re.compile(r"(?<![A-Za-z])([A-Za-z]{1,20}(?: {1,5}[A-Za-z]{1,20}){0,3})\s{0,20}[:=]\s{0,20}")
"""The name of an entry anywhere in a line: its parts are bounded, so that a search takes linear time."""
_TOTAL = re.compile(r"->\s{0,99}Total time\b", re.IGNORECASE)
_TOTALS = {"total time": "wall", "training time": "train", "validation time": "evaluate"}
_SPLITS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}
_NAMES = {"loss": "loss", "acc": "accuracy", "accuracy": "accuracy", "time": "time"}


class Style(NamedTuple):
    """How the scripts of a framework print records.

    Attributes:
        framework: its name.
        begin: matches the beginning of a record.
        similar: matches lines that begin like a record but may be malformed.
    """

    framework: str
    begin: re.Pattern[str]
    similar: re.Pattern[str]


_SPLIT = r"(?:^|->)\s*(train|valid|validation|test)"
PYTORCH = Style(
    "PyTorch",
    re.compile(_SPLIT + r"\s+epoch\s*:?\s*(\d+)\b(?!\s*\[)", re.IGNORECASE),
    re.compile(r"->\s*(?:train|valid|test)[a-z]*(?!\s*,)", re.IGNORECASE),
)
FLUX = Style(
    "Flux",
    re.compile(_SPLIT + r"\s*,\s*epoch\s*:?\s*(\d+)\b", re.IGNORECASE),
    re.compile(r"->\s*(?:train|valid|test)[a-z]*\s*,", re.IGNORECASE),
)


_EXAMPLE = re.compile(r"\bTrain Epoch:\s*\d+\s*\[\s*\d+/\d+")
"""Matches the lines of PyTorch's own examples: `Train Epoch: 1 [640/60000 (1%)]\tLoss: 0.42`."""


def read_pytorch(content: bytes, options: Options) -> Reading:
    """Reads the lines of a PyTorch script, or of PyTorch's own MNIST example."""
    lines = lines_of(content)
    examples = sum(bool(_EXAMPLE.search(line)) for line in lines)
    if examples and not any(PYTORCH.begin.search(line) for line in lines):
        reading = read_text(content, options)
        reading.framework = "PyTorch"
        return reading
    return _read(content, options, PYTORCH)


def read_flux(content: bytes, options: Options) -> Reading:
    """Reads the lines of a Flux script."""
    return _read(content, options, FLUX)


def looks_pytorch(content: bytes) -> int:
    """The number of lines that begin like those of a PyTorch script or of PyTorch's own examples."""
    return sum(bool(PYTORCH.begin.search(line) or _EXAMPLE.search(line)) for line in lines_of(content))


def looks_flux(content: bytes) -> int:
    """The number of lines that begin like those of a Flux script."""
    return sum(bool(FLUX.begin.search(line)) for line in lines_of(content))


def _read(content: bytes, options: Options, style: Style) -> Reading:
    lines = lines_of(content)
    reading = Reading(lines=len(lines), each=True, clocked=True, framework=style.framework)
    records: list[_Entries] = []
    ignored: set[str] = set()
    boundary = False
    for number, written in enumerate(lines, 1):
        text = plain_numbers(written)
        if style.begin.search(text):
            entries = _entries(text, style, ignored)
            if isinstance(entries, str):
                reading.reject(number, entries, text)
            else:
                records.append(entries._replace(line=number, boundary=boundary))
                boundary = False
        elif _TOTAL.search(text):
            boundary = True
            _total(reading, number, text)
        elif style.similar.search(text):
            reading.reject(number, "begins like a record but is not one", text)
        else:
            reading.ignored += 1
    rows = _rows(reading, records)
    _units(reading, rows, ignored)
    finish(reading, rows, options, source="a log")
    return reading


class _Entries(NamedTuple):
    """The numbers of a record by name, as written."""

    text: str
    split: str
    epoch: int
    cells: dict[str, str]
    line: int = 0
    boundary: bool = False


def _entries(text: str, style: Style, ignored: set[str]) -> _Entries | str:
    """The entries of a record, or the reason why it is malformed. Adds to `ignored` the names of other numbers."""
    begins = list(style.begin.finditer(text))
    if len(begins) > 1:
        return "holds two records"
    begin, rest = begins[0], text[begins[0].end() :]
    cells: dict[str, str] = {}
    position = 0
    while (match := _ENTRY.match(rest, position)) and (start := BEGIN.match(rest, match.end())):
        name = _NAMES.get(match[1].casefold())
        number = numeral(rest, start, time=name == "time")
        if name is None:
            ignored.add(match[1])
        elif name in cells:
            return f"has its {name} twice"
        else:
            spaced = not (number.stuck or name == "time" or number.unit == "%")
            cells[name] = number.text if spaced else number.cell
        position = number.end
    if rest[position:].strip(" ,."):
        return f"cannot be read from {rest[position:].strip()[:20]!r} on"
    if not cells:
        return "has neither a loss nor an accuracy nor a time"
    return _Entries(text, _SPLITS[begin[1].casefold()], whole_number(begin[2]), cells)


def _rows(reading: Reading, records: list[_Entries]) -> list[Row]:
    measured = ((cell, name == "accuracy") for record in records for name, cell in record.cells.items())
    commas = commas_of(measured, decimal=False)
    if commas == "decimal":
        reading.notes.append(DECIMAL_COMMAS)
    rows: list[Row] = []
    for record in records:
        row = _row(record, {name: without_commas(cell, commas) for name, cell in record.cells.items()})
        if isinstance(row, str):
            reading.reject(record.line, row, record.text)
        else:
            rows.append(row)
    return rows


def _row(record: _Entries, cells: dict[str, str]) -> Row | str:
    """The numbers of a record, or the reason why it is malformed."""
    seconds = seconds_of(cells["time"]) if "time" in cells else None
    if "time" in cells and seconds is None:
        return f"its time is {cells['time']}"
    row = Row(record.line, record.text, epoch=record.epoch, boundary=record.boundary)
    row.seconds, row.evaluation = (seconds, None) if record.split == "train" else (None, seconds)
    for name in ("loss", "accuracy"):
        if name not in cells:
            continue
        percent = cells[name].endswith("%") and name == "accuracy"
        value = number_of(cells[name].rstrip("%") if percent else cells[name])
        if value is None:
            return f"its {name} is {cells[name]!r}, which is not a number"
        row.values[f"{record.split}_{name}"] = Cell(value, "%" if percent else "")
    return row


def _total(reading: Reading, number: int, text: str) -> None:
    start = _TOTAL.search(text)
    assert start is not None
    rest = text[start.start() :].lstrip("-> ")[:1000]
    named = {
        match[1].strip().casefold(): _seconds(numeral(rest, begin, time=True).cell)
        for match in _NAMED.finditer(rest)
        if (begin := BEGIN.match(rest, match.end()))
    }
    totals = {entry: seconds for name, entry in _TOTALS.items() if (seconds := named.get(name)) is not None}
    if not totals:
        reading.reject(number, "a total without a number", text)
        return
    reading.totals |= totals
    reading.headings += 1
    reading.ended = True


def _seconds(cell: str) -> float | None:
    return seconds_of(without_commas(cell, commas_of([(cell, False)], decimal=False)))


def _units(reading: Reading, rows: list[Row], ignored: set[str]) -> None:
    reading.units["loss"] = "as the script defines it; the scale may differ from Assay's mean over the examples"
    if min((row.epoch or 0 for row in rows), default=1) > 0:
        reading.units["epoch"] = "as the log counts them"
    reading.clock = "training alone, validation apart"  # stored: only equal clocks are ranked together
    reading.units["seconds"] = f"by {reading.framework}: the training of each epoch, without validation"
    if ignored:
        reading.units["not taken"] = ", ".join(sorted(ignored))
