"""How commands print: tables, notes, JSON; and the options that several of them have."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.errors import AssayError, FileError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.engines.program import Command

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="sqlite:///FILE or postgresql+psycopg://...; none: $ASSAY_STORE, or assay.db here.",
    ),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Import optimizers of your own (my.module:Rule), from the current folder too; run commands: runs code.",
    ),
]
CommandLine = Annotated[
    str | None,
    typer.Option(
        "--command",
        metavar="WORDS",
        help="Train by a program of your own, as in docs/runners.md; needs --allow-code. No shell reads the words.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the table as comma-separated values.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Named = Annotated[str, typer.Argument(help="The name of a stored study, as `assay list` shows it.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one key of the recipe, e.g. optimizer.name=adam; repeatable."
    ),
]


@contextmanager
def code_allowed(asked: bool) -> Generator[None]:
    """With --allow-code, the recipes that are read inside may name own classes; from then on also of this folder."""
    if not asked:
        yield
        return
    import sys

    from assay.parts.user_optimizers import allowing_code

    sys.path.insert(0, str(Path.cwd()))
    with allowing_code():
        yield


def command_of(text: str, engine: str | None) -> Command:
    """The command that --command says. Raises: AssayError where it is none, or an engine is asked for beside it."""
    import shlex

    from assay.engines.program import Command

    if engine not in (None, "auto", "command"):
        raise AssayError(f"--command: trains in place of an engine; got --engine {engine} beside it")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise AssayError(f"--command: got {text!r}: {error}") from None
    if not words or not all(word.isprintable() and word for word in words):
        raise AssayError(f"--command: got {text!r}; expected a program and its words, printable characters")
    return Command(command=tuple(words))


def console(*, stderr: bool = False) -> Console:
    """Where tables and notes go."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def note(text: str) -> None:
    """Says something to the user beside the result."""
    typer.echo(text, err=True)


def print_json(result: dict[str, Any]) -> None:
    """Prints a result as one JSON object."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False))


def prepare_folder(folder: Path) -> None:
    """Makes a folder for output. Raises: FileError before any work is done, if nothing could be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made a folder for output: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK):
        raise FileError(f"{folder}: may not be written to")


def short(value: object) -> str:
    """A value of a report in a line."""
    if isinstance(value, dict):
        items: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return ", ".join(f"{key} {short(item)}" for key, item in items.items())
    if isinstance(value, list | tuple):
        entries: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return (
            "; ".join(map(short, entries))
            if any(isinstance(e, dict) for e in entries)
            else " x ".join(map(str, entries))
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_csv(rows: list[dict[str, Any]]) -> None:
    """Prints rows as comma-separated values."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    typer.echo(text.getvalue(), nl=False)


def results_of(study: str, store: str | None) -> Any:
    """The results of a stored study, which are only read."""
    from assay.results.results import Results
    from assay.store.store import Store

    return Results(Store(store, read_only=True), study)


def print_frame(
    frame: Any, *, as_csv: bool, as_markdown: bool, as_json: bool, title: str, imported: Any | None = None
) -> None:
    """Prints a frame as a table, or in the form that is asked for."""
    from assay.cli import tables
    from assay.report.text import markdown

    if as_json:
        extra = {} if imported is None or not len(imported) else {"imported": _records(imported)}
        print_json({"title": title, "rows": _records(frame), **extra})
    elif as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    elif as_markdown:
        typer.echo(markdown(frame))
    else:
        console().print(tables.of_frame(frame, title))


def _records(frame: Any) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records"))


def file_name(study: str) -> str:
    """A study's name as that of a file: no path, no control characters."""
    return "".join(c if c.isalnum() or c in "-_. " else "-" for c in study).strip(". ") or "study"
