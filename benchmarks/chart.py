"""The chart of a run: speedup over torch eager with whiskers, on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path

import altair as alt

from assay.bench.calibration import Report
from assay.report.charts import write


def chart(report: Report, path: Path) -> None:
    """Bars of the best row of each candidate; whiskers from the slowest to the fastest repetition."""
    best = {}
    for row in report.rows:
        previous = best.get((row.workload, row.candidate))
        if row.ratio is not None and (previous is None or row.median < previous.median):
            best[row.workload, row.candidate] = row
    values = [
        {
            "workload": row.workload,
            "candidate": row.candidate,
            "ratio": row.ratio,
            "low": row.ratio * row.median / row.max,
            "high": row.ratio * row.median / row.min,
            "one": 0.1,  # the start of the bars, because a logarithmic scale has no zero
        }
        for row in best.values()
    ]
    order = list(dict.fromkeys(row.workload for row in report.rows))
    base = alt.Chart().encode(
        y=alt.Y("candidate:N", title=None, sort=alt.SortField("ratio", order="descending")),
        color=alt.Color("candidate:N", legend=None),
    )
    scale = alt.Scale(type="log")
    axis = alt.Axis(values=[0.1, 1, 10, 100, 1000], format="~g")
    bars = base.mark_bar(height=10).encode(
        x=alt.X("one:Q", scale=scale, axis=axis, title="times as fast as the best torch eager"), x2="ratio:Q"
    )
    whiskers = base.mark_rule(color="black").encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q")
    picture = (
        alt.layer(bars, whiskers)
        .properties(width=250, height=alt.Step(15))
        .facet(facet=alt.Facet("workload:N", sort=order, title=None), columns=4, data=alt.Data(values=values))
        .resolve_scale(y="independent")
        .properties(title=f"{report.machine['cpu']}, {report.machine['cores']} cores; median, whiskers min to max")
    )
    write(picture, path)
