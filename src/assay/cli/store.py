"""`assay store`: check, repair, back up, export, import, vacuum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.exits import Exit
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, StoreUrl, home_expanded
from assay.cli.printing import note, print_json, print_line
from assay.cli.progress import steps
from assay.report.text import readable

if TYPE_CHECKING:
    from assay.store.store import Store

app = typer.Typer(help="Check, repair, back up, export and import a store of trials.", no_args_is_help=True)


@app.command()
def check(store: StoreUrl = None, as_json: Json = False, table_format: TableFormat = TableFormat.TEXT) -> None:
    """Check the database, rows, artifacts and leases of a store.

    The exit code is 1 if something is wrong.
    """
    from assay.store.integrity import check as check_store

    opened = _current(store)
    with steps("check") as show:
        defects = check_store(opened, show)
    wrong = [defect for defect in defects if defect.kind not in ("orphan", "lease")]
    if as_json:
        print_json({"store": opened.name, "sound": not wrong, "findings": [vars(defect) for defect in defects]})
    elif table_format:
        from assay.cli import tables

        rows = [[defect.kind, defect.sentence] for defect in defects]
        print_tables([tables.of_rows(opened.name, ["kind", "finding"], rows)], table_format=table_format)
        note(f"{opened.name}: {'not sound' if wrong else 'sound'}")
    else:
        for defect in defects:
            print_line(f"{defect.kind}: {defect.sentence}")
        print_line(f"{opened.name}: {'not sound' if wrong else 'sound'}")
    if wrong:
        raise typer.Exit(Exit.NEGATIVE)


def _current(url: str | None) -> Store:
    """The store, which may be in a folder that may not be written to; one of an older version is migrated."""
    from assay.store.database import OldSchemaError
    from assay.store.schema import VERSION
    from assay.store.store import Store

    try:
        opened = Store(url, read_only=True)
    except OldSchemaError:
        return Store(url)
    if opened.database.version == VERSION:
        return opened
    opened.close()
    return Store(url)


@app.command()
def repair(
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Put the new file in the place of a damaged one, which gets another name."),
    ] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Repair a store: set unreadable rows aside, free expired leases.

    Of a damaged file, what can still be read is saved into a new one.
    """
    from assay.errors import StoreError
    from assay.store.integrity import repair as repair_store
    from assay.store.store import Store, default_url
    from assay.store.urls import sqlite_path

    url = store or default_url()
    try:
        done = repair_store(Store(url))
    except StoreError as error:
        path = sqlite_path(url)
        if path is None or "damaged" not in str(error):
            raise
        done = _salvaged(path, in_place=in_place)
    if as_json:
        print_json({"done": done})
    for line in done if not as_json else []:
        print_line(line)
    if not done:
        note("nothing to repair")


def _salvaged(path: Path, *, in_place: bool) -> list[str]:
    """Saves what can be read of a damaged file; says where it is, and where the damaged file is."""
    from assay.store.salvage import salvage, salvage_in_place

    if in_place:
        kept, count = salvage_in_place(path)
        return [f"saved {count:,} results to {path}", f"the damaged file is kept as {kept}"]
    target, count = salvage(path)
    return [
        f"saved {count:,} results to {target}",
        "to use it: `assay store repair --in-place` puts it in the place of the damaged file, which gets another name"
        f" (by hand, move {path.name}-wal and {path.name}-shm away as well)",
    ]


@app.command()
def backup(
    file: Annotated[
        Path, typer.Argument(help="Output file; its artifacts go to FILE.artifacts.", callback=home_expanded)
    ],
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Copy a store with its artifacts, even while programs use it.

    A copy of the database file alone lacks the results that are still in its write-ahead log.
    """
    from assay.store.backup import backup as backup_store
    from assay.store.store import Store

    trials, artifacts = backup_store(Store(store, read_only=True), file)
    if as_json:
        print_json({"file": str(file), "results": trials, "artifacts": artifacts})
    else:
        print_line(f"{trials:,} results and {artifacts:,} artifacts are in {file}")


@app.command(name="export")
def export_store(
    folder: Annotated[Path, typer.Argument(help="Output folder.", callback=home_expanded)],
    study: Annotated[str, typer.Option(help="Only the trials of this study.", callback=readable)] = "",
    artifacts: Annotated[bool, typer.Option("--artifacts", help="Also export the weights.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Export trials and curves as Parquet, studies and machines as JSON."""
    from assay.store.exchange import export
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    with steps("export") as show:
        count = export(opened, folder, study_name=study, artifacts=artifacts, show=show)
    if as_json:
        print_json({"trials": count, "folder": str(folder)})
    else:
        print_line(f"{count:,} trials are in {folder}")


@app.command(name="import")
def import_store(
    folder: Annotated[Path, typer.Argument(help="Folder written by `assay store export`.", callback=home_expanded)],
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Add exported trials and imported curves to a store. What it already has is kept unchanged.

    A study or curve whose name is taken by another one gets another name, which is said.
    """
    from assay.store.exchange import read_back
    from assay.store.store import Store

    opened, notes = Store(store), list[str]()
    with steps("import") as show:
        added, skipped = read_back(opened, folder, show, say=notes.append)
    for sentence in notes:
        note(sentence)
    if as_json:
        print_json({"added": added, "already_there": skipped, "notes": notes})
    else:
        print_line(f"{added:,} trials added, {skipped:,} skipped (already stored, or without a result)")


@app.command()
def vacuum(store: StoreUrl = None, as_json: Json = False) -> None:
    """Delete artifacts that no trial uses any more, and free the unused space."""
    from assay.store.integrity import vacuum as vacuum_store
    from assay.store.store import Store

    opened = Store(store)
    with steps("vacuum") as show:
        count, size = vacuum_store(opened, show)
    if as_json:
        print_json({"artifacts": count, "bytes": size})
    else:
        print_line(f"{count:,} artifacts removed, {size / 2**20:,.1f} MiB")
