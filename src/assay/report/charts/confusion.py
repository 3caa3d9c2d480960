"""The confusion matrix of one trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Side, matrix
from assay.report.charts.frames import best_of
from assay.report.charts.style import BLUE, ORANGE, Rows, dressed, message, short, tooltip, unique, word
from assay.report.text import percent
from assay.report.thinning import evenly

_WRITTEN = 20  # classes up to which counts stand in the cells
_CLASSES = 100


def confusion(counts: Any, classes: Sequence[object] | None = None, *, title: str | None = None) -> Any:
    """How often each true class (rows) was predicted as each class (columns): hits in blue, errors in orange.

    `counts`: (C, C). Raises: AssayError.
    """
    table = np.asarray(counts, dtype=float)
    heading = title if title is not None else "confusion matrix"
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise AssayError(f"confusion: expected counts of shape (classes, classes), got {table.shape}")
    table = np.where(np.isfinite(table), table, 0.0)
    c = len(table)
    named = [word(name) for name in classes] if classes is not None else [str(i) for i in range(c)]
    if len(named) != c:
        raise AssayError(f"confusion: {len(named)} names for {c} classes")
    total = table.sum()
    if not total:
        return message("There is no prediction to show.", heading)
    kept = evenly(c, _CLASSES)
    texts = unique(short(name, 18) for name in named)
    worst = max((table[i, j] for i in kept for j in kept if i != j), default=0.0)
    step, order = max(6, min(46, 520 // len(kept))), [texts[i] for i in kept]
    tips = tooltip(
        true="true", predicted="predicted", count=("count", ",d"), fraction=("fraction of the true class", ".1%")
    )
    chart = matrix(
        _cells(table, kept, named, texts, worst=worst),
        x=Side(order, "predicted", step),
        y=Side(order, "true", step),
        shades=_shades(worst),
        tips=tips,
        texts=len(kept) <= _WRITTEN,
    )
    hits = float(np.trace(table))
    notes = [f"{hits:,.0f} of {total:,.0f} correct ({percent(hits / total)})", _most_frequent(table, named)]
    return dressed(chart, heading, [*notes, best_of(len(kept), c, "classes")])


def _cells(
    counts: NDArray[np.float64], kept: Sequence[int], named: Sequence[str], texts: Sequence[str], *, worst: float
) -> Rows:
    of_class = counts.sum(axis=1)
    return [
        {"true": named[i], "predicted": named[j], "y": texts[i], "x": texts[j], "count": counts[i, j], "hit": i == j}
        | {"fraction": counts[i, j] / of_class[i] if of_class[i] else 0.0}
        | {"text": f"{counts[i, j]:,.0f}" if counts[i, j] else ""}
        | {"light": bool(counts[i, j] > 0.6 * (of_class[i] if i == j else worst))}
        for i in kept
        for j in kept
    ]


def _shades(worst: float) -> list[tuple[str, alt.Color]]:
    """Hits coloured by the fraction of their class, errors by their count."""
    hits = alt.Color(
        "fraction:Q",
        scale=alt.Scale(range=["#deebf7", BLUE], domain=[0, 1]),
        legend=alt.Legend(title="correct, of the class", format="%", gradientLength=90),
    )
    errors = alt.Color(
        "count:Q",
        scale=alt.Scale(range=["#fdebe0", ORANGE], domain=[0, max(worst, 1.0)]),
        legend=alt.Legend(title="errors", format="~s", tickMinStep=1, gradientLength=90),
    )
    return [("datum.hit", hits), *([("!datum.hit && datum.count > 0", errors)] if worst else [])]


def _most_frequent(counts: NDArray[np.float64], named: Sequence[str]) -> str:
    errors = counts - np.diag(np.diag(counts))
    if not errors.any():
        return "no error"
    i, j = np.unravel_index(int(errors.argmax()), errors.shape)
    return (
        f"most frequent error: {short(named[int(i)], 20)} predicted as {short(named[int(j)], 20)} ({errors[i, j]:,.0f})"
    )


CHART = Chart(
    "confusion",
    "confusion",
    confusion,
    "Confusion matrix (most accurate trial)",
    "which class is predicted as which",
    suits=lambda _: True,
    of_trial=True,
)

__all__ = ["CHART", "confusion"]
