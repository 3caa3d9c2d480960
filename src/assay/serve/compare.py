"""Several studies side by side: their answers, their best configurations, their curves against the same x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from assay.errors import AssayError
from assay.report import html
from assay.report.charts.curves import CURVE_AXES
from assay.report.html import text
from assay.report.text import clean, score_words
from assay.serve.controls import select
from assay.serve.shell import address, figure, link, note, table
from assay.serve.snapshot import StudySnapshot
from assay.serve.views import View

MOST_STUDIES = 6
_MOST_SHARED = 200


def compare_body(snapshots: Sequence[StudySnapshot], view: View) -> list[str]:
    """The page that compares the studies; each figure is the one of the study's own page."""
    names = [snapshot.name for snapshot in snapshots]
    columns = "".join(
        f'<section class="column">{_column(snapshot, view, i)}</section>' for i, snapshot in enumerate(snapshots)
    )
    return [
        f"<h1>{text(' and '.join(clean(name) for name in names))}</h1>",
        note("Side by side, each as on its own page. Studies are no paired seeds of one another: there is no verdict."),
        _form(names, view),
        f'<div class="columns">{columns}</div>',
        "<h2>Configurations of the same name</h2>",
        _shared(snapshots),
    ]


def _form(names: Sequence[str], view: View) -> str:
    chosen = "".join(f'<input type="hidden" name="study" value="{text(name)}">' for name in names)
    return (
        f'<form class="controls" method="get" action="/compare">{chosen}'
        f"{select('Against', 'x', CURVE_AXES.items(), view.x)}<button>Show</button></form>"
    )


def _column(snapshot: StudySnapshot, view: View, number: int) -> str:
    name = snapshot.name
    parts = [f"<h2>{link(address('study', name), clean(name))}</h2>"]
    parts.append(f'<p class="question">{text(snapshot.about.get("about") or "")}</p>')
    if not len(snapshot) or not snapshot.has_results:
        return "".join([*parts, "<p>No trial is finished yet.</p>"])
    source = address("study", name, "chart", "curves.json") + View(x=view.x).query()
    drawn = figure(source, f"Learning curves of {clean(name)}", name=f"curves-{number}")
    return "".join([*parts, html.items(snapshot.answers), drawn])


def _shared(snapshots: Sequence[StudySnapshot]) -> str:
    """The configurations that several of the studies have, each with its mean over all of its seeds in each."""
    tables: list[dict[str, Any]] = []
    for snapshot in snapshots:
        if len(snapshot) and snapshot.has_results:
            summary = snapshot.results.summary()
            is_fraction = "accuracy" in summary.columns
            score = "accuracy" if is_fraction else "r2"
            columns = (summary[column].tolist() for column in ("configuration", score, "sd", "n", "seconds"))
            tables.append({str(label): (is_fraction, *rest) for label, *rest in zip(*columns, strict=True)})
        else:
            tables.append({})
    counts: dict[str, int] = {}
    for own in tables:
        for label in own:
            counts[label] = counts.get(label, 0) + 1
    labels = [label for label, count in counts.items() if count > 1]
    if not labels:
        return "<p>The studies have no configuration of the same name.</p>"
    rows = [[text(label), *(_figures(own.get(label)) for own in tables)] for label in labels[:_MOST_SHARED]]
    header = ["configuration", *(text(clean(snapshot.name)) for snapshot in snapshots)]
    more = len(labels) - len(rows)
    rest = note(f"{more:,} more have the same name.") if more > 0 else ""
    about = note(
        "Mean test accuracy, standard deviation in percentage points, number of seeds, median seconds; "
        "of regressions R2 and its standard deviation."
    )
    return about + table(header, rows, caption="Configurations of the same name") + rest


def _figures(row: Sequence[Any] | None) -> str:
    if row is None:
        return "-"
    is_fraction, score, sd, n, seconds = row
    spread = ""
    if sd is not None and not math.isnan(sd):
        spread = f" ± {100 * sd:.2f}" if is_fraction else f" ± {sd:.4g}"
    took = f", {seconds:.4g} s" if seconds is not None and not math.isnan(seconds) else ""
    return text(f"{score_words(*((score, None) if is_fraction else (None, score)))}{spread}, n = {n:,}{took}")


def checked(names: Sequence[str]) -> list[str]:
    """The names of studies to compare, each once. Raises: AssayError."""
    unique = list(dict.fromkeys(names))
    if not 2 <= len(unique) <= MOST_STUDIES:
        raise AssayError(
            f"got {len(unique)} studies to compare; choose 2 to {MOST_STUDIES} on the list of studies, as in "
            "/compare?study=A&study=B"
        )
    return unique


__all__ = ["MOST_STUDIES", "checked", "compare_body"]
