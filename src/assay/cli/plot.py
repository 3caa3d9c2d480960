"""`assay plot`: a chart of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.options import Named, StoreUrl, console, file_name, note, results_of


def plot(
    study: Named,
    chart: Annotated[str, typer.Argument(help="curves, effort, pareto, factors, grid, ledger, ...; `list` names all.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A file ending in png, svg, html or json. [default: STUDY-CHART.png]"),
    ] = None,
    x: Annotated[str | None, typer.Option("--x", help="iteration, examples, seconds or flops.")] = None,
    measure: Annotated[str | None, typer.Option(help="accuracy or loss.")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    by: Annotated[str | None, typer.Option(help="Column of the series: configuration, an axis, or trial.")] = None,
    facet: Annotated[str | None, typer.Option(help="Column of the panels: one panel per value.")] = None,
    start: Annotated[float | None, typer.Option("--from", help="Start of the range of x to draw.")] = None,
    stop: Annotated[float | None, typer.Option("--to", help="End of the range.")] = None,
    smooth: Annotated[int | None, typer.Option(help="Window of the moving average, in points.")] = None,
    log: Annotated[str | None, typer.Option(help="Logarithmic axes: x, y or xy.")] = None,
    trial: Annotated[
        str | None, typer.Option(help="Key of the trial, for charts of one trial. [default: the most accurate]")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Draw a chart of a study."""
    from assay.report import charts

    if chart == "list":
        for name, entry in charts.CHARTS.items():
            console().print(f"{name:12} {entry.about}", markup=False)
        return
    results = results_of(study, store)
    options: dict[str, Any] = {
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
    options = {key: value for key, value in options.items() if value is not None}
    if "log" in options and chart != "curves":
        options["log"] = True
    picture = results.picture(chart, trial=trial, **options)
    note(str(charts.write(picture, out or Path(f"{file_name(study)}-{chart}.png"))))
