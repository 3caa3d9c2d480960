"""`assay plot`: a chart of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.files import file_named
from assay.cli.options import StoreUrl, StudyName, home_expanded, stored_results
from assay.cli.printing import console, note

_BY_CHART = "chosen by the chart"


def plot(
    study: StudyName,
    chart: Annotated[
        str,
        typer.Argument(
            default_factory=str,
            help="Name of the chart, e.g. curves, effort or pareto; without one, list them.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Output file (.png, .svg, .html or .json).",
            show_default="STUDY-CHART.png",
            callback=home_expanded,
        ),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option("--x", help="x axis: iteration, examples, seconds or flops.", show_default=_BY_CHART),
    ] = None,
    measure: Annotated[str | None, typer.Option(help="Measure: accuracy or loss.", show_default=_BY_CHART)] = None,
    split: Annotated[
        str | None, typer.Option(help="Data split: train, validation or test.", show_default=_BY_CHART)
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="One series per configuration, trial, or value of this axis.", show_default=_BY_CHART),
    ] = None,
    facet: Annotated[str | None, typer.Option(help="One panel per value of this axis.")] = None,
    start: Annotated[float | None, typer.Option("--from", help="Start of the x range.")] = None,
    stop: Annotated[float | None, typer.Option("--to", help="End of the x range.")] = None,
    smooth: Annotated[int | None, typer.Option(help="Window of the moving average, in points.")] = None,
    log: Annotated[str | None, typer.Option(help="Logarithmic axes: x, y or xy.", show_default=_BY_CHART)] = None,
    trial: Annotated[str | None, typer.Option(help="Key of the trial, for charts of a single trial.")] = None,
    store: StoreUrl = None,
) -> None:
    """Draw a chart of a study."""
    from assay.report import charts

    if chart == "list" or (study and not chart):
        for name, entry in charts.CHARTS.items():
            console().print(f"{name:12} {entry.about}", markup=False)
        return
    values: dict[str, Any] = {
        "x": x,
        "measure": measure,
        "split": split,
        "by": by,
        "facet": facet,
        "start": start,
        "stop": stop,
        "smooth": smooth,
        "log": log,
    }
    options = {key: value for key, value in values.items() if value is not None}
    if "log" in options and chart != "curves":
        options["log"] = True
    results = stored_results(study, store)
    picture = results.picture(chart, trial=trial, **options)
    if results.renamed_axes and (by or facet):
        note(f"note: {results.renamed_axes}")
    note(str(charts.write(picture, out or file_named(study, f"-{chart}.png"))))
