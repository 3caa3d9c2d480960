"""`assay target`: how soon an accuracy is reached."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import Csv, Json, Markdown, Named, StoreUrl, note, print_frame, results_of


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

    results = results_of(study, store)
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
    print_frame(table if plain else table[shown], as_csv=as_csv, as_markdown=as_markdown, as_json=as_json, title=title)
