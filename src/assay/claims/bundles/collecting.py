"""Collects what a bundle holds from a store: rows without the paths of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from assay.claims.bundles.content import About, Content
from assay.claims.bundles.paths import plain_without_paths, without_paths
from assay.claims.bundles.tables import MEMBERS, Row, points_of, trial_row
from assay.errors import AssayError
from assay.store.curves import unpacked
from assay.store.database import chunks
from assay.store.incoming import PREFIX
from assay.store.portable import PortableNames
from assay.store.queries import study_definition
from assay.store.schema import imported, machine, member, result, study, trial
from assay.store.store import Store
from assay.system.limits import BUNDLE_TRIALS

_SENTENCES = ("engine_choice", "reason", "warnings")
_IMPORTED = tuple(c.name for c in imported.columns if c.name != "finished")


def collected(
    store: Store,
    about: About,
    studies: Sequence[str],
    *,
    claims: Mapping[str, Any] | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> tuple[Content, list[str]]:
    """The content of a bundle of stored studies, and the paths that stood for their data sets.

    Raises:
        StoreError: There is no study of one of the names.
        AssayError: A study has no trial with a result, or there are too many trials.
    """
    database = store.database
    numbers = {study_definition(database, name)["id"]: name for name in studies}
    with database.read() as connection:
        of_studies = member.c.study.in_(list(numbers))
        query = sa.select(member).where(of_studies).order_by(member.c.study, member.c.position)
        members = [dict(row) for row in connection.execute(query).mappings()]
        keys = list(dict.fromkeys(str(row["trial"]) for row in members))
        if len(keys) > BUNDLE_TRIALS.most:
            raise AssayError(f"{about.title}: has {len(keys):,} trials; expected at most {BUNDLE_TRIALS} in a bundle")
        by_key = {row[trial.c.key.name]: row for row in _trials(connection, keys)}
        machines = _machines(connection, {row[PREFIX + "machine"] for row in by_key.values()})
        chosen = sa.select(study).where(study.c.id.in_(list(numbers)))
        rows_of = {row["id"]: dict(row) for row in connection.execute(chosen).mappings()}
        logs = sa.select(imported).where(imported.c.study.in_(list(numbers)))
        curves = [dict(row) for row in connection.execute(logs).mappings()]
    for name in studies:
        rows = [by_key[row["trial"]] for row in members if numbers[row["study"]] == name]
        _refuse_unfinished(name, rows, [row for row in curves if numbers[row["study"]] == name])
    names = PortableNames((row["data"], row["data_checksum"]) for row in by_key.values())
    paths = [row["data"] for row in by_key.values() if names.add(row["data"], row["data_checksum"]) != row["data"]]
    order = {name: place for place, name in enumerate(studies)}
    members.sort(key=lambda row: (order[numbers[row["study"]]], row["position"]))
    named = [{**names.member(row), "study": numbers[row["study"]]} for row in members]
    trials = [by_key[key] for key in dict.fromkeys(row["trial"] for row in members)]
    points = [point for row in trials for point in points_of(row["key"], _columns(row))]
    definitions = tuple(
        {"name": name, "definition": _definition(rows_of, names, number)}
        for number, name in sorted(numbers.items(), key=lambda pair: order[pair[1]])
    )
    content = Content(
        about,
        definitions,
        [{name: row[name] for name in MEMBERS} for row in named],
        [_portable(trial_row(row), names) for row in trials],
        points,
        machines,
        [_imported(row, numbers) for row in curves],
        claims or {},
        extra or {},
    )
    return content, sorted(set(paths))


def _trials(connection: sa.Connection, keys: Sequence[str]) -> list[Row]:
    """The rows of trials, with their results in `result_` columns."""
    columns = [*trial.columns, *(c.label(PREFIX + c.name) for c in result.columns)]
    query = sa.select(*columns).join(result, result.c.trial == trial.c.key, isouter=True)
    rows: list[Row] = []
    for chunk in chunks(list(keys)):
        rows += [dict(row) for row in connection.execute(query.where(trial.c.key.in_(chunk))).mappings()]
    return rows


def _machines(connection: sa.Connection, hashes: set[Any]) -> list[Row]:
    query = sa.select(machine).order_by(machine.c.hash)
    return [dict(row) for row in connection.execute(query).mappings() if row["hash"] in hashes]


def _refuse_unfinished(name: str, rows: Sequence[Row], curves: Sequence[Row]) -> None:
    if not curves and all(row[PREFIX + "outcome"] is None for row in rows):
        raise AssayError(f"study {name!r} has no trial with a result yet; `assay run {name}` trains it")


def _columns(row: Row) -> dict[str, list[Any]]:
    """The lists of a stored curve. Raises: AssayError where it is damaged."""
    cell = row[PREFIX + "curve"]
    try:
        return {} if cell is None else unpacked(cell)
    except ValueError as error:
        raise AssayError(
            f"the curve of trial {row['key'][:8]} cannot be read: {error}; run assay store check"
        ) from None


def _definition(rows: Mapping[int, Row], names: PortableNames, number: int) -> Any:
    try:
        definition: Any = json.loads(names.study(rows[number])["definition"])
    except ValueError as error:
        raise AssayError(f"study {rows[number]['name']!r} cannot be read: {error}; run assay store check") from None
    return plain_without_paths(definition)


def _portable(row: Row, names: PortableNames) -> Row:
    """A row of a trial without the paths of this machine."""
    checksum = row["data_checksum"]
    row["recipe"], row["data"] = names.recipe(row["recipe"], checksum), names.add(row["data"], checksum)
    for column in _SENTENCES:
        if isinstance(row[column], str):
            row[column] = without_paths(names.text(row[column]))
    return row


def _imported(row: Row, numbers: Mapping[int, str]) -> Row:
    from assay.store.curves import text_of

    return {name: row[name] for name in _IMPORTED} | {
        "study": numbers[row["study"]],
        "curve": text_of(row["curve"]),
        "finished": 0.0,
    }
