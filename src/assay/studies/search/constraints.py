"""Constraints of a search: what a configuration may cost, known before its training or measured by it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from assay.errors import unknown

QUANTITIES: Mapping[str, str] = {
    "parameters": "weights and biases of the network",
    "flops": "operations of the training",
    "seconds": "seconds of training, known when it has ended",
}
"""What a constraint is on."""
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True)
class Constraint:
    """A condition on a quantity of a trial."""

    quantity: str
    operation: str
    bound: float

    @property
    def is_measured(self) -> bool:
        """Whether only the training shows if it holds."""
        return self.quantity == "seconds"

    def holds(self, value: float) -> bool:
        """Whether a value satisfies the condition.

        >>> Constraint("parameters", "<=", 50_000).holds(50_000)
        True
        """
        return _OPERATORS[self.operation](value, self.bound)

    def __str__(self) -> str:
        return f"{self.quantity} {self.operation} {self.bound:,.10g}"


def constraint(text: str) -> tuple[Constraint | None, str]:
    """Parses a constraint; returns it, or None and why it is none.

    >>> constraint("parameters <= 50_000")
    (Constraint(quantity='parameters', operation='<=', bound=50000.0), '')
    >>> constraint("params <= 9")[1]
    "constraint 'params <= 9': unknown quantity 'params'; did you mean 'parameters'? Known: parameters, flops, seconds"
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None, f"constraint {text!r}: expected QUANTITY <= NUMBER, such as 'parameters <= 50_000'"
    name, operation, number = match.groups()
    if name not in QUANTITIES:
        return None, f"constraint {text!r}: {unknown('quantity', name, QUANTITIES)}"
    return Constraint(name, operation, float(number)), ""


def constraints_of(texts: tuple[str, ...]) -> tuple[Constraint, ...]:
    """The constraints of checked texts."""
    parsed = [constraint(text)[0] for text in texts]
    return tuple(one for one in parsed if one is not None)
