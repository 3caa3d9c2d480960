"""The confusion matrices of many rows at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.confusion import stored
from assay.store.queries import with_readable

Matrix = NDArray[np.int64]


def confusion_matrices(cells: Iterable[tuple[str, Any, Any]]) -> dict[str, tuple[Matrix, list[str]]]:
    """The matrix (C, C) and the names of the classes of each trial that has a readable one; the others are said.

    Args:
        cells: The key of each trial, its matrix and its classes as they are stored, None where it has none.
    """
    by_classes: dict[str, dict[str, Any]] = {}
    for trial, confusion, names in cells:
        if confusion and names:
            by_classes.setdefault(names, {})[trial] = confusion
    made: dict[str, tuple[Matrix, list[str]]] = {}
    for names, texts in by_classes.items():
        classes: list[str] = json.loads(names)
        matrices = together(list(texts.values()), len(classes))
        if matrices is not None:
            made |= {trial: (matrix, classes) for trial, matrix in zip(texts, matrices, strict=True)}
            continue
        rows = [{"trial": trial, "confusion": text} for trial, text in texts.items()]
        for row in with_readable(rows, "confusion"):
            matrix = stored(row["confusion"], classes)
            if matrix is not None:
                made[row["trial"]] = (matrix, classes)
    return made


def together(texts: Sequence[Any], size: int) -> Matrix | None:
    """Matrices of counts (N, size, size) from their JSON texts, read at once; None unless every one is sound.

    Each text begins with "[[", which makes a matrix only where the one before it has ended. So as many matrices as
    texts are the matrices of the texts.

    >>> together(["[[1,2],[3,4]]"], 2).tolist(), together(["[[1,2]]"], 2), together(["[[1]],[[2", "[[3]]"], 1)
    ([[[1, 2], [3, 4]]], None, None)
    """
    if not all(type(text) is str and text.startswith("[[") for text in texts):
        return None
    try:
        plain = json.loads(f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        return None
    if len(plain) != len(texts) or any(type(rows) is not list or len(rows) != size for rows in plain):
        return None
    flat = [row for rows in plain for row in rows]
    if any(type(row) is not list or len(row) != size for row in flat):
        return None
    cells = [cell for row in flat for cell in row]
    if not set(map(type, cells)) <= {int} or (cells and not (min(cells) >= 0 and max(cells) <= 2**53)):
        return None
    matrices = np.array(cells, np.int64).reshape(len(texts), size, size)
    return matrices if not matrices.size or int(matrices.sum(axis=(1, 2)).max()) <= 2**53 else None


__all__ = ["confusion_matrices", "together"]
