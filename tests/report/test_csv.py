"""CSV that spreadsheets open: no label is a formula, no name steers the terminal, and reading back gives the label."""

from __future__ import annotations

import csv
import io
import os
import struct

import numpy as np
import pandas
from hypothesis import given
from hypothesis import strategies as st

from assay.report.text import csv_cell, float_texts, frame_csv, from_csv_cell

labels = st.text(alphabet=st.sampled_from("='-@+ab1 ,\"é"), max_size=8)


@given(labels)
def test_a_label_comes_back_and_is_no_formula(label: str) -> None:
    cell = csv_cell(label)
    assert from_csv_cell(cell) == label
    assert cell[:1] not in ("=", "+", "-", "@")


def test_a_frame_keeps_its_numbers_and_quotes_its_texts() -> None:
    frame = pandas.DataFrame({"=label": ["=HYPERLINK(1)", "a\x1b[2Jb"], "difference": [-0.5, float("nan")]})
    text = frame_csv(frame)
    assert text == "'=label,difference\n'=HYPERLINK(1),-0.5\na\N{REPLACEMENT CHARACTER}[2Jb,\n"
    assert pandas.read_csv(io.StringIO(text))["difference"][0] == -0.5


@given(
    st.lists(
        st.one_of(st.floats(), st.integers(0, 2**64 - 1).map(lambda n: struct.unpack("<d", struct.pack("<Q", n))[0]))
    )
)
def test_numbers_are_written_as_repr_writes_them(values: list[float]) -> None:
    edges = [9.999999999999999e-05, 0.0001, 9999999999999998.0, 1e16, -0.0, 5e-324]
    values = values + edges
    assert float_texts(np.array(values)) == ["" if value != value else repr(value) for value in values]


def test_a_frame_is_written_as_pandas_writes_it() -> None:
    frame = pandas.DataFrame(
        {
            "text": ['say "a, b"', None, "two lines", ""],
            "number": [0.1, float("inf"), float("nan"), 1e-7],
            "count": [1, 2, 3, -4],
            "flag": [True, False, True, True],
            "mixed": pandas.Series([True, None, 0.5, "b"], dtype=object),
            "rank": pandas.Series([1, None, 2, 3], dtype="Int64"),
        }
    )
    assert frame_csv(frame) == frame.to_csv(index=False)
    assert frame_csv(frame, header=False) == frame.to_csv(index=False, header=False)
    assert frame_csv(frame.iloc[:0]) == "text,number,count,flag,mixed,rank\n"
    alone = frame[["text"]]
    assert frame_csv(alone) == alone.to_csv(index=False)  # an empty line would be no row
    twice = pandas.DataFrame([[0.5, "=a"]], columns=["x", "x"])
    assert frame_csv(twice) == "x,x\n0.5,'=a\n"


@given(st.lists(st.tuples(st.text(alphabet=st.sampled_from("a ,\"'é;\t")), st.integers(-(10**12), 10**12)), min_size=1))
def test_fields_are_quoted_as_the_csv_module_quotes_them(rows: list[tuple[str, int]]) -> None:
    frame = pandas.DataFrame(rows, columns=["a, b", 'c"'])
    content = io.StringIO()
    csv.writer(content, lineterminator=os.linesep).writerows([["a, b", 'c"'], *((csv_cell(a), c) for a, c in rows)])
    assert frame_csv(frame) == content.getvalue()
