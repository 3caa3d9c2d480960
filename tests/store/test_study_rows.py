"""The rows of a study as columns give back every value that was put in, of its own type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.analysis.confusion import scored
from assay.store.confusions import confusion_matrices, together
from assay.store.study_rows import Numbers, StudyRows, Texts


def of(column: Any, *portions: list[Any]) -> list[Any]:
    for portion in portions:
        column.extend(portion)
    return list(column)


@pytest.mark.parametrize(
    ("kind", "portions"),
    [
        (int, [[1, 2], [3]]),
        (int, [[1, None], [None, 0]]),
        (int, [[1, 2], [None, 3]]),
        (int, [[2**63], [1]]),
        (int, [[1, None], [2.5, "x"]]),
        (int, [[True, 1]]),
        (float, [[0.1, float("inf")], [None]]),
        (float, [[None], [None, None]]),
        (float, [[0.5], [1]]),
    ],
)
def test_numbers_stay_as_they_are(kind: type, portions: list[list[Any]]) -> None:
    column, expected = Numbers(kind), [value for portion in portions for value in portion]
    made = of(column, *portions)
    assert made == expected and list(map(type, made)) == list(map(type, expected))
    assert [column[place] for place in range(len(column))] == expected and column[-1] == expected[-1]
    assert column[1:] == expected[1:]


@pytest.mark.parametrize("odd", [None, "", "ä", "\x00", "\x01", "\ud800", 5, b"x"])
def test_texts_stay_as_they_are(odd: Any) -> None:
    cells = [odd if number % 100 == 7 else f"text {number}" for number in range(600)]
    column = Texts()
    assert of(column, cells[:250], cells[250:]) == cells
    assert [column[0], column[599], column[-1], column[7]] == [cells[0], cells[599], cells[-1], odd]
    assert column[250:260] == cells[250:260]
    with pytest.raises(IndexError):
        _ = column[600]


def test_others_follow_the_rows_of_a_study() -> None:
    rows = StudyRows({"trial": ["a", "b"], "seed": [1, 2]}, 2, [{"trial": "log"}])
    assert [row["trial"] for row in rows] == ["a", "b", "log"] and rows[-1]["trial"] == "log" and len(rows) == 3
    assert rows.cells("seed") == [1, 2, None] and [row["trial"] for row in rows[1:]] == ["b", "log"]
    assert [row["trial"] for row in reversed(rows)] == ["log", "b", "a"]


@pytest.mark.parametrize(
    "damaged", ["[[1,2],[3]]", "[[1,2]]", "[[1,-2],[3,4]]", "[[1,2.0],[3,4]]", "[[1,true],[3,4]]", "nonsense", "{}"]
)
def test_a_damaged_matrix_hides_no_other(damaged: str, caplog: pytest.LogCaptureFixture) -> None:
    sound, names = "[[1,2],[3,4]]", '["a","b"]'
    cells = [("one", sound, names), ("two", damaged, names), ("three", sound, names), ("none", None, names)]
    assert together([sound, damaged], 2) is None
    made = confusion_matrices(cells)
    assert list(made) == ["one", "three"] and made["one"][0].tolist() == [[1, 2], [3, 4]]
    assert np.isclose(scored(made)[0][1]["balanced_accuracy"], (1 / 3 + 4 / 7) / 2).all()


def test_texts_that_are_matrices_only_together_are_none() -> None:
    first, second = "[[1]],[[2", "[[3]]"
    assert together([first, second], 1) is None
    assert together(["[[1]],[[2]]", "[[3]]"], 1) is None
