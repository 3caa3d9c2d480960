"""`assay train`: one recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import (
    AllowCode,
    CommandLine,
    Json,
    StoreUrl,
    code_allowed,
    command_of,
    console,
    note,
    prepare_folder,
    print_json,
)
from assay.cli.progress import training_bar
from assay.errors import AssayError, FileError

if TYPE_CHECKING:
    from assay.execution.single import Single
from assay.cli.options import Sets


def train(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe in TOML; none: the quickstart on the digits.")] = None,
    sets: Sets = None,
    engine: Annotated[str, typer.Option(help="numpy, native, jax, torch, or auto.")] = "auto",
    command: CommandLine = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; none: its own choice.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for pictures.")] = Path("assay-out"),
    save: Annotated[Path | None, typer.Option(help="Write the trained weights here (.safetensors).")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Go on from weights that --save wrote; without RECIPE, with theirs.")
    ] = None,
    store: StoreUrl = None,
    time_limit: Annotated[float | None, typer.Option(min=0.001, help="End after so many seconds.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew, also where the store has the result.")] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Train one recipe; show what it gave and what it cost. The result is stored, and never computed twice."""
    import shlex

    from assay.execution.single import Single
    from assay.recipe.model import Recipe
    from assay.recipe.patches import assignment, merged
    from assay.recipe.toml import read_toml
    from assay.store.store import Store
    from assay.training.checkpoints import restore

    begun = restore(start) if start else None
    base = read_toml(recipe) if recipe else begun.recipe.plain() if begun else {}
    patches = [assignment(text) for text in sets or []]
    with code_allowed(allow_code):
        checked = Recipe.parse(merged(base, patches), source=str(recipe or "recipe"))
        trainer = command_of(command, engine) if command is not None else engine
        if start:  # anew, for its optimizer may be the one that was just imported
            begun = restore(start)
        prepare_folder(out)
        single = Single(
            checked,
            Store(store),
            engine=trainer,
            device=device,
            threads=threads,
            start=begun,
            again=again,
            time_limit=time_limit,
        )
    name = recipe.stem if recipe else start.stem if start else "quickstart"
    words = [*([str(recipe)] if recipe else []), *(f"--set {text}" for text in sets or [])]
    words += ["--command", shlex.quote(command)] if command else []
    words += ["--allow-code"] if allow_code else []
    _finish(single, name=name, out=out, save=save, as_json=as_json, words=words)


def _finish(single: Single, *, name: str, out: Path, save: Path | None, as_json: bool, words: list[str]) -> None:
    """Trains with a progress bar, then writes and prints; on Ctrl-C, keeps what is done and says how to go on, with
    the command's `words`."""
    from assay.cli import tables
    from assay.report import charts
    from assay.training.checkpoints import save as save_checkpoint

    history = single.stored
    if history is None:
        with training_bar(f"training {name}") as show:
            waits = "waiting for another trial on this machine to end, so that the seconds mean something"
            history = single.train(show, on_wait=lambda: note(waits))
    else:
        note(f"trial {single.trial.key[:8]} is in {single.store.name}; --again trains it anew")
    unfinished, again = history.outcome == "interrupted", " ".join(["assay train", *words])
    if unfinished and not history.checkpoint.weights:
        note(f"interrupted after {history.iterations:,} iterations, of which a program keeps nothing; again: {again}")
        raise typer.Exit(130)
    if not history.points:
        raise AssayError(f"{history.outcome}: {history.reason}, and no log point was reached")
    if unfinished and save is None:
        save = out / f"{name}.safetensors"
    if save is not None and not history.checkpoint.weights:
        raise FileError(f"{save}: the weights of this trial were not kept; --again trains it anew")
    if save is not None:
        save_checkpoint(history, save)
    plot = charts.write(history.plot(), out / f"{name}-{history.recipe.key()[:8]}.png")
    files = {"plot": str(plot)} | ({"weights": str(save)} if save else {})
    if as_json:
        stored = {"trial": single.trial.key, "store": single.store.name, "from_store": single.stored is not None}
        print_json(history.plain() | stored | {"files": files})
    else:
        screen = console()
        screen.print(tables.curve(history))
        screen.print(tables.summary(history))
        screen.print(tables.pairs([*files.items(), ("trial", single.trial.key[:8])]))
    if unfinished:
        note(f"interrupted after {history.iterations:,} iterations; go on with: {again} --start {save}")
        raise typer.Exit(130)
