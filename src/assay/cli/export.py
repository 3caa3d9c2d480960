"""`assay export`: trained weights for other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import AllowCode, Json, code_allowed, home_expanded
from assay.cli.printing import print_json, print_line

_FORMS = (".safetensors", ".onnx")


def export(
    weights: Annotated[Path, typer.Argument(help="Weights saved by `assay train --save`.", callback=home_expanded)],
    target: Annotated[
        Path,
        typer.Argument(
            help="File to write: .safetensors for a state_dict of torch, .onnx for an ONNX model.",
            callback=home_expanded,
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Export trained weights: a state_dict in torch's names and layout, or an ONNX model."""
    from assay.cli.files import prepare_folder
    from assay.errors import FileError
    from assay.training.checkpoints import restore
    from assay.training.onnx_model import write_onnx
    from assay.training.torch_weights import torch_code, write_state_dict

    form = target.suffix.lower()
    if form not in _FORMS:
        raise FileError(f"{target}: expected a name that ends in {' or '.join(_FORMS)}")
    if target.exists() and (not force or target.samefile(weights)):
        hint = (
            "it holds the weights to export" if weights.exists() and target.samefile(weights) else "--force replaces it"
        )
        raise FileError(f"{target}: exists already; give another name: {hint}")
    history = restore(weights)
    prepare_folder(target.parent)
    with code_allowed(allow_code):  # a user's module is imported
        if form == ".onnx":
            write_onnx(history, target)
            lines = ["takes raw examples; checked with onnxruntime: the same probabilities as `assay predict` to 1e-5"]
        else:
            write_state_dict(history, target)
            lines = torch_code(history, str(target))
    if as_json:
        print_json({"file": str(target), "form": form.removeprefix("."), "about": lines})
        return
    print_line(f"{target}: {len(history.checkpoint.weights):,} arrays of {history.recipe.label()}")
    for line in lines:
        print_line(line)
