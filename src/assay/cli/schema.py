"""`assay schema`: the JSON schema of recipes, studies or claims, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.files import check_file
from assay.cli.options import home_expanded
from assay.cli.printing import note
from assay.errors import AssayError, unknown
from assay.system.files import write_atomically

_KINDS = ("recipe", "study", "claims")


def schema(
    kind: Annotated[str, typer.Argument(help="recipe, study or claims.")] = "recipe",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write it to this file, for `#:schema FILE` in TOML.", callback=home_expanded),
    ] = None,
) -> None:
    """Print the JSON schema of a recipe, a study or claims, with which editors complete and check TOML files."""
    from assay.claims.schema import claims_schema
    from assay.recipe.schema import recipe_schema
    from assay.studies.schema import study_schema

    if kind not in _KINDS:
        raise AssayError(unknown("kind of file", kind, _KINDS))
    schemas = {"recipe": recipe_schema, "study": study_schema, "claims": claims_schema}
    text = json.dumps(schemas[kind](), indent=2)
    if out is None:
        typer.echo(text)
        return
    check_file(out, "--out")
    write_atomically(out, text.encode())
    note(f"{out}: put `#:schema {out}` in the first line of a TOML file, and editors with Taplo read it")
