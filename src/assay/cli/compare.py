"""`assay compare`: configurations over paired seeds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from assay.cli.options import Csv, Json, Markdown, StoreUrl, StudyName, readable_names, stored_results
from assay.cli.printing import note, print_frame, print_line
from assay.errors import AssayError

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
    measure: Annotated[str, typer.Option(help="Measure: accuracy, test_loss, effort, seconds, ...")] = "accuracy",
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Significance level.")] = 0.05,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Compare configurations over paired seeds: differences, confidence intervals and significance."""
    from assay.analysis.frames import is_imported
    from assay.analysis.quantities import MEASURES
    from assay.analysis.verdicts import pairwise
    from assay.report.answers import processor_sentence

    trials = _trials(study, store, configurations or [], measure)
    curves = trials[is_imported(trials)][["configuration", measure, "engine", "outcome", "timing"]]
    measured = trials[~is_imported(trials)]
    formats = {"as_csv": as_csv, "as_markdown": as_markdown, "as_json": as_json}
    to_terminal = not any(formats.values())
    if len(curves) and measured["configuration"].nunique() < 2:  # only logs, or one configuration next to them
        if to_terminal:
            note("nothing to compare: " + _IMPORTED)
        print_frame(curves, title="imported", **formats)
        return
    table = pairwise(measured, measure=measure, alpha=alpha)
    if to_terminal and MEASURES[measure].is_timed and (sentence := processor_sentence(measured)):
        note(sentence)
    if to_terminal:
        for sentence in table["sentence"].tolist():
            print_line(sentence)
    if to_terminal:
        table = table[list(_HEADERS)].set_axis(list(_HEADERS.values()), axis="columns")
    else:
        table = table.drop(columns=["sentence"])
    print_frame(table, title="verdicts", imported=curves, **formats)
    if len(curves) and not as_json:
        note("not compared: " + _IMPORTED)
    if len(curves) and to_terminal:
        print_frame(curves, title="imported", **formats)


def _trials(study: str, store: str | None, configurations: list[str], measure: str) -> Any:
    """The trials of the configurations, or of all of them.

    Raises:
        AssayError: There is no such measure or configuration.
    """
    from assay.analysis.quantities import MEASURES
    from assay.errors import unknown

    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = stored_results(study, store).frame()
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    for name in configurations:
        if name not in names:
            raise AssayError(unknown("configuration", name, names))
    return trials[trials["configuration"].isin(configurations)] if configurations else trials
