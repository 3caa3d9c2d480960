"""The lines that scripts for PyTorch and Flux print after each epoch: training and validation, each with its time.

PyTorch's are `--->Train epoch 0, loss: 0.5, time: 1.2`, Flux's `--->Train, epoch: 1, loss: 0.5, time: 1.2`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from assay.logs.lines import (
    NUMBER,
    accuracy_unit,
    finite,
    fraction,
    lines_of,
    number_of,
    seconds_of,
    whole_number,
)
from assay.logs.log import Options, Reading, Record

_ENTRY = re.compile(rf",?\s*([A-Za-z][A-Za-z ]*?)\s*[:=]\s*({NUMBER}|\d+(?::\d+)+(?:\.\d+)?)\s*(%|s\b)?")
_TOTAL = re.compile(r"-+>\s*Total time\b", re.IGNORECASE)
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


_SPLIT = r"(?:^|-+>)\s*(train|valid|validation|test)"
PYTORCH = Style(
    "PyTorch",
    re.compile(_SPLIT + r"\s+epoch\s*:?\s*(\d+)\b", re.IGNORECASE),
    re.compile(r"-+>\s*(?:train|valid|test)[a-z]*(?!\s*,)", re.IGNORECASE),
)
FLUX = Style(
    "Flux",
    re.compile(_SPLIT + r"\s*,\s*epoch\s*:?\s*(\d+)\b", re.IGNORECASE),
    re.compile(r"-+>\s*(?:train|valid|test)[a-z]*\s*,", re.IGNORECASE),
)


class _Line(NamedTuple):
    number: int
    text: str
    split: str
    epoch: int
    loss: float | None
    accuracy: float | None
    percent: bool
    seconds: float | None
    ignored: frozenset[str]


def read_pytorch(content: bytes, options: Options) -> Reading:
    """Reads the lines of a PyTorch script."""
    return _read(content, options, PYTORCH)


def read_flux(content: bytes, options: Options) -> Reading:
    """Reads the lines of a Flux script."""
    return _read(content, options, FLUX)


def looks_pytorch(content: bytes) -> int:
    """The number of lines that begin like those of a PyTorch script."""
    return sum(bool(PYTORCH.begin.search(line)) for line in lines_of(content))


def looks_flux(content: bytes) -> int:
    """The number of lines that begin like those of a Flux script."""
    return sum(bool(FLUX.begin.search(line)) for line in lines_of(content))


def _read(content: bytes, options: Options, style: Style) -> Reading:
    lines = lines_of(content)
    reading = Reading(lines=len(lines), each=True, framework=style.framework)
    parsed: list[_Line] = []
    for number, text in enumerate(lines, 1):
        if style.begin.search(text):
            line = _line(number, text, style)
            if isinstance(line, str):
                reading.reject(number, line, text)
            else:
                parsed.append(line)
        elif _TOTAL.search(text):
            _total(reading, number, text)
        elif style.similar.search(text):
            reading.reject(number, "begins like a record but is not one", text)
        else:
            reading.ignored += 1
    _records(reading, parsed, options)
    return reading


def _line(number: int, text: str, style: Style) -> _Line | str:
    """The parts of a record, or the reason why it is malformed."""
    begins = list(style.begin.finditer(text))
    if len(begins) > 1:
        return "holds two records"
    begin, rest = begins[0], text[begins[0].end() :]
    entries: dict[str, tuple[str, bool]] = {}  # name -> number, whether it has a % sign
    ignored: set[str] = set()
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
    values = {name: number_of(text) for name, (text, _) in entries.items() if name != "time"}
    for name, value in values.items():
        if value is None:
            return f"its {name} is {entries[name][0]!r}, which is not a number"
    split = _SPLITS[begin[1].casefold()]
    percent = entries.get("accuracy", ("", False))[1]
    numbers = values.get("loss"), values.get("accuracy")
    return _Line(number, text, split, whole_number(begin[2]), *numbers, percent, seconds, frozenset(ignored))


def _total(reading: Reading, number: int, text: str) -> None:
    start = _TOTAL.search(text)
    assert start is not None
    rest = text[start.start() :].lstrip("-> ")
    named = {m[1].strip().casefold(): seconds_of(m[2]) for m in _ENTRY.finditer(rest)}
    totals = {entry: seconds for name, entry in _TOTALS.items() if (seconds := named.get(name)) is not None}
    if not totals:
        reading.reject(number, "a total without a number", text)
        return
    reading.totals |= totals
    reading.headings += 1
    reading.ended = True


def _records(reading: Reading, parsed: list[_Line], options: Options) -> None:
    first = min((line.epoch for line in parsed), default=1)
    shift = 1 if first == 0 else 0
    has_signs = any(line.percent for line in parsed)
    specified = options.accuracy or ("percent" if has_signs else "")
    divisor, unit = accuracy_unit((line.accuracy for line in parsed), specified)
    for line in parsed:
        values: dict[str, float | None] = {}
        if line.loss is not None:
            values[f"{line.split}_loss"] = finite(line.loss)
        if line.accuracy is not None:
            try:
                values[f"{line.split}_accuracy"] = fraction(line.accuracy, divisor)
            except ValueError as error:
                reading.reject(line.number, str(error), line.text)
                continue
        record = Record(epoch=line.epoch + shift, values=values)
        if line.split == "train":
            record.seconds = line.seconds
        else:
            record.evaluation = line.seconds
        reading.add(line.number, record, line.text)
    if any(line.accuracy is not None for line in parsed):
        reading.units["accuracy"] = unit
    reading.units["loss"] = "as the script defines it; the scale may differ from Assay's mean over the examples"
    reading.units["epoch"] = "finished epochs: the log counts from 0" if shift else "as the log counts them"
    reading.clock = "training alone, validation apart"  # stored: only equal clocks are ranked together
    reading.units["seconds"] = f"by {reading.framework}: the training of each epoch, without validation"
    if ignored := sorted({name for line in parsed for name in line.ignored}):
        reading.units["not taken"] = ", ".join(ignored)
