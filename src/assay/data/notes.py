"""What a reader of a result should know about its data: gaps in the classes, duplicates, imbalance, sorted examples."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.data.orientation import lies_on_its_side
from assay.data.targets import is_regression, target_notes
from assay.errors import shortened

_IMBALANCE = 5  # the largest class against the smallest
_MANY = 20  # examples of the largest class, below which counts differ by chance
_NAMES = 8  # classes named in a sentence


class Sets(Protocol):
    """The name and the arrays of a data set: examples (N, D), labels (N,) from 0 to C - 1 or targets, the shape of an
    example, class names."""

    @property
    def name(self) -> str: ...
    @property
    def x_train(self) -> NDArray[Any]: ...
    @property
    def y_train(self) -> NDArray[Any]: ...
    @property
    def x_test(self) -> NDArray[Any]: ...
    @property
    def y_test(self) -> NDArray[Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


def dataset_notes(dataset: Sets) -> list[str]:
    """Sentences on a whole data set, whatever part of it is trained on."""
    if is_regression(dataset.y_train):
        return [*target_notes(dataset), *_duplicate_notes(dataset)]
    train, test = _counts(dataset, dataset.y_train), _counts(dataset, dataset.y_test)
    notes: list[str] = []
    if empty := _named(dataset, (train == 0) & (test == 0)):
        notes.append(
            f"{empty} no example in either set, yet an output; labels as names, y.astype(str), number only the classes "
            "that occur"
        )
    if unlearned := _named(dataset, (train == 0) & (test > 0)):
        notes.append(f"{unlearned} test examples but no training example")
    if unmeasured := _named(dataset, (train > 0) & (test == 0)):
        notes.append(f"{unmeasured} no test example, so no test accuracy")
    if len(dataset.y_test) > len(dataset.y_train):
        notes.append(
            f"there are more test examples ({len(dataset.y_test):,}) than training examples "
            f"({len(dataset.y_train):,}): check that the sets are not exchanged"
        )
    if is_sorted(dataset.y_train):
        notes.append("the training examples are sorted by class: unshuffled batches see one class at a time")
    return [*notes, *_duplicate_notes(dataset), *_orientation_notes(dataset)]


def split_notes(dataset: Sets, y_train: NDArray[Any], y_validation: NDArray[Any] | None) -> list[str]:
    """Sentences on the examples that are trained on and validated on; `dataset`: where they were taken from."""
    if is_regression(dataset.y_train):
        return []
    whole, used = _counts(dataset, dataset.y_train), _counts(dataset, y_train)
    notes: list[str] = []
    if (used[whole > 0] == 0).any():
        held = np.flatnonzero(used)
        names = shortened([dataset.classes[k] for k in held], _NAMES)
        notes.append(
            f"the {len(y_train):,} training examples used hold {len(held)} of {int((whole > 0).sum())} classes "
            f"({names}): data.train takes the first examples; shuffle them before saving, or use more"
        )
    if y_validation is not None and (missing := _named(dataset, (_counts(dataset, y_validation) == 0) & (used > 0))):
        notes.append(f"{missing} no validation example")
    present = used[used > 0]
    if present.max() >= max(_MANY, _IMBALANCE * present.min()):
        notes.append(_imbalance(dataset, used))
    return notes


def _imbalance(dataset: Sets, used: NDArray[np.int64]) -> str:
    most, least = int(used.argmax()), int(np.where(used > 0, used, used.max() + 1).argmin())
    test, name = _counts(dataset, dataset.y_test), dataset.classes[most]
    return (
        f"the classes are imbalanced: {used[most]:,} training examples of {name!r}, {used[least]:,} of "
        f"{dataset.classes[least]!r}; the answer {name!r} alone reaches a test accuracy of "
        f"{100 * test[most] / test.sum():.1f} %"
    )


def is_sorted(y: NDArray[Any]) -> bool:
    """Whether the examples of each of several classes stand together.

    >>> is_sorted(np.array([3, 3, 1, 1])), is_sorted(np.array([3, 1, 3, 1]))
    (True, False)
    """
    classes = len(np.unique(y))
    return 1 < classes < len(y) and int((y[1:] != y[:-1]).sum()) == classes - 1


def first_with_all_classes(y: NDArray[Any]) -> int:
    """The smallest n for which the first n examples hold every class that occurs.

    >>> first_with_all_classes(np.array([0, 0, 1, 0, 2, 1]))
    5
    """
    return int(np.unique(y, return_index=True)[1].max()) + 1


def duplicates(x_train: NDArray[Any], x_test: NDArray[Any]) -> list[tuple[int, int]]:
    """The test examples that equal a training example, value for value: (test row, training row), ascending.

    >>> duplicates(np.array([[1, 2], [3, 4], [5, 6]]), np.array([[5, 6], [7, 8]]))
    [(0, 2)]
    """
    step = max(1, x_train.shape[1] // 64)
    of_train, of_test = (np.ascontiguousarray(x[:, step // 2 :: step]) for x in (x_train, x_test))
    rows: dict[bytes, list[int]] = {}
    for row, part in enumerate(of_test):  # a part of the values rules most examples out
        rows.setdefault(part.tobytes(), []).append(row)
    equal: dict[int, int] = {}
    whole: dict[bytes, dict[bytes, list[int]]] = {}
    for row, part in enumerate(of_train):
        key = part.tobytes()
        if key not in rows:
            continue
        if key not in whole:
            by_content = whole.setdefault(key, {})
            for test_row in rows[key]:
                by_content.setdefault(x_test[test_row].tobytes(), []).append(test_row)
        for test_row in whole[key].get(x_train[row].tobytes(), ()):
            equal.setdefault(test_row, row)
    return sorted(equal.items())


def _duplicate_notes(dataset: Sets) -> list[str]:
    pairs = duplicates(dataset.x_train, dataset.x_test)
    if not pairs:
        return []
    test_row, train_row = pairs[0]
    contradicting = sum(dataset.y_test[test] != dataset.y_train[train] for test, train in pairs)
    kind, counts = ("target", "R2 counts") if is_regression(dataset.y_train) else ("label", "the test accuracy counts")
    extra = f", {contradicting:,} of them with another {kind}" if contradicting else ""
    total = len(dataset.x_test)
    return [
        f"{len(pairs):,} of {total:,} test examples ({100 * len(pairs) / total:.1f} %) equal a training example"
        f"{extra}: test {test_row} is training {train_row}; {counts} them"
    ]


def _orientation_notes(dataset: Sets) -> list[str]:
    if not lies_on_its_side(dataset.x_train, dataset.y_train, shape=dataset.shape, classes=len(dataset.classes)):
        return []
    return [
        "the pictures seem to lie on their side, as EMNIST's do, so upright ones would be predicted wrong: name the "
        "files emnist-... to have them turned, or pass x.transpose(0, 2, 1)"
    ]


def _counts(dataset: Sets, y: NDArray[Any]) -> NDArray[np.int64]:
    return np.bincount(y, minlength=len(dataset.classes)).astype(np.int64)


def _named(dataset: Sets, chosen: NDArray[np.bool_]) -> str:
    """The chosen classes as the beginning of a sentence: "class 'a' has", "classes 'a', 'b' have"; empty if none."""
    names = [dataset.classes[k] for k in np.flatnonzero(chosen)]
    if not names:
        return ""
    return f"class {names[0]} has" if len(names) == 1 else f"classes {shortened(names, _NAMES)} have"
