"""Tables with a header: cells between commas, semicolons, tabs, bars or spaces; columns by usual names or as specified.

The exports of TensorBoard, Weights & Biases and MLflow are tables too: theirs are rearranged before they are read.
"""

from __future__ import annotations

import csv
import re
from typing import NamedTuple

from assay.errors import AssayError
from assay.logs.columns import column_mapping, normalised
from assay.logs.lines import lines_of, number_of, plain_numbers, refuse_size
from assay.logs.log import QUANTITIES, Options, Reading
from assay.logs.tables import STEP_OF_WANDB, Line, read_rows

_SEPARATORS = ",;\t|"
_SEP = re.compile(r"\ufeff?\"?sep=(.)\"?", re.IGNORECASE)  # Excel's first line
_SPREAD = re.compile(r"__(?:MIN|MAX)$")
_TENSORBOARD = ["wall_time", "step", "value"]
_RUNS = 100
_KEYS = ("metric", "metric_name", "key", "tag", "name")


def _is_rule(text: str) -> bool:
    """Whether a line is what stands below the header of a printed table, such as |---|---|."""
    if not any(mark in text for mark in ("==", "--", "=-", "-=")):
        return False
    return not text.strip(" \t\r\n\x0b\x0c|+:=-") or not any(not c.isspace() and c not in "|+:=-" for c in text)


class _Table(NamedTuple):
    start: int
    header: list[str]
    separator: str


def looks_csv(content: bytes) -> int:
    """The number of lines, if the first one is a header with a step and a measured quantity."""
    lines = lines_of(content)
    table = _header(lines)
    if any(number_of(name) is not None for name in table.header):
        return 0
    names = [_metric(name) for name in table.header]
    known = column_mapping(names, {}, what="column")
    step = {"iteration", "epoch"} & set(known)
    if not step or not (set(QUANTITIES) & set(known) or _is_long(table.header) or _is_export(table.header)):
        return 0
    if table.separator == " " and not any(
        len(_row_cells(text, " ", len(table.header)) or []) == len(table.header)
        for text in lines[table.start + 1 : table.start + 4]
    ):
        return 0  # a sentence with these words
    return len(lines) - table.start


def header_of(content: bytes) -> list[str]:
    """The names in the first line that is neither empty nor a comment."""
    return _header(lines_of(content)).header


def _is_export(header: list[str]) -> bool:
    return [normalised(name) for name in header] == _TENSORBOARD


def _is_long(header: list[str]) -> bool:
    words = [normalised(name) for name in header]
    return "value" in words and any(key in words for key in _KEYS)


def read_csv(content: bytes, options: Options) -> Reading:
    """Reads the table; rows of the same step with different columns are joined. Raises: AssayError."""
    lines = lines_of(content)
    reading = Reading(lines=len(lines))
    start, header, separator = _header(lines)
    refuse_size(len(lines), columns=len(header))
    if len(set(header)) < len(header):
        header = _distinct(reading, header)
    rows: list[Line] = []
    boundary = False
    for number, written in enumerate(lines, 1):
        text = plain_numbers(written)
        cells = _row_cells(text, separator, len(header))
        if not text.strip() or text.lstrip().startswith("#") or number <= start:
            reading.ignored += 1
        elif number == start + 1 or cells == header:
            boundary = bool(rows)
            reading.headings += 1
        elif _is_rule(text):
            reading.headings += 1
        elif cells is None:
            reading.reject(number, "cannot be split", text)
        elif len(cells) != len(header):
            reading.reject(number, f"has {len(cells)} cells where the header has {len(header)}", text)
        else:
            rows.append(Line(number, text, dict(zip(header, cells, strict=True)), boundary))
            boundary = False
    if _is_export(header):
        reading.framework = "TensorBoard's export"
        _named_value(options)
    header, rows = _short(reading, header, rows, options)
    header, rows = _of_runs(reading, header, rows, options)
    read_rows(reading, header, rows, options, comma=separator != ",", source="a table")
    return reading


def _header(lines: list[str]) -> _Table:
    """The first line that is neither empty nor a comment: its position, its cells, and their separator."""
    specified = ""
    for position, text in enumerate(lines):
        if match := _SEP.fullmatch(text.strip()) if not specified else None:
            specified = match[1]
        elif text.strip() and not text.lstrip().startswith("#") and not _is_rule(text):
            separator = specified or _separator(text)
            return _Table(position, _cells(text, separator) or [], separator)
    return _Table(len(lines), [], ",")


def _separator(header: str) -> str:
    best = max(_SEPARATORS, key=header.count)
    return best if header.count(best) else " "


def _cells(text: str, separator: str) -> list[str] | None:
    if separator == " ":
        wide = re.split(r"\s{2,}", text.strip())
        return wide if len(wide) > 1 else text.split()
    if separator == "|":
        return [cell.strip() for cell in text.strip().strip("|").split("|")]
    try:
        rows = list(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return [cell.strip() for cell in rows[0]] if rows else []


def _row_cells(text: str, separator: str, columns: int) -> list[str] | None:
    """The cells of a row; pandas prints the number of a row before it, under no name."""
    cells = _cells(text, separator)
    if separator != " " or cells is None or len(cells) == columns:
        return cells
    words = text.split()
    numbered = len(words) == columns + 1 and words[0].isdigit()
    return words[1:] if numbered else words


def _distinct(reading: Reading, header: list[str]) -> list[str]:
    """The names with numbers on those that are repeated."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for name in header:
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    repeated = ", ".join(repr(name) for name, count in counts.items() if count > 1)
    reading.notes.append(f"the header has {repeated} more than once; the later ones are numbered")
    return names


# --- exports ---------------------------------------------------------------------------------------------------------


def _named_value(options: Options) -> None:
    if not set(QUANTITIES) & set(options.columns):
        raise AssayError(
            "this export of TensorBoard holds one quantity, in the column 'Value', and does not say which; "
            "such as --column validation_loss=Value"
        )


def _metric(name: str) -> str:
    """The name of a metric in the header of an export of Weights & Biases: "run - val_loss" is val_loss."""
    run, separator, metric = name.rpartition(" - ")
    return metric if separator and run else name


def _of_runs(reading: Reading, header: list[str], rows: list[Line], options: Options) -> tuple[list[str], list[Line]]:
    """The table of an export of Weights & Biases without the names of its runs; each run is a training."""
    if not any(_metric(name) != name for name in header) or set(options.columns.values()) & set(header):
        return header, rows
    reading.framework = "Weights & Biases' export"
    columns = [name for name in header if not _SPREAD.search(name)]
    runs = list(dict.fromkeys(name.rpartition(" - ")[0] for name in columns if _metric(name) != name))
    if len(runs) > _RUNS:
        raise AssayError(f"the table holds {len(runs):,} runs; export at most {_RUNS}")
    reading.notes.append(STEP_OF_WANDB.format("Step"))
    reading.names = runs if len(runs) > 1 else []
    lines: list[Line] = []
    for number, run in enumerate(runs):
        names = {name: _metric(name) for name in columns if _metric(name) == name or name.rpartition(" - ")[0] == run}
        for line in rows:
            cells = {names[n]: cell for n, cell in line.cells.items() if n in names}
            lines.append(line._replace(cells=cells, training=number))
    reading.lines += len(rows) * (len(runs) - 1)  # a line with the values of several runs is counted for each
    return list(dict.fromkeys(_metric(name) for name in columns)), lines


def _short(reading: Reading, header: list[str], rows: list[Line], options: Options) -> tuple[list[str], list[Line]]:
    """The table with one column per metric, of one with a column of their names and a column of values."""
    if not _is_long(header) or set(options.columns.values()) & {"value", "Value"}:
        return header, rows
    words = {normalised(name): name for name in header}
    key = next(words[name] for name in _KEYS if name in words)
    value = words["value"]
    metrics = list(dict.fromkeys(line.cells[key] for line in rows))
    reading.notes.append(f"the metrics are named in the column {key!r}, their values in {value!r}")
    run = next((words[name] for name in ("run_id", "run", "run_uuid") if name in words), None)
    runs = list(dict.fromkeys(line.cells[run] for line in rows)) if run else []
    if len(runs) > _RUNS:
        raise AssayError(f"the table holds {len(runs):,} runs; export at most {_RUNS}")
    reading.names = runs if len(runs) > 1 else []
    rows = sorted(rows, key=lambda line: runs.index(line.cells[run])) if run and len(runs) > 1 else rows
    others = [name for name in header if name not in (key, value, run)]
    return [*others, *metrics], [
        line._replace(
            cells={**{n: line.cells[n] for n in others}, line.cells[key]: line.cells[value]},
            training=runs.index(line.cells[run]) if run else 0,
        )
        for line in rows
    ]
