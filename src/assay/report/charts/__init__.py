"""Charts in Altair: one file each, with one entry that says what it is drawn from and how.

A chart is shown by a notebook and saved as PNG or SVG. `trials` and `curves` are tidy frames: one row per trial, and
one row per point of its learning curve. A new chart is a file here and a line in CHARTS.
"""

from __future__ import annotations

from assay.report.charts import (
    activations,
    bench,
    bench_totals,
    confused,
    confusion,
    contour,
    curve,
    curves,
    effort,
    factors,
    grid,
    history,
    importance,
    ledger,
    parallel,
    pareto,
    regret,
    rungs,
    sensitivity,
    slices,
    tuning_cost,
    verdicts,
    weights,
)
from assay.report.charts.chart import Chart, Shape
from assay.report.charts.writing import write

CHARTS: dict[str, Chart] = {
    chart.name: chart
    for chart in (
        history.CHART,
        regret.CHART,
        tuning_cost.CHART,
        curve.CHART,
        curves.CHART,
        pareto.CHART,
        effort.CHART,
        factors.CHART,
        grid.CHART,
        sensitivity.CHART,
        importance.CHART,
        parallel.CHART,
        slices.CHART,
        contour.CHART,
        rungs.CHART,
        verdicts.CHART,
        ledger.CHART,
        confusion.CHART,
        confused.CHART,
        weights.CHART,
        bench.CHART,
        bench_totals.CHART,
        activations.CHART,
    )
}
"""Every chart by its name, in the order of a page."""

__all__ = ["CHARTS", "Chart", "Shape", "write"]
