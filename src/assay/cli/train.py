"""`assay train`: one recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from assay.cli.progress import training_bar, watched
from assay.errors import AssayError, FileError

if TYPE_CHECKING:
    from assay.execution.runner import Execution
    from assay.execution.status import StudyStatus
    from assay.studies.plan import Trial
    from assay.training.history import History
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

    from assay.execution.runner import Execution
    from assay.recipe.model import Recipe
    from assay.recipe.patches import assignment, merged
    from assay.recipe.toml import read_toml
    from assay.store.store import Store
    from assay.studies.plan import plan_of_one
    from assay.studies.study import Settings
    from assay.training.checkpoints import restore

    earlier = restore(start) if start else None
    base = read_toml(recipe) if recipe else earlier.recipe.plain() if earlier else {}
    patches = [assignment(text) for text in sets or []]
    with code_allowed(allow_code):
        checked = Recipe.parse(merged(base, patches), source=str(recipe or "recipe"))
        trainer = command_of(command, engine) if command is not None else engine
        if start:  # once more: its optimizer may be the one that was just imported
            earlier = restore(start)
        prepare_folder(out)
        settings = Settings.checked(engine=trainer, device=device, threads=threads, time_limit=time_limit)
        plan = plan_of_one(checked, settings)
        trial = next(iter(plan.trials.values()))
        starts = {trial.trajectory: earlier} if earlier else None
        execution = Execution(plan, Store(store), retry=True, again=again, starts=starts, reads_off=save is None)
    name = recipe.stem if recipe else start.stem if start else "quickstart"
    words = [*([str(recipe)] if recipe else []), *(f"--set {text}" for text in sets or [])]
    words += ["--command", shlex.quote(command)] if command else []
    words += ["--allow-code"] if allow_code else []
    trained = _trained(execution, trial, name=name, again=" ".join(["assay train", *words]))
    _finish(trained, name=name, out=out, save=save, as_json=as_json)


@dataclass(frozen=True)
class _Trained:
    """What a training left, where it is stored, and the command that repeats it."""

    history: History
    key: str
    store: str
    from_store: bool
    again: str

    @property
    def interrupted(self) -> bool:
        return self.history.outcome == "interrupted"


def _trained(execution: Execution, trial: Trial, *, name: str, again: str) -> _Trained:
    """Trains with a progress bar what is not stored. On Ctrl-C, what was done until then.

    Raises: AssayError where nothing came of it.
    """
    from assay.training.history import Outcome

    store, from_store = execution.store, bool(execution.outcomes)
    if from_store:
        note(f"trial {trial.key[:8]} is in {store.name}; --again retrains it")
    reached = 0

    def reach(status: StudyStatus) -> None:
        nonlocal reached
        reached = max([reached, *(running.iteration for running in status.running)])

    if not from_store:
        watched(execution, execution.stop, training_bar(f"training {name}", reach))
    if trial.key in execution.outcomes:
        history = store.result(trial.key)
    else:
        history = None if trial.program else store.start_of(trial.trajectory)
        if history is None:
            kept = "a program keeps nothing" if trial.program else "no checkpoint was reached"
            note(f"interrupted after {reached:,} iterations; {kept}; again: {again}")
            raise typer.Exit(130)
        reason = f"interrupted after iteration {history.iterations:,}"
        history = replace(history, outcome=Outcome.INTERRUPTED, reason=reason)
    assert history is not None  # it has a result
    if not history.points:
        hint = f"; `assay show {trial.key[:8]}` has the details" if history.outcome == "failed" else ""
        raise AssayError(f"{history.outcome}: {history.reason}, and no log point was reached{hint}")
    return _Trained(history, trial.key, store.name, from_store, again)


def _finish(trained: _Trained, *, name: str, out: Path, save: Path | None, as_json: bool) -> None:
    """Writes and prints what a training left; of an interrupted one, also how to resume it."""
    from assay.cli import tables
    from assay.report import charts
    from assay.training.checkpoints import save as save_checkpoint

    history = trained.history
    if trained.interrupted and save is None:
        save = out / f"{name}.safetensors"
    if save is not None and not history.checkpoint.weights:
        raise FileError(f"{save}: the weights of this trial were not kept; --again retrains it")
    if save is not None:
        save_checkpoint(history, save)
    plot = charts.write(history.plot(), out / f"{name}-{history.recipe.key()[:8]}.png")
    files = {"plot": str(plot)} | ({"weights": str(save)} if save else {})
    if as_json:
        stored = {"trial": trained.key, "store": trained.store, "from_store": trained.from_store}
        print_json(history.plain() | stored | {"files": files})
    else:
        screen = console()
        screen.print(tables.curve(history))
        screen.print(tables.summary(history))
        screen.print(tables.pairs([*files.items(), ("trial", trained.key[:8])]))
    if trained.interrupted:
        note(f"interrupted after {history.iterations:,} iterations; resume with: {trained.again} --start {save}")
        raise typer.Exit(130)
