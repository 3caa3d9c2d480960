"""What a notebook shows of a result: small tables, which need no network."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from assay.report.charts.writing import svg
from assay.report.html import rows_table, text
from assay.report.text import percent

if TYPE_CHECKING:
    from assay.analysis.quantities import Quantity

Frame = Any
_MOST = 30  # configurations


def summary_table(trials: Frame, line: str) -> str:
    """One row per configuration, the most accurate first, below the line; at most 30 of them."""
    from assay.analysis.phases import PHASE, by_phase
    from assay.analysis.quantities import ranked_by
    from assay.analysis.summaries import summarised

    if not len(trials):
        return f"<p>{text(line)}</p>"
    score = ranked_by(trials)
    table = by_phase(summarised(trials).sort_values(score.column, ascending=False, kind="stable", na_position="last"))
    rows = [
        [
            str(row["configuration"]),
            f"{row['finished']} of {row['trials']}",
            *_scores(row, score),
            _number(row["seconds"]),
            _number(row["effort"]),
        ]
        for row in table.head(_MOST).to_dict("records")
    ]
    header = ["configuration", "finished", f"mean {score.label}", "range", "median seconds", "median effort"]
    if PHASE in table.columns:
        header.append("seeds")
        phases = table[PHASE].head(_MOST).tolist()
        rows = [[*row, phase] for row, phase in zip(rows, phases, strict=True)]
    more = len(table) - len(rows)
    note = f"<p>{more:,} more configurations: <code>summary()</code> has all.</p>" if more > 0 else ""
    return f"<p>{text(line)}</p>{rows_table(header, rows)}{note}"


def _scores(row: Any, score: Quantity) -> list[str]:
    """The mean score of a configuration, and its range."""
    written = percent if score.is_fraction else _number
    known = row[score.column] == row[score.column]
    return [written(row[score.column]), f"{written(row['low'])} to {written(row['high'])}" if known else "-"]


def inline_chart(chart: Any) -> str:
    """A chart as a picture of a notebook: it runs and loads nothing."""
    description = text(chart.to_dict().get("description", ""))
    content = b64encode(svg(chart).encode()).decode()
    return f'<p><img alt="{description}" src="data:image/svg+xml;base64,{content}"></p>'


def values_table(pairs: list[tuple[str, str]], line: str) -> str:
    """Names with their values, below the line."""
    return f"<p>{text(line)}</p>{rows_table(['', ''], pairs)}"


def _number(value: Any) -> str:
    return "-" if value is None or value != value else f"{value:.4g}"


__all__ = ["inline_chart", "summary_table", "values_table"]
