"""`assay predict`: what trained weights say of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import (
    Json,
    console,
    print_json,
)


def predict(
    weights: Annotated[Path, typer.Argument(help="Weights that `assay train --save` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Images of any size, or IDX files.")],
    as_json: Json = False,
) -> None:
    """Read digits from images with trained weights."""
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
