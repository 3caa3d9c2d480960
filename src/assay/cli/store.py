"""`assay store`: check, repair, export, import, vacuum."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import Json, StoreUrl, console, note, print_json

app = typer.Typer(help="Look after a store of trials.", no_args_is_help=True)


@app.command()
def check(store: StoreUrl = None, as_json: Json = False) -> None:
    """Say whether a store is sound: its database, rows, artifacts and leases. Exit code 1 where something is wrong."""
    from assay.report.text import clean
    from assay.store.integrity import check as check_store
    from assay.store.store import Store

    findings = check_store(opened := Store(store))
    wrong = [finding for finding in findings if finding.kind not in ("orphan", "lease")]
    if as_json:
        print_json({"store": opened.name, "sound": not wrong, "findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            console().print(f"{finding.kind}: {clean(finding.sentence)}", markup=False, soft_wrap=True)
        console().print(f"{opened.name}: {'sound' if not wrong else 'not sound'}", markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


@app.command()
def repair(store: StoreUrl = None, as_json: Json = False) -> None:
    """Mend a store: set unreadable rows aside, free dead leases; save what a damaged file still holds."""
    from assay.errors import StoreError
    from assay.store.database import sqlite_path
    from assay.store.integrity import repair as repair_store
    from assay.store.integrity import salvage
    from assay.store.store import Store, default_url

    url = store or default_url()
    done: list[str] = []
    try:
        done = repair_store(Store(url))
    except StoreError as error:
        path = sqlite_path(url)
        if path is None or "damaged" not in str(error):
            raise
        target, count = salvage(path)
        done = [f"saved {count:,} results into {target}; look at it, then move it to {path}"]
    if as_json:
        print_json({"done": done})
    for line in done if not as_json else []:
        console().print(line, markup=False, soft_wrap=True)
    if not done:
        note("nothing to mend")


@app.command(name="export")
def export_store(
    folder: Annotated[Path, typer.Argument(help="The folder to write into.")],
    study: Annotated[str, typer.Option(help="Only the trials of this study.")] = "",
    artifacts: Annotated[bool, typer.Option("--artifacts", help="The weights too.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Write trials and curves as Parquet, studies and machines as JSON."""
    from assay.store.exchange import export
    from assay.store.store import Store

    count = export(Store(store, read_only=True), folder, study_name=study, artifacts=artifacts)
    if as_json:
        print_json({"trials": count, "folder": str(folder)})
    else:
        console().print(f"{count:,} trials are in {folder}", markup=False, soft_wrap=True)


@app.command(name="import")
def import_store(
    folder: Annotated[Path, typer.Argument(help="A folder that `assay store export` wrote.")],
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Add the trials of an export to a store, imported curves counted with them; what it has stays as it is."""
    from assay.store.exchange import read_back
    from assay.store.store import Store

    added, there = read_back(Store(store), folder)
    if as_json:
        print_json({"added": added, "already_there": there})
    else:
        console().print(f"{added:,} trials added, {there:,} were there or have no result", markup=False)


@app.command()
def vacuum(store: StoreUrl = None, as_json: Json = False) -> None:
    """Remove artifacts that no trial names any more, and give unused room back."""
    from assay.store.integrity import vacuum as vacuum_store
    from assay.store.store import Store

    count, size = vacuum_store(Store(store))
    if as_json:
        print_json({"artifacts": count, "bytes": size})
    else:
        console().print(f"{count:,} artifacts removed, {size / 2**20:,.1f} MiB", markup=False)
