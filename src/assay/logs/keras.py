"""What Keras prints while it trains: `Epoch 1/10`, then a progress bar or one line with the means of the epoch."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from assay.logs.clocks import time_of
from assay.logs.columns import column_mapping, mapping_sentence
from assay.logs.lines import lines_of, number_of, plain_numbers
from assay.logs.log import QUANTITIES, Cell, Options, Reading, Row
from assay.logs.numerals import BEGIN, DECIMAL_COMMAS, commas_of, numeral, without_commas
from assay.logs.rows import finish

_EPOCH = re.compile(r"\s*Epoch\s+(\d{1,9})\s*/\s*(\d{1,9})\s*")
_BAR = re.compile(r"\s*(\d{1,12})/(\d{1,12}|Unknown)(?=\s)([^A-Za-z0-9]*)")
_METRIC = re.compile(r"([A-Za-z_][\w/ -]{0,80}?)\s*:\s*(\S.{0,200})")
_PARTS = re.compile(r"\s+-\s+|(?<=\d)\s+-?(?=[A-Za-z_][\w/ -]{0,80}:)")
_PER = re.compile(r"(?:us|ms|s|µs)/(step|sample|epoch)")
_RATE = re.compile(r"\s*\d[\d.]{0,12}\s*(?:us|ms|s|µs)/(?:step|sample|epoch)\s*")


class _Bar(NamedTuple):
    total: int
    bar: bool
    seconds: float | None
    unit: str
    values: dict[str, str]


def looks_keras(content: bytes) -> int:
    """The number of complete bars that follow the heading of an epoch."""
    count, heading = 0, False
    for text in lines_of(content):
        if _EPOCH.fullmatch(text):
            heading = True
        elif heading and _BAR.match(_last_state(text)) and "loss" in text:
            count, heading = count + 1, False
    return count


def read_keras(content: bytes, options: Options) -> Reading:
    """Reads the last state of each epoch's bar; the bar of a later `evaluate` is ignored."""
    lines = lines_of(content)
    reading = Reading(lines=len(lines), framework="Keras", each=True, clocked=True)
    epoch, interrupted, evaluations = 0, 0, 0
    bars: list[tuple[int, str, int, _Bar]] = []
    open_epoch = partial = False
    for number, text in enumerate(lines, 1):
        if match := _EPOCH.fullmatch(text):
            interrupted += open_epoch and partial
            epoch, open_epoch, partial = int(match[1]), True, False
            reading.headings += 1
            continue
        state = plain_numbers(_last_state(text))
        bar = _bar(state)
        if bar is None or not epoch:
            partial |= bool(_BAR.match(state))
            reading.ignored += 1
        elif open_epoch:
            bars.append((number, state, epoch, bar))
            open_epoch, partial = False, False
        elif _goes_on(bars[-1][3], bar) and bars[-1][2] == epoch and not partial:
            bars[-1] = number, state, epoch, bar  # the same bar, with what validation added
            reading.ignored += 1
        else:
            evaluations += 1
            reading.ignored += 1
    _records(reading, bars, options)
    if open_epoch and partial:
        reading.notes.append(f"epoch {epoch} was not finished; it is left out")
    elif bars and interrupted:
        reading.notes.append(f"{interrupted} epochs were not finished; they are left out")
    if evaluations:
        reading.notes.append("bars after the end of an epoch, as evaluate and predict print them, are ignored")
    return reading


def _last_state(text: str) -> str:
    """The text after the last backspace: a bar is redrawn over itself."""
    if "\x08" not in text:
        return text
    states = [state for state in text.split("\x08") if state.strip()]
    return states[-1] if states else ""


def _bar(text: str) -> _Bar | None:
    """A bar that is complete; None for any other line."""
    match = _BAR.match(text)
    if match is None or match[1] != match[2]:
        return None
    values: dict[str, str] = {}
    seconds: float | None = None
    unit = ""
    drawn = any(mark in match[3] for mark in "[=━.>]")
    for part in _PARTS.split(text[match.end() :].strip(" -")):
        if per := _PER.search(part):
            unit = per[1] if per[1] != "epoch" else unit
        metric = _METRIC.fullmatch(part)
        if metric and metric[1] == "ETA":
            continue
        if metric and BEGIN.match(metric[2]):
            values[metric[1]] = metric[2].strip()
        elif seconds is None and not _RATE.fullmatch(part):
            begin = BEGIN.match(part)
            time = time_of(numeral(part, begin, time=True).cell) if begin else None
            seconds = time.seconds if time else None
    return _Bar(int(match[2]), drawn, seconds, unit, values) if values else None


def _goes_on(before: _Bar, bar: _Bar) -> bool:
    return before.bar and bar.bar and before.total == bar.total and set(before.values) <= set(bar.values)


def _records(reading: Reading, bars: list[tuple[int, str, int, _Bar]], options: Options) -> None:
    names = [name for *_, bar in bars for name in bar.values]
    counts = Counter(names)
    mapping = column_mapping(names, options.columns, what="metric", counts=counts)
    mapping = {target: name for target, name in mapping.items() if target in QUANTITIES}
    steps = all(bar.unit == "step" for *_, bar in bars)
    zeros = any(bar.seconds == 0 for *_, bar in bars)
    cells = ((bar.values.get(name, ""), t.endswith("accuracy")) for *_, bar in bars for t, name in mapping.items())
    commas = commas_of(cells, decimal=False)
    if commas == "decimal":
        reading.notes.append(DECIMAL_COMMAS)
    rows: list[Row] = []
    for number, text, epoch, bar in bars:
        row = Row(number, text, epoch=epoch, iteration=epoch * bar.total if steps else None)
        row.seconds = None if zeros else bar.seconds
        wrong = ""
        for target, name in mapping.items():
            cell = without_commas(bar.values.get(name, ""), commas)
            value = number_of(cell)
            if value is not None:
                row.values[target] = Cell(value)
            elif cell:
                wrong = f"its {target.replace('_', ' ')} is {cell[:30]!r}, which is not a number"
        if wrong:
            reading.reject(number, wrong, text)
        else:
            rows.append(row)
    if bars:
        reading.units["columns"] = mapping_sentence(mapping)
        reading.units["training"] = "means over the epoch while the weights change, not of its end"
    if steps and bars:
        reading.units["iterations"] = f"{bars[-1][3].total:,} per epoch, by the progress bar"
    if any(row.seconds is not None for row in rows):
        reading.clock = "each epoch in whole seconds, validation included"  # stored: only equal clocks are ranked
        reading.units["seconds"] = "by Keras: of each epoch, rounded to whole seconds, validation included"
    elif zeros:
        reading.notes.append("the seconds are not read: Keras rounds them to whole seconds, and some epochs took 0")
    finish(reading, rows, options, source="a log")
