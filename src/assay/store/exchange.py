"""Export and import: a folder of Parquet and JSON files, readable by other programs and by another store.

- trials.parquet: one row per trial with its result; recipe, curve and ledger are JSON.
- curves.parquet: one row per point.
- studies.json: definitions and members; of a search, also its decisions and what they were told.
- machines.json: the machines that the trials were timed on.
- imported.json: imported curves, each with the name of its study.
- benches.json: benches as they are stored.
- artifacts/: weights, if requested.

No folder of data is in them: its place is taken by the name of the set that it holds, or by its last part and the
beginning of its checksum.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assay.errors import FileError, StoreError, to_install
from assay.store import benches
from assay.store.artifacts import name_of
from assay.store.curve_batches import texts
from assay.store.curves import POINT, WHOLE, load, text_of
from assay.store.incoming import (
    PREFIX,
    ROWS,
    Incoming,
    Portion,
    add,
    checked,
    checked_curves,
    checked_studies,
    refuse_doubled,
)
from assay.store.integrity import Show, silent
from assay.store.parquet import TableWriter, batched, repeated, rows_of, trial_rows
from assay.store.portable import PortableNames
from assay.store.queries import study_definition
from assay.store.records import stored_machine
from assay.store.rows import bounds_of, check_row
from assay.store.schema import VERSION, bench, imported, machine, member, result, search, search_job, study, trial
from assay.store.store import Store
from assay.system.files import read_limited, write_atomically
from assay.system.limits import EXPORT_JSON_BYTES, WEIGHTS_BYTES

FORMAT = 1
_log = logging.getLogger("assay.store")
_CURVE = PREFIX + "curve"
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
    columns = [*trial.columns, *(c.label(PREFIX + c.name) for c in result.columns)]
    query = sa.select(*columns).join(result, result.c.trial == trial.c.key, isouter=True).where(*where)
    points, names = TableWriter(_OF_POINTS), PortableNames()
    count, kept = 0, set[str]()
    with store.database.read() as connection:
        present = connection.execute(query.with_only_columns(*map(sa.func.count, _STORED))).one()
        total = present[0]  # of the keys
        kinds = {c.key: str if c.key == _CURVE else bounds_of(of)[0] for c, of in zip(columns, _STORED, strict=True)}
        trials = TableWriter(
            {name: kind if n else None for (name, kind), n in zip(kinds.items(), present, strict=True)}
        )
        found = connection.execution_options(yield_per=ROWS).execute(query.order_by(trial.c.created))
        for rows in found.partitions():
            show("trials", count, int(total))
            cells = {c.key: list(of) for c, of in zip(columns, zip(*rows, strict=True), strict=True)}
            points.add(_points(cells))
            trials.add(_without_paths(cells, names))
            count += len(rows)
            kept |= {name for name in cells[PREFIX + "artifact"] if name is not None}
        studies = _rows(connection, sa.select(study))
        curves = _rows(connection, sa.select(imported).order_by(imported.c.key))
        members = _rows(connection, sa.select(member).order_by(*member.primary_key))
        searches = _rows(connection, sa.select(search)) if _has_searches(store) else []
        jobs = _rows(connection, sa.select(search_job).order_by(*search_job.primary_key)) if searches else []
        machines = _rows(connection, sa.select(machine))
        bench_rows = _rows(connection, sa.select(bench).order_by(bench.c.created))
    if study_name:
        studies = [row for row in studies if row["name"] == study_name]
    of_study = {row["id"]: row["name"] for row in studies}
    curves = [
        row | {"study": of_study[row["study"]], "curve": _curve_text(row["curve"])}
        for row in curves
        if row["study"] in of_study
    ]
    studies = [_as_readable(names.study, row) for row in studies]
    for row in studies:
        row["members"] = [_as_readable(names.member, m) for m in members if m["study"] == row["id"]]
        for own in (one for one in searches if one["study"] == row["id"]):
            own_jobs = [_as_readable(names.member, job) for job in jobs if job["study"] == row["id"]]
            row["search"], row["search_jobs"] = own, own_jobs
    bench_rows = [_as_readable(names.bench, row) for row in bench_rows]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_former(folder, benches=not study_name)
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


def _has_searches(store: Store) -> bool:
    return store.database.version >= "0007"


_FORMER = re.compile(r"[0-9a-f]{64}")


def _remove_former(folder: Path, *, benches: bool) -> None:
    """Removes what an earlier export to the folder left and this one may not replace. Raises: FileError, OSError."""
    artifacts = folder / "artifacts"
    if artifacts.is_symlink():
        raise FileError(f"{artifacts}: a link; weights are written into the folder of the export only, remove the link")
    if not benches:
        (folder / "benches.json").unlink(missing_ok=True)
    if artifacts.is_dir():
        for file in artifacts.iterdir():
            if _FORMER.fullmatch(file.name) and (file.is_symlink() or file.is_file()):
                file.unlink()
        with suppress(OSError):  # it holds files that no export wrote
            artifacts.rmdir()


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


_TEXTS = ("engine_choice", "reason", "warnings", "error")
"""The columns of a result that may name the folder of a data set in a sentence."""


def _without_paths(cells: dict[str, Any], names: PortableNames) -> dict[str, Any]:
    """Columns of trials with the portable names of their data sets, which are added to `names`; changes `cells`."""
    for number, (name, checksum) in enumerate(zip(cells["data"], cells["data_checksum"], strict=True)):
        if not isinstance(name, str) or names.add(name, checksum) == name:
            continue
        with suppress(ValueError, AttributeError, TypeError):  # a damaged recipe is exported as it is
            cells["recipe"][number] = names.recipe(cells["recipe"][number], checksum)
        cells["data"][number] = names.add(name, checksum)
        for column in _TEXTS:
            if isinstance(text := cells[PREFIX + column][number], str):
                cells[PREFIX + column][number] = names.text(text)
    return cells


def _as_readable(change: Callable[[dict[str, Any]], dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """A changed row, or the row as it is where it is damaged, so that it hides no other one."""
    try:
        return change(row)
    except (ValueError, AttributeError, TypeError):
        return row


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


def read_back(
    store: Store, folder: Path, show: Show = silent, *, say: Callable[[str], None] = _log.warning
) -> tuple[int, int]:
    """Adds what an export holds and the store lacks.

    Every row is checked, because the folder is untrusted.

    Args:
        store: The store.
        folder: Of the export.
        show: Is given what is done.
        say: Is given a sentence for each study and curve that was added under another name.

    Returns:
        The number of results and curves added, and of those that existed already.

    Raises: FileError, with the first row that cannot be read.
    """
    _needs_pyarrow()
    export = _read(folder, show)
    artifacts = _artifacts_in(folder / "artifacts")
    for name in artifacts & export.artifacts:
        store.artifacts.put((folder / "artifacts" / name).read_bytes())  # before the rows that refer to it
    return add(store, export, artifacts=artifacts, show=show, say=say)


def _read(folder: Path, show: Show) -> Incoming:
    """The content of an exported folder without its artifacts. Raises: FileError."""
    path = folder / "trials.parquet"
    if not path.is_file():
        raise FileError(f"{folder}: has no trials.parquet; expected a folder that `assay store export` wrote")
    try:
        about = _json_in(folder / "studies.json")
        machines = _machines_in(folder / "machines.json")
        curves = checked_curves(_json_in(folder / "imported.json") if (folder / "imported.json").is_file() else [])
        if about["format"] != FORMAT:
            raise FileError(f"{folder}: has format {about['format']}; this version reads format {FORMAT}")
        trials, count = list[Portion](), rows_of(path)
        for number, rows in enumerate(batched(trial_rows(path), ROWS)):
            show("trials read", number * ROWS, count)
            trials.append(checked(rows))
        refuse_doubled(trials)
        studies = checked_studies(about["studies"])
        return Incoming(machines, trials, _checked_benches(folder / "benches.json"), studies, curves)
    except PermissionError as error:
        raise FileError(f"{folder}: cannot be read: permission denied: {str(error)[:200]}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{folder}: not an export of Assay, or damaged: {str(error)[:300]}") from None


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


def _artifacts_in(folder: Path) -> set[str]:
    """The artifacts of an export whose content matches their name."""
    if not folder.is_dir():
        return set()
    return {
        path.name
        for path in folder.iterdir()
        if path.is_file() and len(path.name) == 64 and name_of(read_limited(path, WEIGHTS_BYTES)) == path.name
    }


def _needs_pyarrow() -> None:
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        raise StoreError(f"export and import need pyarrow: {to_install('parquet')}")
