"""A cost of several ways to do one thing, as points on a logarithmic axis with their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.report.charts.forms import IntervalStyle, intervals
from assay.report.charts.style import PlotAxis, Rows, dressed, labels, message, tooltip

_UNITS = {"s": (("s", 1.0), ("ms", 1e-3)), "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))}
_AXES = {"s": ("seconds", "~g"), "B": ("bytes", "~s")}  # 0.1 s is not 100m, but 10 MB are 10M


def costs_chart(costs: Mapping[str, float], *, unit: str, title: str) -> Any:
    """The costs by their names, in their order; `unit`: "s" for seconds, "B" for bytes. Each is above 0."""
    known = {name: cost for name, cost in costs.items() if cost > 0}
    if not known:
        return message("Nothing is measured yet.", title)
    named = labels(known)
    rows: Rows = [
        {"name": name, "label": named[name], "x": cost, "low": cost, "high": cost, "text": with_unit(cost, unit)}
        for name, cost in known.items()
    ]
    name, form = _AXES[unit]
    axis = PlotAxis(name, [min(known.values()) / 2, max(known.values()) * 2], log=True, format=form)
    chart = intervals(rows, axis=axis, tips=tooltip(name="name", text=name), style=IntervalStyle(step=28))
    return dressed(chart, title)


def with_unit(cost: float, unit: str) -> str:
    """A cost in the multiple of its unit that suits it.

    >>> with_unit(0.0123, "s"), with_unit(5_850_000, "B")
    ('12.3 ms', '5.85 MB')
    """
    units = _UNITS[unit]
    name, size = next((entry for entry in units if cost >= entry[1]), units[-1])
    return f"{cost / size:.3g} {name}"


__all__ = ["costs_chart", "with_unit"]
