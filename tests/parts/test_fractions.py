"""A number is a fraction or has a percent sign; it is never divided in silence."""

from __future__ import annotations

import pytest

from assay.errors import AssayError
from assay.parts.fractions import fraction


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.9, 0.9), (1, 1.0), (0, 0.0), ("0.9", 0.9), ("90%", 0.9), ("97.3 %", 0.973), ("0.5%", 0.005), ("9e-1", 0.9)],
)
def test_a_fraction_or_a_percentage(value: str | float, expected: float) -> None:
    assert fraction(value) == expected


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (90, "got 90; expected a fraction between 0 and 1: 0.9 is 90 %"),
        ("97.5", "0.975 is 97.5 %"),
        (1.5, "0.015 is 1.5 %"),
        (101, "got 101; expected a fraction between 0 and 1, such as 0.9"),
        ("101 %", "got 101 %; expected a fraction"),
        (-0.1, "got -0.1; expected a fraction"),
        (float("nan"), "got nan; expected a fraction"),
        ("high", "got 'high'; expected a number between 0 and 1"),
        ("%", "expected a number between 0 and 1"),
    ],
)
def test_everything_else_is_refused_with_the_fraction_to_write(value: str | float, sentence: str) -> None:
    with pytest.raises(AssayError) as caught:
        fraction(value)
    assert sentence in str(caught.value)
