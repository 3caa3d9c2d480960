"""`assay predict`: classes of images, by trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import Json, home_expanded, homes_expanded
from assay.cli.printing import console, print_json


def predict(
    weights: Annotated[Path, typer.Argument(help="Weights saved by `assay train --save`.", callback=home_expanded)],
    images: Annotated[list[Path], typer.Argument(help="Images of any size, or IDX files.", callback=homes_expanded)],
    as_json: Json = False,
) -> None:
    """Classify images with trained weights."""
    from assay.cli import tables
    from assay.report.text import clean
    from assay.training.checkpoints import restore
    from assay.training.prediction import predict as predict_images

    predictions = predict_images(restore(weights), list(images))
    if as_json:
        print_json({"predictions": [vars(p) for p in predictions]})
        return
    for p in predictions:
        console().print(f"{clean(p.image)}: {tables.prediction(p.label, p.probabilities)}", markup=False)
