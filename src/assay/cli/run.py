"""`assay run`: a study, trained and stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.exits import Exit
from assay.cli.formats import TableFormat, print_summary, refuse_format
from assay.cli.options import (
    AllowCode,
    CommandLine,
    DataSet,
    Json,
    PlanOnly,
    Sets,
    StoreUrl,
    Yes,
    code_allowed,
    parse_command,
    typed_store,
)
from assay.cli.plans import announce, plan_counts, print_plan
from assay.cli.printing import console, frame_records, note, print_json, print_line
from assay.cli.progress import execute
from assay.errors import AssayError
from assay.system.command_line import Value, command_line

if TYPE_CHECKING:
    from assay.execution.runner import Execution
    from assay.results.results import Results
    from assay.store.store import Store
    from assay.studies.study import Study

_FROM_STUDY = "set by the study"
_MOST_ROWS = 20  # of a table


def run(
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
        str | None, typer.Option(help="Device: cpu, cuda, cuda:1 or mps.", show_default=_FROM_STUDY)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Number of threads per trial.", show_default=_FROM_STUDY)] = None,
    timing: Annotated[
        str | None,
        typer.Option(help="isolated (one trial at a time) or packed (one trial per core).", show_default=_FROM_STUDY),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Number of paired seeds per configuration.", show_default=_FROM_STUDY)
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds to undecided comparisons, at most six times.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Retrain trials that failed, were lost, ran out of memory or timed out.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Retrain everything.")] = False,
    plan_only: PlanOnly = False,
    allow_code: AllowCode = False,
    yes: Yes = False,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Run a study: train the trials that are not stored yet, and show the results.

    Run the same command again to resume an interrupted study.
    """
    from assay.execution.runner import Execution
    from assay.execution.stored import load_study
    from assay.recipe.patches import assignments
    from assay.store.store import Store
    from assay.studies.plan import plan

    if until_decided and (retry or again or plan_only):
        raise AssayError("--until-decided: cannot be combined with --retry, --again or --plan; it plans by itself")
    if plan_only:
        refuse_format(table_format, "--plan prints no table; --json has its counts")
    trainer = engine if command is None else parse_command(command, engine).model_dump()
    settings = {"engine": trainer, "device": device, "threads": threads, "timing": timing, "repeats": repeats}
    changes: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    given: dict[str, Value] = {"set": sets or [], "data": data, "engine": engine, "command": command, "device": device}
    given |= {"threads": threads, "timing": timing, "repeats": repeats, "until_decided": until_decided}
    given |= {"allow_code": allow_code, "yes": yes, "store": typed_store(store), "json": as_json}
    given |= table_format.as_option
    same = "run the same command, without --again, to resume" if again else "run the same command to resume"
    resume = f"{same}: {command_line('assay run', study, **given)}"
    with code_allowed(allow_code):
        loaded = load_study(study, store=store, changes=changes, patches=assignments(sets or []), data=data)
        if until_decided:
            return _run_until_decided(loaded, Store(store), yes=yes, printed=(as_json, table_format), resume=resume)
        planned = plan(loaded)
    execution = Execution(planned, Store(store), retry=retry, again=again)
    if plan_only:
        print_plan(execution)
        print_json(plan_counts(execution)) if as_json else None
        return
    announce(execution, yes=yes)
    interrupted = execute(execution)
    _print_results(execution, planned.study.name, as_json=as_json, table_format=table_format)
    if missing := execution.without_best():
        note(
            f"save_best: {missing:,} trials were stored without the weights of their best point; --again retrains them"
        )
    if interrupted:
        open_trials = sum(len(job.trials) for job in execution.open)
        note(f"interrupted; {open_trials:,} trials are open; {resume}")
        raise typer.Exit(Exit.INTERRUPTED)
    if _say_failures(execution):
        raise typer.Exit(Exit.NEGATIVE)


def _say_failures(execution: Execution) -> bool:
    """Says how many trials were cut short, why, and what they count as; returns whether all of them were."""
    from assay.store.queries import one_trial
    from assay.training.outcome import RETRIED, Outcome

    counts = Counter(execution.outcomes.values())
    first = {outcome: key for key, outcome in reversed(execution.outcomes.items())}
    parts: list[str] = []
    for outcome in (outcome for outcome in RETRIED if counts[outcome]):
        reason = one_trial(execution.store.database, first[outcome])["reason"]
        value = "counted as they ended" if outcome is Outcome.TIMED_OUT else "no result"
        parts.append(f"{counts[outcome]:,} {outcome} ({reason}; {value})")
    if not parts:
        return False
    cut_short = sum(counts[outcome] for outcome in RETRIED)
    total = f"{cut_short:,} of {len(execution.trials):,} trials were cut short"
    note(f"{total}: {', '.join(parts)}; --retry repeats these")
    return cut_short == sum(counts.values())


def _run_until_decided(
    study: Study, store: Store, *, yes: bool, printed: tuple[bool, TableFormat], resume: str
) -> None:
    from assay.analysis.verdict import said_once
    from assay.execution.sequential import until_decided
    from assay.results.results import Results

    failed: list[bool] = []

    def run(execution: Execution) -> bool:
        announce(execution, yes=yes)
        interrupted = execute(execution)
        failed.append(_say_failures(execution))
        return interrupted

    decision = until_decided(study, store, run)
    as_json, table_format = printed
    if as_json:
        pairs = [{"a": a, "b": b, "verdict": sentence} for (a, b), sentence in decision.sentences.items()]
        rest = {key: value for key, value in vars(decision).items() if key not in ("verdicts", "open")}
        print_json({"study": study.name, "verdicts": pairs, **rest, "open": len(decision.open)})
    else:
        _print_rankings(Results(store, study.name), table_format)
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


# --- results ---------------------------------------------------------------------------------------------------------


def _print_results(execution: Execution, study: str, *, as_json: bool, table_format: TableFormat) -> None:
    from assay.results.results import Results

    results = Results(execution.store, study)
    if not as_json:
        _print_rankings(results, table_format)
        return
    configurations, trials = frame_records(results.summary()), frame_records(results.frame())
    study_notes = [asdict(note) for note in results.notes()]
    content = {"study": results.name, "store": execution.store.name, "configurations": configurations, "trials": trials}
    print_json(content | {"notes": study_notes})


def _print_rankings(results: Results, table_format: TableFormat) -> None:
    from assay.analysis.effort import comparable_costs
    from assay.analysis.frames import own
    from assay.analysis.quantities import MEASURES, SCORE, TEST_SCORE
    from assay.analysis.summaries import ranked as by
    from assay.cli import tables
    from assay.cli.notes import print_notes
    from assay.report.answers import efforts, own_clocks, selected_by

    if table_format:
        print_summary(results, table_format)
        return
    summary, trials = results.summary(), results.frame()
    screen = console()
    chosen = selected_by(trials)
    ranked = by(summary, chosen, ascending=False)
    title = f"{results.name}: by {MEASURES[chosen].label if chosen != TEST_SCORE.column else SCORE.name}"
    screen.print(tables.study(ranked.head(_MOST_ROWS), title))
    measured, left_out = own(summary)
    for title, table in efforts(measured, trials):
        screen.print(tables.study(table.head(_MOST_ROWS), f"{results.name}: by effort{title}"))
    for sentence in (left_out, comparable_costs(trials)[1]):
        note(sentence) if sentence else None
    if len(summary) > _MOST_ROWS:
        rows = f"showing {_MOST_ROWS} of {len(summary):,} configurations"
        note(f"{rows}; {command_line('assay run', results.name, csv=True)} prints all, and `assay report` shows them")
    for sentence in own_clocks(trials):
        note(sentence)
    if results.renamed_axes:
        note(f"note: {results.renamed_axes}")
    print_notes(results)
