"""The tables of a bundle, trials, curves and members, as CSV or Parquet; read back with every cell of its type."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from assay.report.text import csv_cell, from_csv_cell
from assay.store.curves import ALWAYS, POINT, WHOLE
from assay.store.incoming import PREFIX
from assay.store.records import dumped
from assay.store.rows import bounds_of
from assay.store.schema import member, result, trial
from assay.system.limits import BUNDLE_MEMBERS, BUNDLE_POINTS, BUNDLE_TRIALS, Limit

Row = dict[str, Any]
_LOCAL = ("created", "error", "stale", "artifact", "curve")
"""Columns of a store that say nothing of a trial, or that a table of their own holds."""
_TRIAL = {c.name: c for c in trial.columns if c.name not in _LOCAL}
_RESULT = {c.name: c for c in result.columns if c.name not in (*_LOCAL, "trial")}
TRIALS = {name: bounds_of(column)[0] for name, column in (_TRIAL | _RESULT).items()}
"""The columns of trials with the types of their cells, any of which may be missing."""
MEMBERS: dict[str, type] = {"study": str} | {c.name: bounds_of(c)[0] for c in member.columns if c.name != "study"}
CURVES: dict[str, type] = {"trial": str} | {name: int if name in WHOLE else float for name in POINT}
TABLES = {"trials": TRIALS, "members": MEMBERS, "curves": CURVES}
MOST = {"trials": BUNDLE_TRIALS, "members": BUNDLE_MEMBERS, "curves": BUNDLE_POINTS}
"""The limit of each table's rows."""
_NEEDS_TEXT = {c.name for c in (*_TRIAL.values(), *_RESULT.values()) if not c.nullable} | {
    "study",
    "label",
    "axis_values",
}
_WHOLE = re.compile(r"-?\d{1,19}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?|-?\.\d+")
_MOST_CELL = 2**28  # characters


# --- rows of a store as rows of tables -------------------------------------------------------------------------------


def trial_row(row: Mapping[str, Any]) -> Row:
    """The row of a table of trials, from columns of a trial and `result_` columns of its result."""
    return {name: row[name] for name in _TRIAL} | {name: row[PREFIX + name] for name in _RESULT}


def stored_row(row: Mapping[str, Any], curve: str | None) -> Row:
    """The row of a trial with its result as a store takes it, from one of a table. Raises: KeyError."""
    has_end = row["outcome"] is not None
    ended = {PREFIX + name: row[name] for name in _RESULT} if has_end else dict.fromkeys(PREFIX + n for n in _RESULT)
    rest = {"trial": row["key"] if has_end else None, "error": None, "stale": False, "artifact": None, "curve": curve}
    return {name: row[name] for name in _TRIAL} | {"created": 0.0} | ended | {PREFIX + n: v for n, v in rest.items()}


def points_of(key: str, columns: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
    """The rows of a table of curves for a trial, from the lists of its curve."""
    count = len(columns.get("iteration", ()))
    for number in range(count):
        yield {"trial": key} | {name: columns[name][number] if name in columns else None for name in POINT}


def curves_by_trial(rows: Iterable[Row]) -> dict[str, str]:
    """Curves as JSON, by the key of their trial. Raises: ValueError where the points of one are not together."""
    curves: dict[str, str] = {}
    for key, points in groupby(rows, key=lambda row: row["trial"]):
        if key in curves:
            raise ValueError(f"the points of trial {str(key)[:8]} are not together")
        given = list(points)
        columns = {name: [point[name] for point in given] for name in POINT}
        kept = {
            name: values for name, values in columns.items() if name in ALWAYS or any(v is not None for v in values)
        }
        curves[str(key)] = dumped(kept)
    return curves


# --- files -----------------------------------------------------------------------------------------------------------


def written(rows: Sequence[Row], columns: Mapping[str, type], *, parquet: bool) -> bytes:
    """A table as the content of a file."""
    return _as_parquet(rows, columns) if parquet else _as_csv(rows, columns)


def read(content: bytes, columns: Mapping[str, type], *, parquet: bool, most: Limit) -> list[Row]:
    """The rows of a table in a file. Raises: ValueError with the first cell that is wrong, or for too many rows."""
    rows = _from_parquet(content, columns) if parquet else _from_csv(content, columns)
    some = list(islice(rows, most.most + 1))
    if len(some) > most.most:
        raise ValueError(f"has more than {most}")
    return some


def _as_csv(rows: Iterable[Row], columns: Mapping[str, type]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return csv_cell(value) if isinstance(value, str) else repr(value)


def _from_csv(content: bytes, columns: Mapping[str, type]) -> Iterator[Row]:
    before = csv.field_size_limit(_MOST_CELL)
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        header = next(reader, [])
        if header != list(columns):
            odd = sorted(set(header) ^ set(columns))
            raise ValueError(f"its columns are not those of this format: {', '.join(odd)[:200] or 'another order'}")
        names = list(columns.items())
        for number, cells in enumerate(reader, 2):
            if len(cells) != len(names):
                raise ValueError(f"line {number:,} has {len(cells):,} cells; expected {len(names)}")
            yield {name: _value(cell, kind, name, number) for (name, kind), cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise ValueError(f"not a CSV file: {error}") from None
    finally:
        csv.field_size_limit(before)


def _value(cell: str, kind: type, name: str, line: int) -> Any:
    if not cell:
        return "" if kind is str and name in _NEEDS_TEXT else None
    if kind is str:
        return from_csv_cell(cell)
    value = _PARSED[kind](cell)
    if value is None:
        raise ValueError(f"line {line:,}: {name}: got {cell[:40]!r}; expected {_EXPECTED[kind]}")
    return value


_PARSED: dict[type, Callable[[str], Any]] = {
    int: lambda cell: int(cell) if _WHOLE.fullmatch(cell) else None,
    float: lambda cell: float(cell) if _NUMBER.fullmatch(cell) else None,
    bool: {"true": True, "false": False}.get,
}
_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false"}


def _as_parquet(rows: Sequence[Row], columns: Mapping[str, type]) -> bytes:
    from assay.store.parquet import TableWriter

    writer = TableWriter(columns)
    writer.add({name: [row[name] for row in rows] for name in columns})
    with tempfile.TemporaryDirectory(prefix="assay-bundle-") as folder:
        path = Path(folder) / "table.parquet"
        writer.write(path)
        return path.read_bytes()


def _from_parquet(content: bytes, columns: Mapping[str, type]) -> Iterator[Row]:
    from assay.store.parquet import trial_rows

    with tempfile.TemporaryDirectory(prefix="assay-bundle-") as folder:
        path = Path(folder) / "table.parquet"
        path.write_bytes(content)
        for number, row in enumerate(trial_rows(path), 1):
            if set(row) != set(columns):
                raise ValueError("its columns are not those of this format")
            for name, kind in columns.items():
                if row[name] is not None and type(row[name]) is not kind:
                    raise ValueError(f"row {number:,}: {name}: got {row[name]!r:.40}; expected {kind.__name__}")
            yield row
