"""`assay plot`: a chart of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.files import file_named
from assay.cli.options import StoreUrl, StudyName, home_expanded, stored_results
from assay.cli.printing import console, note
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.report.charts import Chart

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
            help="Output file (.png, .svg, .pdf, .html or .json).",
            show_default="STUDY-CHART.png",
            callback=home_expanded,
        ),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            "--x",
            help="x axis: iteration, epochs, examples, seconds or flops; an axis of the study for sensitivity.",
            show_default=_BY_CHART,
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(help="Measure: accuracy or loss; of other charts a column of results.", show_default=_BY_CHART),
    ] = None,
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
    title: Annotated[str | None, typer.Option(help="Title of the chart.", show_default=_BY_CHART)] = None,
    rows: Annotated[
        str | None, typer.Option(help="Axis of the study down the side of a grid.", show_default=_BY_CHART)
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Axis of the study along the bottom of a grid.", show_default=_BY_CHART)
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many lines, bars, images or names.", show_default=_BY_CHART),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=200, max=4000, help="Width of the plot in pixels, without labels and legend.", show_default="600"
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="Points named in pareto: front, or all.", show_default=_BY_CHART),
    ] = None,
    fraction: Annotated[
        bool, typer.Option("--fraction", help="Parts of the whole in place of seconds, in the ledger.")
    ] = False,
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
        "title": title,
        "rows": rows,
        "columns": columns,
        "most": most,
        "width": width,
        "names": names,
        "fraction": fraction or None,
    }
    options = {key: value for key, value in values.items() if value is not None}
    if chart in charts.CHARTS:
        options = _of_chart(charts.CHARTS[chart], options)
    results = stored_results(study, store)
    picture = results.picture(chart, trial=trial, **options)
    if results.renamed_axes and (by or facet or rows or columns):
        note(f"note: {results.renamed_axes}")
    if results.selection:
        note(f"note: {results.selection}")
    note(str(charts.write(picture, out or file_named(study, f"-{chart}.png"))))


_TYPED = {"start": "--from", "stop": "--to", "most_labels": "--most"}
"""Options of charts that the command line calls otherwise."""
_ONLY_PYTHON = ("axes", "order", "origin", "probabilities")
"""Options of charts that take lists, or that only other code sets."""


def _of_chart(chart: Chart, options: dict[str, Any]) -> dict[str, Any]:
    """The options by the names of the chart. Raises: AssayError, in the words of the command line."""
    known = chart.option_names
    if "most" in options and "most" not in known and "most_labels" in known:
        options["most_labels"] = options.pop("most")
    if "log" in options and chart.name != "curves":
        options["log"] = True
    typed = [_TYPED.get(name, f"--{name}") for name in known if name not in _ONLY_PYTHON]
    wrong = [_TYPED.get(name, f"--{name}") for name in options if name not in known]
    if wrong:
        raise AssayError(
            f"chart {chart.name!r} has no option {' and no option '.join(wrong)}; it has: {', '.join(typed)}"
        )
    return options
