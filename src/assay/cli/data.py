"""`assay data`: fetch, inspect and convert data sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.files import prepare_folder, write_png
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, Out, home_expanded
from assay.cli.printing import console, one_line, print_json, print_line

if TYPE_CHECKING:
    from assay.data.dataset import Dataset

_PIXELS = 1_000_000  # of a picture in a contact sheet, which holds up to 400

app = typer.Typer(help="Fetch, inspect and convert data sets.", no_args_is_help=True)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Data set: mnist or fashion-mnist.")],
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder to download to.", show_default="the user's data folder", callback=home_expanded),
    ] = None,
    as_json: Json = False,
) -> None:
    """Download a data set. Tries mirrors in order, resumes broken downloads and verifies checksums."""
    from assay.data.download import fetch as fetch_data

    with _download_bar() as show:
        path = fetch_data(name, folder=folder, progress=show)
    if as_json:
        print_json({"name": name, "folder": str(path)})
    else:
        print_line(f"{name} is in {path}")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name or path of a data set, as a recipe has it.")],
    regression: Annotated[
        bool, typer.Option("--regression", help="Read the labels as numbers, the targets of a regression.")
    ] = False,
    out: Out = Path("assay-out"),
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Describe a data set: ranges, classes, notes; and draw a contact sheet."""
    from assay.cli import tables
    from assay.data import overview
    from assay.data.datasets import load

    dataset = load(name, task="regression" if regression else None)
    about = overview.info(dataset).as_dict()
    sheet, why_not = _contact_sheet(dataset, out / f"{Path(name).stem or 'data'}-contact-sheet.png")
    about["contact_sheet"] = str(sheet) if sheet else None
    about["notes"] = [*about["notes"], *([f"no contact sheet: {why_not}"] if why_not else [])]
    if as_json:
        print_json(about)
        return
    notes: list[str] = about.pop("notes")
    lines = [(key.replace("_", " "), one_line(value)) for key, value in about.items() if value is not None]
    drawn = tables.pairs([*lines, *(("note", note) for note in notes)])
    print_tables([drawn], table_format=table_format)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A table (CSV, Parquet), a folder of pictures or tables, or any data.")],
    target: Annotated[Path, typer.Argument(help="The .npz file to write.", callback=home_expanded)],
    label: Annotated[
        str | None,
        typer.Option(
            help="Column of the labels; a number, from 0, in a table without a header.",
            show_default="the only one called label, class, target or y",
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            help="Examples to draw as test set where there is none: a fraction below 1, or a number.",
            show_default="a fifth",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Resize pictures to HEIGHTxWIDTH, such as 28x28.", show_default="their own size")
    ] = None,
    regression: Annotated[
        bool, typer.Option("--regression", help="Read the labels as numbers, the targets of a regression.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Convert a table, a folder of pictures or any other data set into one .npz file, which is then a data set."""
    from assay.data.conversion import write_npz_set
    from assay.data.datasets import load
    from assay.errors import FileError

    if target.exists() and not force:
        raise FileError(f"{target}: exists already; give another name, or --force to replace it")
    dataset = load(source, label=label, test=test, size=_size(size), task="regression" if regression else None)
    prepare_folder(target.parent)
    write_npz_set(dataset, target)
    counts = f"{len(dataset.y_train):,} training and {len(dataset.y_test):,} test examples"
    if as_json:
        print_json({"file": str(target), "shape": list(dataset.shape), "classes": list(dataset.classes),
                    "training_examples": len(dataset.y_train), "test_examples": len(dataset.y_test),
                    "notes": list(dataset.notes)})  # fmt: skip
        return
    shape = " x ".join(map(str, dataset.shape))
    kind = f"targets {dataset.classes[0]!r}" if dataset.task else f"{len(dataset.classes):,} classes"
    print_line(f"{target}: {counts} of {shape} values, {kind}")
    for note in dataset.notes:
        print_line(f"note: {one_line(note)}")
    print_line(f"use it: assay train --set data={target}{' --set data.task=regression' if dataset.task else ''}")


def _size(text: str | None) -> tuple[int, int] | None:
    """A height and a width from a text such as 28x28. Raises: DataError."""
    from assay.errors import DataError
    from assay.system.limits import PICTURE_SIDE

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    numbers = [int(part) if part.isascii() and part.isdecimal() and len(part) < 6 else 0 for part in (height, width)]
    if not all(0 < number <= PICTURE_SIDE.most for number in numbers):
        raise DataError(f"--size: got {text!r}; expected HEIGHTxWIDTH, such as 28x28")
    return numbers[0], numbers[1]


def _contact_sheet(dataset: Dataset, path: Path) -> tuple[Path | None, str]:
    """Draws the contact sheet of a data set into a file; None, and why, for examples that cannot be drawn."""
    from assay.data import overview

    if not overview.drawable(dataset):
        return None, ""  # a table
    pixels = math.prod(dataset.shape[:2])
    if pixels > _PIXELS:
        return None, f"pictures of {pixels:,} pixels are too large for it"
    prepare_folder(path.parent)
    try:
        sheet = overview.contact_sheet(dataset)
    except (ValueError, TypeError, MemoryError) as error:
        return None, f"examples of shape {dataset.shape} cannot be drawn ({one_line(str(error))})"
    write_png(path, sheet)
    return path, ""


@contextmanager
def _download_bar() -> Generator[Callable[[str, int, int | None], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield show
