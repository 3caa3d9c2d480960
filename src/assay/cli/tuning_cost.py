"""`assay tuning-cost`: the expected best of random draws by budget, for each optimizer or another axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.formats import TableFormat, print_frame
from assay.cli.options import Json, StoreUrl, StudyName, stored_results, typed_store
from assay.cli.printing import note, print_json, print_line
from assay.system.command_line import command_line

if TYPE_CHECKING:
    from assay.results.results import Results
    from assay.results.tuning import TuningCost

_TRIALS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
Frame = Any  # a pandas frame, whose stubs know too little of it
_TIMES = 5  # budgets in seconds that a table shows


def tuning_cost(
    study: StudyName,
    by: Annotated[
        str | None, typer.Option(help="Axis whose values are compared.", show_default="that of the optimizers")
    ] = None,
    measure: Annotated[
        str | None, typer.Option(help="Score that is best: accuracy, test_loss, ...", show_default="the selecting one")
    ] = None,
    train_defaults: Annotated[
        bool, typer.Option("--train-defaults", help="Train the defaults of each value first, if they are not stored.")
    ] = False,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Report what tuning costs: the expected best of so many random trials or seconds, for each optimizer.

    The study's trials must have been drawn at random: by the design random, a random search, or as a grid. --csv and
    --json have every budget.
    """
    results = stored_results(study, store)
    cost = results.tuning_cost(by=by, measure=measure)
    if train_defaults and any(default.missing for default in cost.defaults):
        _train(results, cost, store)
        cost = stored_results(study, store).tuning_cost(by=by, measure=measure)
    if as_json:
        print_json(_plain(cost))
        return
    if table_format is TableFormat.CSV:
        print_frame(cost.table, title="tuning cost", table_format=table_format)
        return
    title = f"{cost.study}: expected best {cost.quantity.label} of random draws, with 95 % bands, by"
    print_frame(_by_trials(cost), title=f"{title} trials", table_format=table_format)
    if (timed := _by_seconds(cost)) is not None:
        print_frame(timed, title=f"{title} seconds of training", table_format=table_format)
    say = note if table_format else print_line
    for sentence in cost.sentences():
        say(sentence)
    for sentence in cost.notes:
        note(sentence)
    if missing := [default for default in cost.defaults if default.missing]:
        line = command_line("assay tuning-cost", study, by=by, train_defaults=True, store=typed_store(store))
        note(f"defaults only: {missing[0].value}: {missing[0].missing}; {line} trains what is missing")


def _train(results: Results, cost: TuningCost, url: str | None) -> None:
    """Trains the defaults of each value, in a study of their own."""
    from assay.cli.progress import execute
    from assay.errors import AssayError
    from assay.execution.runner import Execution
    from assay.results.tuning import defaults_study
    from assay.store.store import Store
    from assay.studies.plan import plan
    from assay.studies.study import Study

    definition = defaults_study(results, cost.by or None)
    if definition is None:
        raise AssayError(f"--train-defaults: {cost.by} is no axis of the study, so its defaults are unknown")
    if execute(Execution(plan(Study.parse(definition, source=definition["name"])), Store(url))):
        raise AssayError("interrupted before the defaults were trained; run the same command to resume")


def _by_trials(cost: TuningCost) -> Frame:
    """One row per value: its draws, its defaults alone, and its expected best at some budgets."""
    import pandas

    rows: list[dict[str, Any]] = []
    for default in cost.defaults:
        of_value = cost.table[(cost.table["value"] == default.value) & (cost.table["unit"] == "trials")]
        if of_value.empty:
            continue
        row = {cost.by or "draws of": default.value, "draws": int(of_value["n"].iloc[0])}
        row["defaults only"] = "unknown" if default.score is None else cost.quantity.text(default.score)
        known = {int(one["budget"]): one for one in of_value.to_dict("records")}
        for budget in (b for b in _TRIALS if b <= max(known)):
            one = known[min(known, key=lambda b: abs(b - budget))]
            row[f"{int(one['budget']):,}"] = _banded(cost, one)
        rows.append(row)
    table: Frame = pandas.DataFrame(rows)
    budgets = sorted((name for name in table.columns[3:]), key=lambda name: int(name.replace(",", "")))
    return table[[*table.columns[:3], *budgets]].fillna("")


def _by_seconds(cost: TuningCost) -> Frame | None:
    """One row per value: its expected best at some budgets in seconds that are common to all; None without any."""
    import numpy as np
    import pandas

    from assay.analysis.frames import groups

    timed: dict[str, Frame] = dict(groups(cost.table[cost.table["unit"] == "seconds"], "value"))
    if not timed:
        return None
    low = max(float(rows["budget"].min()) for rows in timed.values())
    high = min(float(rows["budget"].max()) for rows in timed.values())
    if low >= high:
        return None
    budgets = np.geomspace(low, high, _TIMES)
    table: list[dict[str, Any]] = []
    for value, rows in timed.items():
        row: dict[str, Any] = {cost.by or "draws of": value}
        known = np.log(rows["budget"].to_numpy())
        for budget in budgets:
            one = {name: float(np.interp(np.log(budget), known, rows[name])) for name in ("expected", "low", "high")}
            row[f"{budget:,.3g} s"] = _banded(cost, one)
        table.append(row)
    return pandas.DataFrame(table)


def _banded(cost: TuningCost, one: Any) -> str:
    if cost.quantity.is_fraction:
        return f"{100 * one['expected']:.2f} % [{100 * one['low']:.2f}, {100 * one['high']:.2f}]"
    return f"{one['expected']:.4g} [{one['low']:.4g}, {one['high']:.4g}]"


def _plain(cost: TuningCost) -> dict[str, Any]:
    from dataclasses import asdict

    from assay.cli.printing import frame_records

    return {
        "study": cost.study,
        "by": cost.by or None,
        "measure": cost.measure,
        "curves": frame_records(cost.table),
        "defaults": [asdict(default) for default in cost.defaults],
        "sentences": cost.sentences(),
        "notes": list(cost.notes),
    }
