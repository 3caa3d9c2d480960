"""The first page: the studies of a store with their state, benches, articles, and what is trained now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from assay.articles import article_names, find_article
from assay.report.html import text
from assay.report.text import clean, duration, score_words
from assay.serve.shell import address, ago, link, note, table
from assay.store import activity, benches, progress, queries
from assay.store.activity import StudyState
from assay.store.database import Database
from assay.training.outcome import RETRIED

Row = Mapping[str, Any]


def overview(database: Database) -> str:
    """The list of what is stored. Raises: StoreError."""
    states, studies = activity.states(database), queries.studies(database)
    running = progress.listed(database)
    parts = [_studies(studies, states), *_running(running), *_benches(benches.listed(database)), articles_list()]
    return "\n".join(parts)


def state_words(state: StudyState | None, *, has_curves: bool = False) -> tuple[str, str]:
    """The state of a study as a word for the script, and as words for people."""
    if state is None or state.activity.trials == 0:
        return ("over", "imported curves") if has_curves else ("empty", "no trials")
    counts, failed = state.activity, _failed(state)
    if state.is_in_work:
        return "running", f"running ({counts.training:,} in training)" if counts.training else "running"
    if state.is_over:
        return ("failed" if failed else "over"), "finished" + (f", {failed:,} failed" if failed else "")
    left = counts.trials - counts.ended
    return "idle", f"not running, {left:,} trial{'s' if left > 1 else ''} open"


def _failed(state: StudyState) -> int:
    return sum(state.activity.outcomes.get(outcome, 0) for outcome in RETRIED)


def _progress_words(state: StudyState | None) -> str:
    """How far a study is: "12 of 18", for a search "12 of 18 so far"."""
    if state is None:
        return "-"
    counts = state.activity
    return f"{counts.ended:,} of {counts.trials:,}{' so far' if counts.is_search else ''}"


def progress_cell(state: StudyState | None) -> str:
    """The same as HTML, with a bar."""
    words = text(_progress_words(state))
    if state is None or not state.activity.trials:
        return words
    counts = state.activity
    return f'{words} <progress max="{counts.trials}" value="{counts.ended}" aria-label="trials ended"></progress>'


def left_words(state: StudyState | None) -> str:
    """The time left at the throughput of the last minutes; "-" where there is no such estimate."""
    left = state.activity.eta_seconds if state is not None and state.is_in_work else None
    return "-" if left is None else f"about {duration(left)}"


def _studies(studies: Sequence[Row], states: Mapping[str, StudyState]) -> str:
    if not studies:
        return (
            '<h2 id="studies">Studies</h2><p>This store has no study yet. <code>assay run</code> trains the quickstart '
            "study, and this page then shows it.</p>"
        )
    rows: list[list[str]] = []
    for row in studies:
        state = states.get(row["name"])
        key, words = state_words(state, has_curves=bool(row["imported"]))
        best = score_words(row["best"], row["best_r2"])
        best += " (selected)" if row["selected"] and best != "-" else ""
        name = link(address("study", row["name"]), clean(row["name"]) or "(empty)")
        rows.append(
            [
                f'<label class="pick"><input type="checkbox" name="study" value="{text(row["name"])}" form="compare">'
                f'<span class="unseen">Compare {text(row["name"])}</span></label> {name}',
                f'<span class="state {key}">{text(words)}</span>',
                progress_cell(state),
                text(left_words(state)),
                text(best),
                f"{row['imported']:,}" if row["imported"] else "-",
                text(ago(row["updated"])),
            ]
        )
    best_name = "best score" if any(row["best_r2"] is not None for row in studies) else "best accuracy"
    header = ["study", "state", "trials ended", "time left", best_name, "imported curves", "registered"]
    drawn = table(header, rows, caption="Studies of this store", numbers=(4, 5))
    picked = (
        '<form id="compare" action="/compare" method="get"><button>Compare the chosen studies</button> '
        '<span class="note">side by side</span></form>'
    )
    notes = note("(selected): the best score selected its configuration, so that it is too high on average.")
    is_selected = any(row["selected"] for row in studies)
    return f'<h2 id="studies">Studies</h2>{drawn}{notes if is_selected else ""}{picked if len(studies) > 1 else ""}'


def _running(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    cells = [
        [
            link(address("study", row["study"]), clean(row["study"])) if row["study"] else "-",
            text(row["label"]),
            text(iterations_words(row)),
            text(duration(row["seconds"])),
            text(row["holder"]),
        ]
        for row in rows
    ]
    header = ["study", "configuration", "iteration", "trained for", "driver"]
    return [f'<h2 id="running">In training</h2>{table(header, cells, caption="What is trained now")}']


def iterations_words(row: Row) -> str:
    """How far a trajectory in training is."""
    return f"{row['iteration']:,} of {row['iterations']:,}" if row["iterations"] else f"{row['iteration']:,}"


def _benches(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    cells = [
        [
            link(address("bench", row["key"]), clean(row["name"])),
            text(row["data"]),
            text(row["outcome"]),
            f"{row['measured']:,} of {row['rows']:,}",
            text(ago(row["updated"])),
        ]
        for row in rows
    ]
    header = ["bench", "data", "outcome", "rows measured", "measured"]
    return [f'<h2 id="benches">Benches</h2>{table(header, cells, caption="Benches of this store")}']


@cache
def articles_list() -> str:
    """The articles, which no store changes."""
    rows = [[link(address("article", name), name), text(find_article(name).file.about)] for name in article_names()]
    return (
        '<details class="section"><summary><h2 id="articles">Articles</h2></summary>'
        f"{table(['article', 'about'], rows, caption='Published studies that can be reproduced')}</details>"
    )


__all__ = ["articles_list", "iterations_words", "left_words", "overview", "progress_cell", "state_words"]
