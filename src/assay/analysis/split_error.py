"""What seeds do not show: the error of an accuracy that comes from the choice of the test examples."""

from __future__ import annotations

import math

FEW_EXAMPLES = 2_000
"""Test examples, below which a verdict over seeds states the error of its test set."""


def standard_error(accuracy: float, examples: int) -> float:
    """The standard error of an accuracy measured on that many examples: sqrt(p (1 - p) / n).

    It is that of another test set of the same size from the same source, for one trained network.

    >>> round(standard_error(0.96, 360), 4)
    0.0103
    """
    return math.sqrt(accuracy * (1 - accuracy) / examples)


def split_sentence(accuracy: float, examples: int) -> str:
    """What a verdict over seeds leaves out, on a test set of few examples; "" on a larger one.

    Args:
        accuracy: The test accuracy, a fraction.
        examples: The number of test examples.

    >>> split_sentence(0.96, 360).partition(":")[0]
    'on this split, whose test set has 360 examples'
    >>> split_sentence(0.96, 10_000)
    ''
    """
    if not 0 < examples < FEW_EXAMPLES:
        return ""
    points = 100 * standard_error(accuracy, examples)
    error = f"has a standard error of {points:.2g} points from the choice of these examples"
    if accuracy in (0.0, 1.0):
        error = (
            f"may be up to {300 / examples:.2g} points off by the choice of these examples (95 %)"  # the rule of three
        )
    return (
        f"on this split, whose test set has {examples:,} examples: an accuracy of {100 * accuracy:.2f} % {error}; "
        "seeds do not show it, and other test examples may order the configurations otherwise"
    )
