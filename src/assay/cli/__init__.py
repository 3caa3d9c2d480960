"""The command line. Each command is a file of its own; it parses, makes one call and prints."""

import sys

from assay.system.import_path import leave_out_current_folder

if sys.argv[:1] == ["-m"]:  # `python -m assay.cli`, which imports this before its __main__
    leave_out_current_folder()

import os
from contextlib import suppress
from typing import Annotated

import typer

from assay.cli.commands import COMMANDS, Root
from assay.cli.exits import Exit
from assay.cli.printing import (
    Verbosity,
    ignore_unusable_size,
    print_any_character,
    print_error,
    set_verbosity,
    verbosity,
)
from assay.cli.shared import Quiet, Verbose
from assay.errors import AssayError

app = typer.Typer(
    name="assay",
    help="Measures what a training choice costs and what it buys.",
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measures what a training choice costs and what it buys."""


def main() -> None:
    """The entry point. An error the user can fix is printed as a sentence and exits with 2, Ctrl-C with 130.

    An unforeseen error is one sentence as well, and exits with 70; its traceback is in a file.
    """
    print_any_character()
    ignore_unusable_size()
    set_verbosity(Verbosity.NORMAL)
    if sys.flags.optimize > 1:
        print_error("error: PYTHONOPTIMIZE=2 (-OO) removes the texts that charts are made from; expected 0 or 1")
        sys.exit(Exit.USAGE)
    output = _output()
    try:
        app(prog_name="assay")
    except SystemExit as stop:
        if stop.code == 1 and (type(sys.stdout).__name__ == "PacifyFlushWrapper" or _output() != output):
            sys.exit(Exit.PIPE_CLOSED)  # so Click and Rich end when the reader has closed the output
        raise
    except AssayError as error:
        print_error(f"error: {error}")
        sys.exit(Exit.USAGE)
    except UnicodeEncodeError as error:  # of a file name or of the store: what is printed takes any character
        print_error(f"error: {error.object!a} has characters that this locale's encoding lacks; set PYTHONUTF8=1")
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt:
        print_error("interrupted")
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
        print_error("error: no space left on the device that the output goes to; what is stored is safe")
        return Exit.USAGE
    if verbosity() is Verbosity.VERBOSE:
        traceback.print_exception(error)
    cause = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
    try:
        with tempfile.NamedTemporaryFile("w", prefix="assay-error-", suffix=".txt", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
        details = f"the details are in {file.name}"
    except OSError:
        details = "the details could not be written to a file"
    print_error(f"internal error: {cause}; {details}; what is stored is safe")
    return Exit.INTERNAL


__all__ = ["COMMANDS", "app", "main"]
