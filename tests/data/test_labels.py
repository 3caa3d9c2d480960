"""Labels in other people's forms are read where the form is unmistakable, and named otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.data.dataset import Dataset, from_arrays
from assay.data.prepare import Preparation, prepare, split
from assay.errors import DataError
from assay.rng import stream

N, M = 24, 12
X = stream(1, "labels").uniform(N * 6).reshape(N, 6)
X_TEST = stream(2, "labels").uniform(M * 6).reshape(M, 6)
Y, Y_TEST = np.arange(N) * 7 % 4, np.arange(M) * 7 % 4


def read(y: Any, y_test: Any, **settings: Any) -> Dataset:
    return from_arrays(X, y, X_TEST, y_test, **settings)


def qmnist(y: Any) -> Any:
    table = np.zeros((len(y), 8), np.int32)
    table[:, 0], table[:, 4], table[:, 5] = y, 30 + y, np.arange(len(y))
    return table


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (lambda y: y[:, None], "labels of shape (N, 1) are read as one column"),
        (lambda y: y[None, :], ""),
        (lambda y: y.astype(float), ""),
        (lambda y: y.astype(float)[:, None], "labels of shape (N, 1) are read as one column"),
        (lambda y: np.eye(4)[y], "labels of shape (N, 4) are read as one-hot rows"),
        (lambda y: np.eye(4, dtype=bool)[y], "labels of shape (N, 4) are read as one-hot rows"),
        (lambda y: np.eye(4, dtype=np.uint8)[y].T, "labels of shape (N, 4) are read as one-hot rows"),
        (qmnist, "labels of shape (N, 8) are QMNIST's: column 0 is the class"),
        (lambda y: y.astype(object), ""),
        (lambda y: list(map(int, y)), ""),
        (lambda y: y.astype(str), ""),
        (lambda y: y.astype("S"), ""),
        (lambda y: y.astype(str).astype(object), ""),
    ],
)
def test_labels_in_any_unmistakable_form_are_the_same_labels(form: Any, said: str) -> None:
    data = read(form(Y), form(Y_TEST))
    np.testing.assert_array_equal(data.y_train, Y)
    np.testing.assert_array_equal(data.y_test, Y_TEST)
    assert data.classes == ("0", "1", "2", "3")
    assert data.assumptions[:1] == ((said,) if said else data.assumptions[:1])
    assert data.checksum == read(Y, Y_TEST).checksum


def test_labels_from_1_have_no_empty_class_0() -> None:
    data = read(Y + 1, Y_TEST + 1)
    np.testing.assert_array_equal(data.y_train, Y)
    assert data.classes == ("1", "2", "3", "4")
    assert "labels run from 1 to 4: class 1 is the first output, and there is no class 0" in data.notes
    assert read(Y + 1, Y_TEST + 1, classes="abcd").classes == ("a", "b", "c", "d")
    kept = read(Y + 1, Y_TEST + 1, classes="xabcd")  # the caller names a class 0
    assert kept.classes[kept.y_train[0]] == "a"
    assert any(note.startswith("class x has no example in either set") for note in kept.notes)


def test_labels_of_which_only_one_set_lacks_0_are_numbered_from_0() -> None:
    y = Y.copy()
    y[y == 0] = 1
    data = read(y, Y_TEST)
    np.testing.assert_array_equal(data.y_train, y)
    assert any(note == "class 0 has test examples but no training example" for note in data.notes)


def test_gaps_in_the_classes_are_named() -> None:
    data = read(np.where(Y > 1, 7, 3), np.where(Y_TEST > 1, 7, 3))
    assert len(data.classes) == 8
    note = next(note for note in data.notes if "no example in either set" in note)
    assert note.startswith("classes 0, 1, 2, 4, 5, 6 have no example")
    assert "y.astype(str)" in note
    assert read(np.where(Y > 1, "7", "3"), np.where(Y_TEST > 1, "7", "3")).classes == ("3", "7")


def test_named_classes_order_named_labels() -> None:
    words, words_test = np.array(list("dcba"))[Y], np.array(list("dcba"))[Y_TEST]
    assert read(words, words_test).classes == ("a", "b", "c", "d")
    data = read(words, words_test, classes=("d", "c", "b", "a"))
    np.testing.assert_array_equal(data.y_train, Y)
    with pytest.raises(DataError, match="training label 'a' is not among the classes b, c, d"):
        read(words, words_test, classes=("b", "c", "d"))


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="two classes are named 'a'"):
        read(Y, Y_TEST, classes=("a", "b", "a", "c"))


def test_more_test_than_training_examples_are_doubted() -> None:
    notes = from_arrays(X_TEST, Y_TEST, X, Y).notes
    assert any(note.startswith("there are more test examples (24) than training examples (12)") for note in notes)
    assert not any("more test examples" in note for note in read(Y, Y_TEST).notes)


def with_item(y: Any, row: int, value: Any) -> Any:
    changed = np.array(y, object)
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("y", "y_test", "said"),
    [
        (np.where(np.arange(N) == 5, np.nan, Y), Y_TEST, "training labels lack one: that of example 5 is NaN"),
        (Y, np.where(np.arange(M) == 7, np.nan, Y_TEST), "test labels lack one: that of example 7 is NaN"),
        (with_item(Y, 3, None), Y_TEST, "training labels lack one: that of example 3 is None"),
        (with_item(Y.astype(str), 3, float("nan")), Y_TEST, "that of example 3 is nan"),
        (np.where(np.arange(N) == 5, np.nan, Y).astype(str), Y_TEST.astype(str), "that of example 5 is 'nan'"),
        (with_item(Y.astype(str), 3, " "), Y_TEST.astype(str), "that of example 3 is ' '"),
        (with_item(Y, 3, "a"), Y_TEST, "objects of the types int, str; .* pass y.astype\\(str\\)"),
        (Y + 0.5, Y_TEST, "training label 0 is 0.5; expected whole numbers or names"),
        (Y * 2 - 1, Y_TEST * 2 - 1, "labels run from -1 to 5; expected 0 to 5; .* pass y.astype\\(str\\)"),
        (np.eye(4)[Y] * 0.9, np.eye(4)[Y_TEST], r"shape \(24, 4\) and row 0 \(0.9, 0, 0, 0\) is not one-hot"),
        (np.ones((N, 8)), np.ones((M, 8)), "pass y\\[:, 0\\]"),
        (np.eye(4)[Y], np.eye(5)[Y_TEST], r"\(24, 4\) and \(12, 5\); expected the same form"),
        (np.eye(4)[Y], Y_TEST, "expected the same form"),
        (Y, Y_TEST.astype(str), "training labels are numbers, such as 0, test labels names, such as 0"),
        (np.zeros((N, 2, 2)), Y_TEST, "shape \\(24, 2, 2\\); expected one label per example"),
        (Y + 1j, Y_TEST, "expected whole numbers or names"),
        (Y.astype(str), np.array(["9"] * M), "test label '9' does not occur in the training set"),
    ],
)
def test_labels_that_mean_nothing_are_refused_with_their_row(y: Any, y_test: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(y, y_test)


def test_one_class_alone_is_refused_for_training_and_not_for_looking() -> None:
    data = read(np.ones(N, int), np.ones(M, int))
    assert data.classes == ("1",)
    with pytest.raises(DataError, match="all training examples are of class '1'; expected two classes or more"):
        prepare(data, Preparation("unit", "float32"))


def sorted_set() -> Dataset:
    y = np.repeat(np.arange(10), 20)
    x = stream(7, "sorted").uniform(200 * 4).reshape(200, 4)
    return from_arrays(x, y, x[:50] + 0.01, np.arange(50) % 10)


def test_the_first_examples_of_a_set_sorted_by_class_lack_classes_and_say_so() -> None:
    data = sorted_set()
    assert any(note.startswith("the training examples are sorted by class") for note in data.notes)
    assert not any("hold" in note for note in prepare(data, Preparation("unit", "float32")).notes)
    few = prepare(data, Preparation("unit", "float32", train=45, validation=20))
    assert any(note.startswith("the 45 training examples used hold 3 of 10 classes (0, 1, 2)") for note in few.notes)
    with pytest.raises(DataError, match=r"first 20 training examples .* all of class '0'.* the first 181 hold every"):
        split(data, train=20, validation=0)


def test_a_class_that_a_set_misses_is_named() -> None:
    data = read(Y, np.where(Y_TEST == 3, 2, Y_TEST))
    assert "class 3 has no test example, so no test accuracy" in data.notes
    rows, drawn = split(data, train=None, validation=2)
    notes = prepare(data, Preparation("unit", "float32", validation=2)).notes
    absent = sorted(set(Y[rows]) - set(Y[drawn]))
    assert f"classes {', '.join(map(str, absent))} have no validation example" in notes


def test_imbalance_is_stated_with_the_accuracy_of_one_answer() -> None:
    y, y_test = np.array([0] * 21 + [1] * 3), np.array([0] * 9 + [1] * 3)
    notes = prepare(read(y, y_test), Preparation("unit", "float32")).notes
    assert (
        "the classes are imbalanced: 21 training examples of '0', 3 of '1'; the answer '0' alone reaches a test "
        "accuracy of 75.0 %"
    ) in notes
    assert not any("imbalanced" in note for note in prepare(read(Y, Y_TEST), Preparation("unit", "float32")).notes)


def test_test_examples_that_are_training_examples_are_counted() -> None:
    x_test, y_test = X_TEST.copy(), Y_TEST.copy()
    x_test[4], x_test[9] = X[0], X[11]
    y_test[4], y_test[9] = Y[0], (Y[11] + 1) % 4
    data = from_arrays(X, Y, x_test, y_test)
    assert (
        "2 of 12 test examples (16.7 %) equal a training example, 1 of them with another label: test 4 is training 0; "
        "the test accuracy counts them"
    ) in data.notes
