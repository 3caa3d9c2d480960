"""`assay compare`: configurations over paired seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.formats import TableFormat, print_frame
from assay.cli.options import Json, StoreUrl, StudyName, readable_names, stored_results
from assay.cli.printing import note, print_line
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.results.comparisons import Comparisons
    from assay.results.results import Results

_IMPORTED = "an imported log is a single run without paired seeds"
_COLUMNS = ["a", "b", "difference", "interval", "n", "p_holm", "finding", "more_seeds"]


def compare(
    study: StudyName,
    configurations: Annotated[
        list[str] | None,
        typer.Argument(help="Configurations to compare, two or more.", show_default="all", callback=readable_names),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="Measure: accuracy, macro_f1, recall:CLASS, r2, rmse, test_loss, effort, seconds, ...",
            show_default="accuracy, of a regression r2",
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare every configuration with this one only.", show_default="all pairs")
    ] = None,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Significance level.")] = 0.05,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Show every comparison, not only the first 20.")] = False,
) -> None:
    """Compare configurations over paired seeds: differences, confidence intervals and significance.

    The correction is for all comparisons of the study, also for those that are not shown. A study with more than 20
    pairs shows the best configuration against the others, or each one with the configuration named "baseline". --csv
    and --json have every comparison.
    """
    from assay.analysis.frames import is_imported
    from assay.analysis.quantities import MEASURES
    from assay.cli.notes import print_notes
    from assay.report.answers import processor_sentence
    from assay.results.comparisons import MOST

    results = stored_results(study, store)
    configurations = [results.configuration(name) for name in dict.fromkeys(configurations or [])]
    baseline = None if baseline is None else results.configuration(baseline)
    measure = results.measure(measure)
    trials = _trials(results, configurations, measure)
    if MEASURES[measure].is_timed:
        results, left_out = results.comparable()
        note(left_out) if left_out else None
    curves = trials[is_imported(trials)][["configuration", measure, "engine", "outcome", "timing"]]
    measured = trials[~is_imported(trials)]
    to_terminal = not table_format and not as_json
    if len(curves) and measured["configuration"].nunique() < 2:  # only logs, or one configuration next to them
        if to_terminal:
            note("nothing to compare: " + _IMPORTED)
        print_frame(curves, title="imported", table_format=table_format, as_json=as_json)
        return
    if to_terminal and MEASURES[measure].is_timed and (sentence := processor_sentence(measured)):
        note(sentence)
    if results.seeds_added:
        note(results.seeds_added)
    if table_format is TableFormat.CSV or as_json:
        table = results.verdicts(measure=measure, alpha=alpha, baseline=baseline)
        table = _selected(table, configurations, baseline).drop(columns=["sentence"])
        print_frame(table, title="verdicts", imported=curves, table_format=table_format, as_json=as_json)
    else:
        _check_selected(configurations, baseline)
        most = None if everything else MOST
        made = results.comparisons(*configurations, measure=measure, alpha=alpha, baseline=baseline, most=most)
        _print_comparisons(made, measure, study=study, table_format=table_format)
        if to_terminal and measure == "accuracy" and made.verdicts and results.split_note:
            note(results.split_note)
    if len(curves) and not as_json:
        note("not compared: " + _IMPORTED)
    if len(curves) and to_terminal:
        print_frame(curves, title="imported")
    print_notes(results, [*configurations, *([baseline] if configurations and baseline else [])])


def _print_comparisons(made: Comparisons, measure: str, *, study: str, table_format: TableFormat) -> None:
    """Prints the comparisons: in words as well, on the terminal; and how to see those that are left out."""
    from assay.analysis.verdict import MOST_PAIRS
    from assay.results.comparisons import ALONE, table_of

    table: Any = table_of(made.verdicts)
    table.attrs["measure"] = measure
    if table_format:
        print_frame(table, title=f"{study}: {made.about}", table_format=table_format)
    else:
        for sentence in made.sentences():
            print_line(sentence)
        corrected = made.verdicts and made.verdicts[0].comparisons > 1
        method = "Bonferroni" if corrected and made.verdicts[0].comparisons > MOST_PAIRS else "Holm"
        corrected_by = f" (simultaneous intervals, * uncorrected; p corrected by {method})" if corrected else ""
        one_sided = [side for side in "ab" if len(table) > 1 and table[side].nunique() == 1]
        shown = table.drop(columns=one_sided[:1])  # the title names it
        shown.attrs |= table.attrs
        print_frame(shown, title=f"verdicts: {made.about}{corrected_by}")
    if any("*" in value for value in table["interval"].tolist()):
        note(f"* {ALONE.format(comparisons=made.verdicts[0].comparisons)}")
    if len(made.verdicts) < made.total:
        note(f"showing {len(made.verdicts):,} of {made.total:,} comparisons; --all shows them, --csv has every pair")


def _selected(table: Any, configurations: list[str], baseline: str | None) -> Any:
    """The comparisons of the configurations with one another, or with the baseline; all of them without a selection.

    Raises:
        AssayError: A single configuration was selected, and no baseline.
    """
    from assay.results.comparisons import in_order

    if not configurations:
        return table
    _check_selected(configurations, baseline)
    if baseline is not None:
        return table[table["a"].isin(configurations)]
    return in_order(table[table["a"].isin(configurations) & table["b"].isin(configurations)], configurations)


def _check_selected(configurations: list[str], baseline: str | None) -> None:
    """Raises AssayError for a single configuration without a baseline."""
    if len(configurations) == 1 and baseline is None:
        raise AssayError(
            f"got one configuration, {configurations[0]!r}; expected two or more, or --baseline with the other one"
        )


def _trials(results: Results, configurations: list[str], measure: str) -> Any:
    """The trials of the configurations, or of all of them.

    Raises:
        AssayError: There is no such measure.
    """
    from assay.analysis.quantities import MEASURES, known_task, of_other_task
    from assay.errors import unknown

    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = results.frame()
    if reason := of_other_task(measure, known_task(trials)):
        raise AssayError(reason)
    if measure not in trials.columns:  # the score of a class
        raise AssayError(unknown("measure", measure, [str(name) for name in trials.columns if name in MEASURES]))
    return trials[trials["configuration"].isin(configurations)] if configurations else trials
