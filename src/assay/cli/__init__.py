"""The command line. Each command is a file of its own; it parses, makes one call and prints."""

import sys

from assay.system.import_path import leave_out_current_folder

if sys.argv[:1] == ["-m"]:  # `python -m assay.cli`, which imports this before its __main__
    leave_out_current_folder()

import os
from contextlib import suppress
from typing import Annotated

import typer

from assay.cli.bench import bench
from assay.cli.compare import compare
from assay.cli.data import app as data
from assay.cli.doctor import doctor
from assay.cli.exits import Exit
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
    """The entry point. An error the user can fix is printed as a sentence and exits with 2, Ctrl-C with 130.

    An unforeseen error is one sentence as well, and exits with 70; its traceback is in a file.
    """
    print_any_character()
    if sys.flags.optimize > 1:
        note("error: PYTHONOPTIMIZE=2 (-OO) removes the texts that charts are made from; expected 0 or 1")
        sys.exit(Exit.USAGE)
    output = _output()
    try:
        app()
    except SystemExit as stop:
        if stop.code == 1 and (type(sys.stdout).__name__ == "PacifyFlushWrapper" or _output() != output):
            sys.exit(Exit.PIPE_CLOSED)  # so Click and Rich end when the reader has closed the output
        raise
    except AssayError as error:
        note(f"error: {error}")
        sys.exit(Exit.USAGE)
    except UnicodeEncodeError as error:  # of a file name or of the store: what is printed takes any character
        note(f"error: {error.object!a} has characters that this locale's encoding lacks; set PYTHONUTF8=1")
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt:
        note("interrupted")
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:  # the reader of the output has closed it, as `| head` does
        _discard_output()
        sys.exit(Exit.PIPE_CLOSED)
    except Exception as error:
        _discard_output()
        sys.exit(_report_unforeseen(error))


def _output() -> tuple[int, int] | None:
    """What standard output is connected to, which Rich replaces by the null device when a pipe is closed."""
    try:
        state = os.fstat(1)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _discard_output() -> None:
    """Sends what is still to be printed nowhere: flushing it at the exit would fail once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_unforeseen(error: Exception) -> Exit:
    """Prints a sentence for an error that no command foresees, and keeps its traceback in a file; the exit code."""
    import errno
    import tempfile
    import traceback

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        note("error: no space left on the device that the output goes to; what is stored is safe")
        return Exit.USAGE
    cause = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
    try:
        with tempfile.NamedTemporaryFile("w", prefix="assay-error-", suffix=".txt", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
        details = f"the details are in {file.name}"
    except OSError:
        details = "the details could not be written to a file"
    note(f"internal error: {cause}; {details}; what is stored is safe")
    return Exit.INTERNAL
