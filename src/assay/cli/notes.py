"""How commands show the notes of a study: what is unusual in its recipes, results and data."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from assay.cli.printing import note

if TYPE_CHECKING:
    from assay.report.notes import Note
    from assay.results.results import Results

_MOST = 8


def print_notes(results: Results, configurations: Collection[str] = ()) -> None:
    """Prints the notes on a study, or on some of its configurations, to stderr; the first ones if there are many."""
    from assay.report.notes import line

    count = len(set(results.frame()["configuration"].tolist()))
    notes = notes_on(results, configurations)
    for unusual in notes[:_MOST]:
        note(f"note: {line(unusual, configurations=count)}")
    if len(notes) > _MOST:
        note(f"{len(notes) - _MOST:,} more notes; `assay report {results.name}` lists them")


def notes_on(results: Results, configurations: Collection[str] = ()) -> list[Note]:
    """The notes on a study that are about some of these configurations; all of them without a selection."""
    notes = results.notes()
    named = set(configurations)
    return [n for n in notes if not n.configurations or set(n.configurations) & named] if named else notes


__all__ = ["notes_on", "print_notes"]
