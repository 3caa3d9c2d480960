"""The table of a study: its configurations or its trials, sorted, selected by a query and cut into pages."""

from __future__ import annotations

import math
from typing import Any

from assay.errors import AssayError, unknown
from assay.report.cells import displayed, is_number
from assay.report.html import text
from assay.report.text import clean
from assay.serve.shell import address, alert, link, note, scrolling_table
from assay.serve.snapshot import StudySnapshot
from assay.serve.views import View

Frame = Any
PAGE = 50  # rows
_TRIAL_COLUMNS = (
    *("trial", "configuration", "phase", "seed", "outcome", "accuracy", "validation_accuracy"),
    *("r2", "validation_r2", "rmse", "test_loss"),
    *("seconds", "processor_seconds", "busy", "effort", "iterations", "engine", "timing"),
)


def rows_part(snapshot: StudySnapshot, view: View) -> str:
    """The table in a view. What cannot be read of the query or the order is said in its place."""
    if not len(snapshot):
        return "<p>This study has no trials.</p>"
    try:
        frame, columns = _chosen(snapshot, view)
        ordered = _sorted(frame, view.sort, columns)
    except AssayError as error:
        return alert(str(error))
    if not len(ordered):
        return f"<p>No row passes the query. {link(view.query(q='', page=1) or '?', 'Select all')}.</p>"
    pages = math.ceil(len(ordered) / PAGE)
    page = min(view.page, pages)
    shown = ordered.iloc[(page - 1) * PAGE : page * PAGE]
    kind = "configurations" if view.rows == "configurations" else "trials"
    total = len(snapshot.table) if kind == "configurations" else len(snapshot.trials)
    count = f"{len(ordered):,} of {total:,} {kind}" if view.q.strip() else f"{total:,} {kind}"
    order = f", by {view.sort.removeprefix('-').replace('_', ' ')}" if view.sort else ""
    return note(f"{count}{order}") + _table(shown, columns, view, caption=count) + _pager(view, page, pages)


def _chosen(snapshot: StudySnapshot, view: View) -> tuple[Frame, list[str]]:
    """The rows of a view, and the columns that are shown. Raises: AssayError."""
    with snapshot.lock:
        if view.rows == "configurations":
            return snapshot.selected(view.q), snapshot.columns
        trials = snapshot.selected_trials(view.q)
        wanted = [*_TRIAL_COLUMNS, *snapshot.axes]
        return trials, [name for name in dict.fromkeys(wanted) if name in trials.columns and trials[name].notna().any()]


def _sorted(frame: Frame, sort: str, columns: list[str]) -> Frame:
    """The rows in an order; missing values come last. Raises: AssayError for an unknown column."""
    if not sort:
        return frame
    name = sort.removeprefix("-")
    if name not in frame.columns:
        raise AssayError(f"sort: {unknown('column', name, columns)}")
    values = frame[name]
    if values.dtype.kind not in "iufb":
        values = values.map(_word_or_none)
    order = values.reset_index(drop=True).sort_values(
        ascending=not sort.startswith("-"), kind="stable", na_position="last"
    )
    return frame.iloc[order.index]


def _word_or_none(cell: Any) -> str | None:
    return None if cell is None or cell != cell else str(cell)


def _table(shown: Frame, columns: list[str], view: View, *, caption: str) -> str:
    words = displayed(shown[columns])
    right = {name for i, name in enumerate(columns) if all(map(is_number, words.iloc[:, i]))}
    headers = "".join(
        _header(name, label, view, is_number=name in right) for name, label in zip(columns, words.columns, strict=True)
    )
    body: list[str] = []
    for record, cells in zip(shown[columns].to_dict("records"), words.itertuples(index=False), strict=True):
        row = "".join(_cell(name, record[name], word, view) for name, word in zip(columns, cells, strict=True))
        body.append(f"<tr>{row}</tr>")
    return scrolling_table(headers, "".join(body), caption=caption)


def _header(name: str, label: str, view: View, *, is_number: bool) -> str:
    """The header of a column: a link that sorts by it, then in the other direction."""
    is_down, is_up = view.sort == f"-{name}", view.sort == name
    state = ' aria-sort="descending"' if is_down else ' aria-sort="ascending"' if is_up else ""
    target = view.query(sort=name if is_down else f"-{name}", page=1)
    sign = " ▼" if is_down else " ▲" if is_up else ""
    kind = ' class="number"' if is_number else ""
    return f'<th scope="col"{kind}{state}><a data-view href="{text(target)}#rows">{text(label)}{sign}</a></th>'


def _cell(name: str, value: Any, word: str, view: View) -> str:
    if name == "trial":
        return f"<td>{link(address('trial', str(value)), word[:8])}</td>"
    if name == "configuration" and view.rows == "configurations":
        label = clean(value)
        if '"' in label:
            return f"<td>{text(label)}</td>"
        target = view.query(q=f'configuration="{value}"', page=1, rows="trials")
        return f'<td><a data-view href="{text(target)}#curves">{text(label) or "(empty)"}</a></td>'
    return f"<td{' class=number' if is_number(word) else ''}>{text(word)}</td>"


def _pager(view: View, page: int, pages: int) -> str:
    if pages < 2:
        return ""
    places = {"First": 1, "Previous": page - 1, "Next": page + 1, "Last": pages}
    links = [
        f'<a data-view href="{text(view.query(page=number) or "?")}#rows">{name}</a>'
        if 1 <= number <= pages and number != page
        else f'<span class="off">{name}</span>'
        for name, number in places.items()
    ]
    return f'<nav class="pager" aria-label="Pages of the table">{" ".join(links)} page {page:,} of {pages:,}</nav>'


__all__ = ["PAGE", "rows_part"]
