"""Percentages with few digits are written out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report.text import short_percent


@given(st.floats(0, 1), st.integers(1, 4))
def test_a_percentage_has_no_exponent_and_is_the_fraction_to_its_digits(fraction: float, digits: int) -> None:
    text = short_percent(fraction, digits)
    assert re.fullmatch(r"\d+(\.\d+)? %", text)
    assert float(text.removesuffix(" %")) == pytest.approx(100 * fraction, rel=0.51 * 10 ** (1 - digits), abs=1e-300)
