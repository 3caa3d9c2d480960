"""`assay report`: a study as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import Json, Named, StoreUrl, console, file_name, note, print_json, results_of


def report(
    study: Named,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The page; none: STUDY.html.")] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Write a study as one HTML page: question, answers, tables, charts, data; it needs no network."""
    from assay.report.text import clean

    results = results_of(study, store)
    path = results.report(out or Path(f"{file_name(study)}.html"))
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size, "answers": results.answers()})
        return
    for line in results.answers():
        console().print(f"- {clean(line)}", markup=False, soft_wrap=True)
    note(f"{path}, {path.stat().st_size / 2**20:.1f} MiB")
