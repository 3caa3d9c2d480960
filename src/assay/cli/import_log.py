"""`assay import`: other frameworks' training logs, into the same tables and charts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.options import Json, StoreUrl, console, note, print_json
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.store.imported import Stored
    from assay.training.history import Source

_LARGE = 2**21  # bytes from which reading may take longer than two seconds


def import_log(
    log: Annotated[Path, typer.Argument(help="A log file of another framework.")],
    format: Annotated[
        str | None,
        typer.Option("--as", help="matlab, flux, pytorch, csv or tensorboard; none: what the file looks like."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Its name in tables and charts; none: the file's.")] = None,
    study: Annotated[str, typer.Option(help="The study to stand beside; none: the study `imported`.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option("--column", "--tag", help="QUANTITY=NAME, of a table's column or a tag: test_accuracy=val_acc."),
    ] = None,
    accuracy: Annotated[str, typer.Option(help="percent or share; none: by the values.")] = "",
    seconds: Annotated[str, typer.Option(help="Of a table: elapsed or each; none: by whether they fall.")] = "",
    steps: Annotated[str, typer.Option(help="Of events: iteration or epoch; none: by the tags.")] = "",
    iterations_per_epoch: Annotated[
        int | None, typer.Option(help="Makes iterations of a log that counts epochs alone.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Makes examples seen of iterations.")] = None,
    evaluated_on: Annotated[
        str, typer.Option(help="What its validation lines were measured on: validation or test.")
    ] = "validation",
    machine: Annotated[
        str, typer.Option(help="Where it ran; logs of one machine and one kind of clock are ranked together.")
    ] = "",
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Import a training log: its curve stands in the tables and charts of a study, marked as imported."""
    from assay import logs
    from assay.cli import tables
    from assay.report.text import clean
    from assay.store import imported
    from assay.store.store import Store

    options = logs.Options(
        columns=_mapping(column or []),
        accuracy=accuracy,
        seconds=seconds,
        iterations_per_epoch=iterations_per_epoch,
        batch_size=batch_size,
        evaluated_on=evaluated_on,
        steps=steps,
        machine=machine,
    )
    with _reading(log):
        history = logs.read(log, format, options, name=name or "")
    source = history.source
    assert source is not None
    if format is None:
        note(f"{log} looks like {source.format}: {logs.FORMATS[source.format].about}")
    opened = Store(store)
    stored = imported.add(opened.database, history, study_name=study, named=name is not None)
    if as_json:
        print_json({"store": opened.name, **vars(stored), **history.plain()})
        return
    console().print(tables.curve(history))
    console().print(tables.imported(history))
    console().print(clean(_said(stored, source)), markup=False, soft_wrap=True)


def _said(stored: Stored, source: Source) -> str:
    how = f"was there as {stored.before}, and is read anew" if stored.before else "is stored"
    return f"{source.file} {how}: {stored.key[:8]}, {stored.label} in study {stored.study}"


def _mapping(words: list[str]) -> dict[str, str]:
    """The columns of QUANTITY=NAME. Raises: AssayError."""
    found: dict[str, str] = {}
    for word in words:
        target, equals, name = word.partition("=")
        if not equals or not target.strip() or not name.strip():
            raise AssayError(f"--column {word!r}: expected QUANTITY=NAME, such as test_accuracy=val_acc")
        if target.strip() in found:
            raise AssayError(f"--column {word!r}: {target.strip()} is read from {found[target.strip()]!r} already")
        found[target.strip()] = name.strip()
    return found


@contextmanager
def _reading(log: Path) -> Generator[None]:
    """A moving bar on a terminal while a large file is read, elsewhere a line: how far it is nobody knows."""
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
