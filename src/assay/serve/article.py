"""An article's page: what was published beside what this store has measured; and the page of a bench."""

from __future__ import annotations

from typing import Any

from assay.articles import context_of, find_article, page_of, plans_after, plans_of, results_of, spec_of
from assay.errors import AssayError, NotStoredError
from assay.report import benches, html
from assay.report.charts import CHARTS
from assay.report.charts.writing import embedded
from assay.report.html import text
from assay.report.page import BENCH_CHARTS, bench_specs
from assay.serve.shell import address, figure, note
from assay.store.benches import find
from assay.store.store import Store
from assay.studies.plan import Plan
from assay.system.command_line import command_line


def article_parts(store: Store, name: str) -> list[str]:
    """The page of an article from the stored results of its studies, at full scale or else scaled down.

    What is not stored is said with the command that runs it. Nothing is trained, and no code of an article is run.

    Raises: AssayError for an unknown article.
    """
    article = find_article(name)
    reasons: list[str] = []
    for quick in (False, True):
        try:
            spec = spec_of(article, quick=quick)
            plans = plans_of(article, spec)
            plans |= _stored_only(plans_after(article, spec, results_of(plans, store)), store)
            return page_of(article, context_of(article, spec, plans, store)).html_parts()
        except AssayError as error:
            reasons.append(f"{'Scaled down' if quick else 'At full scale'}: {error}")
    quick_line = command_line("assay reproduce", name, quick=True, store=store.name)
    return [
        f"<h1>{text(article.file.title)}</h1>",
        f'<p class="question">{text(article.file.about)}</p>',
        f"<p>This store does not have the results of this article. <code>{text(quick_line)}</code> measures it scaled "
        f"down; without <code>--quick</code> at full scale.</p>",
        html.items(reasons),
    ]


def _stored_only(plans: dict[str, Plan], store: Store) -> dict[str, Plan]:
    """The plans of studies that are stored: those that depend on results may not have been run."""
    return {name: made for name, made in plans.items() if store.definition(made.study.name) is not None}


def bench_parts(store: Store, key: str) -> tuple[str, list[str]]:
    """The name of a bench and its page. Raises: AssayError where there is none."""
    plain = _bench(store, key)
    summary = benches.summary_frame(plain)
    drawn = [
        f"<h2>{text(CHARTS[name].title)}</h2>"
        + figure(address("bench", plain["bench"], "chart", f"{name}.json"), CHARTS[name].title, name=name)
        for name in BENCH_CHARTS
    ]
    parts = [
        f"<h1>{text(plain['name'])}: engines side by side</h1>",
        '<p class="question">The same recipe, initial weights and batches everywhere: first whether the engines '
        "compute the same, then how long they take.</p>",
        html.items(benches.sentences(plain)),
        *drawn,
        "<h2>Rows</h2>",
        html.frame_table(summary.astype(object).where(summary.notna(), None), "label"),
        note(f"outcome: {plain['outcome']}; key {plain['bench']}"),
    ]
    return str(plain["name"]), parts


def bench_spec(store: Store, key: str, name: str) -> str:
    """A chart of a bench as JSON. Raises: AssayError."""
    specs = bench_specs(_bench(store, key))
    if name not in specs:
        raise AssayError(f"a bench has no chart {name!r}; it has {', '.join(specs)}")
    return embedded(specs[name])


def _bench(store: Store, key: str) -> dict[str, Any]:
    plain = find(store.database, key)
    if plain is None:
        raise NotStoredError(f"no bench has the name {key!r}, or a key that begins with it")
    return plain


__all__ = ["article_parts", "bench_parts", "bench_spec"]
