"""CSV that spreadsheets open: no label is a formula, no name steers the terminal, and reading back gives the label."""

from __future__ import annotations

import io

import pandas
from hypothesis import given
from hypothesis import strategies as st

from assay.report.text import csv_cell, frame_csv, from_csv_cell

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
