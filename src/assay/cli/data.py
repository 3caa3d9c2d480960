"""`assay data`: fetch data sets and look at them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.options import Json, console, prepare_folder, print_json, short
from assay.errors import FileError

app = typer.Typer(help="Fetch data sets and look at them.", no_args_is_help=True)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="mnist or fashion-mnist.")],
    folder: Annotated[Path | None, typer.Option(help="Where to put it; none: the data folder of this user.")] = None,
    as_json: Json = False,
) -> None:
    """Download a data set: mirrors in order, broken downloads resumed, checksums verified."""
    from assay.data.download import fetch as fetch_data

    with _download_bar() as show:
        path = fetch_data(name, folder=folder, progress=show)
    if as_json:
        print_json({"name": name, "folder": str(path)})
    else:
        console().print(f"{name} is in {path}", markup=False, soft_wrap=True)


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A data set by name, a folder of IDX files, or an .npz file.")],
    out: Annotated[Path, typer.Option(help="The folder for the contact sheet.")] = Path("assay-out"),
    as_json: Json = False,
) -> None:
    """Show what a data set holds, and draw a contact sheet."""
    from assay.cli import tables
    from assay.data import overview
    from assay.data.datasets import load

    dataset = load(name)
    about = overview.info(dataset).as_dict()
    prepare_folder(out)
    sheet = out / f"{Path(name).stem or 'data'}-contact-sheet.png"
    try:
        overview.contact_sheet(dataset).save(sheet)
    except OSError as error:
        raise FileError(f"{sheet}: cannot be written: {error.strerror or error}") from None
    about["contact_sheet"] = str(sheet)
    if as_json:
        print_json(about)
    else:
        console().print(tables.pairs([(key.replace("_", " "), short(value)) for key, value in about.items()]))


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
