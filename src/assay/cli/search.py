"""`assay search`: a recipe and a space, searched; and how `assay run` runs a study whose design is a search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.exits import Exit
from assay.cli.formats import TableFormat, refuse_format
from assay.cli.options import (
    AllowCode,
    CommandLine,
    DataSet,
    Json,
    On,
    PlanOnly,
    RecipeFile,
    Retry,
    Sets,
    Site,
    StoreUrl,
    Yes,
    code_allowed,
    executor_of,
    home_expanded,
    parse_command,
)
from assay.cli.printing import note, print_json, print_line
from assay.cli.removal import saying_how_to_restore
from assay.cli.repeat import same_command
from assay.errors import AssayError
from assay.system.command_line import command_line

if TYPE_CHECKING:
    from assay.execution.search import StudySearch
    from assay.results.searched import Searched
    from assay.studies.study import Study

_BY_METHOD = "chosen by the space and the budget"


def search(
    context: typer.Context,
    recipe: RecipeFile = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="AXIS",
            help="An axis: KEY=LOW..HIGH, with :log, :int or :step=S, or KEY=A,B,C; with ' when AXIS=VALUE' it varies "
            "only there. Repeatable.",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Maximum number of trials.", show_default=False)] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Maximum number of seconds of training, summed.", show_default=False)
    ] = None,
    flops: Annotated[
        float | None, typer.Option(help="Maximum number of operations of training, summed.", show_default=False)
    ] = None,
    method: Annotated[
        str, typer.Option(help="Method: random, tpe, gp, cmaes, nsga2 or auto.", show_default=_BY_METHOD)
    ] = "auto",
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="accuracy, r2, loss, effort, seconds or iterations; given twice, for two objectives.",
            show_default="accuracy, of a regression r2",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Accuracy that seconds or iterations are the time to, e.g. 97.5%.")
    ] = None,
    target_loss: Annotated[
        float | None, typer.Option(help="Loss that they are the time to, as of a regression.")
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="Condition such as 'parameters <= 50_000'. Repeatable.")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Number of trials that may be open at once.")] = 1,
    search_seed: Annotated[int, typer.Option(help="Seed of the suggestions.")] = 1,
    warm_start: Annotated[
        bool, typer.Option("--warm-start", help="Show the sampler the stored trials of the space first.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the study.", show_default="RECIPE-search")] = None,
    save_study: Annotated[
        Path | None,
        typer.Option(help="Write the study in TOML to this file; - prints it.", callback=home_expanded),
    ] = None,
    sets: Sets = None,
    data: DataSet = None,
    engine: Annotated[str, typer.Option(help="Engine: numpy, native, jax, torch or auto.")] = "auto",
    command: CommandLine = None,
    device: Annotated[str, typer.Option(help="Device: cpu, cuda, cuda:1 or mps.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads per trial.", show_default="chosen by the engine")
    ] = None,
    timing: Annotated[
        str,
        typer.Option(
            help="isolated (one trial at a time) or packed (one trial per core).",
            show_default="isolated; packed with --halving",
        ),
    ] = "isolated",
    retry: Retry = False,
    plan_only: PlanOnly = False,
    allow_code: AllowCode = False,
    yes: Yes = False,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    halving: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE,...",
            help="Train to rungs and promote the best: 'factor=3,first=1 epoch', with brackets=all for Hyperband and "
            "asynchronous=true or false.",
        ),
    ] = None,
    prior: Annotated[
        bool, typer.Option("--prior", help="Draw half of the suggestions from near the recipe and the defaults.")
    ] = False,
    screen: Annotated[
        int | None,
        typer.Option(help="With --race: number of seeds of every configuration.", show_default="1"),
    ] = None,
    race: Annotated[
        int | None,
        typer.Option(
            help="Race the best configurations on up to so many other paired seeds, and train the winner on as many "
            "fresh ones.",
            show_default=False,
        ),
    ] = None,
    racers: Annotated[
        int | None,
        typer.Option(help="With --race: number of configurations in the race.", show_default="a tenth, 3 to 10"),
    ] = None,
    on: On = "local",
) -> None:
    """Search a space of recipes: each configuration is decided from the scores of earlier ones.

    Run the same command again to resume an interrupted search; a larger budget continues it.
    """
    from assay.cli.train import base_of
    from assay.recipe.patches import assignments, merged, with_data
    from assay.store.store import Store
    from assay.studies.search.notation import axes_of, halving_of
    from assay.studies.study import Study

    if plan_only:
        refuse_format(table_format, "--plan prints no table; --json has its counts")
    base = base_of(recipe) if recipe else {}
    base = merged(base, assignments(sets or []))
    base = merged(base, [with_data(base, data)]) if data else base
    limits = {"trials": trials, "seconds": seconds, "flops": flops, "target_loss": target_loss}
    settings: dict[str, Any] = {"method": method, "parallel": parallel, "seed": search_seed, **limits}
    settings |= {"target": target, "objective": _single(objective), "constraints": constraint}
    settings |= {"warm_start": warm_start or None, "prior": prior or None}
    settings |= {"seeds": _seeds(screen, race, racers)}
    settings |= {"halving": halving_of(halving) if halving is not None else None}
    source = context.get_parameter_source("timing")
    if halving is not None and source is not None and source.name == "DEFAULT":
        timing = "packed"  # halving trains in pieces, whose seconds do not compare
    raw: dict[str, Any] = {
        "name": name or f"{recipe.stem if recipe else 'quickstart'}-search",
        "design": "search",
        "timing": timing,
        "engine": engine if command is None else parse_command(command, engine).model_dump(),
        "device": device,
        "threads": threads,
        "search": {key: value for key, value in settings.items() if value is not None},
        "baseline": base,
        "axes": axes_of(space or []),
    }
    if not space:
        raise AssayError(
            "--space: is missing; expected one for each axis, such as --space 'optimizer.learning_rate=1e-4..1:log'"
        )
    with code_allowed(allow_code):
        study = Study.parse({key: value for key, value in raw.items() if value is not None}, source="search")
        if save_study:
            _save(study, save_study)
        line = same_command(context, without=["save_study"])
        resume = f"run the same command to resume: {line}"
        printed = Printed(as_json, table_format, plan_only=plan_only)
        with saying_how_to_restore(None, line):
            site = Site(Store(store), executor_of(context, on))
            run_search(study, site, retry=retry, yes=yes, printed=printed, resume=resume)


def _seeds(screen: int | None, race: int | None, racers: int | None) -> dict[str, int] | None:
    """The table `seeds` of the search; None where no option asks for it. Raises: AssayError."""
    given = {"screen": screen, "race": race, "racers": racers}
    seeds = {key: value for key, value in given.items() if value is not None}
    if seeds and race is None:
        options = " and ".join(f"--{key}" for key in seeds)
        raise AssayError(
            f"{options}: only a search that races has it; write --race 8 for a race on up to 8 paired seeds"
        )
    return seeds or None


def _single(names: list[str] | None) -> str | list[str] | None:
    return names[0] if names and len(names) == 1 else names or None


def _save(study: Study, path: Path) -> None:
    """Writes the study as a file that `assay run` runs; "-" prints it. Raises: FileError."""
    from assay.cli.files import check_file
    from assay.recipe.toml import toml_text
    from assay.system.files import write_atomically

    text = toml_text(study.raw)
    if str(path) == "-":
        for line in text.splitlines():
            print_line(line)
        return
    check_file(path, "--save-study")
    write_atomically(path, text.encode())
    note(f"the study is in {path}: {command_line('assay run', path)}")


# --- the run ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Printed:
    """What is printed at the end, and whether the plan is all."""

    as_json: bool
    table_format: TableFormat
    plan_only: bool = False


def run_search(study: Study, site: Site, *, retry: bool, yes: bool, printed: Printed, resume: str) -> None:
    """Runs a study whose design is a search, or shows its plan; prints its results. Raises: AssayError, typer.Exit."""
    from assay.cli.plans import confirm_if_large
    from assay.cli.progress import execute
    from assay.cli.run_end import print_results, say_failures
    from assay.execution.search import execution_of
    from assay.results.results import Results

    execution, feed = execution_of(study, site.store, retry=retry)
    execution.executor = site.executor
    for sentence in filter(None, (feed.about(), feed.change, _parallel_note(study))):
        note(sentence)
    if printed.plan_only:
        print_json(feed.plain()) if printed.as_json else None
        return
    confirm_if_large(feed.seconds(), 0, yes=yes)
    execution.check()
    interrupted = execute(execution)
    searched = Results(execution.store, study.name).searched
    plain = feed.plain() | (searched.plain() if searched else {})
    print_results(execution, study.name, as_json=printed.as_json, table_format=printed.table_format, search=plain)
    _say(feed, searched, as_notes=printed.as_json or bool(printed.table_format))
    if interrupted:
        note(f"interrupted; {len(feed.course.told):,} trials of the search have ended; {resume}")
        raise typer.Exit(Exit.INTERRUPTED)
    if say_failures(execution):
        raise typer.Exit(Exit.NEGATIVE)


def _parallel_note(study: Study) -> str:
    search = study.settings.search
    if search is None or search.parallel == 1 or study.settings.timing == "packed":
        return ""
    return f"parallel = {search.parallel}: isolated trials run one at a time; timing = 'packed' runs one per core"


def _say(feed: StudySearch, searched: Searched | None, *, as_notes: bool) -> None:
    """Says what the search has found, why it ended, and what it cost."""
    say = note if as_notes else print_line
    for sentence in (*feed.sentences(), *(searched.sentences() if searched else ())):
        say(sentence)
