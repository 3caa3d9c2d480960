"""How numbers are written for people."""

from __future__ import annotations


def number(value: float | None) -> str:
    """A loss with four decimals, or in powers of ten where that shows nothing."""
    if value is None:
        return "-"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"


def percent(value: float | None) -> str:
    """An accuracy in percent."""
    return "-" if value is None else f"{value:.2%}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> duration(0.01), duration(0.52), duration(89), duration(95), duration(1720), duration(9720)
    ('0 s', '0.5 s', '89 s', '1.6 min', '29 min', '2.7 h')
    """
    units = (("h", 3600.0), ("min", 60.0))
    unit, size = next(((unit, size) for unit, size in units if seconds >= 1.5 * size), ("s", 1.0))
    amount = seconds / size
    return f"{amount:.0f} {unit}" if amount >= 9.95 or amount < 0.05 else f"{amount:.1f} {unit}"


__all__ = ["duration", "number", "percent"]
