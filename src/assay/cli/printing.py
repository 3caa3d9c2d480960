"""How commands print: notes to stderr; lines, JSON and CSV to stdout. The formats of tables are in `formats`."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import sys
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import typer

from assay.report.text import clean, clean_lines, csv_cell

if TYPE_CHECKING:
    from rich.console import Console


class Verbosity(IntEnum):
    """How much a command prints to stderr: errors alone, notes and progress as well, or log messages too."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


_chosen = [Verbosity.NORMAL]


def set_verbosity(level: Verbosity) -> None:
    """Decides how much this process prints from now on."""
    _chosen[0] = level
    if level is Verbosity.VERBOSE:
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("assay").setLevel(logging.INFO)
    elif level is Verbosity.QUIET:
        logging.getLogger("assay").setLevel(logging.ERROR)
    else:
        logging.getLogger("assay").setLevel(logging.NOTSET)


def verbosity() -> Verbosity:
    """How much is printed, as `--quiet` and `--verbose` say."""
    return _chosen[0]


def console(*, stderr: bool = False) -> Console:
    """The terminal that tables are drawn on; one that is too narrow for a table gets its rows one below the other."""
    from rich.console import Console
    from rich.table import Table

    from assay.cli.narrow import fitted

    class Screen(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            width = self.width
            super().print(*(fitted(o, width) if isinstance(o, Table) else o for o in objects), **options)

    return Screen(stderr=stderr, highlight=False)


_NARROWEST = 20  # columns; in fewer, Rich leaves out what does not fit
_WIDEST = 1000  # columns; a line of a table is padded to no more
_SIZE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def ignore_unusable_size() -> None:
    """From now on, COLUMNS and LINES of this process are sizes that a table can be drawn in, or are not set.

    Rich draws nothing in 0 columns, and reserves room for as many as it is told.
    """
    for name in ("COLUMNS", "LINES"):
        text = os.environ.get(name)
        if text is None:
            continue
        if not _SIZE.fullmatch(text):
            del os.environ[name]
        else:
            os.environ[name] = str(min(max(int(text), _NARROWEST), _WIDEST))


def print_any_character() -> None:
    """From now on, characters that the encoding of the terminal or of a pipe lacks are printed as "?"."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def note(text: str) -> None:
    """Prints a message to stderr, so that it does not mix with the result. It may hold names from files.

    With --quiet, it is not printed; errors are (`print_error`).
    """
    if verbosity() is not Verbosity.QUIET:
        print_error(text)


def print_error(text: str) -> None:
    """Prints a message to stderr, also with --quiet.

    A stderr that takes nothing, such as a full disk, changes neither what the command does nor its exit code.
    """
    with suppress(OSError):
        typer.echo(clean_lines(text), err=True)


def print_line(text: object) -> None:
    """Prints one line of text, which may hold names from files: without control characters, markup or line breaks."""
    console().print(clean(text), markup=False, soft_wrap=True)


def print_json(result: dict[str, Any]) -> None:
    """Prints a result as one JSON object."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False))


def print_csv(rows: list[dict[str, Any]]) -> None:
    """Prints rows as comma-separated values; the first row decides the columns.

    Texts may be names from a stranger's store: they are cleaned, and none is a formula to a spreadsheet.
    """
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore")
        writer.writerow({column: _cell(column) for column in rows[0]})
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    typer.echo(text.getvalue(), nl=False)


def _cell(value: Any) -> Any:
    return csv_cell(value) if isinstance(value, str) else value


def frame_records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame as plain data, in which a missing value is None."""
    return json.loads(frame.to_json(orient="records"))


def one_line(value: object) -> str:
    """A value of a report, also a nested one, in one line."""
    if isinstance(value, dict):
        items: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return ", ".join(f"{key} {one_line(item)}" for key, item in items.items())
    if isinstance(value, list | tuple):
        entries: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        if any(isinstance(entry, dict) for entry in entries):
            return "; ".join(map(one_line, entries))
        return " x ".join(map(str, entries))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
