"""`assay rm`: remove trials, benches, imported curves or studies."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from assay.cli.options import (
    StoreUrl,
    Yes,
    note,
)
from assay.errors import AssayError


def rm(
    names: Annotated[list[str], typer.Argument(help="Trials, benches, imported curves by key, or studies by name.")],
    yes: Yes = False,
    store: StoreUrl = None,
) -> None:
    """Remove trials, benches, imported curves, or studies with those of their trials that no other study has.

    Asks first.
    """
    from assay.store import benches, imported, queries
    from assay.store.store import Store

    opened = Store(store)
    studies = {row["name"] for row in queries.studies(opened.database)}
    doomed = [name for name in names if name in studies]
    keys, measured, curves = list[str](), list[str](), list[str]()
    for name in (name for name in names if name not in studies):
        if found := benches.find(opened.database, name):
            measured.append(found["bench"])
        elif curve := imported.find(opened.database, name):
            curves.append(curve["key"])
        else:
            keys.append(queries.one_trial(opened.database, name)["key"])
    named = [("study", doomed)]
    named += [(kind, [key[:8] for key in of]) for kind, of in (("trial", keys), ("bench", measured))]
    named.append(("imported curve", [key[:8] for key in curves]))
    what = ", ".join(f"{kind} {name}" for kind, those in named for name in those)
    if not yes:
        if not sys.stdin.isatty():
            raise AssayError(f"this removes {what}; give --yes to do so without being asked")
        if not typer.confirm(f"Remove {what}?", err=True):
            raise typer.Exit(1)
    for name in doomed:
        keys += opened.remove_study(name)
    gone = {
        "trials": opened.remove_trials(keys),
        "benches": benches.remove(opened.database, measured),
        "imported curves": imported.remove(opened.database, curves),
    }
    more = "".join(f", {count:,} {what}" for what, count in gone.items() if count and what != "trials")
    note(
        f"removed {len(doomed):,} studies and {gone['trials']:,} trials{more}; `assay store vacuum` frees their weights"
    )
