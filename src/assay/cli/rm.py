"""`assay rm`: remove trials, benches, imported curves or studies."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.exits import Exit
from assay.cli.options import StoreUrl, Yes, readable_names, typed_store
from assay.cli.printing import note
from assay.errors import AssayError
from assay.system.command_line import command_line

if TYPE_CHECKING:
    from assay.store.store import Store


@dataclass
class _Selection:
    """What the names stand for: studies by name, the others by key."""

    studies: list[str] = field(default_factory=list[str])
    trials: list[str] = field(default_factory=list[str])
    benches: list[str] = field(default_factory=list[str])
    curves: list[str] = field(default_factory=list[str])

    def text(self) -> str:
        """Everything that is selected, in a line."""
        parts = [f"study {name}" for name in self.studies]
        for kind, keys in (("trial", self.trials), ("bench", self.benches), ("imported curve", self.curves)):
            parts += [f"{kind} {key[:8]}" for key in keys]
        return ", ".join(parts)


def rm(
    names: Annotated[
        list[str],
        typer.Argument(help="Study names, or keys of trials, benches or imported curves.", callback=readable_names),
    ],
    yes: Yes = False,
    store: StoreUrl = None,
) -> None:
    """Remove studies, trials, benches or imported curves, after a confirmation.

    Removing a study also removes the trials that belong to no other study.
    """
    from assay.store.store import Store

    opened = Store(store)
    selection = _select(opened, names)
    if not yes:
        if not sys.stdin.isatty():
            raise AssayError(f"this removes {selection.text()}; give --yes to remove it without confirmation")
        if not typer.confirm(f"Remove {selection.text()}?", err=True):
            raise typer.Exit(Exit.NEGATIVE)
    vacuum = command_line("assay store vacuum", store=typed_store(store))
    note(f"removed {_remove(opened, selection)}; `{vacuum}` frees the space of their weights")


def _select(store: Store, names: list[str]) -> _Selection:
    from assay.store import benches, imported, queries

    studies = {row["name"] for row in queries.studies(store.database)}
    selection = _Selection()
    for name in names:
        if name in studies:
            selection.studies.append(name)
        elif bench := benches.find(store.database, name):
            selection.benches.append(bench["bench"])
        elif curve := imported.find(store.database, name):
            selection.curves.append(curve["key"])
        else:
            selection.trials.append(queries.one_trial(store.database, name)["key"])
    return selection


def _remove(store: Store, selection: _Selection) -> str:
    """Removes what is selected; how much it was."""
    from assay.store import benches, imported

    counts = (
        ("study", "studies", len(selection.studies)),
        ("trial", "trials", store.remove(studies=selection.studies, trials=selection.trials)),
        ("bench", "benches", benches.remove(store.database, selection.benches)),
        ("imported curve", "imported curves", imported.remove(store.database, selection.curves)),
    )
    parts = [f"{count:,} {one if count == 1 else several}" for one, several, count in counts if count]
    return ", ".join(parts) or "nothing"
