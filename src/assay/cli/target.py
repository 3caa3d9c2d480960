"""`assay target`: time to an accuracy or a loss."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.formats import TableFormat, print_frame
from assay.cli.options import Json, StoreUrl, StudyName, accuracy_of, stored_results
from assay.cli.printing import note

_COLUMNS = ["configuration", "trials", "reached", "success", "median", "restricted_mean"]
_MOST = 20  # configurations on the terminal
_ENDINGS = ["diverged", "timed_out", "unmeasured"]  # shown where there are any


def target(
    study: StudyName,
    accuracy: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTION",
            help="Target accuracy: a fraction such as 0.9, or 90%.",
            show_default="near the best configuration",
        ),
    ] = None,
    loss: Annotated[float | None, typer.Option(help="Target loss, instead of an accuracy.")] = None,
    by: Annotated[str, typer.Option(help="Unit of time: iteration, examples, seconds or flops.")] = "iteration",
    split: Annotated[str, typer.Option(help="Data split: train, validation or test.")] = "test",
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Show every configuration, not only the first 20.")] = False,
) -> None:
    """Report the time to a target accuracy or loss, per configuration.

    Times are read from the stored curves; trials that miss the target are censored.
    """
    from assay.analysis import targets
    from assay.analysis.effort import comparable_costs
    from assay.analysis.frames import own
    from assay.analysis.phases import decisive
    from assay.cli.notes import print_notes
    from assay.report.answers import preparation
    from assay.report.text import percent

    wanted = None if accuracy is None else accuracy_of(accuracy, "--accuracy")
    results = stored_results(study, store)
    trials = results.frame()
    if wanted is None and loss is None:
        wanted = targets.default_target(decisive(trials))
    if by == "seconds":
        trials, left_out = own(trials)
        timed, apart = comparable_costs(trials)
        trials = trials.loc[timed["seconds"].notna() | trials["seconds"].isna()]
        for sentence in filter(None, (left_out, apart)):
            note(sentence)
    times = targets.times_to(results.curves(), trials, accuracy=wanted, loss=loss, by=by, split=split)
    goal = f"{percent(wanted)} accuracy" if loss is None else f"loss {loss:g}"
    unit = targets.unit_of(trials, by)
    if unit != by:
        note("the curves count epochs, not iterations: times are in epochs")
    if epochs_only := targets.without_iterations(trials, by):
        names = ", ".join(epochs_only)
        note(f"{names}: no time, because the log counts epochs (import it again with --iterations-per-epoch)")
    title = f"{unit} to {goal} ({split}, interpolated linearly between log points)"
    table = targets.ranked(targets.summary(times), ["success", "restricted_mean"])
    endings = [column for column in _ENDINGS if any(table[column].tolist())]
    is_machine = table_format is TableFormat.CSV or as_json
    table = table if is_machine else table[[*_COLUMNS, *endings]]
    count = len(table)
    table = table if is_machine or everything else table.head(_MOST)
    if by == "seconds" and (sentence := preparation(trials)):
        note(sentence)
    print_frame(table, title=title, table_format=table_format, as_json=as_json)
    if len(table) < count:
        note(f"showing {len(table)} of {count:,} configurations; --all shows the others")
    print_notes(results)
