"""The command line: each command parses, makes one call and prints."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from assay.cli import answers, studies, training
from assay.cli import bench as benching
from assay.cli import data as datasets
from assay.cli import import_log as importing
from assay.cli import reproduce as reproducing
from assay.cli import store as stores
from assay.cli.options import Json, console, note, print_json, short
from assay.errors import AssayError

app = typer.Typer(
    name="assay",
    help="Measures what a training choice costs and what it buys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(training.train)
app.command()(studies.run)
app.command(name="list")(studies.list_trials)
app.command()(studies.show)
app.command()(studies.rm)
app.command()(answers.report)
app.command()(answers.plot)
app.command()(answers.compare)
app.command()(answers.target)
app.command()(reproducing.reproduce)
app.command()(benching.bench)
app.command(name="import")(importing.import_log)
app.command()(training.predict)
app.add_typer(datasets.app, name="data")
app.add_typer(stores.app, name="store")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has: engines, devices, threads, libraries, data sets."""
    from assay.cli.doctor import examine
    from assay.report import tables

    report = examine()
    if as_json:
        print_json(report)
        return
    machine: dict[str, Any] = report["machine"]
    lines: list[tuple[str, object]] = [(key, short(value)) for key, value in machine.items() if value is not None]
    lines += tables.engine_lines(report["engines"])
    lines += [(f"data {name}", said) for name, said in report["data"].items()]
    console().print(tables.pairs(lines))


def _version(asked: bool) -> None:
    if asked:
        from assay import __version__

        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measures what a training choice costs and what it buys."""


def main() -> None:
    """The entry point: a user's mistake is a sentence and exit code 2, Ctrl-C is 130."""
    try:
        app()
    except AssayError as error:
        note(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        note("interrupted")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
