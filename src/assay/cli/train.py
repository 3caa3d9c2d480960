"""`assay train`: one recipe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.exits import Exit
from assay.cli.files import check_file, prepare_folder
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import (
    AllowCode,
    CommandLine,
    DataSet,
    Json,
    Out,
    RecipeFile,
    Sets,
    StoreUrl,
    code_allowed,
    home_expanded,
    parse_command,
    typed_store,
)
from assay.cli.printing import note, print_json
from assay.cli.progress import run_with_progress, training_bar
from assay.cli.repeat import same_command
from assay.errors import AssayError, FileError
from assay.report.text import file_stem
from assay.system.command_line import command_line
from assay.system.file_kinds import kind_of_file, kind_of_name

if TYPE_CHECKING:
    from assay.execution.runner import Execution
    from assay.execution.status import StudyStatus
    from assay.store.store import Store
    from assay.studies.plan import Plan, Trial
    from assay.training.history import History


_OUT = Path("assay-out")


def train(
    context: typer.Context,
    recipe: RecipeFile = None,
    sets: Sets = None,
    data: DataSet = None,
    engine: Annotated[str, typer.Option(help="Engine: numpy, native, jax, torch or auto.")] = "auto",
    command: CommandLine = None,
    device: Annotated[str, typer.Option(help="Device: cpu, cuda, cuda:1, mps or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Number of threads.", show_default="chosen by the engine")] = None,
    out: Out = _OUT,
    save: Annotated[
        Path | None,
        typer.Option(help="Save the trained weights to this file (.safetensors).", callback=home_expanded),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Resume from weights saved by --save, with their recipe unless RECIPE is given; or start from a "
            "state_dict of torch in safetensors.",
            callback=home_expanded,
        ),
    ] = None,
    store: StoreUrl = None,
    time_limit: Annotated[float | None, typer.Option(min=0.001, help="Stop after this many seconds.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Retrain even if the result is stored.")] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    save_best: Annotated[
        Path | None,
        typer.Option(
            help="Also save the weights of the point with the lowest validation loss to this file.",
            callback=home_expanded,
        ),
    ] = None,
    best: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Train the best configuration of a stored study in place of RECIPE, and save its weights.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train one recipe, and show its learning curve and its cost.

    The result is stored; the same recipe is not trained twice.
    """
    from assay.data.datasets import load
    from assay.execution.runner import Execution
    from assay.recipe.model import Recipe
    from assay.recipe.notes import assumed
    from assay.recipe.patches import assignments, merged, with_data
    from assay.store.store import Store
    from assay.studies.plan import plan_of_one
    from assay.studies.settings import Settings
    from assay.training.checkpoints import restore
    from assay.training.torch_weights import from_state_dict, holds_foreign_weights

    winner = None if best is None else _winner(best, store, given=bool(recipe or sets or data or command))
    if winner is not None and save is None:
        save = out / f"{file_stem(best or '')}-best.safetensors"
    foreign = start is not None and holds_foreign_weights(start)
    saved = restore(start) if start and not foreign else None
    base = base_of(recipe) if recipe else winner.recipe if winner else saved.recipe.plain() if saved else {}
    patches = assignments(sets or [])
    base = merged(base, patches)
    base = merged(base, [with_data(base, data)]) if data else base
    with code_allowed(allow_code):
        parsed = Recipe.parse(base, source=str(recipe or "recipe"))
        if recipe and not recipe.exists():
            note(f"{parsed.model.title}: a model, trained as {parsed.label()}; `assay help recipe` lists the keys")
        trainer = parse_command(command, engine) if command is not None else engine
        if start and not foreign:  # again, because its optimizer may be the one that was just imported
            saved = restore(start)
        prepare_folder(out)
        _check_save(save, "--save")
        _check_save(save_best, "--save-best")
        run: dict[str, Any] = {"engine": trainer, "device": device, "threads": threads}
        run |= {"time_limit": time_limit, "save_best": save_best is not None}
        settings = Settings.checked(**run | (winner.settings if winner else {}))
        plan = plan_of_one(parsed, settings)
        opened = Store(store)
        starts: dict[str, History] = {}
        if start and foreign:
            first = next(iter(plan.trials.values()))
            saved = from_state_dict(start, first.recipe, load(first.recipe.data.name, task=first.recipe.data.task))
        if saved and start:
            plan, starts = _started(start, saved, plan, opened)
        trial = next(iter(plan.trials.values()))
        again = again or (winner is not None and _lacks_weights(opened, trial.key))
        for sentence in (*plan.device_notes, *assumed(trial.recipe)):
            note(sentence)
        execution = Execution(plan, opened, retry=True, again=again, starts=starts or None, reads_off=save is None)
    name = (
        file_stem(best)
        if best
        else recipe.stem
        if recipe
        else start.stem
        if start
        else _model_name(merged({}, patches))
    )
    repeat = _Repeat(context, store)
    trained = _train(execution, trial, name=name, repeat=repeat)
    _finish(trained, _Files(out, save, save_best), name=name, printed=(as_json, table_format), repeat=repeat)


@dataclass(frozen=True)
class _Winner:
    """The best configuration of a stored study: its recipe as plain data, and how it was trained."""

    recipe: dict[str, Any]
    settings: dict[str, Any]


def _winner(study: str, url: str | None, *, given: bool) -> _Winner:
    """The best configuration of a stored study, as its results say. Raises: AssayError, where it has none or several.

    `given`: whether another recipe is given too.
    """
    import json

    from assay.execution.winners import winner
    from assay.store.queries import one_trial
    from assay.store.store import Store

    if given:
        raise AssayError("--best: names what to train; leave out RECIPE, --set, --data and --command")
    opened = Store(url, read_only=True)
    key, label, why = winner(opened, study)
    row = one_trial(opened.database, key)
    if str(row["engine"]).startswith("command:"):
        raise AssayError(f"--best: {label} was trained by an external program, which --best does not start")
    note(f"best of {study}: {label} ({why})")
    settings = {name: row[name] for name in ("engine", "device", "threads", "timing")}
    return _Winner(json.loads(row["recipe"]), settings)


def _lacks_weights(store: Store, key: str) -> bool:
    """Whether a trial is stored without its weights."""
    return bool(store.outcomes([key])) and store.history(key) is None


def _model_name(raw: dict[str, Any]) -> str:
    """The name of a training without a file: that of the model which --set names, else of the quickstart."""
    model = raw.get("model")
    name = model.get("name") if isinstance(model, dict) else model
    return file_stem(name) if isinstance(name, str) else "quickstart"


def _checked_start(saved: History, trial: Trial, examples: int) -> History:
    """The weights to resume from, if the trial can. Raises: RecipeError, AssayError."""
    from assay.training.checks import check_start

    if trial.program:
        raise AssayError("--start: an external program cannot resume from saved weights")
    data = saved.recipe.data.model_copy(update={"name": trial.recipe.data.name})  # the same data by another name
    saved = replace(saved, recipe=saved.recipe.model_copy(update={"data": data}))
    check_start([trial.recipe], [saved], data_checksum=trial.data_checksum, examples=examples)
    return saved


def _started(path: Path, saved: History, plan: Plan, store: Store) -> tuple[Plan, dict[str, History]]:
    """The plan of a training that starts from a file, and what it starts from, by trajectory.

    Weights that the plan's own training has, the initial ones or those of a checkpoint in the store, leave its keys as
    they are, and the store's history is used. Others may have been edited: the file's digest then joins the keys, so
    that their result never answers for the plain training.

    Raises: RecipeError, AssayError where the training cannot resume from them.
    """
    from assay.studies.plan import started_from
    from assay.training.checks import is_fresh, same_arrays

    trial = next(iter(plan.trials.values()))
    examples = plan.examples[trial.key]
    saved = _checked_start(saved, trial, examples)
    network = trial.recipe.model.network(saved.shape, len(saved.classes))
    if is_fresh(saved.checkpoint, trial.recipe, network):
        return plan, {}
    for stored in store.checkpoints(trial.trajectory):
        if same_arrays(stored.checkpoint, saved.checkpoint):
            return plan, {trial.trajectory: _checked_start(stored, trial, examples)}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    why = f"started from the weights in {path.name} (sha256 {digest[:16]}), not from those of this recipe"
    own = started_from(plan, digest=digest, note=why)
    (key,) = own.trials
    note(
        f"{path}: not a checkpoint of this training in {store.name}; the result is stored as trial {key[:8]}, "
        "apart from that of the same command without --start"
    )
    return own, {own.trials[key].trajectory: saved}


def base_of(recipe: Path) -> dict[str, Any]:
    """The plain data of a recipe's file, or of a model. Raises: FileError, with the command for what it is instead."""
    from assay.recipe.named import model_named, recipe_table
    from assay.studies.study import bundled_names

    word = str(recipe)
    if not recipe.exists() and word in bundled_names() and model_named(word) is None:
        raise FileError(f"{word}: is a bundled study, not a recipe; run it: {command_line('assay run', word)}")
    return dict(recipe_table(recipe))


def _check_save(save: Path | None, option: str) -> None:
    """Checks that weights can be saved, before any training. Raises: FileError."""
    if save is None:
        return
    check_file(save, option)
    if save.is_file() and save.stat().st_size and not kind_of_file(save).startswith("a safetensors"):
        held = kind_of_file(save) or kind_of_name(save) or "no safetensors"
        raise FileError(f"{option} {save}: already exists and is {held}; expected a new file, or one of weights")
    kind = kind_of_name(save)
    if kind and not kind.startswith("a safetensors"):
        note(f"{option} {save}: its name says {kind}, but it will hold safetensors; .safetensors is the usual ending")


@dataclass(frozen=True)
class _Repeat:
    """What was typed, from which the commands that repeat it are written, and the store among it."""

    context: typer.Context
    store: str | None

    def text(self, start: Path | None = None) -> str:
        """The command that trains the same again, from these weights if there are any."""
        return same_command(self.context, changes=None if start is None else {"start": start})

    def show(self, key: str) -> str:
        """The command that shows a trial."""
        return command_line("assay show", key[:8], store=typed_store(self.store))


@dataclass(frozen=True)
class _Trained:
    """What a training left, and where it is stored."""

    history: History
    key: str
    store: str
    from_store: bool


def _train(execution: Execution, trial: Trial, *, name: str, repeat: _Repeat) -> _Trained:
    """Trains the trial with a progress bar unless it is stored; after Ctrl-C, what was done until then.

    Raises: AssayError where the trial has no log point.
    """
    store, from_store = execution.store, bool(execution.outcomes)
    reached = 0

    def reach(status: StudyStatus) -> None:
        nonlocal reached
        reached = max([reached, *(running.iteration for running in status.running)])

    if from_store:
        note(f"trial {trial.key[:8]} is already in {store.name}; --again retrains it")
    else:
        run_with_progress(execution, execution.stop, training_bar(f"training {name}", reach))
    if trial.key in execution.kept:
        ending = f"{execution.outcomes[trial.key]} ({execution.kept[trial.key]})"
        kept = f"the earlier result of trial {trial.key[:8]} stays: {repeat.show(trial.key)}"
        note(f"the repeat was cut short: {ending}; {kept}")
        raise typer.Exit(Exit.NEGATIVE)
    if trial.key in execution.outcomes:
        history = store.result(trial.key)
        assert history is not None  # it has an outcome
    else:
        history = _interrupted(execution, trial, reached, repeat)
    if history.outcome == "failed":
        raise AssayError(_failure(store, trial.key, repeat))
    if not history.points:
        raise AssayError(f"{history.ending}, before the first log point")
    return _Trained(history, trial.key, store.name, from_store)


def _failure(store: Store, key: str, repeat: _Repeat) -> str:
    """Why a trial failed: its reason, or what an external program wrote before it ended."""
    from assay.store.queries import one_trial

    row = one_trial(store.database, key)
    text = row["error"] or row["reason"]
    if text.startswith(row["reason"]):
        return text
    return f"{row['reason']}; `{repeat.show(key)}` shows the traceback"


def _interrupted(execution: Execution, trial: Trial, reached: int, repeat: _Repeat) -> History:
    """The checkpoint that Ctrl-C left; ends the command where there is none."""
    from assay.training.outcome import Outcome

    history = None if trial.program else execution.checkpoint_of(trial)
    if history is None:
        checkpoint = "external programs leave no checkpoint" if trial.program else "there is no checkpoint yet"
        note(f"interrupted after {reached:,} iterations; {checkpoint}; start again with: {repeat.text()}")
        raise typer.Exit(Exit.INTERRUPTED)
    reason = f"interrupted after iteration {history.iterations:,}"
    return replace(history, outcome=Outcome.INTERRUPTED, reason=reason)


@dataclass(frozen=True)
class _Files:
    """The files to write: the folder of the chart, and where weights go, at the end and at the best point."""

    folder: Path
    weights: Path | None
    best: Path | None


def _finish(trained: _Trained, files: _Files, *, name: str, printed: tuple[bool, TableFormat], repeat: _Repeat) -> None:
    """Writes weights and chart, and prints; after Ctrl-C, keeps the weights and says how to resume."""
    history = trained.history
    interrupted = history.outcome == "interrupted"
    if interrupted:
        weights = files.weights or files.folder / f"{name}.safetensors"
        files = _Files(files.folder, weights, None)
    _print(trained, _write(history, files, f"{name}-{history.recipe.key()[:8]}.png"), printed)
    if interrupted:
        line = repeat.text(files.weights)
        note(f"interrupted after {history.iterations:,} iterations; resume with: {line}")
        raise typer.Exit(Exit.INTERRUPTED)


def _write(history: History, files: _Files, plot: str) -> dict[str, str]:
    """Writes the chart, and the weights if files for them are given; the files by kind."""
    from assay.report import charts
    from assay.training.checkpoints import save as save_checkpoint
    from assay.training.snapshots import at_best

    if files.weights is not None and not history.checkpoint.weights:
        raise FileError(f"{files.weights}: the weights of this trial were not kept; --again retrains it")
    if files.weights is not None:
        save_checkpoint(history, files.weights)
    if files.best is not None:
        save_checkpoint(at_best(history), files.best)
    chart = charts.write(history.plot(), files.folder / plot)
    written = {"plot": chart, "weights": files.weights, "best weights": files.best}
    return {kind: str(file) for kind, file in written.items() if file}


def _print(trained: _Trained, files: dict[str, str], printed: tuple[bool, TableFormat]) -> None:
    from assay.cli import tables

    history, (as_json, table_format) = trained.history, printed
    if as_json:
        stored = {"trial": trained.key, "store": trained.store, "from_store": trained.from_store}
        print_json(history.plain() | stored | {"files": files})
        return
    place = tables.pairs([*files.items(), ("trial", trained.key[:8])])
    print_tables(
        [tables.curve(history), tables.summary(history), place], table_format=table_format, raw=history.frame()
    )
