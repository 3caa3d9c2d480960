"""`assay data`: fetch and inspect data sets."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.files import prepare_folder
from assay.cli.options import Json, Out, home_expanded
from assay.cli.printing import console, one_line, print_json, print_line
from assay.errors import FileError

app = typer.Typer(help="Fetch and inspect data sets.", no_args_is_help=True)


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
    name: Annotated[str, typer.Argument(help="Name of a data set, folder of IDX files, or .npz file.")],
    out: Out = Path("assay-out"),
    as_json: Json = False,
) -> None:
    """Describe a data set, and draw a contact sheet."""
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
        console().print(tables.pairs([(key.replace("_", " "), one_line(value)) for key, value in about.items()]))


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
