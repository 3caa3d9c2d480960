"""`assay report`: a study as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.files import file_named
from assay.cli.formats import TableFormat, print_summary
from assay.cli.options import Json, StoreUrl, StudyName, home_expanded, stored_results
from assay.cli.printing import note, print_json, print_line


def report(
    study: StudyName,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Output file.", show_default="STUDY.html", callback=home_expanded)
    ] = None,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Write a self-contained HTML report of a study: answers, tables, charts and data.

    --csv, --markdown and --latex print its configurations in the place of the answers.
    """
    results = stored_results(study, store)
    path = results.report(out or file_named(study, ".html"))
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size, "answers": results.answers()})
        return
    if table_format:
        print_summary(results, table_format)
    else:
        for answer in results.answers():
            print_line(f"- {answer}")
    note(f"{path}, {path.stat().st_size / 2**20:.1f} MiB")
