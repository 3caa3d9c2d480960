"""The lines that scripts for PyTorch and Flux print after each epoch: training and validation, each with its time.

PyTorch's are `--->Train epoch 0, loss: 0.5, time: 1.2`, Flux's `--->Train, epoch: 1, loss: 0.5, time: 1.2`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from assay.logs.clocks import seconds_of
from assay.logs.lines import NUMBER, lines_of, number_of, plain_numbers, whole_number
from assay.logs.log import Cell, Options, Reading, Row
from assay.logs.rows import finish
from assay.logs.text import read_text

_ENTRY = re.compile(rf",?\s*([A-Za-z]+(?: +[A-Za-z]+)*)\s*[:=]\s*({NUMBER}|\d+(?::\d+)+(?:\.\d+)?)\s*(%|s\b)?")
_NAMED = re.compile(
    rf"(?<![A-Za-z])([A-Za-z]{{1,20}}(?: {{1,5}}[A-Za-z]{{1,20}}){{0,3}})\s{{0,20}}[:=]\s{{0,20}}({NUMBER}|\d+(?::\d+)+(?:\.\d+)?)"
)
"""An entry anywhere in a line: its parts are bounded, so that a search takes time in proportion to the line."""
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
    rows: list[Row] = []
    ignored: set[str] = set()
    boundary = False
    for number, written in enumerate(lines, 1):
        text = plain_numbers(written)
        if style.begin.search(text):
            row = _row(number, text, style, ignored)
            if isinstance(row, str):
                reading.reject(number, row, text)
            else:
                row.boundary, boundary = boundary, False
                rows.append(row)
        elif _TOTAL.search(text):
            boundary = True
            _total(reading, number, text)
        elif style.similar.search(text):
            reading.reject(number, "begins like a record but is not one", text)
        else:
            reading.ignored += 1
    _units(reading, rows, ignored)
    finish(reading, rows, options, source="a log")
    return reading


def _row(number: int, text: str, style: Style, ignored: set[str]) -> Row | str:
    """The numbers of a record, or the reason why it is malformed. Adds to `ignored` the names of other numbers."""
    begins = list(style.begin.finditer(text))
    if len(begins) > 1:
        return "holds two records"
    begin, rest = begins[0], text[begins[0].end() :]
    entries: dict[str, tuple[str, bool]] = {}  # name -> number, whether it has a % sign
    position = 0
    while match := _ENTRY.match(rest, position):
        name = _NAMES.get(match[1].casefold())
        if name is None:
            ignored.add(match[1])
        elif name in entries:
            return f"has its {name} twice"
        else:
            entries[name] = match[2], match[3] == "%"
        position = match.end()
    if rest[position:].strip(" ,."):
        return f"cannot be read from {rest[position:].strip()[:20]!r} on"
    if not entries:
        return "has neither a loss nor an accuracy nor a time"
    seconds = seconds_of(entries["time"][0]) if "time" in entries else None
    if "time" in entries and seconds is None:
        return f"its time is {entries['time'][0]}"
    split = _SPLITS[begin[1].casefold()]
    row = Row(number, text, epoch=whole_number(begin[2]))
    row.seconds, row.evaluation = (seconds, None) if split == "train" else (None, seconds)
    for name in ("loss", "accuracy"):
        if name not in entries:
            continue
        value = number_of(entries[name][0])
        if value is None:
            return f"its {name} is {entries[name][0]!r}, which is not a number"
        row.values[f"{split}_{name}"] = Cell(value, "%" if entries[name][1] and name == "accuracy" else "")
    return row


def _total(reading: Reading, number: int, text: str) -> None:
    start = _TOTAL.search(text)
    assert start is not None
    rest = text[start.start() :].lstrip("-> ")[:1000]
    named = {m[1].strip().casefold(): seconds_of(m[2]) for m in _NAMED.finditer(rest)}
    totals = {entry: seconds for name, entry in _TOTALS.items() if (seconds := named.get(name)) is not None}
    if not totals:
        reading.reject(number, "a total without a number", text)
        return
    reading.totals |= totals
    reading.headings += 1
    reading.ended = True


def _units(reading: Reading, rows: list[Row], ignored: set[str]) -> None:
    reading.units["loss"] = "as the script defines it; the scale may differ from Assay's mean over the examples"
    if min((row.epoch or 0 for row in rows), default=1) > 0:
        reading.units["epoch"] = "as the log counts them"
    reading.clock = "training alone, validation apart"  # stored: only equal clocks are ranked together
    reading.units["seconds"] = f"by {reading.framework}: the training of each epoch, without validation"
    if ignored:
        reading.units["not taken"] = ", ".join(sorted(ignored))
