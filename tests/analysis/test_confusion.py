"""The scores of confusion matrices are scikit-learn's, and trials without a matrix are never ranked silently."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from assay.analysis.confusion import ClassScores, columns, plain, stored
from assay.analysis.pareto import front
from assay.analysis.quantities import MACRO_SCORES, MEASURES, class_measure, is_of_confusion
from assay.analysis.seeds import counted
from assay.analysis.verdicts import pairwise
from assay.errors import AssayError


@given(st.integers(2, 5), st.data())
def test_scores_are_those_of_scikit_learn(classes: int, data: st.DataObject) -> None:
    label = st.integers(0, classes - 1)
    pairs = data.draw(st.lists(st.tuples(label, label), min_size=1, max_size=30))
    true, predicted = np.array(pairs).T
    matrix = np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)
    scores = ClassScores.of(matrix)
    occurring = np.unique(pairs)
    for average in (None, "macro"):
        expected = precision_recall_fscore_support(true, predicted, average=average, zero_division=0)
        if average is None:
            for one, reference in zip(
                (scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True
            ):
                np.testing.assert_allclose(one[occurring], reference, atol=1e-12)
            absent = np.setdiff1d(np.arange(classes), occurring)
            assert np.isnan(scores.f1[absent]).all() and np.isnan(scores.precision[absent]).all()
        else:
            macro = scores.macro()
            got = (macro["macro_precision"], macro["macro_recall"], macro["macro_f1"])
            np.testing.assert_allclose(got, expected[:3], atol=1e-12)
    with warnings.catch_warnings():  # of predicted classes that are not among the true ones
        warnings.simplefilter("ignore")
        assert scores.macro()["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, predicted))


def test_the_known_case_of_an_unbalanced_test_set() -> None:
    always = [[90, 0], [10, 0]]  # always the frequent class: accuracy 90 %, balanced accuracy 50 %
    table = plain(always, ["healthy", "ill"])
    assert table["balanced_accuracy"] == table["macro_recall"] == 0.5
    assert table["macro_precision"] == 0.45
    assert table["per_class"][1] == {"class": "ill", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 10}
    assert plain([[1, 0, 0], [0, 1, 0], [0, 0, 0]], ["a", "b", "c"])["per_class"][2]["f1"] is None
    empty = plain(np.zeros((2, 2), int), ["a", "b"])
    assert all(empty[name] is None for name in MACRO_SCORES)


def test_columns_of_trials_are_those_of_each_one_alone() -> None:
    matrices = {"x": ([[2, 1], [0, 1]], ["cat", "dog"]), "y": ([[1]], ["one"]), "z": ([[0, 3], [4, 1]], ["cat", "dog"])}
    together = columns(matrices)
    assert set(together["y"]) == {*MACRO_SCORES, "majority", "precision:one", "recall:one", "f1:one"}
    assert [together[name]["majority"] for name in "xyz"] == [3 / 4, 1.0, 5 / 8]
    for trial, (matrix, classes) in matrices.items():
        alone = plain(matrix, classes)
        assert {name: together[trial][name] for name in MACRO_SCORES} == {name: alone[name] for name in MACRO_SCORES}
        for entry in alone["per_class"]:
            assert together[trial][class_measure("f1", entry["class"])] == entry["f1"]
    many = columns({"x": (np.eye(101, dtype=int), [str(n) for n in range(101)])})
    assert set(many["x"]) == {*MACRO_SCORES, "majority"}


def test_a_matrix_that_is_not_one_of_the_classes_is_no_matrix() -> None:
    for text in (None, "[[1,2]]", "[[1]]", "[]", "[[1,2],[3]]", "[[9223372036854775807,1],[1,1]]"):
        assert stored(text, ["a", "b"]) is None
    assert stored("[[1,2],[3,4]]", ["a", "b"]).tolist() == [[1, 2], [3, 4]]


def test_a_score_of_any_class_is_a_measure_and_of_no_other_word() -> None:
    for name in ("recall:7", "f1:a cat", "precision:x:y", *MACRO_SCORES):
        assert name in MEASURES and MEASURES[name].higher_is_better and is_of_confusion(name)
    assert MEASURES["recall:7"].text(0.5) == "50.00 %" and MEASURES["recall:7"].label == "recall of class 7"
    for name in ("recall:", "recall", "loss:7", "", 7):
        assert name not in MEASURES
    with pytest.raises(KeyError):
        MEASURES["recall"]
    assert not is_of_confusion("accuracy")


def trials(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    frame = pd.DataFrame({"outcome": ["completed"] * n, "classes": 10, "data": "digits", "seconds": 1.0} | columns)
    return frame.assign(timing="isolated", machine="m", threads=1)


def test_trials_that_did_not_finish_count_as_guesses_and_those_without_a_matrix_not_at_all() -> None:
    frame = trials(outcome=["completed", "diverged", "completed"], macro_f1=[0.8, None, None])
    frame = frame.assign(balanced_accuracy=frame["macro_f1"], **{"recall:3": frame["macro_f1"]})
    np.testing.assert_equal(counted(frame, "balanced_accuracy"), [0.8, 0.1, np.nan])  # a constant answer has 1 / 10
    np.testing.assert_equal(counted(frame, "macro_f1"), [0.8, 0.0, np.nan])
    np.testing.assert_equal(counted(frame, "recall:3"), [0.8, 0.0, np.nan])
    with pytest.raises(AssayError, match="recall:4"):
        counted(frame, "recall:4")


def test_studies_are_ranked_by_them_and_name_the_trials_without_a_matrix() -> None:
    frame = trials(
        configuration=["a"] * 3 + ["b"] * 3,
        repeat=[0, 1, 2] * 2,
        macro_f1=[0.91, 0.92, 0.93, 0.71, 0.72, None],
    )
    (row,) = pairwise(frame, measure="macro_f1").to_dict("records")
    assert row["n"] == 2 and row["difference"] == pytest.approx(0.2)
    assert "1 without a number of 3 seeds of b" in row["sentence"]
    best = front(frame, gain="macro_f1")
    assert best.loc[best["configuration"] == "a", "front"].item()
    assert best.loc[best["configuration"] == "b", "macro_f1"].item() == pytest.approx(0.715)
    assert best.loc[best["configuration"] == "b", "missing"].item() == 1
