"""The one rule for numbers that are fractions and that people also write in percent."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from assay.errors import AssayError


def fraction(value: str | float) -> float:
    """A number in [0, 1]. A percent sign binds; a number above 1 without one is refused, never divided in silence.

    >>> fraction(0.97), fraction("97 %"), fraction("97.3%"), fraction("1e-2")
    (0.97, 0.97, 0.973, 0.01)

    Raises:
        AssayError: With the fraction to write.
    """
    text = str(value).strip()
    number = text.removesuffix("%").strip()
    try:
        amount = Decimal(number)
    except InvalidOperation:
        raise AssayError(f"got {value!r}; expected a number between 0 and 1, such as 0.9") from None
    if not amount.is_finite():
        raise AssayError(f"got {number}; expected a fraction between 0 and 1, such as 0.9")
    if number != text:
        amount /= 100
    if 0 <= amount <= 1:
        return float(amount)
    if number == text and 1 < amount <= 100:
        raise AssayError(f"got {number}; expected a fraction between 0 and 1: {_plain(amount / 100)} is {number} %")
    raise AssayError(f"got {text}; expected a fraction between 0 and 1, such as 0.9")


def _plain(amount: Decimal) -> str:
    return f"{float(amount):g}"
