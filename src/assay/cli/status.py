"""`assay status`: what is trained now, by whom, how fast, and when it will be done."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, StoreUrl
from assay.cli.printing import console, note, print_json, print_line
from assay.report.text import duration, score_words

if TYPE_CHECKING:
    from rich.table import Table

    from assay.store.activity import Activity, Driver, Status


def status(
    store: StoreUrl = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Seconds between two looks of --watch.")
    ] = 2.0,
    failures: Annotated[int, typer.Option(min=0, help="How many of the latest failures to show.")] = 5,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Show the studies in work: what is trained by which driver since when, throughput, time left and failures."""
    from assay.store import activity
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    while True:
        current = activity.status(opened.database, failures=failures)
        if as_json and watch:  # one line for each look, which a program can read as it comes
            typer.echo(json.dumps(_plain(opened.name, current), allow_nan=False))
        elif as_json:
            print_json(_plain(opened.name, current))
        else:
            _print(opened.name, current, table_format, clear=watch and sys.stdout.isatty())
        if not watch:
            return
        sys.stdout.flush()
        time.sleep(interval)


def _plain(store: str, current: Status) -> dict[str, Any]:
    running = [row | {"points": [vars(point) for point in row["points"]]} for row in current.running]
    return {
        "store": store,
        "now": current.now,
        "studies": [
            vars(one) | {"ended": one.ended, "per_second": one.per_second, "eta_seconds": one.eta_seconds}
            for one in current.studies
        ],
        "idle": list(current.idle),
        "drivers": [vars(driver) | {"late": driver.late} for driver in current.drivers],
        "running": running,
        "failures": list(current.failures),
    }


def _print(store: str, current: Status, table_format: TableFormat, *, clear: bool) -> None:
    from assay.cli import tables

    if clear and not table_format:
        console().clear()
    if not current.studies:
        say = note if table_format else print_line
        say(f"{store}: no study is in work")
    drawn = [_studies(current.studies)] if current.studies else []
    drawn += [_drivers(current.drivers)] if current.drivers else []
    drawn += [tables.running(current.running)] if current.running else []
    drawn += [_failures(current)] if current.failures else []
    print_tables(drawn, table_format=table_format)
    for driver in current.drivers:
        _note_of(driver)
    if current.idle:
        count = len(current.idle)
        rest = f" and {count - 5:,} more" if count > 5 else ""
        verb = "studies have" if count > 1 else "study has"
        note(f"{count:,} {verb} open trials that nobody trains: {', '.join(current.idle[:5])}{rest}")


def _note_of(driver: Driver) -> None:
    """Says what happens with the leases of a driver that has ended or seems to have."""
    who = f"process {driver.pid} on {driver.host}"
    leases = f"{driver.trajectories:,} lease" + ("s" if driver.trajectories > 1 else "")
    if driver.ended:
        note(f"{who} has ended; the next run takes its {leases} over")
    elif driver.late:
        note(
            f"{who} has not renewed its {leases} for {duration(driver.unrenewed)}; after 60 s other drivers take them "
            "over, and its own results are refused"
        )


def _studies(rows: tuple[Activity, ...]) -> Table:
    from assay.cli import tables

    header = ("study", "ended", "training", "failed", "best", "trials/min", "left")
    return tables.of_rows("in work", header, [_cells(row) for row in rows], right=[False, *[True] * 6])


def _cells(row: Activity) -> list[str]:
    from assay.training.outcome import RETRIED

    failed = sum(row.outcomes.get(outcome, 0) for outcome in RETRIED)
    rate, left = row.per_second, row.eta_seconds
    return [
        row.name,
        f"{row.ended:,} of {row.trials:,}{' so far' if row.is_search else ''}",
        f"{row.training:,}",
        f"{failed:,}" if failed else "-",
        score_words(row.best, row.best_r2),
        "-" if rate is None else _rounded(60 * rate),
        "-" if left is None else f"~ {duration(left)}",
    ]


def _rounded(per_minute: float) -> str:
    return f"{per_minute:,.0f}" if per_minute >= 9.95 else f"{per_minute:.1f}"


def _drivers(drivers: tuple[Driver, ...]) -> Table:
    from assay.cli import tables

    rows = [
        [f"process {one.pid} on {one.host}", f"{one.trajectories:,}", _state(one), duration(one.unrenewed)]
        for one in drivers
    ]
    return tables.of_rows(
        "drivers", ("driver", "trajectories", "state", "renewed ago"), rows, right=[False, True, False, True]
    )


def _state(driver: Driver) -> str:
    return "ended" if driver.ended else "late" if driver.late else "at work"


def _failures(current: Status) -> Table:
    from assay.cli import tables

    rows = [
        [row["trial"][:8], row["study"] or "-", row["outcome"], row["reason"], duration(current.now - row["finished"])]
        for row in current.failures
    ]
    return tables.of_rows("latest failures", ("trial", "study", "outcome", "reason", "ago"), rows)
