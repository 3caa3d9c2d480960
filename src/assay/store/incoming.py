"""Rows of trials from elsewhere: checked one by one, then added to a store in one transaction."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from assay.engines import ENGINES
from assay.errors import StoreError
from assay.store.columns import wrong_rows
from assay.store.consistency import contradictions
from assay.store.curve_batches import last_points, packed_texts
from assay.store.curves import CurveError
from assay.store.database import chunks, insert_missing
from assay.store.imported import free_name, history_of
from assay.store.integrity import Show, silent
from assay.store.records import dumped
from assay.store.removals import stored_trials
from assay.store.revisions import place_of
from assay.store.rows import check_row
from assay.store.schema import (
    ADDED,
    bench,
    imported,
    machine,
    member,
    result,
    search,
    search_job,
    study,
    trajectory,
    trial,
)
from assay.store.store import Store
from assay.system.command_line import command_line

PREFIX = "result_"
"""What the columns of a result begin with in a row that has those of its trial too."""
ROWS = 2000  # checked and inserted at once
_log = logging.getLogger("assay.store")


@dataclass(frozen=True)
class Portion:
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
class Incoming:
    """Checked rows from elsewhere.

    Attributes:
        machines: the rows of machines, each by the hash that it has where it comes from.
        trials: trials with their results.
        benches: rows of benches.
        studies: rows of studies, each with its `members`, those of searches also with `search` and `search_jobs`.
        curves: rows of imported curves, each with the name of its study.
    """

    machines: dict[str, dict[str, str]]
    trials: list[Portion]
    benches: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    studies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    curves: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def artifacts(self) -> set[Any]:
        """The names of the artifacts that results refer to."""
        return {cells[_ARTIFACT] for portion in self.trials for cells in portion.ended}


def add(
    store: Store,
    incoming: Incoming,
    *,
    artifacts: set[str] | None = None,
    show: Show = silent,
    say: Callable[[str], None] = _log.warning,
) -> tuple[int, int]:
    """Adds the rows that a store lacks, in one transaction.

    Args:
        store: The store.
        incoming: Checked rows.
        artifacts: Those that were stored before; results refer to no others.
        show: Is given what is done.
        say: Is given a sentence for each study and curve that was added under another name.

    Returns:
        The number of results and curves added, and of those that existed already.
    """
    added, kept = 0, artifacts or set[str]()
    hashes = {exported: row["hash"] for exported, row in incoming.machines.items()}
    total = sum(len(portion.planned) for portion in incoming.trials)
    with store.database.write() as connection:
        for row in incoming.machines.values():
            insert_missing(connection, machine, row)
        for number, portion in enumerate(incoming.trials):
            show("trials stored", number * ROWS, total)
            planned, ended = portion.rows()
            for row in ended:
                row["artifact"] = row["artifact"] if row["artifact"] in kept else None
                row["machine"] = hashes.get(row["machine"], row["machine"])
            starts = [{"key": row["trajectory"], "iteration": 0, "losses": 0} for row in planned]
            _insert_all_missing(connection, trajectory, starts)
            _insert_all_missing(connection, trial, planned)
            added += _insert_all_missing(connection, result, ended)
        for row in incoming.benches:
            insert_missing(connection, bench, row | {"machine": hashes.get(row["machine"], row["machine"])})
        sentences: list[str] = []
        studies = {row["name"]: _add_study(connection, row, sentences) for row in incoming.studies}
        for row in incoming.curves:
            added += _add_curve(connection, row, studies, sentences)
    for sentence in sentences:
        say(sentence)
    return added, total + len(incoming.curves) - added


def refuse_doubled(trials: Sequence[Portion]) -> None:
    """Raises: ValueError where a trial is there twice."""
    keys = set[str]()
    for key, *_ in (cells for portion in trials for cells in portion.planned):
        if key in keys:
            raise ValueError(f"trial {key[:8]}: is there twice")
        keys.add(key)


def checked(rows: Sequence[dict[str, Any]]) -> Portion:
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
    return Portion([tuple(one.values()) for one in planned], [tuple(end.values()) for end in ended])


def _stored(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A row of the export as the rows of a trial and its result, to be checked. Raises: ValueError."""
    planned = {c.name: _as_stored(c, row[c.name]) for c in trial.columns}
    if not isinstance(planned["key"], str):
        raise ValueError("trial.key: expected text")
    if not _is_engine(planned["engine"]):
        raise ValueError(f"trial {planned['key'][:8]}: engine {planned['engine']!r}: {_ENGINES}")
    if row[PREFIX + "trial"] is None:
        return planned, None
    old = {PREFIX + name: None for name in ADDED if PREFIX + name not in row}  # an export from before they existed
    ended: dict[str, Any] = {c.name: _as_stored(c, (row | old)[PREFIX + c.name]) for c in result.columns}
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


def checked_studies(rows: Any) -> list[dict[str, Any]]:
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
        studies.append(kept | {"members": members} | _checked_search(row))
    return studies


def _checked_search(row: dict[str, Any]) -> dict[str, Any]:
    """What a study of an export has as a search, and its jobs; nothing for others. Raises: ValueError."""
    if row.get("search") is None:
        return {}
    own = {c.name: row["search"][c.name] for c in search.columns}
    jobs = [{c.name: job[c.name] for c in search_job.columns} for job in row["search_jobs"]]
    check_row("search", own)
    for reason in wrong_rows("search_job", jobs).values():
        raise ValueError(reason)
    if len({job["n"] for job in jobs}) < len(jobs):
        raise ValueError(f"study {row['name'][:80]!r}: two jobs of its search have one number")
    if any((job["told"] is None) != (job["scores"] is None) for job in jobs):
        raise ValueError(f"study {row['name'][:80]!r}: a job of its search was told without scores")
    return {"search": own, "search_jobs": jobs}


def checked_curves(plain: Any) -> list[dict[str, Any]]:
    """Imported curves, each with the name of its study. Raises: ValueError where one cannot be read."""
    rows = [{c.name: row[c.name] for c in imported.columns} for row in plain]
    for row in rows:
        _pack_curves("imported", [row])
        check_row("imported", row, skip=("study",))
        if not isinstance(row["study"], str):
            raise ValueError(f"imported curve {row['key'][:8]}: its study is not a name")
        source = history_of(row).source
        if source is None or source.key != row["key"]:
            raise ValueError(f"imported curve {row['key']!r}: not the key of its file")
    return rows


def _add_curve(connection: sa.Connection, row: dict[str, Any], studies: Mapping[str, int], sentences: list[str]) -> int:
    """Adds a curve to its study unless it is stored; returns how many were added.

    Where another curve has its name, it gets another one: adds to `sentences`.
    """
    number = studies.get(row["study"])
    if number is None:
        number = connection.execute(sa.select(study.c.id).where(study.c.name == row["study"])).scalar()
    if number is None:
        raise StoreError(f"imported curve {row['key'][:8]}: study {row['study']!r} is not in the export")
    if connection.execute(sa.select(imported.c.key).where(imported.c.key == row["key"])).first() is not None:
        return 0
    source = history_of(row).source
    assert source is not None  # `checked_curves` has read it
    name = free_name(connection, number, replace(source, name=row["name"]))
    if name != row["name"]:
        sentences.append(
            f"study {row['study']!r} has another imported curve or configuration {row['name']!r}: "
            f"that of the export, from {source.file}, was added as {name!r}"
        )
    about = dumped(json.loads(row["source"]) | {"name": name})
    connection.execute(sa.insert(imported).values(**row | {"study": number, "name": name, "source": about}))
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


def _add_study(connection: sa.Connection, row: dict[str, Any], sentences: list[str]) -> int:
    """Adds a study with its members unless a study of its name has them; returns the id of the study that has them.

    A stored study of its name with other members stays as it is, and the added one gets the name of a revision: adds to
    `sentences`.
    """
    present = stored_trials(connection, [m["trial"] for m in row["members"]])
    rows = [{c.name: m[c.name] for c in member.columns} for m in row["members"] if m["trial"] in present]
    if len(rows) < len(row["members"]):
        sentences.append(
            f"study {row['name']!r}: {len(row['members']) - len(rows):,} of its {len(row['members']):,} trials are "
            "neither in the export nor in the store, and were left out of it"
        )
    members = {(m["trial"], m["label"], m["repeat"]) for m in rows}
    of_search = row["search"]["digest"] if "search" in row else None
    name, number = place_of(connection, row["name"], digest=row["digest"], members=members, of_search=of_search)
    if number is not None:
        return number
    values = {column: row[column] for column in ("definition", "digest", "created", "updated")}
    inserted = connection.execute(sa.insert(study).values(name=name, **values))
    number = int(inserted.inserted_primary_key[0])  # pyright: ignore[reportOptionalSubscript]
    if rows:
        connection.execute(sa.insert(member), [m | {"study": number} for m in rows])
    if "search" in row:
        connection.execute(sa.insert(search).values(**row["search"] | {"study": number}))
        if row["search_jobs"]:
            connection.execute(sa.insert(search_job), [job | {"study": number} for job in row["search_jobs"]])
    if name != row["name"]:
        line = command_line("assay report", name)
        sentences.append(
            f"study {row['name']!r} is stored with other trials: that of the export, with {len(rows):,}, "
            f"was added as {name!r}: {line}"
        )
    return number
