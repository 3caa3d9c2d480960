"""`assay list`: what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import Csv, Json, StoreUrl, readable_names
from assay.cli.printing import console, note, print_csv, print_json
from assay.report.text import readable

if TYPE_CHECKING:
    from assay.store.store import Store


def list_trials(
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            help="COLUMN=VALUE, or with !=, >, <, >= or <=; e.g. optimizer=adam.",
            show_default=False,
            callback=readable_names,
        ),
    ] = None,
    study: Annotated[str, typer.Option(help="Only trials of this study.", callback=readable)] = "",
    sort: Annotated[
        str,
        typer.Option(
            help="Column to sort by, or balanced_accuracy, macro_f1, recall:CLASS, ...; prefix it with - for "
            "descending order."
        ),
    ] = "-finished",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of trials.")] = 30,
    trials: Annotated[bool, typer.Option("--trials", help="List trials even without filters.")] = False,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List stored studies and benches, or the trials that match the filters."""
    from assay.analysis.quantities import is_of_confusion
    from assay.cli import tables
    from assay.store import imported, queries
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not (filters or study or trials):
        _list_studies(opened, as_csv=as_csv, as_json=as_json)
        return
    rows, count = queries.trials(opened.database, filters or [], study_name=study, sort=sort, limit=limit)
    curves = imported.listed(opened.database, filters or [], study_name=study)
    if as_json:
        print_json({"store": opened.name, "count": count, "trials": rows, "imported": curves})
    elif as_csv:
        print_csv([*(row | {"origin": "measured"} for row in rows), *curves])
    else:
        score = sort.removeprefix("-") if is_of_confusion(sort.removeprefix("-")) else None
        console().print(tables.trials([*rows, *curves], score=score))
        summary = f"{len(rows):,} of {count:,} trials" + ("; --limit shows more" if len(rows) < count else "")
        note(summary + (f"; {len(curves):,} imported" if curves else ""))
        without = sum(row.get(score) is None for row in rows) if score else 0
        if without:
            note(f"{without:,} of them have no {score} (no confusion matrix is stored, or no such class); listed last")


def _list_studies(store: Store, *, as_csv: bool, as_json: bool) -> None:
    from assay.cli import tables
    from assay.store import benches, queries

    studies = queries.studies(store.database)
    if as_json:
        print_json({"store": store.name, "studies": studies, "benches": benches.listed(store.database)})
    elif as_csv:
        print_csv(studies)
    else:
        console().print(tables.studies(studies) if studies else f"{store.name}: no studies; --trials lists its trials")
        if stored_benches := benches.listed(store.database):
            console().print(tables.benches(stored_benches))
