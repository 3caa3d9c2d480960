"""Scores that a confusion matrix gives: balanced accuracy, and precision, recall and F1 of each class and over classes.

They are those of scikit-learn with `zero_division=0`. The means over classes are of the classes that occur among the
true or the predicted labels, as scikit-learn's are, and the balanced accuracy of those among the true ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.analysis.quantities import CLASS_SCORES, MACRO_SCORES, class_measure

Floats = NDArray[np.float64]

MOST_CLASSES = 100
"""The most classes for which a frame of trials has columns for each class."""


@dataclass(frozen=True, eq=False)
class ClassScores:
    """The scores of each class (..., C), NaN for a class that is neither true nor predicted anywhere.

    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN), each 0 where it is 0 / 0

    Attributes:
        precision: the fraction of the examples predicted as a class that are of it; 0 if none is predicted.
        recall: the fraction of the examples of a class that are predicted as it; 0 if the test set has none.
        f1: the harmonic mean of the two.
        support: the number of examples of the class.

    >>> ClassScores.of([[2, 1], [0, 1]]).recall.round(3).tolist()
    [0.667, 1.0]
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: NDArray[np.int64]

    @classmethod
    def of(cls, confusion: ArrayLike) -> ClassScores:
        """The scores of confusion matrices (..., C, C), true class by predicted class."""
        counts = np.asarray(confusion, np.int64)
        right = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
        true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
        occurs = (true + predicted) > 0
        scores = [_quotient(right, predicted), _quotient(right, true), _quotient(2 * right, true + predicted)]
        return cls(*(np.where(occurs, score, np.nan) for score in scores), support=true)

    def macro(self) -> dict[str, Floats]:
        """The means over the classes (...), by the columns of `MACRO_SCORES`; NaN without any example."""
        means = (self.recall_of_true(), _mean(self.precision), _mean(self.recall), _mean(self.f1))
        return dict(zip(MACRO_SCORES, means, strict=True))

    def recall_of_true(self) -> Floats:
        """The balanced accuracy (...): the mean recall of the classes that the test set has."""
        return _mean(np.where(self.support > 0, self.recall, np.nan))

    def of_classes(self) -> dict[str, Floats]:
        """The scores of each class by the names of `CLASS_SCORES`."""
        return dict(zip(CLASS_SCORES, (self.precision, self.recall, self.f1), strict=True))


def _quotient(part: Floats, whole: NDArray[np.int64]) -> Floats:
    """part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def _mean(scores: Floats) -> Floats:
    """The mean over the last axis, without NaN; NaN without any number."""
    known = ~np.isnan(scores)
    count = known.sum(axis=-1)
    return np.divide(
        np.where(known, scores, 0.0).sum(axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0
    )


def plain(confusion: ArrayLike, classes: Sequence[str]) -> dict[str, Any]:
    """The scores of one matrix (C, C) as plain data: the means, and `per_class` with one entry for each class.

    >>> plain([[2, 1], [0, 1]], ["cat", "dog"])["per_class"][1]
    {'class': 'dog', 'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'support': 1}
    """
    scores = ClassScores.of(confusion)
    of_classes = {name: [_number(value) for value in values] for name, values in scores.of_classes().items()}
    per_class = [
        {"class": label, **{name: values[n] for name, values in of_classes.items()}, "support": int(scores.support[n])}
        for n, label in enumerate(classes)
    ]
    return {name: _number(value) for name, value in scores.macro().items()} | {"per_class": per_class}


def stored(text: str | None, classes: Sequence[str]) -> NDArray[np.int64] | None:
    """The matrix (C, C) of its JSON text; None where none is stored, or where it is not one of these classes.

    >>> stored("[[2,1],[0,1]]", ["cat", "dog"]).tolist(), stored(None, ["cat", "dog"])
    ([[2, 1], [0, 1]], None)
    """
    if text is None:
        return None
    rows = json.loads(text)
    size = len(classes)
    if len(rows) != size or any(len(row) != size for row in rows) or sum(map(sum, rows)) > 2**53:
        return None
    return np.array(rows, np.int64).reshape(size, size)


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


Matrices = Mapping[str, tuple[ArrayLike, Sequence[str]]]
"""The confusion matrix (C, C) of each trial, and the names of its classes."""


def scored(matrices: Matrices) -> list[tuple[list[str], dict[str, Floats]]]:
    """The trials of each set of classes, and their columns of a frame as arrays (trials,).

    They are the means, and each class's for up to `MOST_CLASSES` classes. `majority` is the fraction of the largest
    class, which a constant answer would score.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for trial, (_, classes) in matrices.items():
        groups.setdefault(tuple(classes), []).append(trial)
    made: list[tuple[list[str], dict[str, Floats]]] = []
    for classes, trials in groups.items():
        scores = ClassScores.of(np.stack([np.asarray(matrices[trial][0], np.int64) for trial in trials]))
        values = dict(scores.macro().items())
        values["majority"] = _quotient(scores.support.max(axis=-1), scores.support.sum(axis=-1))
        if len(classes) <= MOST_CLASSES:
            for name, of_class in scores.of_classes().items():
                values |= {class_measure(name, label): of_class[:, n] for n, label in enumerate(classes)}
        made.append((trials, values))
    return made


def columns(matrices: Matrices) -> dict[str, dict[str, float]]:
    """The columns of `scored` by trial."""
    return {
        trial: {name: float(column[place]) for name, column in values.items()}
        for trials, values in scored(matrices)
        for place, trial in enumerate(trials)
    }


__all__ = ["MOST_CLASSES", "ClassScores", "columns", "plain", "scored", "stored"]
