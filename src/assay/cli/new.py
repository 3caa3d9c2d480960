"""`assay new`: files to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import home_expanded
from assay.cli.printing import note
from assay.errors import AssayError, unknown
from assay.system.command_line import command_line

_KINDS = ("article",)


def new(
    kind: Annotated[str, typer.Argument(help="article.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the new files; it is made.", callback=home_expanded)],
) -> None:
    """Write the skeleton of an article: claims, a study and what its page shows, with comments; it runs as it is."""
    from assay.articles.new import new_article

    if kind not in _KINDS:
        raise AssayError(unknown("kind of files", kind, _KINDS))
    files = new_article(folder)
    note("written: " + ", ".join(map(str, files)))
    note(f"run it: {command_line('assay reproduce', folder)}")
