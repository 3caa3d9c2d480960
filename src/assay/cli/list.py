"""`assay list`: what is stored."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import (
    Csv,
    Json,
    StoreUrl,
    console,
    note,
    print_csv,
    print_json,
)


def list_trials(
    filters: Annotated[list[str] | None, typer.Argument(help="COLUMN=VALUE, or != > < >= <=: optimizer=adam.")] = None,
    study: Annotated[str, typer.Option(help="Only trials of this study.")] = "",
    sort: Annotated[str, typer.Option(help="A column; with - in front from high to low.")] = "-finished",
    limit: Annotated[int, typer.Option(min=1, help="At most so many trials.")] = 30,
    trials: Annotated[bool, typer.Option("--trials", help="List trials even without a filter.")] = False,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List the stored studies and benches, or the trials that pass the filters."""
    from assay.cli import tables
    from assay.store import benches, imported, queries
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not (filters or study or trials):
        rows, count = queries.studies(opened.database), 0
        if as_json:
            print_json({"store": opened.name, "studies": rows, "benches": benches.listed(opened.database)})
        elif as_csv:
            print_csv(rows)
        else:
            console().print(tables.studies(rows) if rows else f"{opened.name}: no studies; --trials lists its trials")
            if measured := benches.listed(opened.database):
                console().print(tables.benches(measured))
        return
    rows, count = queries.trials(opened.database, filters or [], study_name=study, sort=sort, limit=limit)
    curves = imported.listed(opened.database, filters or [], study_name=study)
    if as_json:
        print_json({"store": opened.name, "count": count, "trials": rows, "imported": curves})
    elif as_csv:
        print_csv([*(row | {"origin": "measured"} for row in rows), *curves])
    else:
        console().print(tables.trials([*rows, *curves]))
        said = f"{len(rows):,} of {count:,} trials" + ("; --limit shows more" if len(rows) < count else "")
        note(said + (f"; {len(curves):,} imported" if curves else ""))
