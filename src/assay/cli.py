"""The command line: each command parses, makes one call and prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.errors import AssayError, FileError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.train import Training

app = typer.Typer(
    name="assay",
    help="Measures what a training choice costs and what it buys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch data sets and look at them.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one key of the recipe, e.g. optimizer.name=adam; repeatable."
    ),
]


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe in TOML; none: the quickstart on the digits.")] = None,
    sets: Sets = None,
    engine: Annotated[str, typer.Option(help="numpy, jax, torch, or auto.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; none: its own choice.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for pictures.")] = Path("assay-out"),
    save: Annotated[Path | None, typer.Option(help="Write the trained weights here (.safetensors).")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Go on from weights that --save wrote; without RECIPE, with theirs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one recipe; show what it gave and what it cost."""
    from assay.checkpoints import restore
    from assay.fitting import training
    from assay.recipe import Recipe, assignment, merged, read_toml

    begun = restore(start) if start else None
    base = read_toml(recipe) if recipe else begun.recipe.plain() if begun else {}
    checked = Recipe.parse(merged(base, [assignment(text) for text in sets or []]), source=str(recipe or "recipe"))
    prepare_folder(out)
    run = training(checked, engine=engine, device=device, threads=threads, start=begun)
    name = recipe.stem if recipe else start.stem if start else "quickstart"
    _finish(run, name=name, out=out, save=save, as_json=as_json, recipe=recipe, sets=sets or [])


def _finish(
    run: Training, *, name: str, out: Path, save: Path | None, as_json: bool, recipe: Path | None, sets: list[str]
) -> None:
    """Trains with a progress bar, then writes and prints; on Ctrl-C, keeps what is done and says how to go on."""
    from assay.checkpoints import save as save_checkpoint
    from assay.fitting import interruption
    from assay.report import charts, tables

    with interruption(run) as interrupted, _progress_bar(f"training {name}") as show:
        for status in run:
            show(status)
            if interrupted():
                break
    history = run.histories()[0]
    unfinished = history.outcome == "interrupted"
    if unfinished and save is None:
        save = out / f"{name}.safetensors"
    if save is not None:
        save_checkpoint(history, save)
    plot = charts.write(history.plot(), out / f"{name}-{history.recipe.key()[:8]}.png")
    files = {"plot": str(plot)} | ({"weights": str(save)} if save else {})
    if as_json:
        print_json(history.plain() | {"files": files})
    else:
        screen = console()
        screen.print(tables.curve(history))
        screen.print(tables.summary(history))
        screen.print(tables.pairs(list(files.items())))
    if unfinished:
        again = " ".join(["assay train", *([str(recipe)] if recipe else []), *(f"--set {text}" for text in sets)])
        note(f"interrupted after {history.iterations:,} iterations; go on with: {again} --start {save}")
        raise typer.Exit(130)


@app.command()
def predict(
    weights: Annotated[Path, typer.Argument(help="Weights that `assay train --save` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Images of any size, or IDX files.")],
    as_json: Json = False,
) -> None:
    """Read digits from images with trained weights."""
    from assay.checkpoints import predict as predict_images
    from assay.checkpoints import restore
    from assay.report import tables

    predictions = predict_images(restore(weights), list(images))
    if as_json:
        print_json({"predictions": [vars(p) for p in predictions]})
        return
    for p in predictions:
        console().print(f"{tables.clean(p.image)}: {tables.prediction(p.label, p.probabilities)}", markup=False)


@data_app.command()
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


@data_app.command()
def info(
    name: Annotated[str, typer.Argument(help="A data set by name, a folder of IDX files, or an .npz file.")],
    out: Annotated[Path, typer.Option(help="The folder for the contact sheet.")] = Path("assay-out"),
    as_json: Json = False,
) -> None:
    """Show what a data set holds, and draw a contact sheet."""
    from assay.data import overview
    from assay.data.datasets import load
    from assay.report import tables

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
        console().print(tables.pairs([(key.replace("_", " "), _short(value)) for key, value in about.items()]))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has: engines, devices, threads, libraries, data sets."""
    from assay.doctor import examine
    from assay.report import tables

    report = examine()
    if as_json:
        print_json(report)
        return
    machine: dict[str, Any] = report["machine"]
    lines: list[tuple[str, object]] = [(key, _short(value)) for key, value in machine.items() if value is not None]
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


# --- printing --------------------------------------------------------------------------------------------------------


def console(*, stderr: bool = False) -> Console:
    """Where tables and notes go."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def note(text: str) -> None:
    """Says something to the user beside the result."""
    typer.echo(text, err=True)


def print_json(result: dict[str, Any]) -> None:
    """Prints a result as one JSON object."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False))


def prepare_folder(folder: Path) -> None:
    """Makes a folder for output. Raises: FileError before any work is done, if nothing could be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made a folder for output: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK):
        raise FileError(f"{folder}: may not be written to")


def _short(value: object) -> str:
    if isinstance(value, dict):
        items: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return ", ".join(f"{key} {_short(item)}" for key, item in items.items())
    if isinstance(value, list | tuple):
        entries: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return (
            "; ".join(map(_short, entries))
            if any(isinstance(e, dict) for e in entries)
            else " x ".join(map(str, entries))
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def _progress_bar(title: str) -> Generator[Callable[[Any], None]]:
    """A bar with iteration, loss, accuracy and ETA on a terminal; elsewhere a plain line every few seconds."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _plain_progress(title)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(title, total=None, said="")

        def show(status: Any) -> None:
            said = f"{status.iteration:,}/{status.iterations:,}, {_said(status.point)}"
            progress.update(task, total=status.iterations, completed=status.iteration, said=said)

        yield show


def _said(point: Any) -> str:
    loss = point.train_loss if point.train_loss is not None else point.test_loss
    return f"loss {loss:.4f}, accuracy {point.test_accuracy:.2%}"


def _plain_progress(title: str) -> Callable[[Any], None]:
    from time import perf_counter

    last = perf_counter()

    def show(status: Any) -> None:
        nonlocal last
        if perf_counter() - last >= 5.0:
            last = perf_counter()
            note(f"{title}: {status.iteration:,} of {status.iterations:,} iterations, {_said(status.point)}")

    return show


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


if __name__ == "__main__":
    main()
