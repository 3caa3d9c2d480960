"""The command line. Each command is a file of its own; it parses, makes one call and prints."""

import sys

from assay.system.import_path import leave_out_current_folder

if sys.argv[:1] == ["-m"]:  # `python -m assay.cli`, which imports this before its __main__
    leave_out_current_folder()

import os
from typing import Annotated

import typer

from assay.cli.bench import bench
from assay.cli.compare import compare
from assay.cli.data import app as data
from assay.cli.doctor import doctor
from assay.cli.import_log import import_log
from assay.cli.list import list_trials
from assay.cli.plot import plot
from assay.cli.predict import predict
from assay.cli.printing import note, print_any_character
from assay.cli.report import report
from assay.cli.reproduce import reproduce
from assay.cli.rm import rm
from assay.cli.run import run
from assay.cli.show import show
from assay.cli.store import app as store
from assay.cli.target import target
from assay.cli.train import train
from assay.errors import AssayError

COMMANDS = {
    "train": train,
    "run": run,
    "list": list_trials,
    "show": show,
    "rm": rm,
    "report": report,
    "plot": plot,
    "compare": compare,
    "target": target,
    "reproduce": reproduce,
    "bench": bench,
    "import": import_log,
    "predict": predict,
    "doctor": doctor,
}
GROUPS = {"data": data, "store": store}

app = typer.Typer(
    name="assay",
    help="Measures what a training choice costs and what it buys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in COMMANDS.items():
    app.command(name=name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def _print_version(wanted: bool) -> None:
    if wanted:
        from assay import __version__

        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Measures what a training choice costs and what it buys."""


def main() -> None:
    """The entry point. An error the user can fix is printed as a sentence and exits with 2, Ctrl-C with 130."""
    print_any_character()
    try:
        app()
    except AssayError as error:
        note(f"error: {error}")
        sys.exit(2)
    except UnicodeEncodeError as error:  # of a file name or of the store: what is printed takes any character
        note(f"error: {error.object!a} has characters that this locale's encoding lacks; set PYTHONUTF8=1")
        sys.exit(2)
    except KeyboardInterrupt:
        note("interrupted")
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
