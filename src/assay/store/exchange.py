"""Export and import: a folder of Parquet and JSON files, readable by other programs and by another store.

- trials.parquet: one row per trial with its result; recipe, curve and ledger are JSON.
- curves.parquet: one row per point.
- studies.json: definitions and members.
- machines.json: the machines that the trials were timed on.
- imported.json: imported curves, each with the name of its study.
- benches.json: benches as they are stored.
- artifacts/: weights, if requested.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assay.engines import ENGINES
from assay.errors import FileError, StoreError, to_install
from assay.store import benches
from assay.store.artifacts import name_of
from assay.store.columns import wrong_rows
from assay.store.consistency import contradictions
from assay.store.curve_batches import last_points, packed_texts, texts
from assay.store.curves import POINT, WHOLE, CurveError, load, text_of
from assay.store.database import chunks
from assay.store.imported import history_of, refuse_taken
from assay.store.integrity import Show, silent
from assay.store.parquet import TableWriter, batched, repeated, rows_of, trial_rows
from assay.store.queries import study_definition
from assay.store.records import stored_machine
from assay.store.rows import bounds_of, check_row
from assay.store.schema import ADDED, VERSION, bench, imported, machine, member, result, study, trajectory, trial
from assay.store.store import Store
from assay.system.files import read_limited, write_atomically
from assay.system.limits import EXPORT_JSON_BYTES, WEIGHTS_BYTES

FORMAT = 1
_PREFIX = "result_"
_ROWS = 2000  # checked and inserted at once
_CURVE = _PREFIX + "curve"
_STORED = (*trial.columns, *result.columns)
_OF_POINTS = {"trial": str} | {name: int if name in WHOLE else float for name in POINT}


def export(store: Store, folder: Path, *, study_name: str = "", artifacts: bool = False, show: Show = silent) -> int:
    """Writes all trials with the benches, or the trials of a study, with their results; returns their number.

    `artifacts`: whether to write the weights too. Raises: StoreError, FileError.
    """
    _needs_pyarrow()
    where = []
    if study_name:
        number = study_definition(store.database, study_name)["id"]
        where.append(trial.c.key.in_(sa.select(member.c.trial).where(member.c.study == number)))
    columns = [*trial.columns, *(c.label(_PREFIX + c.name) for c in result.columns)]
    query = sa.select(*columns).join(result, result.c.trial == trial.c.key, isouter=True).where(*where)
    points = TableWriter(_OF_POINTS)
    count, kept = 0, set[str]()
    with store.database.read() as connection:
        present = connection.execute(query.with_only_columns(*map(sa.func.count, _STORED))).one()
        total = present[0]  # of the keys
        kinds = {c.key: str if c.key == _CURVE else bounds_of(of)[0] for c, of in zip(columns, _STORED, strict=True)}
        trials = TableWriter(
            {name: kind if n else None for (name, kind), n in zip(kinds.items(), present, strict=True)}
        )
        found = connection.execution_options(yield_per=_ROWS).execute(query.order_by(trial.c.created))
        for rows in found.partitions():
            show("trials", count, int(total))
            cells = dict(zip([column.key for column in columns], zip(*rows, strict=True), strict=True))
            points.add(_points(cells))
            trials.add(cells)
            count += len(rows)
            kept |= {name for name in cells[_PREFIX + "artifact"] if name is not None}
        studies = _rows(connection, sa.select(study))
        curves = _rows(connection, sa.select(imported).order_by(imported.c.key))
        members = _rows(connection, sa.select(member).order_by(*member.primary_key))
        machines = _rows(connection, sa.select(machine))
        bench_rows = _rows(connection, sa.select(bench).order_by(bench.c.created))
    if study_name:
        studies = [row for row in studies if row["name"] == study_name]
    names = {row["id"]: row["name"] for row in studies}
    curves = [
        row | {"study": names[row["study"]], "curve": _curve_text(row["curve"])}
        for row in curves
        if row["study"] in names
    ]
    for row in studies:
        row["members"] = [m for m in members if m["study"] == row["id"]]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        show("files", count, count)
        trials.write(folder / "trials.parquet")
        points.write(folder / "curves.parquet")
        about = {"format": FORMAT, "schema": VERSION, "studies": studies}
        write_atomically(folder / "studies.json", json.dumps(about, indent=1).encode())
        write_atomically(folder / "imported.json", json.dumps(curves, indent=1).encode())
        write_atomically(folder / "machines.json", json.dumps(machines, indent=1).encode())
        if not study_name:
            write_atomically(folder / "benches.json", json.dumps(bench_rows, indent=1).encode())
        if artifacts:
            (folder / "artifacts").mkdir(exist_ok=True)
            for name in kept:
                write_atomically(folder / "artifacts" / name, store.artifacts.get(name))
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return count


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _curve_text(cell: Any) -> str:
    """A curve as JSON; what is no curve as the text that it was, so that a damaged trial hides no other one."""
    try:
        return text_of(cell)
    except ValueError:
        return cell.hex() if isinstance(cell, bytes) else str(cell)


def _points(cells: dict[str, Any]) -> dict[str, Any]:
    """The points of the curves of exported trials that can be read; makes JSON of the curves in `cells`."""
    import numpy as np

    given = [(number, cell) for number, cell in enumerate(cells[_CURVE]) if cell is not None]
    curves = load(cell for _, cell in given)
    written = texts([cell for _, cell in given], curves)
    as_json: list[str | None] = [None] * len(cells[_CURVE])
    for (number, cell), text in zip(given, written, strict=True):
        as_json[number] = _curve_text(cell) if text is None else text
    cells[_CURVE] = as_json
    columns: dict[str, Any] = {"trial": repeated([cells["key"][number] for number, _ in given], curves.counts)}
    absent = np.full(int(curves.counts.sum()), np.nan)
    for name in POINT:
        values, gaps = curves.columns.get(name, absent), curves.missing.get(name)
        columns[name] = values if gaps is None else np.where(gaps, np.nan, values)
    return columns


@dataclass(frozen=True)
class _Portion:
    """Checked trials of an export and the results that they have, as tuples of cells: dictionaries take five times as
    much memory."""

    planned: list[tuple[Any, ...]]
    ended: list[tuple[Any, ...]]

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of the trials and those of the results."""
        of_trial, of_result = trial.columns.keys(), result.columns.keys()
        planned = [dict(zip(of_trial, cells, strict=True)) for cells in self.planned]
        return planned, [dict(zip(of_result, cells, strict=True)) for cells in self.ended]


_ARTIFACT = result.columns.keys().index("artifact")


@dataclass(frozen=True)
class _Export:
    """The checked rows of an exported folder."""

    machines: dict[str, dict[str, str]]
    trials: list[_Portion]
    benches: list[dict[str, Any]]
    studies: list[dict[str, Any]]
    curves: list[dict[str, Any]]


def read_back(store: Store, folder: Path, show: Show = silent) -> tuple[int, int]:
    """Adds what an export holds and the store lacks.

    Every row is checked, because the folder is untrusted.

    Returns:
        The number of results and curves added, and of those that existed already.

    Raises: FileError, with the first row that cannot be read.
    """
    _needs_pyarrow()
    export = _read(folder, show)
    artifacts = _artifacts_in(folder / "artifacts")
    added = 0
    hashes = {exported: row["hash"] for exported, row in export.machines.items()}
    total = sum(len(portion.planned) for portion in export.trials)
    for name in artifacts & {cells[_ARTIFACT] for portion in export.trials for cells in portion.ended}:
        store.artifacts.put((folder / "artifacts" / name).read_bytes())  # before the rows that refer to it
    with store.database.write() as connection:
        for row in export.machines.values():
            _insert_missing(connection, machine, row)
        for number, portion in enumerate(export.trials):
            show("trials stored", number * _ROWS, total)
            planned, ended = portion.rows()
            for row in ended:
                row["artifact"] = row["artifact"] if row["artifact"] in artifacts else None
                row["machine"] = hashes.get(row["machine"], row["machine"])
            starts = [{"key": row["trajectory"], "iteration": 0, "losses": 0} for row in planned]
            _insert_all_missing(connection, trajectory, starts)
            _insert_all_missing(connection, trial, planned)
            added += _insert_all_missing(connection, result, ended)
        for row in export.benches:
            _insert_missing(connection, bench, row | {"machine": hashes.get(row["machine"], row["machine"])})
        for row in export.studies:
            _add_study(connection, row)
        for row in export.curves:
            added += _add_curve(connection, row)
    return added, total + len(export.curves) - added


def _read(folder: Path, show: Show) -> _Export:
    """The content of an exported folder without its artifacts. Raises: FileError."""
    path = folder / "trials.parquet"
    if not path.is_file():
        raise FileError(f"{folder}: has no trials.parquet; expected a folder that `assay store export` wrote")
    try:
        about = _json_in(folder / "studies.json")
        machines = _machines_in(folder / "machines.json")
        curves = _checked_curves(folder / "imported.json")
        if about["format"] != FORMAT:
            raise FileError(f"{folder}: has format {about['format']}; this version reads format {FORMAT}")
        trials, keys, count = list[_Portion](), set[str](), rows_of(path)
        for number, rows in enumerate(batched(trial_rows(path), _ROWS)):
            show("trials read", number * _ROWS, count)
            trials.append(_checked(rows))
            for key, *_ in trials[-1].planned:
                if key in keys:
                    raise ValueError(f"trial {key[:8]}: is there twice")
                keys.add(key)
        studies = _checked_studies(about["studies"])
        return _Export(machines, trials, _checked_benches(folder / "benches.json"), studies, curves)
    except PermissionError as error:
        raise FileError(f"{folder}: cannot be read: permission denied: {str(error)[:200]}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{folder}: not an export of Assay, or damaged: {str(error)[:300]}") from None


def _checked(rows: Sequence[dict[str, Any]]) -> _Portion:
    """Some rows of an export, after every check. Raises: ValueError."""
    pairs = [_stored(row) for row in rows]
    planned, ended = [one for one, _ in pairs], [end for _, end in pairs if end is not None]
    _pack_curves("result", ended)
    for table, checked in (("trial", planned), ("result", ended)):
        for reason in wrong_rows(table, checked).values():
            raise ValueError(reason)
    last = dict(zip([end["trial"] for end in ended], last_points([end["curve"] for end in ended]), strict=True))
    for one, end in pairs:
        for sentence in contradictions(one, end, last.get(one["key"])):
            raise ValueError(f"trial {one['key'][:8]}: {sentence}")
    return _Portion([tuple(one.values()) for one in planned], [tuple(end.values()) for end in ended])


def _stored(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A row of the export as the rows of a trial and its result, to be checked. Raises: ValueError."""
    planned = {c.name: _as_stored(c, row[c.name]) for c in trial.columns}
    if not isinstance(planned["key"], str):
        raise ValueError("trial.key: expected text")
    if not _is_engine(planned["engine"]):
        raise ValueError(f"trial {planned['key'][:8]}: engine {planned['engine']!r}: {_ENGINES}")
    if row[_PREFIX + "trial"] is None:
        return planned, None
    old = {_PREFIX + name: None for name in ADDED if _PREFIX + name not in row}  # an export from before they existed
    ended: dict[str, Any] = {c.name: _as_stored(c, (row | old)[_PREFIX + c.name]) for c in result.columns}
    if ended["trial"] != planned["key"]:
        raise ValueError(f"trial {planned['key'][:8]}: its result is of another trial")
    return planned, ended


def _pack_curves(table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Makes the bytes that the store has of the JSON of curves. Raises: ValueError where one is damaged."""
    for row in rows:
        if not isinstance(row["curve"], str):
            raise ValueError(f"{table}.curve: is of type {type(row['curve']).__name__}; expected text")
    for row, content in zip(rows, packed_texts([row["curve"] for row in rows]), strict=True):
        if isinstance(content, CurveError):
            raise ValueError(f"{table}.curve: {content}")
        row["curve"] = content


def _as_stored(column: sa.Column[Any], value: Any) -> Any:
    """A cell as the store has it: pandas makes floats of whole numbers and of truth values where some are missing."""
    if isinstance(value, float) and not isinstance(column.type, sa.Double):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() and abs(value) <= 2**53 else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return bool(value) if isinstance(column.type, sa.Boolean) and value in (0, 1) else value


_ENGINES = f"expected {', '.join(ENGINES)}, or 'command:' and the name of a program in printable characters"


def _is_engine(name: object) -> bool:
    """Whether a text from an export is an engine, or the name of a program: it is printed in commands to paste."""
    if not isinstance(name, str):
        return False
    program = name.removeprefix("command:")
    return name in ENGINES or (program != name and bool(program.strip()) and program.isprintable())


def _machines_in(path: Path) -> dict[str, dict[str, str]]:
    """The machines of an export as rows, by the hash that they have there: an older version of Assay hashed otherwise.

    Raises: ValueError where one cannot be read.
    """
    rows: list[dict[str, Any]] = _json_in(path)
    for row in rows:
        check_row("machine", {c.name: row[c.name] for c in machine.columns})
    return {row["hash"]: stored_machine(row) for row in rows}


def _json_in(path: Path) -> Any:
    """The JSON in a file of an export, after a check of its size. Raises: FileError, ValueError."""
    return json.loads(read_limited(path, EXPORT_JSON_BYTES).decode("utf-8"))


def _checked_studies(rows: Any) -> list[dict[str, Any]]:
    """The studies of an export with their members. Raises: ValueError where one cannot be read."""
    studies: list[dict[str, Any]] = []
    for row in rows:
        kept = {c.name: row[c.name] for c in study.columns}
        check_row("study", kept)
        members = [{c.name: m[c.name] for c in member.columns} for m in row["members"]]
        for reason in wrong_rows("member", members).values():
            raise ValueError(reason)
        if len({m["position"] for m in members}) < len(members):
            raise ValueError(f"study {row['name'][:80]!r}: two members have one position")
        studies.append(kept | {"members": members})
    return studies


def _checked_benches(path: Path) -> list[dict[str, Any]]:
    """The benches of an export; older exports have none. Raises: ValueError where one cannot be read."""
    if not path.is_file():
        return []
    rows = [{c.name: row[c.name] for c in bench.columns} for row in _json_in(path)]
    for row in rows:
        try:
            check_row("bench", row)
            benches.read(row["key"], row["content"])
        except StoreError as error:
            raise ValueError(str(error)) from None
    return rows


def _checked_curves(path: Path) -> list[dict[str, Any]]:
    """The imported curves of an export; older exports have none. Raises: ValueError where one cannot be read."""
    if not path.is_file():
        return []
    rows = [{c.name: row[c.name] for c in imported.columns} for row in _json_in(path)]
    for row in rows:
        _pack_curves("imported", [row])
        check_row("imported", row, skip=("study",))
        if not isinstance(row["study"], str):
            raise ValueError(f"imported curve {row['key'][:8]}: its study is not a name")
        source = history_of(row).source
        if source is None or source.key != row["key"]:
            raise ValueError(f"imported curve {row['key']!r}: not the key of its file")
    return rows


def _add_curve(connection: sa.Connection, row: dict[str, Any]) -> int:
    number = connection.execute(sa.select(study.c.id).where(study.c.name == row["study"])).scalar()
    if number is None:
        raise StoreError(f"imported curve {row['key'][:8]}: study {row['study']!r} is not in the export")
    refuse_taken(connection, number, row["study"], name=row["name"], key=row["key"])
    return _insert_missing(connection, imported, row | {"study": number})


def _artifacts_in(folder: Path) -> set[str]:
    """The artifacts of an export whose content matches their name."""
    if not folder.is_dir():
        return set()
    return {
        path.name
        for path in folder.iterdir()
        if path.is_file() and len(path.name) == 64 and name_of(read_limited(path, WEIGHTS_BYTES)) == path.name
    }


def _insert_missing(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Inserts a row unless its key exists; returns the number of rows inserted."""
    key = next(iter(table.primary_key.columns))
    if connection.execute(sa.select(key).where(key == values[key.name])).first() is not None:
        return 0
    connection.execute(sa.insert(table).values(**values))
    return 1


def _insert_all_missing(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> int:
    """Inserts rows, of equal keys the first, unless their keys exist; returns the number of rows inserted."""
    key = next(iter(table.primary_key.columns))
    by_key: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_key.setdefault(row[key.name], row)
    for chunk in chunks(list(by_key)):
        for stored in connection.execute(sa.select(key).where(key.in_(chunk))).scalars().all():
            del by_key[stored]
    if by_key:
        connection.execute(sa.insert(table), list(by_key.values()))
    return len(by_key)


def _add_study(connection: sa.Connection, row: dict[str, Any]) -> None:
    if connection.execute(sa.select(study.c.id).where(study.c.name == row["name"])).first() is not None:
        return
    values = {name: row[name] for name in ("name", "definition", "digest", "created", "updated")}
    number = connection.execute(sa.insert(study).values(**values)).inserted_primary_key[0]  # pyright: ignore
    trials = set(connection.execute(sa.select(trial.c.key)).scalars())
    rows = [{**{c.name: m[c.name] for c in member.columns}, "study": number} for m in row["members"]]
    rows = [m for m in rows if m["trial"] in trials]
    if rows:
        connection.execute(sa.insert(member), rows)


def _needs_pyarrow() -> None:
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        raise StoreError(f"export and import need pyarrow: {to_install('parquet')}")
