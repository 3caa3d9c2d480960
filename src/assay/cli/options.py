"""Options and arguments that several commands share, and what commands make of their values."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from assay.cli.exits import Exit
from assay.cli.printing import console, print_error
from assay.errors import AssayError
from assay.report.text import readable
from assay.system import files

if TYPE_CHECKING:
    from assay.engines.program import Command
    from assay.execution.executors import Executor
    from assay.results.results import Results
    from assay.store.store import Store


def home_expanded(value: Path | None) -> Path | None:
    """A path with its leading `~` replaced, which a shell does not do in `--out=~/runs`. Raises: FileError."""
    return None if value is None else files.home_expanded(value)


def homes_expanded(values: list[Path]) -> list[Path]:
    """The same for an argument that takes several paths."""
    return [files.home_expanded(value) for value in values]


def readable_names(values: list[str] | None) -> list[str] | None:
    """Names as UTF-8, in which they are stored, where the locale's encoding could not read them."""
    return None if values is None else [readable(value) for value in values]


def study_names(incomplete: str) -> list[str]:
    """The stored studies that begin with what was typed, for shell completion; none where a store cannot be read."""
    from assay.store import queries
    from assay.store.store import Store

    try:
        rows = queries.studies(Store(None, read_only=True).database)
    except AssayError:
        return []
    return [row["name"] for row in rows if row["name"].startswith(incomplete)]


AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run third-party code: users' optimizers and models (my.module:Net), also from the current folder, and "
        "programs.",
    ),
]
CommandLine = Annotated[
    str | None,
    typer.Option(
        "--command",
        metavar="WORDS",
        help="Train with an external program instead of an engine; see docs/runners.md. Needs --allow-code. "
        "No shell is used.",
    ),
]
DataSet = Annotated[
    str | None,
    typer.Option("--data", help="Data set: a name or a folder.", show_default="set by the recipe or study"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="WHERE",
        help="Where workers run: local, ray (the cluster of RAY_ADDRESS, or a new one here) or ray://HOST:PORT. "
        "See docs/scale.md.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Output folder for charts and reports.", callback=home_expanded)]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show the plan and exit.")]
Quick = Annotated[bool, typer.Option("--quick", help="Scale down; use the embedded digits unless --data is given.")]
RecipeFile = Annotated[
    Path | None,
    typer.Argument(
        help="Recipe in TOML, or name of a model such as 3LS.",
        show_default="the quickstart on the embedded digits",
        callback=home_expanded,
    ),
]
Retry = Annotated[
    bool, typer.Option("--retry", help="Retrain trials that failed, were lost, ran out of memory or timed out.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, e.g. optimizer.name=adam. Repeatable."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Store of trials: a file, sqlite:///FILE or postgresql+psycopg://...",
        show_default="$ASSAY_STORE or ./assay.db",
    ),
]
StudyName = Annotated[
    str,
    typer.Argument(
        default_factory=str,
        help="Name of a stored study; without one, list them.",
        callback=readable,
        show_default=False,
        autocompletion=study_names,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@dataclass(frozen=True)
class Site:
    """Where a command stores what it trains, and where its workers are."""

    store: Store
    executor: Executor


def executor_of(context: typer.Context, on: str) -> Executor:
    """The executor that --on names; what it has joined or started is left when the command ends. Raises: AssayError."""
    from assay.execution.places import executor_on

    return context.with_resource(executor_on(on))


@contextmanager
def code_allowed(allow_code: bool) -> Generator[None]:
    """With --allow-code, recipes read inside may name users' code, from then on also that of the current folder."""
    if not allow_code:
        yield
        return
    import sys

    from assay.parts.user_optimizers import allowing_code

    sys.path.insert(0, str(Path.cwd()))
    with allowing_code():
        yield


def parse_command(text: str, engine: str | None) -> Command:
    """The external program of --command.

    Raises:
        AssayError: The text is not a command, or --engine names an engine as well.
    """
    import shlex

    from assay.engines.program import Command

    if engine not in (None, "auto", "command"):
        raise AssayError(f"--command: replaces the engine; it cannot be combined with --engine {engine}")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise AssayError(f"--command: got {text!r}: {error}") from None
    if not words or not all(word.isprintable() and word for word in words):
        raise AssayError(f"--command: got {text!r}; expected a program and its arguments, in printable characters")
    return Command(command=tuple(words))


def accuracy_of(text: str, option: str) -> float:
    """An accuracy as a fraction, of "0.9" or "90%". Raises: AssayError, which names the option."""
    from assay.parts.fractions import fraction

    try:
        return fraction(text)
    except AssayError as error:
        raise AssayError(f"{option}: {error}") from None


def typed_store(store: str | None) -> str | None:
    """The store as a printed command names it: as typed, without a password; None for that of the environment."""
    if store is None or "://" not in store:
        return store
    from assay.store.urls import without_password

    return without_password(store)


def stored_results(study: str, store: str | None) -> Results:
    """The results of a stored study; the store is opened read-only. Without a name, lists the studies and ends."""
    from assay.results.results import Results
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not study:
        list_studies(opened)
    return Results(opened, study)


def list_studies(store: Store) -> NoReturn:
    """Prints the studies of a store, of which a command needs one, and ends the command: exit code 2."""
    from assay.cli import tables
    from assay.store import queries

    if rows := queries.studies(store.database):
        console().print(tables.studies(rows))
        print_error(f"which study? give one of these names, such as {rows[0]['name']}")
    else:
        print_error(f"{store.name}: no studies; `assay run` makes one")
    raise typer.Exit(Exit.USAGE)
