"""`assay compare`: configurations over paired seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.options import Csv, Json, Markdown, StoreUrl, StudyName, readable_names, stored_results
from assay.cli.printing import note, print_frame, print_line
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.results.results import Results

_IMPORTED = "an imported log is a single run without paired seeds"
_HEADERS = {
    "a": "a",
    "b": "b",
    "difference": "difference",
    "low": "low",
    "high": "high",
    "n": "n",
    "p_holm": "p (Holm)",
    "decided": "significant",
    "more_seeds": "more seeds",
}


def compare(
    study: StudyName,
    configurations: Annotated[
        list[str] | None,
        typer.Argument(help="Configurations to compare, two or more.", show_default="all", callback=readable_names),
    ] = None,
    measure: Annotated[
        str, typer.Option(help="Measure: accuracy, macro_f1, recall:CLASS, test_loss, effort, seconds, ...")
    ] = "accuracy",
    baseline: Annotated[
        str | None, typer.Option(help="Compare every configuration with this one only.", show_default="all pairs")
    ] = None,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Significance level.")] = 0.05,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Compare configurations over paired seeds: differences, confidence intervals and significance.

    The correction is for all comparisons of the study, also for those that are not shown.
    """
    from assay.analysis.frames import is_imported
    from assay.analysis.quantities import MEASURES
    from assay.analysis.verdict import said_once
    from assay.cli.notes import print_notes
    from assay.report.answers import processor_sentence

    results = stored_results(study, store)
    trials = _trials(results, configurations or [], measure)
    curves = trials[is_imported(trials)][["configuration", measure, "engine", "outcome", "timing"]]
    measured = trials[~is_imported(trials)]
    formats = {"as_csv": as_csv, "as_markdown": as_markdown, "as_json": as_json}
    to_terminal = not any(formats.values())
    if len(curves) and measured["configuration"].nunique() < 2:  # only logs, or one configuration next to them
        if to_terminal:
            note("nothing to compare: " + _IMPORTED)
        print_frame(curves, title="imported", **formats)
        return
    table = _selected(results.verdicts(measure=measure, alpha=alpha, baseline=baseline), configurations or [], baseline)
    if to_terminal and MEASURES[measure].is_timed and (sentence := processor_sentence(measured)):
        note(sentence)
    if results.seeds_added:
        note(results.seeds_added)
    title = "verdicts"
    if to_terminal:
        for sentence in said_once(table["sentence"].tolist()):
            print_line(sentence)
        corrected = any("Holm's correction" in sentence for sentence in table["sentence"].tolist())
        title += " (simultaneous intervals, p corrected by Holm)" if corrected else ""
        table = table[list(_HEADERS)].set_axis(list(_HEADERS.values()), axis="columns")
    else:
        table = table.drop(columns=["sentence"])
    print_frame(table, title=title, imported=curves, **formats)
    if len(curves) and not as_json:
        note("not compared: " + _IMPORTED)
    if len(curves) and to_terminal:
        print_frame(curves, title="imported", **formats)
    print_notes(results, [*(configurations or []), *([baseline] if configurations and baseline else [])])


def _selected(table: Any, configurations: list[str], baseline: str | None) -> Any:
    """The comparisons of the configurations with one another, or with the baseline; all of them without a selection.

    Raises:
        AssayError: A single configuration was selected, and no baseline.
    """
    if not configurations:
        return table
    if baseline is not None:
        return table[table["a"].isin(configurations)]
    if len(set(configurations)) < 2:
        raise AssayError(
            f"got one configuration, {configurations[0]!r}; expected two or more, or --baseline with the other one"
        )
    return table[table["a"].isin(configurations) & table["b"].isin(configurations)]


def _trials(results: Results, configurations: list[str], measure: str) -> Any:
    """The trials of the configurations, or of all of them.

    Raises:
        AssayError: There is no such measure or configuration.
    """
    from assay.analysis.quantities import MEASURES
    from assay.errors import unknown

    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = results.frame()
    if measure not in trials.columns:  # the score of a class
        raise AssayError(unknown("measure", measure, [str(name) for name in trials.columns if name in MEASURES]))
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    for name in configurations:
        if name not in names:
            raise AssayError(unknown("configuration", name, names))
    return trials[trials["configuration"].isin(configurations)] if configurations else trials
