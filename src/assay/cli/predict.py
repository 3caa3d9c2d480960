"""`assay predict`: classes of images, by trained weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.files import write_png
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import AllowCode, Json, code_allowed, home_expanded, homes_expanded
from assay.cli.printing import note, print_error, print_json, print_line


def predict(
    weights: Annotated[Path, typer.Argument(help="Weights saved by `assay train --save`.", callback=home_expanded)],
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size, or IDX files.", callback=homes_expanded)],
    allow_code: AllowCode = False,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    show: Annotated[
        Path | None,
        typer.Option("--show", metavar="FILE", help="Write a picture of what the network is given (.png)."),
    ] = None,
    ink: Annotated[
        bool | None,
        typer.Option(
            "--ink/--no-ink",
            help="Prepare the pictures as ink on paper: without the paper, lines and specks, in the middle.",
            show_default="as the training pictures are",
        ),
    ] = None,
) -> None:
    """Classify pictures with trained weights."""
    from assay.cli import tables
    from assay.errors import FileError
    from assay.report.text import clean
    from assay.training.changed_code import ChangedCodeWarning
    from assay.training.checkpoints import restore
    from assay.training.prediction import predictions_of, prepare_images

    if show is not None and (show.suffix.lower() != ".png" or not show.absolute().parent.is_dir()):
        raise FileError(f"--show {show}: expected a file in an existing folder, with a name that ends in .png")
    history = restore(weights)
    given = prepare_images(history, list(images), ink=ink)
    with code_allowed(allow_code), warnings.catch_warnings(record=True) as warned:  # a user's module is imported
        warnings.simplefilter("always", ChangedCodeWarning)
        predictions = predictions_of(history, given)
    unusual = [str(w.message) for w in warned if issubclass(w.category, ChangedCodeWarning)]
    for warning in warned:
        if issubclass(warning.category, ChangedCodeWarning):
            print_error(f"warning: {clean(str(warning.message))}")  # also with --quiet: it is about the numbers
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if show is not None:
        from assay.report.picture_sheet import sheet_of

        write_png(show, sheet_of(given, [p.label or p.problem for p in predictions]))
        note(f"what the network is given: {clean(show)}")
    if as_json:
        print_json({"predictions": [vars(p) for p in predictions], **({"warnings": unusual} if unusual else {})})
        return
    if table_format:
        names = list(dict.fromkeys(name for p in predictions for name in p.probabilities))
        header = ["image", "label", *(f"p({name})" for name in names), "notes"]
        rows = [
            [p.image, p.label or p.problem, *(_digits(p.probabilities.get(name)) for name in names), "; ".join(p.notes)]
            for p in predictions
        ]
        print_tables([tables.of_rows("", header, rows)], table_format=table_format)
        return
    for p in predictions:
        result = p.problem if p.label is None else tables.prediction(p.label, p.probabilities)
        print_line(f"{p.image}: {result}" + (f"   ({'; '.join(p.notes)})" if p.notes else ""))


def _digits(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.6g}"
