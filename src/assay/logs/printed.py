"""The lines that scripts for PyTorch and Flux print after each epoch: training and validation, each with its time.

PyTorch's are `--->Train epoch 0, loss: 0.5, time: 1.2`, Flux's `--->Train, epoch: 1, loss: 0.5, time: 1.2`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from assay.logs.lines import NUMBER, accuracy_unit, finite, fraction, lines_of, number_of, seconds_of
from assay.logs.log import Options, Reading, Record

_ENTRY = re.compile(rf",?\s*([A-Za-z][A-Za-z ]*?)\s*[:=]\s*({NUMBER}|\d+(?::\d+)+(?:\.\d+)?)\s*(%|s\b)?")
_TOTAL = re.compile(r"-+>\s*Total time\b", re.IGNORECASE)
_TOTALS = {"total time": "wall", "training time": "train", "validation time": "evaluate"}
_SPLITS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}
_NAMES = {"loss": "loss", "acc": "accuracy", "accuracy": "accuracy", "time": "time"}


class Manner(NamedTuple):
    """How a framework's scripts print: the beginning of a record, and what every such beginning has in common."""

    framework: str
    begin: re.Pattern[str]
    like: re.Pattern[str]


_WHO = r"(?:^|-+>)\s*(train|valid|validation|test)"
PYTORCH = Manner(
    "PyTorch",
    re.compile(_WHO + r"\s+epoch\s*:?\s*(\d+)\b", re.IGNORECASE),
    re.compile(r"-+>\s*(?:train|valid|test)[a-z]*(?!\s*,)", re.IGNORECASE),
)
FLUX = Manner(
    "Flux",
    re.compile(_WHO + r"\s*,\s*epoch\s*:?\s*(\d+)\b", re.IGNORECASE),
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
    """The lines of a PyTorch script."""
    return _read(content, options, PYTORCH)


def read_flux(content: bytes, options: Options) -> Reading:
    """The lines of a Flux script."""
    return _read(content, options, FLUX)


def looks_pytorch(content: bytes) -> int:
    """How many lines begin as those of a PyTorch script."""
    return sum(bool(PYTORCH.begin.search(line)) for line in lines_of(content))


def looks_flux(content: bytes) -> int:
    """How many lines begin as those of a Flux script."""
    return sum(bool(FLUX.begin.search(line)) for line in lines_of(content))


def _read(content: bytes, options: Options, manner: Manner) -> Reading:
    lines = lines_of(content)
    reading = Reading(lines=len(lines), each=True, framework=manner.framework)
    parsed: list[_Line] = []
    for number, text in enumerate(lines, 1):
        if manner.begin.search(text):
            line = _line(number, text, manner)
            if isinstance(line, str):
                reading.wrong(number, line, text)
            else:
                parsed.append(line)
        elif _TOTAL.search(text):
            _total(reading, number, text)
        elif manner.like.search(text):
            reading.wrong(number, "begins as a record and does not go on as one", text)
        else:
            reading.apart += 1
    _records(reading, parsed, options)
    return reading


def _line(number: int, text: str, manner: Manner) -> _Line | str:
    """A record's line in parts, or why it is none."""
    begins = list(manner.begin.finditer(text))
    if len(begins) > 1:
        return "holds two records"
    begin, rest = begins[0], text[begins[0].end() :]
    found: dict[str, tuple[str, bool]] = {}
    ignored: set[str] = set()
    at = 0
    while match := _ENTRY.match(rest, at):
        name = _NAMES.get(match[1].casefold())
        if name is None:
            ignored.add(match[1])
        elif name in found:
            return f"has its {name} twice"
        else:
            found[name] = match[2], match[3] == "%"
        at = match.end()
    if rest[at:].strip(" ,."):
        return f"cannot be read from {rest[at:].strip()[:20]!r} on"
    if not found:
        return "has neither a loss nor an accuracy nor a time"
    seconds = seconds_of(found["time"][0]) if "time" in found else None
    if "time" in found and seconds is None:
        return f"its time is {found['time'][0]}"
    values = {name: number_of(text) for name, (text, _) in found.items() if name != "time"}
    for name, value in values.items():
        if value is None:
            return f"its {name} is {found[name][0]!r}, which is no number"
    split = _SPLITS[begin[1].casefold()]
    percent = found.get("accuracy", ("", False))[1]
    numbers = values.get("loss"), values.get("accuracy")
    return _Line(number, text, split, int(begin[2]), *numbers, percent, seconds, frozenset(ignored))


def _total(reading: Reading, number: int, text: str) -> None:
    start = _TOTAL.search(text)
    assert start is not None
    rest = text[start.start() :].lstrip("-> ")
    found = {m[1].strip().casefold(): seconds_of(m[2]) for m in _ENTRY.finditer(rest)}
    told = {entry: seconds for name, entry in _TOTALS.items() if (seconds := found.get(name)) is not None}
    if not told:
        reading.wrong(number, "a total without a number", text)
        return
    reading.totals |= told
    reading.headings += 1
    reading.ended = True


def _records(reading: Reading, parsed: list[_Line], options: Options) -> None:
    first = min((line.epoch for line in parsed), default=1)
    shift = 1 if first == 0 else 0
    percents = any(line.percent for line in parsed)
    asked = options.accuracy or ("percent" if percents else "")
    divisor, unit = accuracy_unit((line.accuracy for line in parsed), asked)
    for line in parsed:
        values: dict[str, float | None] = {}
        if line.loss is not None:
            values[f"{line.split}_loss"] = finite(line.loss)
        if line.accuracy is not None:
            try:
                values[f"{line.split}_accuracy"] = fraction(line.accuracy, divisor)
            except ValueError as error:
                reading.wrong(line.number, str(error), line.text)
                continue
        record = Record(epoch=line.epoch + shift, values=values)
        if line.split == "train":
            record.seconds = line.seconds
        else:
            record.evaluation = line.seconds
        reading.add(line.number, record, line.text)
    if any(line.accuracy is not None for line in parsed):
        reading.units["accuracy"] = unit
    reading.units["loss"] = "as the script defines it; it may be scaled otherwise than Assay's mean over the examples"
    reading.units["epoch"] = "epochs that are done: the log counts from 0" if shift else "as the log counts them"
    reading.clock = "training alone, validation apart"
    reading.units["seconds"] = f"{reading.framework}'s own: the training of each epoch, validation apart"
    if ignored := sorted({name for line in parsed for name in line.ignored}):
        reading.units["not taken"] = ", ".join(ignored)
