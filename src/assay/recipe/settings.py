"""The plain tables of a recipe: data, regularisation, budget, stopping rules, log points."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import (
    field_validator,
    model_validator,
)

from assay.parts.part import Count, NonNegative, Part, Positive, Ratio, WholeNumber


class Data(Part):
    """The data set by name or path; `train = n` takes the first n examples, `validation = m` draws m others."""

    name: str = "digits"
    train: Count | None = None
    validation: WholeNumber = 0


class Regularisation(Part):
    """L1 and L2 penalties of the loss that is minimised: l1 sum |w| + l2 / 2 sum w**2; l2 is torch's weight_decay.

    Biases are penalised only with `biases`. Logged losses do not include the penalties.
    """

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    biases: bool = False


class Budget(Part):
    """How long to train, either in iterations or in epochs."""

    iterations: WholeNumber | None = None
    epochs: Positive | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Budget:
        if (self.iterations is None) == (self.epochs is None):
            got = "neither" if self.iterations is None else "both"
            raise ValueError(f"give either iterations or epochs; got {got}")
        return self


class Stop(Part):
    """Rules that stop a trial before its budget; they use the validation set if there is one, else the test set.

    `accuracy`: stop once it is reached. `seconds`: of training time. `patience`: log points without a lower loss.
    """

    accuracy: Ratio | None = None
    seconds: Positive | None = None
    patience: Count | None = None


_EVERY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(iterations?|epochs?|s|seconds?)\s*")


Interval = tuple[float, Literal["iterations", "epochs", "seconds", "geometric"]]


def _interval(every: int | str) -> Interval:
    if isinstance(every, int):
        return every, "iterations"
    if every == "geometric":
        return 10, "geometric"
    match = _EVERY.fullmatch(every)
    number = float(match[1]) if match else 0.0
    if not match or number == 0:
        raise ValueError(f"got {every!r}; expected a number of iterations, 'n epochs', 'n s' or 'geometric'")
    unit = match[2][0]
    if unit == "i" and number != int(number):
        raise ValueError(f"got {every!r}; expected a whole number of iterations")
    return number, "iterations" if unit == "i" else "epochs" if unit == "e" else "seconds"


class Log(Part):
    """The log points of the curve, and the examples on which the training loss is measured.

    `every`: n or "n iterations", "n epochs", "n s" of training time, "geometric" (ten points per decade).
    `train_loss`: "full" (all training examples), a number (the first n of them), or "batch" (that iteration's batch).
    """

    every: Count | str = "geometric"
    train_loss: Literal["full", "batch"] | Count = "full"

    @field_validator("every")
    @classmethod
    def _valid_interval(cls, every: int | str) -> int | str:
        _interval(every)
        return every

    def interval(self) -> Interval:
        """The distance between two log points and its unit; for "geometric" the number of points per decade."""
        return _interval(self.every)
