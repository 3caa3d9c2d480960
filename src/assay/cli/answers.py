"""`assay report`, `plot`, `compare` and `target`: what stored trials mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.options import Json, StoreUrl, console, note, print_json
from assay.errors import AssayError

Csv = Annotated[bool, typer.Option("--csv", help="Print the table as comma-separated values.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
_NOT_JUDGED = "an imported log has one run, and no seed that pairs with another's"
Named = Annotated[str, typer.Argument(help="The name of a stored study, as `assay list` shows it.")]


def report(
    study: Named,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The page; none: STUDY.html.")] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Write a study as one HTML page: question, answers, tables, charts, data; it needs no network."""
    results = _results(study, store)
    path = results.report(out or Path(f"{_file_name(study)}.html"))
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size, "answers": results.answers()})
        return
    for line in results.answers():
        console().print(f"- {_clean(line)}", markup=False, soft_wrap=True)
    note(f"{path}, {path.stat().st_size / 2**20:.1f} MiB")


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
    results = _results(study, store)
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
    note(str(charts.write(picture, out or Path(f"{_file_name(study)}-{chart}.png"))))


def compare(
    study: Named,
    configurations: Annotated[list[str] | None, typer.Argument(help="Two or more of them; none: every one.")] = None,
    measure: Annotated[str, typer.Option(help="accuracy, test_loss, effort, seconds, ...")] = "accuracy",
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="How often a verdict may be false.")] = 0.05,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Say what the paired seeds tell: who beats whom by how much, and where they cannot tell."""
    from assay.analysis.frames import is_imported
    from assay.analysis.verdicts import MEASURES, pairwise
    from assay.errors import unknown

    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = _results(study, store).frame()
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    for name in configurations or []:
        if name not in names:
            raise AssayError(unknown("configuration", name, names))
    if configurations:
        trials = trials[trials["configuration"].isin(configurations)]
    curves = trials[is_imported(trials)][["configuration", measure, "engine", "outcome", "timing"]]
    judged = trials[~is_imported(trials)]
    plain = as_csv or as_json or as_markdown
    if len(curves) and judged["configuration"].nunique() < 2:  # logs alone, or beside one configuration
        if not plain:
            note("nothing to judge: " + _NOT_JUDGED)
        _show(curves, as_csv=as_csv, as_markdown=as_markdown, as_json=as_json, title="imported")
        return
    table = pairwise(judged, measure=measure, alpha=alpha)
    if not plain:
        for sentence in table["sentence"].tolist():
            console().print(_clean(sentence), markup=False, soft_wrap=True)
    shown = ["a", "b", "difference", "low", "high", "n", "p_holm", "decided", "more_seeds"]
    table = table.drop(columns=["sentence"]) if plain else table[shown]
    _show(table, as_csv=as_csv, as_markdown=as_markdown, as_json=as_json, title="verdicts", imported=curves)
    if len(curves) and not as_json:
        note("not judged: " + _NOT_JUDGED)
    if len(curves) and not plain:
        _show(curves, as_csv=False, as_markdown=False, as_json=False, title="imported")


def target(
    study: Named,
    accuracy: Annotated[float | None, typer.Option(help="Of the test set; none: the study's median.")] = None,
    loss: Annotated[float | None, typer.Option(help="A loss in place of an accuracy.")] = None,
    by: Annotated[str, typer.Option(help="iteration, examples, seconds or flops.")] = "iteration",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Say how soon each configuration reaches an accuracy or a loss, read from the stored curves; misses count."""
    from assay.analysis import targets
    from assay.analysis.frames import own

    results = _results(study, store)
    trials = results.frame()
    if accuracy is None and loss is None:
        accuracy = targets.default_target(trials)
    if by == "seconds":
        trials, left_out = own(trials)
        note(left_out) if left_out else None
    times = targets.times_to(results.curves(), trials, accuracy=accuracy, loss=loss, by=by, split=split)
    goal = f"{accuracy:.2%} accuracy" if loss is None else f"loss {loss:g}"
    title = f"{by} to {goal} ({split}; straight lines between the points of the curves)"
    table = targets.summary(times).sort_values(["success", "restricted_mean"], ascending=[False, True])
    shown = ["configuration", "trials", "reached", "success", "median", "restricted_mean"]
    plain = as_csv or as_json or as_markdown
    _show(table if plain else table[shown], as_csv=as_csv, as_markdown=as_markdown, as_json=as_json, title=title)


# --- what they share -------------------------------------------------------------------------------------------------


def _results(study: str, store: str | None) -> Any:
    from assay.results.results import Results
    from assay.store.store import Store

    return Results(Store(store, read_only=True), study)


def _show(
    frame: Any, *, as_csv: bool, as_markdown: bool, as_json: bool, title: str, imported: Any | None = None
) -> None:
    from assay.report import tables

    if as_json:
        extra = {} if imported is None or not len(imported) else {"imported": _records(imported)}
        print_json({"title": title, "rows": _records(frame), **extra})
    elif as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    elif as_markdown:
        typer.echo(tables.markdown(frame))
    else:
        console().print(tables.of_frame(frame, title))


def _records(frame: Any) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records"))


def _file_name(study: str) -> str:
    """A study's name as that of a file: no path, no control characters."""
    return "".join(c if c.isalnum() or c in "-_. " else "-" for c in study).strip(". ") or "study"


def _clean(text: str) -> str:
    from assay.report.tables import clean

    return clean(text)
