"""`assay compare`: what the paired seeds say."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import Csv, Json, Markdown, Named, StoreUrl, console, note, print_frame, results_of
from assay.errors import AssayError

_NOT_JUDGED = "an imported log has one run, and no seed that pairs with another's"


def compare(
    study: Named,
    configurations: Annotated[list[str] | None, typer.Argument(help="Two or more of them; none: every one.")] = None,
    measure: Annotated[str, typer.Option(help="accuracy, test_loss, effort, seconds, ...")] = "accuracy",
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="How often a verdict may be false.")] = 0.05,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Say what the paired seeds tell: who beats whom by how much, and where they cannot tell."""
    from assay.analysis.frames import is_imported
    from assay.analysis.quantities import MEASURES
    from assay.analysis.verdicts import pairwise
    from assay.errors import unknown
    from assay.report.text import clean

    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = results_of(study, store).frame()
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    for name in configurations or []:
        if name not in names:
            raise AssayError(unknown("configuration", name, names))
    if configurations:
        trials = trials[trials["configuration"].isin(configurations)]
    curves = trials[is_imported(trials)][["configuration", measure, "engine", "outcome", "timing"]]
    judged = trials[~is_imported(trials)]
    plain = as_csv or as_json or as_markdown
    if len(curves) and judged["configuration"].nunique() < 2:  # logs alone, or beside one configuration
        if not plain:
            note("nothing to judge: " + _NOT_JUDGED)
        print_frame(curves, as_csv=as_csv, as_markdown=as_markdown, as_json=as_json, title="imported")
        return
    table = pairwise(judged, measure=measure, alpha=alpha)
    if not plain:
        for sentence in table["sentence"].tolist():
            console().print(clean(sentence), markup=False, soft_wrap=True)
    shown = ["a", "b", "difference", "low", "high", "n", "p_holm", "decided", "more_seeds"]
    table = table.drop(columns=["sentence"]) if plain else table[shown]
    print_frame(table, as_csv=as_csv, as_markdown=as_markdown, as_json=as_json, title="verdicts", imported=curves)
    if len(curves) and not as_json:
        note("not judged: " + _NOT_JUDGED)
    if len(curves) and not plain:
        print_frame(curves, as_csv=False, as_markdown=False, as_json=False, title="imported")
