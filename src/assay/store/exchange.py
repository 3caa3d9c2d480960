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

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from assay.engines import ENGINES
from assay.errors import FileError, StoreError, to_install
from assay.store import benches
from assay.store.artifacts import name_of
from assay.store.columns import wrong_rows
from assay.store.consistency import contradictions
from assay.store.curves import POINT, load, packed_text, text_of
from assay.store.database import chunks
from assay.store.imported import history_of, refuse_taken
from assay.store.integrity import Show, silent
from assay.store.parquet import rows_of, trial_rows
from assay.store.queries import study_definition
from assay.store.records import stored_machine
from assay.store.rows import check_row
from assay.store.schema import ADDED, VERSION, bench, imported, machine, member, result, study, trajectory, trial
from assay.store.store import Store
from assay.system.files import read_limited, write_atomically
from assay.system.limits import EXPORT_JSON_BYTES, WEIGHTS_BYTES

if TYPE_CHECKING:
    import pandas

FORMAT = 1
_PREFIX = "result_"
_ROWS = 2000  # checked and inserted at once
_CURVE = _PREFIX + "curve"


def export(store: Store, folder: Path, *, study_name: str = "", artifacts: bool = False, show: Show = silent) -> int:
    """Writes all trials with the benches, or the trials of a study, with their results; returns their number.

    `artifacts`: whether to write the weights too. Raises: StoreError, FileError.
    """
    import pandas

    _needs_pyarrow()
    where = []
    if study_name:
        number = study_definition(store.database, study_name)["id"]
        where.append(trial.c.key.in_(sa.select(member.c.trial).where(member.c.study == number)))
    columns = [*trial.columns, *(c.label(_PREFIX + c.name) for c in result.columns)]
    query = sa.select(*columns).join(result, result.c.trial == trial.c.key, isouter=True).where(*where)
    with store.database.read() as connection:
        rows = _rows(connection, query.order_by(trial.c.created))
        show("curves", 0, len(rows))
        points = _points(rows)
        for number, row in enumerate(rows):
            if number % _ROWS == 0:
                show("curves", number, len(rows))
            row[_CURVE] = None if row[_CURVE] is None else _curve_text(row[_CURVE])
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
        show("files", 0, 5)
        _write_parquet(pandas.DataFrame(rows, columns=[c.key for c in columns]), folder / "trials.parquet")
        _write_parquet(points, folder / "curves.parquet")
        about = {"format": FORMAT, "schema": VERSION, "studies": studies}
        write_atomically(folder / "studies.json", json.dumps(about, indent=1).encode())
        write_atomically(folder / "imported.json", json.dumps(curves, indent=1).encode())
        write_atomically(folder / "machines.json", json.dumps(machines, indent=1).encode())
        if not study_name:
            write_atomically(folder / "benches.json", json.dumps(bench_rows, indent=1).encode())
        if artifacts:
            (folder / "artifacts").mkdir(exist_ok=True)
            for name in {row[_PREFIX + "artifact"] for row in rows} - {None}:
                write_atomically(folder / "artifacts" / name, store.artifacts.get(name))
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return len(rows)


def _write_parquet(frame: pandas.DataFrame, path: Path) -> None:
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    write_atomically(path, content.getvalue())


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _curve_text(cell: Any) -> str:
    """A curve as JSON; what is no curve as the text that it was, so that a damaged trial hides no other one."""
    try:
        return text_of(cell)
    except ValueError:
        return cell.hex() if isinstance(cell, bytes) else str(cell)


def _points(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """The curves of exported trials, one row per point; those that can be read."""
    import numpy as np
    import pandas

    rows = [row for row in rows if row[_CURVE] is not None]
    curves = load(row[_CURVE] for row in rows)
    keys = np.repeat(np.array([row["key"] for row in rows], object), curves.counts)
    columns: dict[str, Any] = {"trial": keys}
    for name in POINT:
        values = curves.columns.get(name, np.full(len(keys), np.nan))
        gaps = curves.missing.get(name)
        columns[name] = values if gaps is None else np.where(gaps, np.nan, values)
    return pandas.DataFrame(columns)


_Cells = tuple[Any, ...]
_ARTIFACT = result.columns.keys().index("artifact")


@dataclass(frozen=True)
class _Export:
    """The checked rows of an exported folder; a trial comes with its result, or None.

    Those of trials are kept as cells in the order of the columns: half a million dictionaries would take 2 GB.
    """

    machines: dict[str, dict[str, str]]
    trials: list[tuple[_Cells, _Cells | None]]
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
    for name in artifacts & {ended[_ARTIFACT] for _, ended in export.trials if ended is not None}:
        store.artifacts.put((folder / "artifacts" / name).read_bytes())  # before the rows that refer to it
    with store.database.write() as connection:
        for row in export.machines.values():
            _insert_missing(connection, machine, row)
        for number, portion in enumerate(_portions(export.trials)):
            show("trials stored", number * _ROWS, len(export.trials))
            planned, ended = [row for row, _ in portion], [row for _, row in portion if row is not None]
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
    return added, len(export.trials) + len(export.curves) - added


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
        trials: list[tuple[_Cells, _Cells | None]] = []
        keys: set[str] = set()
        for number, row in enumerate(trial_rows(path)):
            if number % _ROWS == 0:
                show("trials read", number, rows_of(path))
            planned, ended = _stored(row)
            if planned["key"] in keys:
                raise ValueError(f"trial {planned['key'][:8]}: is there twice")
            keys.add(planned["key"])
            trials.append((tuple(planned.values()), None if ended is None else tuple(ended.values())))
            if len(trials) % _ROWS == 0:
                _check_portion(next(_portions(trials[-_ROWS:])))
        if rest := len(trials) % _ROWS:
            _check_portion(next(_portions(trials[-rest:])))
        studies = _checked_studies(about["studies"])
        return _Export(machines, trials, _checked_benches(folder / "benches.json"), studies, curves)
    except PermissionError as error:
        raise FileError(f"{folder}: cannot be read: permission denied: {str(error)[:200]}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{folder}: not an export of Assay, or damaged: {str(error)[:300]}") from None


def _check_portion(portion: Sequence[tuple[dict[str, Any], dict[str, Any] | None]]) -> None:
    """Checks trials with their results. Raises: ValueError."""
    finished = [row for _, row in portion if row is not None]
    for table, rows in (("trial", [row for row, _ in portion]), ("result", finished)):
        for reason in wrong_rows(table, rows).values():
            raise ValueError(reason)
    for planned, ended in portion:
        _check_consistent(planned, ended)


def _portions(
    trials: Sequence[tuple[_Cells, _Cells | None]],
) -> Iterator[list[tuple[dict[str, Any], dict[str, Any] | None]]]:
    """The rows of trials with those of their results, some at a time."""
    of_trial, of_result = trial.columns.keys(), result.columns.keys()
    for start in range(0, len(trials), _ROWS):
        yield [
            (
                dict(zip(of_trial, planned, strict=True)),
                None if ended is None else dict(zip(of_result, ended, strict=True)),
            )
            for planned, ended in trials[start : start + _ROWS]
        ]


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
    ended["curve"] = _curve_bytes("result", ended["curve"])
    if ended["trial"] != planned["key"]:
        raise ValueError(f"trial {planned['key'][:8]}: its result is of another trial")
    return planned, ended


def _curve_bytes(table: str, text: Any) -> Any:
    """The JSON of a curve in an export as the bytes that the store has. Raises: ValueError where it is damaged."""
    if not isinstance(text, str):
        raise ValueError(f"{table}.curve: is of type {type(text).__name__}; expected text")
    try:
        return packed_text(text)
    except ValueError as error:
        raise ValueError(f"{table}.curve: {error}") from None


def _check_consistent(planned: dict[str, Any], ended: dict[str, Any] | None) -> None:
    for sentence in contradictions(planned, ended):
        raise ValueError(f"trial {planned['key'][:8]}: {sentence}")


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
        row["curve"] = _curve_bytes("imported", row["curve"])
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
