"""What a notebook shows of a result: small tables, which need no network."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from assay.report.charts.writing import svg
from assay.report.html import rows_table, text
from assay.report.text import percent

Frame = Any
_MOST = 30  # configurations


def summary_table(trials: Frame, line: str) -> str:
    """One row per configuration, the most accurate first, below the line; at most 30 of them."""
    from assay.analysis.phases import PHASE, by_phase
    from assay.analysis.summaries import summarised

    if not len(trials):
        return f"<p>{text(line)}</p>"
    table = by_phase(summarised(trials).sort_values("accuracy", ascending=False, kind="stable", na_position="last"))
    rows = [
        [
            str(row["configuration"]),
            f"{row['finished']} of {row['trials']}",
            percent(row["accuracy"]),
            f"{percent(row['low'])} to {percent(row['high'])}" if row["accuracy"] == row["accuracy"] else "-",
            _number(row["seconds"]),
            _number(row["effort"]),
        ]
        for row in table.head(_MOST).to_dict("records")
    ]
    header = ["configuration", "finished", "mean test accuracy", "range", "median seconds", "median effort"]
    if PHASE in table.columns:
        header.append("seeds")
        phases = table[PHASE].head(_MOST).tolist()
        rows = [[*row, phase] for row, phase in zip(rows, phases, strict=True)]
    more = len(table) - len(rows)
    note = f"<p>{more:,} more configurations: <code>summary()</code> has all.</p>" if more > 0 else ""
    return f"<p>{text(line)}</p>{rows_table(header, rows)}{note}"


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
