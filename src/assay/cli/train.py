"""`assay train`: one recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.files import prepare_folder
from assay.cli.options import AllowCode, CommandLine, Json, Out, Sets, StoreUrl, code_allowed, parse_command
from assay.cli.printing import console, note, print_json
from assay.cli.progress import WAITING, training_bar
from assay.errors import AssayError, FileError

if TYPE_CHECKING:
    from assay.execution.single import Single
    from assay.training.history import History


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe in TOML.", show_default="the quickstart on the embedded digits")
    ] = None,
    sets: Sets = None,
    engine: Annotated[str, typer.Option(help="Engine: numpy, native, jax, torch or auto.")] = "auto",
    command: CommandLine = None,
    device: Annotated[str, typer.Option(help="Device: cpu, cuda, cuda:1 or mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Number of threads.", show_default="chosen by the engine")] = None,
    out: Out = Path("assay-out"),
    save: Annotated[Path | None, typer.Option(help="Save the trained weights to this file (.safetensors).")] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Resume from weights saved by --save; their recipe is used unless RECIPE is given."),
    ] = None,
    store: StoreUrl = None,
    time_limit: Annotated[float | None, typer.Option(min=0.001, help="Stop after this many seconds.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Retrain even if the result is stored.")] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Train one recipe, and show its learning curve and its cost.

    The result is stored; the same recipe is not trained twice.
    """
    from assay.execution.single import Single
    from assay.recipe.model import Recipe
    from assay.recipe.patches import assignment, merged
    from assay.recipe.toml import read_toml
    from assay.store.store import Store
    from assay.training.checkpoints import restore

    saved = restore(start) if start else None
    base = read_toml(recipe) if recipe else saved.recipe.plain() if saved else {}
    patches = [assignment(text) for text in sets or []]
    with code_allowed(allow_code):
        parsed = Recipe.parse(merged(base, patches), source=str(recipe or "recipe"))
        trainer = parse_command(command, engine) if command is not None else engine
        if start:  # again, because its optimizer may be the one that was just imported
            saved = restore(start)
        prepare_folder(out)
        single = Single(
            parsed,
            Store(store),
            engine=trainer,
            device=device,
            threads=threads,
            start=saved,
            again=again,
            time_limit=time_limit,
        )
    name = recipe.stem if recipe else start.stem if start else "quickstart"
    repeat = _command_text(recipe, sets or [], command, allow_code=allow_code)
    _finish(single, _train(single, name), name=name, out=out, save=save, as_json=as_json, repeat=repeat)


def _command_text(recipe: Path | None, sets: list[str], command: str | None, *, allow_code: bool) -> str:
    """The command that trains the same recipe again."""
    words = ["assay train", *([str(recipe)] if recipe else []), *(f"--set {text}" for text in sets)]
    words += ["--command", shlex.quote(command)] if command else []
    words += ["--allow-code"] if allow_code else []
    return " ".join(words)


def _train(single: Single, name: str) -> History:
    """The history of the trial: the stored one, or what training with a progress bar gives."""
    if single.stored is not None:
        note(f"trial {single.trial.key[:8]} is already in {single.store.name}; --again retrains it")
        return single.stored
    with training_bar(f"training {name}") as show:
        return single.train(show, on_wait=lambda: note(WAITING))


def _finish(
    single: Single, history: History, *, name: str, out: Path, save: Path | None, as_json: bool, repeat: str
) -> None:
    """Writes weights and chart, and prints; after Ctrl-C, keeps the weights and says how to resume."""
    interrupted = history.outcome == "interrupted"
    if interrupted and not history.checkpoint.weights:
        note(
            f"interrupted after {history.iterations:,} iterations; external programs leave no checkpoint; "
            f"start again with: {repeat}"
        )
        raise typer.Exit(130)
    if not history.points:
        raise AssayError(f"{history.outcome}: {history.reason}, before the first log point")
    if interrupted and save is None:
        save = out / f"{name}.safetensors"
    files = _write(history, out / f"{name}-{history.recipe.key()[:8]}.png", save)
    _print(single, history, files, as_json=as_json)
    if interrupted:
        note(f"interrupted after {history.iterations:,} iterations; resume with: {repeat} --start {save}")
        raise typer.Exit(130)


def _write(history: History, plot: Path, save: Path | None) -> dict[str, str]:
    """Writes the chart, and the weights if a file for them is given; the files by kind."""
    from assay.report import charts
    from assay.training.checkpoints import save as save_checkpoint

    if save is not None and not history.checkpoint.weights:
        raise FileError(f"{save}: the weights of this trial were not kept; --again retrains it")
    if save is not None:
        save_checkpoint(history, save)
    written = charts.write(history.plot(), plot)
    return {"plot": str(written)} | ({"weights": str(save)} if save else {})


def _print(single: Single, history: History, files: dict[str, str], *, as_json: bool) -> None:
    from assay.cli import tables

    if as_json:
        stored = {"trial": single.trial.key, "store": single.store.name, "from_store": single.stored is not None}
        print_json(history.plain() | stored | {"files": files})
        return
    screen = console()
    screen.print(tables.curve(history))
    screen.print(tables.summary(history))
    screen.print(tables.pairs([*files.items(), ("trial", single.trial.key[:8])]))
