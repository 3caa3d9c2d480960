"""A cost of several ways to do one thing, as points on a logarithmic axis with their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from assay.report.charts.theme import BLUE, INK, WIDTH, Rows, axis, dressed, labels, message, table

_UNITS = {"s": (("s", 1.0), ("ms", 1e-3)), "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))}
_AXES = {"s": "~g", "B": "~s"}  # 0.1 s is no 100m, but 10 MB are 10M


def costs_chart(costs: Mapping[str, float], *, unit: str, title: str) -> Any:
    """The costs by their names, in their order; `unit`: "s" for seconds, "B" for bytes. Each is above 0."""
    found = {name: cost for name, cost in costs.items() if cost > 0}
    if not found:
        return message("Nothing is measured yet.", title)
    named = labels(found)
    rows: Rows = [{"label": named[name], "x": cost, "text": said(cost, unit)} for name, cost in found.items()]
    limits = min(found.values()) / 2, max(found.values()) * 2
    names = alt.Axis(title=None, ticks=False, domain=False, labelPadding=8)
    scale = alt.Scale(type="log", domain=list(limits), nice=False)
    base = alt.Chart(table(rows)).encode(
        x=alt.X("x:Q", title=f"{unit} (log scale)", axis=axis(limits, log=True, format=_AXES[unit]), scale=scale),
        y=alt.Y("label:N", sort=list(named.values()), axis=names),
    )
    points = base.mark_circle(size=110, color=BLUE, opacity=1)
    text = base.mark_text(align="left", fontSize=12, color=INK).encode(x=alt.value(WIDTH - 80), text="text:N")
    return dressed(alt.layer(points, text).properties(width=WIDTH - 90, height=alt.Step(28)), title)


def said(cost: float, unit: str) -> str:
    """A cost in the size of its unit that suits it.

    >>> said(0.0123, "s"), said(5_850_000, "B")
    ('12.3 ms', '5.85 MB')
    """
    for name, size in _UNITS[unit]:
        if cost >= size:
            return f"{cost / size:.3g} {name}"
    name, size = _UNITS[unit][-1]
    return f"{cost / size:.3g} {name}"


__all__ = ["costs_chart", "said"]
