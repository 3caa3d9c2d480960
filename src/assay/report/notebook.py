"""What a notebook shows of a result: small tables, which need no network."""

from __future__ import annotations

from typing import Any

from assay.report.html import rows_table, text
from assay.report.text import percent

Frame = Any
_MOST = 30  # configurations


def summary_table(trials: Frame, line: str) -> str:
    """One row per configuration, the most accurate first, below the line; at most 30 of them."""
    from assay.analysis.summaries import summarised

    if not len(trials):
        return f"<p>{text(line)}</p>"
    table = summarised(trials).sort_values("accuracy", ascending=False, kind="stable", na_position="last")
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
    more = len(table) - len(rows)
    note = f"<p>{more:,} more configurations: <code>summary()</code> has all.</p>" if more > 0 else ""
    return f"<p>{text(line)}</p>{rows_table(header, rows)}{note}"


def values_table(pairs: list[tuple[str, str]], line: str) -> str:
    """Names with their values, below the line."""
    return f"<p>{text(line)}</p>{rows_table(['', ''], pairs)}"


def _number(value: Any) -> str:
    return "-" if value is None or value != value else f"{value:.4g}"


__all__ = ["summary_table", "values_table"]
