"""The test set of data that come without one: drawn by class, fixed, and stated in a note."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.targets import drawn_targets
from assay.errors import DataError
from assay.rng import stream

TEST_FRACTION = 0.2
"""The fraction of the examples that is drawn where nothing else is said."""


NO_TEST_SET = "no test set was given"
"""How the note on such a draw begins."""

Rows = NDArray[np.int64]


def drawn_for_test(
    name: str, y: NDArray[Any], test: float | int | None, *, task: str | None = None
) -> tuple[Rows, Rows, str]:
    """The rows of a training set (N - M,) and a test set (M,), both ascending, and the note on the draw.

    The test set has the same fraction of each class. The draw depends on the labels and on `test` alone, so that every
    seed of a study sees the same sets. One example of each class at least is left to train on. The targets of a
    regression are drawn without regard to their values.

    Args:
        name: The name of the data set, for errors.
        y: The labels (N,).
        test: The fraction of the examples (below 1), or their number; None for a fifth.
        task: "regression" for targets.

    Raises:
        DataError: No example would be left to test or to train on, or the labels are of several types.

    >>> training, test, note = drawn_for_test("a", np.array([0, 1] * 10), None)
    >>> len(training), len(test), note[:46]
    (16, 4, 'no test set was given: 4 of 20 examples, the s')
    """
    total = len(y)
    if task is not None:
        count = _count(name, total, 1, TEST_FRACTION if test is None else test)
        training, rows = drawn_targets(total, count, stream(0, "test-split").permutation(total))
        note = f"{NO_TEST_SET}: {count:,} of {total:,} examples were drawn to test on, always the same"
        return training, rows, note
    try:
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError:
        raise DataError(f"{name}: the labels are of several types, or some are missing; expected one type") from None
    count = _count(name, total, len(classes), TEST_FRACTION if test is None else test)
    order = stream(0, "test-split").permutation(total)
    by_class = [order[codes[order] == k] for k in range(len(classes))]
    rows = np.sort(fractions_of_classes(by_class, count))
    if not len(rows):
        raise DataError(f"{name}: every class has one example, so none can be set aside to test on; give a test set")
    note = (
        f"{NO_TEST_SET}: {len(rows):,} of {total:,} examples, the same fraction of each class, were drawn to "
        "test on, always the same"
    )
    return np.setdiff1d(np.arange(total), rows), rows, note


def fractions_of_classes(by_class: list[Rows], count: int) -> Rows:
    """`count` rows, or fewer, from the beginnings of the rows of each class: the same fraction of each.

    One row of each class at least is left.

    >>> fractions_of_classes([np.arange(4), np.arange(4, 12)], 3).tolist()
    [0, 4, 5]
    """
    total = sum(map(len, by_class))
    quotas = [len(rows) * count / total for rows in by_class]
    counts = [min(int(quota), len(rows) - 1) for quota, rows in zip(quotas, by_class, strict=True)]
    for k in sorted(range(len(by_class)), key=lambda k: counts[k] - quotas[k]):  # the largest remainders first
        if sum(counts) < count and counts[k] < len(by_class[k]) - 1:
            counts[k] += 1
    return np.concatenate([rows[:n] for rows, n in zip(by_class, counts, strict=True)])


def _count(name: str, total: int, classes: int, test: float | int) -> int:
    count = round(test * total) if 0 < test < 1 else test
    if (
        isinstance(test, bool) or not 0 < count <= total - classes or count != int(count)
    ):  # NaN and infinity fail the first
        of = f" of {classes:,} classes" if classes > 1 else ""
        raise DataError(
            f"{name}: test: got {test:g} for {total:,} examples{of}; expected a fraction below 1, "
            f"or a number from 1 to {max(1, total - classes):,}"
        )
    return int(count)
