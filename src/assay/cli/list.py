"""`assay list`: what is stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, StoreUrl, readable_names, study_names
from assay.cli.printing import note, print_json, print_line
from assay.errors import AssayError, unknown
from assay.report.text import readable

if TYPE_CHECKING:
    from assay.store.store import Store

_SORTED = ("name", "trials", "imported", "best", "seconds", "updated")
"""The columns of the list of studies by which it can be sorted."""


def list_trials(
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            help="COLUMN=VALUE, or with !=, >, <, >= or <=; e.g. optimizer=adam, or axis.NAME=VALUE.",
            show_default=False,
            callback=readable_names,
        ),
    ] = None,
    study: Annotated[
        str, typer.Option(help="Only trials of this study.", callback=readable, autocompletion=study_names)
    ] = "",
    sort: Annotated[
        str | None,
        typer.Option(
            help="Column to sort by, or balanced_accuracy, macro_f1, recall:CLASS, ...; prefix it with - for "
            "descending order.",
            show_default="-finished; of studies -updated",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of trials, or of studies.")] = 30,
    trials: Annotated[bool, typer.Option("--trials", help="List trials even without filters.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only studies with this tag, or KEY for any value. Repeatable.",
            callback=readable_names,
        ),
    ] = None,
) -> None:
    """List stored studies and benches, or the trials that match the filters."""
    from assay.analysis.quantities import is_of_confusion
    from assay.cli import tables
    from assay.store import imported, queries
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not (filters or study or trials):
        _list_studies(opened, tag or [], sort or "-updated", limit, table_format=table_format, as_json=as_json)
        return
    if tag:
        raise AssayError("--tag: selects studies; it cannot be combined with filters of trials, --study or --trials")
    sort = sort or "-finished"
    _check_task(opened, study, [sort, *(filters or [])])
    rows, count = queries.trials(opened.database, filters or [], study_name=study, sort=sort, limit=limit)
    curves = imported.listed(opened.database, filters or [], study_name=study)
    if as_json:
        print_json({"store": opened.name, "count": count, "trials": rows, "imported": curves})
    else:
        score = sort.removeprefix("-") if is_of_confusion(sort.removeprefix("-")) else None
        raw = [*(row | {"origin": "measured"} for row in rows), *curves]
        print_tables([tables.trials([*rows, *curves], score=score)], table_format=table_format, raw=raw)
        summary = f"{len(rows):,} of {count:,} trials" + ("; --limit shows more" if len(rows) < count else "")
        note(summary + (f"; {len(curves):,} imported" if curves else ""))
        without = sum(row.get(score) is None for row in rows) if score else 0
        if without:
            note(f"{without:,} of them have no {score} (no confusion matrix is stored, or no such class); listed last")


def _check_task(store: Store, study: str, texts: list[str]) -> None:
    """Raises: AssayError for filters, or a column to sort by, that no trial of the study can have.

    Trials of all studies may be of both tasks, so that there a filter selects those of one.
    """
    from assay.analysis.quantities import CLASSIFICATION, REGRESSION, of_other_task
    from assay.store import queries

    names = [re.split(r"[=!<>]", text.strip().removeprefix("-"), maxsplit=1)[0].strip() for text in texts]
    if not study or not any(of_other_task(name, CLASSIFICATION) or of_other_task(name, REGRESSION) for name in names):
        return
    best = next((row for row in queries.studies(store.database) if row["name"] == study), None)
    if best is None or (best["best"] is None) == (best["best_r2"] is None):
        return
    task = REGRESSION if best["best"] is None else CLASSIFICATION
    if reasons := [reason for name in names if (reason := of_other_task(name, task))]:
        raise AssayError(f"study {study!r}: {'; '.join(reasons)}")


def _list_studies(
    store: Store, wanted: list[str], sort: str, limit: int, *, table_format: TableFormat, as_json: bool
) -> None:
    from assay.cli import tables
    from assay.store import benches, progress, queries, tags

    for text in wanted:
        tags.has({}, text)  # a wrong filter is an error even where there is no study
    every = tags.read(store.database)
    studies = [row | {"tags": every.get(row["name"], {})} for row in queries.studies(store.database)]
    matching = _sorted([row for row in studies if all(tags.has(row["tags"], text) for text in wanted)], sort)
    shown = matching[:limit]
    running = [] if wanted else progress.listed(store.database)
    stored_benches = [] if wanted else benches.listed(store.database)
    if as_json:
        rows = [row | {"points": [vars(point) for point in row["points"]]} for row in running]
        print_json({"store": store.name, "studies": matching, "benches": stored_benches, "running": rows})
        return
    none = f"no study has the tag {' and '.join(wanted)}" if wanted else "no studies; --trials lists its trials"
    if table_format:
        note(f"{store.name}: {none}") if not shown else None
    elif not shown:
        print_line(f"{store.name}: {none}")
    drawn = [tables.studies(shown)] if shown else []
    drawn += [tables.benches(stored_benches)] if stored_benches else []
    drawn += [tables.running(running)] if running else []
    raw = [row | {"tags": _tag_text(row["tags"])} for row in matching]
    print_tables(drawn, table_format=table_format, raw=raw)
    if len(shown) < len(matching) and table_format is not TableFormat.CSV:
        note(f"{len(shown):,} of {len(matching):,} studies; --limit shows more")
    if stored_benches and table_format is TableFormat.CSV:
        note(f"{len(stored_benches):,} benches are not in this table: `assay bench --stored --csv` lists them")


def _tag_text(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items())


def _sorted(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Studies by one of their columns; those without a value last. Raises: AssayError for an unknown column."""
    name = sort.removeprefix("-")
    if name not in _SORTED:
        trials = "; trials have others: add --trials" if name else ""
        raise AssayError(unknown("column of studies to sort by", name, _SORTED) + trials)
    known = [row for row in rows if row[name] is not None]
    known.sort(key=lambda row: row[name], reverse=sort.startswith("-"))
    return [*known, *(row for row in rows if row[name] is None)]
