from __future__ import annotations

import pandas
import pytest

from assay.errors import AssayError
from assay.serve.filters import selected
from assay.serve.views import View

TABLE = pandas.DataFrame(
    {
        "configuration": ["Adam, 0.1", "descent, 0.1", "my adam, 0.01"],
        "optimizer": ["adam", "descent", "my adam"],
        "rate": [0.1, 0.1, 0.01],
        "hidden": [[16], [32], 16],
        "axis.timing": ["a", "b", "a"],
        "n": [3, 3, 2],
        "accuracy": [0.98, 0.97, float("nan")],
    }
)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", "012"),
        ("  ", "012"),
        ("optimizer=adam", "0"),
        ('optimizer="my adam"', "2"),
        ("optimizer!=adam", "12"),
        ("adam", "02"),
        ('"adam, 0.01"', "2"),
        ("accuracy>0.97", "0"),
        ("accuracy >= 0.97", "01"),
        ("accuracy>97%", "0"),
        ("accuracy<1", "01"),  # what is missing passes no condition
        ("rate=1e-1", "01"),
        ("rate=0.1 accuracy<0.98", "1"),
        ("hidden=[16]", "0"),
        ("hidden=16", "2"),
        ("timing=b", "1"),
        ("n<3", "2"),
    ],
)
def test_a_query_selects_rows(query: str, rows: str) -> None:
    assert "".join(str(i) for i in range(3) if selected(query, TABLE)[i]) == rows


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("optimiser=adam", "unknown column 'optimiser'; did you mean 'optimizer'?"),
        ("n>three", "got 'three'; expected a number"),
        ("n=nan", "expected a number"),
        ("optimizer>adam", "optimizer has no order"),
        ("accuracy>", "cannot read"),
        ("=3", "cannot read"),
        ('"open', "cannot read"),
        ("a" * 3000, "3,000 letters"),
    ],
)
def test_a_wrong_query_is_a_sentence(query: str, sentence: str) -> None:
    with pytest.raises(AssayError, match=sentence.replace("?", r"\?")):
        selected(query, TABLE)


def test_the_end_of_several_columns_is_a_question() -> None:
    table = TABLE.assign(**{"axis.a.size": [1, 2, 3], "axis.b.size": [1, 2, 3]})
    with pytest.raises(AssayError, match=r"'size' is the end of several columns; expected one of axis\.a\.size, axis"):
        selected("size=1", table)


def test_a_truth_value_is_compared_as_a_filter_of_the_store_does() -> None:
    table = pandas.DataFrame({"configuration": ["a", "b", "c"], "flag": [True, False, None]})
    assert selected("flag=True", table).tolist() == [True, False, False]
    assert selected("flag=0", table).tolist() == [False, True, False]


def test_a_view_is_its_address() -> None:
    view = View(q='a="b c" d>1', x="seconds", log="xy", smooth=5, seeds=1, start=0.5, rows="trials", page=3)
    import urllib.parse

    assert View.of(dict(urllib.parse.parse_qsl(view.query()[1:]))) == view
    ends = View(start=1_234_567.0, stop=1_234_567.25)  # six digits would be another view
    assert View.of(dict(urllib.parse.parse_qsl(ends.query()[1:]))) == ends
    assert View().query() == ""
    assert View().curves == {}
