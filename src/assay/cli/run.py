"""`assay run`: a study, trained and stored."""

from __future__ import annotations

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
    Retry,
    Sets,
    Site,
    StoreUrl,
    Yes,
    code_allowed,
    executor_of,
    parse_command,
)
from assay.cli.plans import announce, plan_table, print_plan
from assay.cli.printing import note, print_json, print_line
from assay.cli.progress import execute
from assay.cli.removal import saying_how_to_restore
from assay.cli.repeat import same_command
from assay.cli.run_end import print_rankings, print_results, say_failures
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.execution.runner import Execution
    from assay.studies.study import Study

_FROM_STUDY = "set by the study"


def run(
    context: typer.Context,
    study: Annotated[
        str, typer.Argument(help="Study in TOML, or name of a bundled or stored study, or of a model.")
    ] = "quickstart",
    sets: Sets = None,
    data: DataSet = None,
    engine: Annotated[
        str | None, typer.Option(help="Engine: numpy, native, jax, torch or auto.", show_default=_FROM_STUDY)
    ] = None,
    command: CommandLine = None,
    device: Annotated[
        str | None, typer.Option(help="Device: cpu, cuda, cuda:1, mps or auto.", show_default=_FROM_STUDY)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Number of threads per trial.", show_default=_FROM_STUDY)] = None,
    timing: Annotated[
        str | None,
        typer.Option(help="isolated (one trial at a time) or packed (one trial per core).", show_default=_FROM_STUDY),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Number of paired seeds per configuration.", show_default=_FROM_STUDY)
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Test each repeat on another of K parts of all examples: cross-validation.",
            metavar="K",
            show_default=_FROM_STUDY,
        ),
    ] = None,
    split_seeds: Annotated[
        bool, typer.Option("--split-seeds", help="Draw a test set anew from all examples for each repeat.")
    ] = False,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds to undecided comparisons, at most six times.")
    ] = False,
    retry: Retry = False,
    again: Annotated[bool, typer.Option("--again", help="Retrain everything.")] = False,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="K/N", help="Train part K of N alone, in a store of its own; import the stores' exports into one."
        ),
    ] = None,
    plan_only: PlanOnly = False,
    allow_code: AllowCode = False,
    yes: Yes = False,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    on: On = "local",
) -> None:
    """Run a study: train the trials that are not stored yet, and show the results.

    Run the same command again to resume an interrupted study.
    """
    from assay.cli.search import Printed, run_search
    from assay.execution.runner import Execution
    from assay.execution.stored import load_study
    from assay.recipe.patches import assignments
    from assay.store.store import Store
    from assay.studies.parts import StudyPart
    from assay.studies.plan import plan

    if until_decided and (retry or again or plan_only or part):
        raise AssayError(
            "--until-decided: cannot be combined with --retry, --again, --part or --plan; it plans by itself"
        )
    wanted = None if part is None else StudyPart.parse(part)
    if plan_only:
        refuse_format(table_format, "--plan prints no table; --json has its counts")
    trainer = engine if command is None else parse_command(command, engine).model_dump()
    settings = {"engine": trainer, "device": device, "threads": threads, "timing": timing, "repeats": repeats}
    settings |= {"folds": folds, "split_seeds": split_seeds or None}
    changes: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    same = "run the same command, without --again, to resume" if again else "run the same command to resume"
    line = same_command(context, without=["again"])
    resume = f"{same}: {line}"
    with code_allowed(allow_code):
        loaded = load_study(study, store=store, changes=changes, patches=assignments(sets or []), data=data)
        if until_decided and loaded.settings.search is not None:
            raise AssayError(
                "--until-decided: a search trains each of its configurations on one seed; write seeds = { race = 8 } "
                "under [search] to race the best ones on other seeds"
            )
        executor = executor_of(context, on)
        if until_decided:
            with saying_how_to_restore(study, line):
                site = Site(Store(store), executor)
                _run_until_decided(loaded, site, yes=yes, printed=(as_json, table_format), resume=resume)
            return
        if loaded.settings.search is not None:
            _refuse_again(again)
            if wanted is not None:
                raise AssayError("--part: a search decides each trial by the results of earlier ones; leave it out")
            printed = Printed(as_json, table_format, plan_only=plan_only)
            with saying_how_to_restore(study, line):
                run_search(loaded, Site(Store(store), executor), retry=retry, yes=yes, printed=printed, resume=resume)
            return
        planned = plan(loaded)
    if wanted is not None:
        planned = wanted.plan(planned)
        note(wanted.sentence(planned))
    execution = Execution(planned, Store(store), retry=retry, again=again, executor=executor)
    if plan_only:
        print_plan(execution)
        print_json(plan_table(execution)) if as_json else None
        return
    announce(execution, yes=yes)
    with saying_how_to_restore(study, line):
        interrupted = execute(execution)
    print_results(execution, planned.study.name, as_json=as_json, table_format=table_format)
    if missing := execution.without_best():
        note(
            f"save_best: {missing:,} trials were stored without the weights of their best point; --again retrains them"
        )
    if interrupted:
        open_trials = sum(len(job.trials) for job in execution.open)
        note(f"interrupted; {open_trials:,} trials are open; {resume}")
        raise typer.Exit(Exit.INTERRUPTED)
    if say_failures(execution):
        raise typer.Exit(Exit.NEGATIVE)


def _refuse_again(again: bool) -> None:
    if again:
        raise AssayError(
            "--again: a search keeps the scores that it was told; --retry retrains failed trials, and a study of "
            "another name is a new search"
        )


def _run_until_decided(study: Study, site: Site, *, yes: bool, printed: tuple[bool, TableFormat], resume: str) -> None:
    from assay.analysis.verdict import said_once
    from assay.execution.sequential import until_decided
    from assay.results.results import Results

    failed: list[bool] = []

    def run(execution: Execution) -> bool:
        execution.executor = site.executor
        announce(execution, yes=yes)
        interrupted = execute(execution)
        failed.append(say_failures(execution))
        return interrupted

    decision = until_decided(study, site.store, run)
    as_json, table_format = printed
    if as_json:
        pairs = [{"a": a, "b": b, "verdict": sentence} for (a, b), sentence in decision.sentences.items()]
        rest = {key: value for key, value in vars(decision).items() if key not in ("verdicts", "open")}
        print_json({"study": study.name, "verdicts": pairs, **rest, "open": len(decision.open)})
    else:
        print_rankings(Results(site.store, study.name), table_format)
        say = note if table_format else print_line
        for sentence in said_once(list(decision.sentences.values())):
            say(sentence)
        if decision.winner:
            say(decision.fresh_sentence())
    if decision.interrupted:
        note(f"interrupted; {resume}")
        raise typer.Exit(Exit.INTERRUPTED)
    if failed and all(failed):
        raise typer.Exit(Exit.NEGATIVE)
