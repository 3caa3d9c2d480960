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
        Path | None, typer.Option("-o", "--out", help="png, svg, html or json; none: STUDY-CHART.png.")
    ] = None,
    x: Annotated[str | None, typer.Option("--x", help="iteration, examples, seconds or flops.")] = None,
    measure: Annotated[str | None, typer.Option(help="accuracy or loss.")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    by: Annotated[str | None, typer.Option(help="What makes a series: configuration, an axis, trial.")] = None,
    facet: Annotated[str | None, typer.Option(help="A panel for each value of this.")] = None,
    start: Annotated[float | None, typer.Option("--from", help="The beginning of the stretch that is drawn.")] = None,
    stop: Annotated[float | None, typer.Option("--to", help="Its end.")] = None,
    smooth: Annotated[int | None, typer.Option(help="Moving average over so many points.")] = None,
    log: Annotated[str | None, typer.Option(help="Logarithmic axes: x, y or xy.")] = None,
    trial: Annotated[str | None, typer.Option(help="The trial, by key, for charts of one.")] = None,
    store: StoreUrl = None,
) -> None:
    """Draw a chart of a study."""
    from assay.report import charts

    if chart == "list":
        for name, entry in charts.CHARTS.items():
            console().print(f"{name:12} {entry.about}", markup=False)
        return
    results = results_of(study, store)
    asked: dict[str, Any] = {
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
    options = {key: value for key, value in asked.items() if value is not None}
    if "log" in options and chart != "curves":
        options["log"] = True
    picture = results.picture(chart, trial=trial, **options)
    note(str(charts.write(picture, out or Path(f"{file_name(study)}-{chart}.png"))))
