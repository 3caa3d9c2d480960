"""`assay tag`: words of your own on a stored study."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, StoreUrl, StudyName, list_studies, readable_names
from assay.cli.printing import note, print_json, print_line


def tag(
    study: StudyName,
    tags: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Tags to set; KEY= removes one.",
            show_default="show the tags",
            callback=readable_names,
        ),
    ] = None,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Tag a stored study with words of your own, or show its tags.

    `assay list --tag KEY=VALUE` lists the studies that have a tag.
    """
    from assay.store import tags as stored
    from assay.store.queries import study_definition
    from assay.store.store import Store

    wanted = stored.parsed(tags or [])
    opened = Store(store, read_only=not wanted)
    if not study:
        list_studies(opened)
    study_definition(opened.database, study)
    if wanted:
        stored.write(opened.database, study, wanted)
    present = stored.read(opened.database).get(study, {})
    if as_json:
        print_json({"study": study, "tags": present})
        return
    if table_format:
        from assay.cli import tables

        print_tables([tables.of_rows("", ["tag", "value"], list(present.items()))], table_format=table_format)
        return
    for key, value in present.items():
        print_line(f"{key}={value}")
    if not present:
        note(f"{study}: no tags")
