"""The rungs of a search with halving: which trials were promoted, and which stopped."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.report.charts.chart import Chart
from assay.report.charts.history import score_limits
from assay.report.charts.style import (
    BLUE,
    GREY,
    ORANGE,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    message,
    names_by_position,
    plot_width,
    table,
    tooltip,
)
from assay.report.thinning import evenly

_MOST = 300  # configurations


def rungs(search: Any, *, most: int = _MOST, title: str | None = None) -> Any:
    """A line for each configuration through its scores on the rungs that it was trained to.

    Orange lines end at the full budget, grey ones were stopped. Raises: AssayError for a search for two objectives.
    """
    heading = title if title is not None else "rungs"
    paths, labels = _paths(search)
    if len(labels) < 2:
        return message("The search has no rungs: every trial was trained for the full budget.", heading)
    top = len(labels) - 1
    finals = [path for path in paths if path[-1]["place"] == top]
    stopped = [path for path in paths if path[-1]["place"] < top]
    shown = [stopped[place] for place in evenly(len(stopped), max(0, most - len(finals)))] + finals[:most]
    scores = [point["y"] for path in paths for point in path]
    best = max(scores) if search.maximize else min(scores)
    limits = score_limits(scores, [best], is_fraction=search.is_fraction, maximize=search.maximize)
    y = PlotAxis(search.label, limits, format=axis_format(*limits, percent=search.is_fraction))
    axis = alt.Axis(values=list(range(len(labels))), labelExpr=names_by_position(labels), grid=False, labelAngle=0)
    x = alt.X("x:Q", title=None, axis=axis, scale=alt.Scale(domain=[-0.25, top + 0.25], nice=False, zero=False))
    rows: Rows = [
        {"line": line, "x": point["place"], "y": min(max(point["y"], limits[0]), limits[1]), "name": point["name"]}
        | {"score": point["y"], "final": path[-1]["place"] == top, "end": point is path[-1]}
        for line, path in enumerate(shown)
        for point in path
    ]
    exact = ".2%" if search.is_fraction else ".4~g"
    tips = tooltip(name="configuration", score=(search.label, exact))
    base = alt.Chart(table(rows)).encode(x=x, y=y.y(), detail="line:N", tooltip=tips)
    lines = base.mark_line(strokeWidth=1.3).encode(
        color=alt.condition("datum.final", alt.value(ORANGE), alt.value(GREY)),
        opacity=alt.condition("datum.final", alt.value(0.9), alt.value(0.45)),
    )
    dots = base.mark_circle(size=30).encode(color=alt.condition("datum.final", alt.value(ORANGE), alt.value(BLUE)))
    layers = [lines, dots.transform_filter("datum.end || datum.final")]
    counts = [
        sum(path[-1]["place"] >= place and path[0]["place"] <= place for path in paths) for place in range(top + 1)
    ]
    notes = [
        f"trained to each rung: {', '.join(f'{count:,}' for count in counts)}",
        f"orange: trained to the full budget ({len(finals):,}); blue dots: stopped ({len(stopped):,})",
        f"{len(shown):,} of {len(paths):,} configurations drawn" if len(shown) < len(paths) else "",
        f"selected on {search.goal.split}; scores below the axis stand at its edge",
    ]
    chart = alt.layer(*layers).properties(width=plot_width(), height=340)
    return dressed(chart, heading, notes, seen=f"{len(finals):,} of {len(paths):,} reach the full budget")


def _paths(search: Any) -> tuple[list[Rows], list[str]]:
    """The points of each configuration in the order of its rungs, and the labels of the rungs, the full budget last."""
    jobs = search.jobs[search.jobs["kind"].isin(("suggestion", "promotion")) & search.jobs["score"].notna()]
    budgets = {int(rung): budget for rung, budget in zip(jobs["rung"], jobs["budget"], strict=True) if rung == rung}
    order = sorted(budgets)
    labels = [_label(rung, budgets[rung]) for rung in order] + ["full budget"]
    of_job: dict[int, Rows] = {}
    paths: list[Rows] = []
    columns = (jobs[name].tolist() for name in ("n", "rung", "parent", "score", "configuration"))
    for n, rung, parent, score, name in zip(*columns, strict=True):
        path = of_job.get(int(parent)) if parent == parent else None
        if path is None:
            path = []
            paths.append(path)
        path.append({"place": order.index(int(rung)) if rung == rung else len(order), "y": float(score), "name": name})
        of_job[int(n)] = path
    return paths, labels


def _label(rung: int, budget: float) -> str:
    return f"rung {rung}" + (f": {budget:,.0f} iterations" if budget == budget else "")


CHART = Chart(
    "rungs",
    "search",
    rungs,
    "Rungs",
    "which trials of a search with halving were promoted",
    suits=lambda shape: shape.promotes and shape.objectives == 1,
)

__all__ = ["CHART", "rungs"]
