"""A study's page and the parts that fill it: answers, curves, the table, the charts of the report, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from assay.errors import AssayError
from assay.report import html
from assay.report.html import text
from assay.report.page import again, comparison_sections, fitting, notes_list, race_sections
from assay.report.sections import Section
from assay.report.text import clean
from assay.serve.controls import controls
from assay.serve.rows import rows_part
from assay.serve.shell import address, alert, figure, note, place
from assay.serve.snapshot import StudySnapshot
from assay.serve.views import View

CURVES = "curves"


def study_body(name: str, view: View, *, state: str) -> list[str]:
    """The page of a study in a view; `state` is its first part, which is there at once."""
    query = view.query()

    def of(part: str, *, title: str = "", kind: str = "", with_view: bool = False) -> str:
        heading = f'<h2 id="{part}">{title}</h2>' if title else ""
        return heading + place(
            address("study", name, "part", part) + (query if with_view else ""), name=part, kind=kind
        )

    report, again_id = address("study", name, "report.html"), "about"
    contents = "".join(
        f'<li><a href="#{part}">{title}</a></li>'
        for part, title in (
            ("answers", "Answers"),
            ("curves", "Learning curves"),
            ("rows", "Configurations"),
            ("charts", "Charts"),
            ("comparisons", "Significance and targets"),
            (again_id, "How it was made"),
        )
    )
    return [
        f"<h1>{text(clean(name) or '(empty)')}</h1>",
        place(address("study", name, "part", "state"), state, name="state"),
        f'<nav class="contents" aria-label="Contents"><ul>{contents}</ul></nav>',
        f'<p><a download href="{text(report)}">Download the report</a> <span class="note">one HTML file that needs no '
        "network and no server</span></p>",
        place(address("study", name, "part", "running"), " ", name="running"),
        of("answers", title="Answers", kind="some"),
        '<h2 id="curves">Learning curves</h2>',
        controls(view),
        of("curve-figure", kind="tall", with_view=True),
        of("rows", title="Configurations", kind="tall", with_view=True),
        of("failures"),
        of("charts", title="Charts of the whole study", kind="tall"),
        of("comparisons", title="Significance and targets", kind="some"),
        of("about", title="How it was made", kind="some"),
    ]


def answers_part(snapshot: StudySnapshot, view: View) -> str:
    """The question and the answers, as the report has them."""
    about = snapshot.about.get("about")
    question = f'<p class="question">{text(about or "A study without a question.")}</p>'
    if not len(snapshot):
        return f"{question}<p>This study has no trials.</p>"
    if not snapshot.has_results:
        return (
            f"{question}<p>None of its {len(snapshot):,} trials is finished yet: the answers follow with the first.</p>"
        )
    notes = notes_list(snapshot.results, snapshot.trials)
    folded = f'<details class="section"><summary>Notes</summary>{notes}</details>' if notes else ""
    return question + html.items(snapshot.answers) + folded


def curves_part(snapshot: StudySnapshot, view: View) -> str:
    """The place of the chart of the curves in a view, with what it selects."""
    if not snapshot.has_results:
        return "<p>No trial is finished yet: the curves follow with the first. Running ones are above.</p>"
    try:
        snapshot.curve_options(view)
        total = int(snapshot.trials["configuration"].nunique())
        count = len(snapshot.selected(view.q)) if view.q.strip() else total
    except AssayError as error:
        return alert(str(error))
    words = f"{count:,} of {total:,} configurations selected" if view.q.strip() else f"all {total:,} configurations"
    about = f"{words}; each median and band is of all of its seeds, whatever else is selected."
    name = snapshot.name
    return note(about) + figure(
        address("study", name, "chart", f"{CURVES}.json") + view.query(), "Learning curves", name=CURVES
    )


def charts_part(snapshot: StudySnapshot, view: View) -> str:
    """The places of the other charts of the report, which show the whole study; they are drawn when they are seen."""
    if not snapshot.has_results:
        return "<p>No trial is finished yet: the charts follow with the first.</p>"
    name, parts = snapshot.name, list[str]()
    with snapshot.lock:
        charts = [chart for chart in fitting(snapshot.results) if chart.name != CURVES]
    for chart in charts:
        source = address("study", name, "chart", f"{chart.name}.json")
        drawn = figure(source, chart.title, name=chart.name, keeps_colours=chart.keeps_colours)
        parts.append(f'<details class="section" open><summary><h3>{text(chart.title)}</h3></summary>{drawn}</details>')
    about = note(
        "As in the report. A query does not change them: ranks, fronts and corrections are of all configurations."
    )
    return about + "".join(parts)


def comparisons_part(snapshot: StudySnapshot, view: View) -> str:
    """The race of a search, the leading comparisons and the matrix of all pairs, as the report has them."""
    sections = list(race_sections(snapshot.results))
    reason = ""
    try:
        sections += comparison_sections(snapshot.results, snapshot.trials, folds=False)
    except AssayError as error:
        reason = note(f"Not available: {error}.")
    with suppress(AssayError):
        targets = html.frame_table(snapshot.results.targets(), "configuration")
        sections.append(Section("targets", "Time to target", targets))
    return reason + "".join(f"<h3>{text(s.heading)}</h3>{s.body}" for s in sections)


def about_part(snapshot: StudySnapshot, view: View) -> str:
    """The machines, engines and versions, and the definition with the command that runs it again."""
    return "\n".join([html.pairs(snapshot.results.environment()), *again(snapshot.results)])


PARTS: dict[str, Callable[[StudySnapshot, View], str]] = {
    "answers": answers_part,
    "curve-figure": curves_part,
    "rows": rows_part,
    "charts": charts_part,
    "comparisons": comparisons_part,
    "about": about_part,
}
"""The parts of a study's page that are made from its results, by the last word of their address."""

OF_VIEW = ("curve-figure", "rows")
"""The parts that depend on the view."""

__all__ = ["CURVES", "OF_VIEW", "PARTS", "study_body"]
