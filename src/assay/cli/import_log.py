"""`assay import`: training logs of other frameworks, shown in the same tables and charts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, StoreUrl, home_expanded
from assay.cli.printing import console, note, print_json, print_line
from assay.errors import AssayError
from assay.report.text import readable

if TYPE_CHECKING:
    from assay.logs import Options
    from assay.store.imported import Stored
    from assay.training.history import History

_LARGE = 2**21  # bytes from which reading may take longer than two seconds


_DETECTED = "detected"


def import_log(
    log: Annotated[
        Path, typer.Argument(help="Log file, or a folder of TensorBoard's event files.", callback=home_expanded)
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Format: matlab, flux, pytorch, keras, json, csv, tensorboard or text.",
            show_default=_DETECTED,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name in tables and charts.", show_default="the file's name")] = None,
    study: Annotated[
        str, typer.Option(help="Study to add the curve to.", show_default="imported", callback=readable)
    ] = "",
    column: Annotated[
        list[str] | None,
        typer.Option("--column", "--tag", help="QUANTITY=NAME of a column or tag: test_accuracy=val_acc. Repeatable."),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            help="Regular expression for lines of any other format, with named groups: "
            "'E(?P<epoch>\\d+) L=(?P<train_loss>\\S+)'. Repeatable; the first that matches a line reads it."
        ),
    ] = None,
    accuracy: Annotated[str, typer.Option(help="Accuracies: percent or fraction.", show_default=_DETECTED)] = "",
    seconds: Annotated[
        str,
        typer.Option(
            help="Seconds: per-epoch (of each row alone), elapsed, or unix (any absolute clock).",
            show_default=_DETECTED,
        ),
    ] = "",
    steps: Annotated[str, typer.Option(help="What steps count: iteration or epoch.", show_default=_DETECTED)] = "",
    iterations_per_epoch: Annotated[
        int | None, typer.Option(help="Iterations per epoch, for logs that only count epochs.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch size, to count examples seen.")] = None,
    evaluated_on: Annotated[
        str, typer.Option(help="Split that the log's validation values are of: validation or test.")
    ] = "validation",
    machine: Annotated[
        str, typer.Option(help="Machine it ran on; logs of one machine are ranked together if their clocks agree.")
    ] = "",
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Import a training log of another framework into a study, where its curve is marked as imported."""
    from assay import logs
    from assay.store import imported
    from assay.store.store import Store

    options = logs.Options(
        columns=_columns(column or []),
        accuracy=accuracy,
        seconds=seconds,
        iterations_per_epoch=iterations_per_epoch,
        batch_size=batch_size,
        evaluated_on=evaluated_on,
        steps=steps,
        machine=machine,
        patterns=tuple(pattern or ()),
    )
    histories = _read(log, format, options, name or "")
    opened = Store(store)
    entries = [
        (history, imported.add(opened.database, history, study_name=study, named=name is not None))
        for history in histories
    ]
    if not as_json:
        _print(entries, table_format)
        return
    results = [{"store": opened.name, **vars(stored), **history.plain()} for history, stored in entries]
    print_json(results[0] if len(results) == 1 else {"trainings": results})


def _columns(assignments: list[str]) -> dict[str, str]:
    """The names of columns by quantity, of QUANTITY=NAME.

    Raises:
        AssayError: An assignment is malformed, or names a quantity twice.
    """
    columns: dict[str, str] = {}
    for text in assignments:
        quantity, equals, name = (part.strip() for part in text.partition("="))
        if not equals or not quantity or not name:
            raise AssayError(f"--column {text!r}: expected QUANTITY=NAME, such as test_accuracy=val_acc")
        if quantity in columns:
            raise AssayError(f"--column {text!r}: {quantity} is already read from {columns[quantity]!r}")
        columns[quantity] = name
    return columns


def _read(log: Path, format: str | None, options: Options, name: str) -> list[History]:
    """The histories of the trainings in a log; notes the format that was detected, and how many there are."""
    from assay import logs

    with _reading_bar(log):
        histories = logs.read_all(log, format, options, name=name)
    source = histories[0].source
    assert source is not None  # every log that was read has one
    if format is None and not options.patterns:
        note(f"{log} looks like {source.format}: {logs.FORMATS[source.format].about}")
    if len(histories) > 1:
        note(f"{log} holds {len(histories)} trainings; each is imported as a curve of its own")
    return histories


def _print(entries: Sequence[tuple[History, Stored]], table_format: TableFormat) -> None:
    """Prints the curves and what is known of them; CSV has the points of all curves, each with its key."""
    import pandas

    from assay.cli import tables

    if table_format is TableFormat.CSV:
        frames = [history.frame().assign(trial=stored.key) for history, stored in entries]
        print_tables([], table_format=table_format, raw=pandas.concat(frames, ignore_index=True))
    for history, stored in entries:
        if table_format is not TableFormat.CSV:
            print_tables([tables.curve(history), tables.imported(history)], table_format=table_format)
        assert history.source is not None  # every log that was read has one
        how = f"already imported as {stored.before}; read again and replaced" if stored.before else "imported"
        sentence = f"{history.source.file} {how}: {stored.key[:8]}, {stored.label} in study {stored.study}"
        note(sentence) if table_format else print_line(sentence)


@contextmanager
def _reading_bar(log: Path) -> Generator[None]:
    """A moving bar on a terminal while a large file is read, elsewhere a line; how far reading is, is unknown."""
    size = log.stat().st_size if log.is_file() else 0
    if size < _LARGE:
        yield
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        note(f"reading {log}, {size / 2**20:,.0f} MiB")
        yield
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        progress.add_task(f"reading {log.name}, {size / 2**20:,.0f} MiB", total=None)
        yield
