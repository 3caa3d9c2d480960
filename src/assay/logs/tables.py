"""Rows of named cells, from tables and from JSON: which cell is which quantity, and the numbers in them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from assay.errors import AssayError
from assay.logs.clocks import time_of
from assay.logs.columns import (
    SPLITS,
    column_mapping,
    is_bare,
    is_percent,
    mapping_sentence,
    meaning,
    normalised,
    placed,
    time_name,
)
from assay.logs.lines import number_of
from assay.logs.log import QUANTITIES, Cell, Options, Reading, Row
from assay.logs.numerals import DECIMAL_COMMAS, commas_of, is_open, without_commas, without_groups
from assay.logs.rows import finish

ABSENT = ("", "-", "--", "null", "none", "n/a", "na", "<na>", "no log")
STEP_OF_WANDB = (
    "{} is read as iterations; Weights & Biases counts calls of log unless the script gives a step "
    "(--steps epoch reads epochs)"
)
_SETS = ("mode", "phase", "split", "set", "subset", "stage", "dataset", "partition")
_RATIO = re.compile(r"(\d{1,15})\s*/\s*(\d{1,15})")
_COUNTS = ("iteration", "epoch", "examples")


class Line(NamedTuple):
    """One row of a table.

    Attributes:
        number: of the line, from 1.
        text: of the line.
        cells: by the name of their column.
        boundary: see `Row`, as for the attributes below.
    """

    number: int
    text: str
    cells: Mapping[str, str]
    boundary: bool = False
    training: int = 0
    batches: int | None = None
    within: tuple[int, int] | None = None


def mapping_of(names: Sequence[str], lines: Sequence[Line], options: Options) -> tuple[dict[str, str], str]:
    """The column of each quantity and a note on it. Raises: AssayError where it is not one of the columns."""
    counts = dict.fromkeys(names, 0)
    for line in lines:
        for name, cell in line.cells.items():
            if cell.casefold() not in ABSENT and name in counts:
                counts[name] += 1
    mapping = column_mapping(names, options.columns, what="column", counts=counts, split=options.split)
    return placed(mapping, options.columns)


def read_rows(
    reading: Reading, names: Sequence[str], lines: Sequence[Line], options: Options, *, comma: bool, source: str
) -> None:
    """Adds the records of the lines to the reading.

    Args:
        reading: of the file so far.
        names: of the columns.
        lines: in the order of the file.
        options: of the user.
        comma: whether a comma is a decimal point where no number has a point, as in a table without commas between
            its cells; otherwise the numbers decide, and one that may be of either kind is malformed.
        source: what is read, such as "a table".

    Raises: AssayError where no column is a step or a measured quantity.
    """
    if not options.columns:
        names, lines = _by_set(reading, names, lines)
    mapping, note = mapping_of(names, lines, options)
    named = column_mapping(names, options.columns, what="column", split=options.split)
    if set(QUANTITIES) & set(named) and not set(QUANTITIES) & set(mapping):
        empty = [name for target, name in named.items() if target in QUANTITIES]
        raise AssayError(f"no value stands in {' or '.join(map(repr, empty))}")
    if not {"iteration", "epoch"} & set(mapping) or not set(QUANTITIES) & set(mapping):
        raise AssayError(
            f"the columns are {', '.join(map(repr, names[:20])) or 'none'}; expected a step and a measured quantity, "
            "such as --column epoch=N --column test_accuracy=NAME"
        )
    if note:
        reading.notes.append(note)
    commas = _commas(lines, mapping, decimal=comma)
    if commas == "decimal" and not comma:
        reading.notes.append(DECIMAL_COMMAS)
    _drop_unreadable(reading, mapping, lines, commas)
    clock = time_name(mapping.get("seconds", "")) if "seconds" in mapping else None
    signed = frozenset(t for t, name in mapping.items() if t.endswith("accuracy") and is_percent(name))
    rows: list[Row] = []
    for line in lines:
        cells = {target: line.cells[name] for target, name in mapping.items() if name in line.cells}
        if not cells:
            reading.ignored += 1
            continue
        row = _row(line, cells, commas=commas, factor=clock.factor if clock else 1.0, signed=signed)
        if isinstance(row, str):
            reading.reject(line.number, row, line.text)
        else:
            rows.append(row)
    reading.units["columns"] = mapping_sentence(mapping)
    _notes(reading, names, mapping)
    if clock and clock.factor != 1.0:
        reading.notes.append(f"the times in {mapping['seconds']!r} are multiplied by {clock.factor:g} to give seconds")
    _note_consecutive(reading, mapping, rows, options)
    kind = clock.kind if clock else ""
    finish(reading, rows, options, named=kind, name=mapping.get("seconds", "seconds"), source=source)


def _commas(lines: Sequence[Line], mapping: Mapping[str, str], *, decimal: bool) -> str:
    """What a comma between digits is, see `commas_of`."""
    measured = [(name, target.endswith("accuracy")) for target, name in mapping.items() if target not in _COUNTS]
    cells = ((line.cells[name], accuracy) for name, accuracy in measured for line in lines if name in line.cells)
    return commas_of(cells, decimal=decimal)


def _without_commas(cell: str, target: str, commas: str) -> str:
    if target not in _COUNTS:
        return without_commas(cell, commas)
    if commas in ("", "thousands"):
        return without_groups(cell)  # a count of 1,000 is no number with three decimals
    return cell if is_open(cell) else without_commas(cell, commas)


def _by_set(reading: Reading, names: Sequence[str], lines: Sequence[Line]) -> tuple[Sequence[str], Sequence[Line]]:
    """The lines with the set of examples in the names, where a column such as `phase` says it."""
    for column in names:
        cells = [line.cells.get(column, "").casefold() for line in lines]
        if normalised(column) not in _SETS or not lines or not {cell for cell in cells if cell} <= set(SPLITS):
            continue
        reading.notes.append(f"the set of examples is named in the column {column!r}")
        rows = [
            line._replace(cells={_of_set(name, cell): value for name, value in line.cells.items() if name != column})
            for line, cell in zip(lines, cells, strict=True)
        ]
        return list(dict.fromkeys(name for row in rows for name in row.cells)), rows
    return names, lines


def _of_set(name: str, cell: str) -> str:
    known = meaning(name)
    measured = known is not None and (known[0] in QUANTITIES or (known[0] == "seconds" and SPLITS.get(cell) != "train"))
    return f"{cell} {name}" if cell and measured and is_bare(name) else name


def _notes(reading: Reading, names: Sequence[str], mapping: Mapping[str, str]) -> None:
    if mapping.get("iteration") == "_step":
        reading.notes.append(STEP_OF_WANDB.format("_step"))
    if unused := [name for name in names if name not in mapping.values()]:
        reading.units["not taken"] = ", ".join(unused)[:500]


def _note_consecutive(reading: Reading, mapping: Mapping[str, str], rows: Sequence[Row], options: Options) -> None:
    """Adds a note where a column `step` counts 0, 1, 2, ..., as many loops count their epochs."""
    name = mapping.get("iteration", "")
    if (
        options.steps
        or "iteration" in options.columns
        or "epoch" in mapping
        or normalised(name) not in ("step", "steps")
    ):
        return
    steps = sorted({row.iteration for row in rows if row.iteration is not None})
    if len(steps) > 1 and all(after - before == 1 for before, after in pairwise(steps)):
        counts = ", ".join(f"{step:g}" for step in steps[:3])
        reading.notes.append(f"{name!r} counts {counts}, ...: read as iterations (--steps epoch reads epochs)")


def _drop_unreadable(reading: Reading, mapping: dict[str, str], lines: Sequence[Line], commas: str) -> None:
    """Takes the seconds out of the mapping where not one of their cells is a time."""
    name = mapping.get("seconds")
    written = [cell for line in lines if (cell := line.cells.get(name or "", "").strip()).casefold() not in ABSENT]
    if name and written and not any(time_of(without_commas(cell, commas)) for cell in written):
        del mapping["seconds"]
        reading.notes.append(
            f"the times in {name!r} are not read: {written[0][:40]!r} is not a time such as 12.5, 0:01:30 or "
            "2024-05-01 12:00:00"
        )


def _row(line: Line, cells: Mapping[str, str], *, commas: str, factor: float, signed: frozenset[str]) -> Row | str:
    """The numbers of a line, or the reason why it is malformed. An empty cell gives no number.

    `signed` are the accuracies whose column says that they are percent.
    """
    row = Row(line.number, line.text, boundary=line.boundary, training=line.training)
    row.batches, row.within = line.batches, line.within
    for target, written in cells.items():
        cell = written.strip()
        if cell.casefold() in ABSENT:
            continue
        cell = _without_commas(cell, target, commas)
        if target == "seconds":
            time = time_of(cell, factor)
            if time is None:
                return f"its seconds are {cell[:30]!r}, which is not a time"
            row.seconds, row.stamp = time
            continue
        if target.endswith("accuracy") and (ratio := _RATIO.fullmatch(cell)):
            if int(ratio[2]) == 0:
                return f"its {target.replace('_', ' ')} is {cell[:30]!r}"
            row.values[target] = Cell(int(ratio[1]) / int(ratio[2]), "1")
            continue
        percent = cell.endswith("%") and target.endswith("accuracy")
        value = number_of(cell.rstrip("% ") if percent else cell)
        if value is None:
            what = "which may have a decimal comma or one of thousands" if is_open(cell) else "which is not a number"
            return f"its {target.replace('_', ' ')} is {cell[:30]!r}, {what}"
        if target in _COUNTS:
            if not math.isfinite(value) or not 0 <= value < 1e15 or (target != "epoch" and value != int(value)):
                return f"its {target} is {cell[:30]!r}"
            setattr(row, target, value)
        else:
            row.values[target] = Cell(value, "%" if percent or target in signed else "")
    return row if row.epoch is not None or row.iteration is not None else "has no step"
