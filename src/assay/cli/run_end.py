"""What `assay run` and `assay search` print at their end: rankings, or everything as JSON, and what was cut short."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assay.cli.formats import TableFormat, print_summary
from assay.cli.printing import console, frame_records, note, print_json
from assay.system.command_line import command_line

if TYPE_CHECKING:
    from assay.execution.runner import Execution
    from assay.results.results import Results

_MOST_ROWS = 20  # of a table


def print_results(
    execution: Execution,
    study: str,
    *,
    as_json: bool,
    table_format: TableFormat,
    search: dict[str, Any] | None = None,
) -> None:
    """Prints the rankings of a study or, as JSON, its configurations and its trials, and the jobs of a search."""
    from assay.results.results import Results

    results = Results(execution.store, study)
    if not as_json:
        print_rankings(results, table_format)
        return
    configurations, trials = frame_records(results.summary()), frame_records(results.frame())
    study_notes = [asdict(note) for note in results.notes()]
    content = {"study": results.name, "store": execution.store.name, "configurations": configurations, "trials": trials}
    print_json(content | {"notes": study_notes} | ({} if search is None else {"search": search}))


def print_rankings(results: Results, table_format: TableFormat) -> None:
    """Prints the configurations by what selects them and by effort, with what is left out and the notes."""
    from assay.analysis.effort import comparable_on_engines
    from assay.analysis.frames import own
    from assay.analysis.quantities import MEASURES, SCORE, TEST_SCORE, no_accuracy
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
    title += _title_end(results)
    _print_race(results)
    screen.print(tables.study(ranked.head(_MOST_ROWS), title))
    measured, left_out = own(summary)
    for title, table in efforts(measured, trials):
        screen.print(tables.study(table.head(_MOST_ROWS), f"{results.name}: by effort{title}"))
    if reason := no_accuracy(trials, "no ranking by effort: it is training seconds / accuracy"):
        note(reason)
    for sentence in (left_out, comparable_on_engines(trials)[1]):
        note(sentence) if sentence else None
    if len(summary) > _MOST_ROWS:
        rows = f"showing {_MOST_ROWS} of {len(summary):,} configurations"
        note(f"{rows}; {command_line('assay run', results.name, csv=True)} prints all, and `assay report` shows them")
    for sentence in own_clocks(trials):
        note(sentence)
    if results.renamed_axes:
        note(f"note: {results.renamed_axes}")
    print_notes(results)


def _title_end(results: Results) -> str:
    """What the title of a ranking of a search says of its figures; "" for other studies."""
    if not results.selection:
        return ""
    if results.race is not None:
        return " on the seeds that each row names"
    return " (the best score is biased: it selected the configuration)"


def _print_race(results: Results) -> None:
    """Prints the race of a search with seeds."""
    from assay.cli import tables
    from assay.report.cells import displayed

    table, notes = results.race_table()
    if table is not None:
        console().print(tables.of_frame(displayed(table), f"{results.name}: race"))
        for sentence in notes:
            note(sentence)


def say_failures(execution: Execution) -> bool:
    """Says how many trials were cut short, why, and what they count as; returns whether all of them were."""
    from assay.store.queries import one_trial
    from assay.training.outcome import RETRIED, Outcome

    ends = {key: outcome for key, outcome in execution.outcomes.items() if outcome in RETRIED}
    counts = Counter(outcome for key, outcome in ends.items() if key not in execution.kept)
    first = {outcome: key for key, outcome in reversed(ends.items()) if key not in execution.kept}
    parts: list[str] = []
    for outcome in (outcome for outcome in RETRIED if counts[outcome]):
        reason = one_trial(execution.store.database, first[outcome])["reason"]
        value = "counted as they ended" if outcome is Outcome.TIMED_OUT else "no result"
        parts.append(f"{counts[outcome]:,} {outcome} ({reason}; {value})")
    trials = f"{len(execution.trials):,} trials were cut short"
    if parts:
        note(f"{sum(counts.values()):,} of {trials}: {', '.join(parts)}; --retry repeats these")
    if execution.kept:
        repeats = f"the repeats of {len(execution.kept):,} of {trials}: {_kept_reasons(execution)}"
        note(f"{repeats}; their earlier results stay, and --again repeats them")
    return bool(ends) and len(ends) == len(execution.outcomes)


def _kept_reasons(execution: Execution) -> str:
    """How many repeats ended in which way although earlier results stay, each with its first reason."""
    counts = Counter(execution.outcomes[key] for key in execution.kept)
    first = {execution.outcomes[key]: reason for key, reason in reversed(execution.kept.items())}
    return ", ".join(f"{count:,} {outcome} ({first[outcome]})" for outcome, count in counts.items())
