"""Test sets drawn anew from all examples of a data set: random re-splits, and the parts of a cross-validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.splits import NO_TEST_SET, fractions_of_classes
from assay.data.targets import is_regression
from assay.errors import DataError, shortened
from assay.rng import stream

Rows = NDArray[np.int64]
_NAMES = 8  # classes named in a sentence


@dataclass(frozen=True)
class Draw:
    """Which test set is drawn from all examples.

    `split`: the seed of the draw. `folds` and `fold`: the number of parts of a cross-validation, and the part that is
    the test set, from 1; None for a test set of the original size.
    """

    split: int = 0
    folds: int | None = None
    fold: int | None = None


def rows_of(name: str, y: NDArray[Any], draw: Draw, *, tested: int, classes: tuple[str, ...] = ()) -> tuple[Rows, Rows]:
    """The rows of all examples to train on, in random order, and to test on, ascending.

    Each class is drawn with the same fraction; the targets of a regression are drawn without regard to their values.

    Args:
        name: The name of the data set, for errors.
        y: The labels (N,) of all examples, from 0 to C - 1, or targets.
        draw: Which test set.
        tested: The size of a test set that is no part of a cross-validation.
        classes: The names of the classes, for errors.

    Raises:
        DataError: There are too few examples for so many parts, or a class would have no training example.

    >>> [rows_of("a", np.array([0, 1] * 4), Draw(folds=4, fold=i), tested=2)[1].tolist() for i in (1, 2)]
    [[3, 4], [0, 5]]
    """
    total = len(y)
    codes = np.zeros(total, np.int64) if is_regression(y) else np.unique(y, return_inverse=True)[1].reshape(-1)
    order = stream(draw.split, "resampled test set").permutation(total)
    by_class = [order[codes[order] == k] for k in range(int(codes.max()) + 1)]
    if draw.folds is None:
        test = np.sort(fractions_of_classes(by_class, tested))
    else:
        _check_folds(name, y, draw.folds, classes)
        dealt = np.concatenate(by_class)  # one part after the other gets an example: sizes differ by one at most
        assert draw.fold is not None  # a recipe has both or none
        test = np.sort(dealt[draw.fold - 1 :: draw.folds])
    if is_regression(y) and (len(test) < 2 or y[test].min() == y[test].max()):
        raise DataError(
            f"{name}: the {len(test):,} test examples that are drawn all have the target {y[test][0]:g}; expected two "
            "different ones or more, because R2 compares with their mean: use fewer folds"
        )
    return order[~np.isin(order, test)], test


def _check_folds(name: str, y: NDArray[Any], folds: int, classes: tuple[str, ...]) -> None:
    if folds > len(y):
        raise DataError(
            f"data.folds: got {folds:,}; expected at most {len(y):,}: {name} has {len(y):,} examples in all"
        )
    if is_regression(y):
        return
    values, counts = np.unique(y, return_counts=True)
    single = [str(classes[k]) if classes else str(k) for k in values[counts == 1]]
    if single:
        which = f"class {single[0]!r} has" if len(single) == 1 else f"classes {shortened(single, _NAMES)} have"
        raise DataError(
            f"data.folds: {which} one example in {name}, which is missing in training where it is tested; expected two "
            "or more of each class: leave it out"
        )


def notes_of_draw(
    draw: Draw, y: NDArray[Any], tested: int, classes: tuple[str, ...], given: Sequence[str]
) -> list[str]:
    """The sentences on a data set whose test set was drawn anew.

    Args:
        draw: Which test set.
        y: The labels (N,) of all examples, or targets.
        tested: The size of the test set.
        classes: The names of the classes.
        given: The sentences on the original data set, of which those on its own draw no longer hold.
    """
    others = [note for note in given if not note.startswith(NO_TEST_SET)]
    note = _note(draw, len(y), tested, is_regression(y), has_own=len(others) == len(given))
    rare = [] if draw.folds is None or is_regression(y) else _rare(y, draw.folds, classes)
    return [note, *rare, *others]


def _rare(y: NDArray[Any], folds: int, classes: tuple[str, ...]) -> list[str]:
    """A sentence on the classes that some of the parts lack."""
    counts = np.bincount(y, minlength=len(classes))
    names = [classes[k] for k in np.flatnonzero((counts > 0) & (counts < folds))]
    if not names:
        return []
    which = f"class {names[0]!r} has" if len(names) == 1 else f"classes {shortened(names, _NAMES)} have"
    return [f"{which} fewer examples than there are folds ({folds:,}), so some test sets have none of them"]


def _note(draw: Draw, total: int, tested: int, regression: bool, *, has_own: bool) -> str:
    how = "without regard to their targets" if regression else "the same fraction of each class"
    pooled = "the training and test examples" if has_own else "all examples"
    if draw.folds is None:
        note = f"the test set was drawn anew from {pooled} (split {draw.split}), {how}"
    else:
        note = f"the test set is fold {draw.fold} of {draw.folds} of {pooled} (split {draw.split}), {how}"
    note += f": {tested:,} of {total:,}"
    return note + ("; results do not compare with published ones on the data's own test set" if has_own else "")


_COUNTS = re.compile(r"the test set (?:was drawn anew from|is fold \d+ of \d+ of) [^:]*: ([\d,]+) of ([\d,]+)(?:;|$)")


def drawn_counts(notes: Iterable[str]) -> tuple[int, int] | None:
    """The test examples that were drawn, and all examples, from the notes of a result; None without such a note.

    >>> drawn_counts([_note(Draw(folds=5, fold=1), 1500, 300, False, has_own=True)])
    (300, 1500)
    """
    for note in notes:
        if found := _COUNTS.match(note):
            return int(found[1].replace(",", "")), int(found[2].replace(",", ""))
    return None


__all__ = ["Draw", "drawn_counts", "notes_of_draw", "rows_of"]
