"""Learning-rate schedules: factors on the optimizer's rate, computed in float64 outside the engines.

The iteration count t starts at 1, and the factor is 1 at the first iteration after the warm-up. Lengths are whole
numbers of iterations, or texts such as "5 epochs", which `resolved` turns into iterations; factors need them in
iterations. A horizon that is not given is the rest of the budget after the warm-up: `with_horizon` writes it down as a
number before a training is planned, so that it is part of the training's key and never changes with a longer budget.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from assay.parts.durations import Length, LengthOrNone, in_iterations, iterations
from assay.parts.part import Fraction, Part, Ratio, table_of

Numbers = NDArray[np.float64]


class Schedule(Part):
    """A schedule, after a linear warm-up (t / warm_up) of `warm_up` iterations.

    Attributes:
        warm_up: Length of the linear warm-up; 0 for none.
    """

    warm_up: LengthOrNone = 0

    def factors(self, first: int, count: int) -> Numbers:
        """The factors of iterations first ... first + count - 1, (count,)."""
        t, warm_up = np.arange(first, first + count, dtype=np.float64), iterations(self.warm_up)
        after_warm_up = self.decay(np.maximum(t - 1 - warm_up, 0.0))
        return np.minimum(t / warm_up, 1.0) * after_warm_up if warm_up else after_warm_up

    def rates(self, learning_rate: float, first: int, count: int) -> Numbers:
        """The learning rates of iterations first ... first + count - 1, (count,), from the optimizer's rate."""
        return learning_rate * self.factors(first, count)

    def resolved(self, per_epoch: float) -> Self:
        """This schedule with every length in iterations, for the number of iterations `per_epoch`."""
        lengths = {name: value for name, value in self.settings().items() if isinstance(value, str)}
        least = {"warm_up": 0}
        changes = {name: in_iterations(value, per_epoch, least=least.get(name, 1)) for name, value in lengths.items()}
        return self.model_copy(update=changes) if changes else self

    def with_horizon(self, budget: int) -> Self:
        """This resolved schedule with the horizon that it was not given, for a budget in iterations.

        The horizon counts as not given in `model_fields_set`.

        >>> Cosine(warm_up=100).with_horizon(1000).horizon
        900
        """
        if self.settings().get("horizon", 0) is not None:
            return self
        copy = self.model_copy(update={"horizon": max(budget - iterations(self.warm_up), 1)})
        copy.model_fields_set.discard("horizon")
        return copy

    def decay(self, s: Numbers) -> Numbers:
        """The factor s iterations after the warm-up, s from 0."""
        raise NotImplementedError


class Constant(Schedule):
    """A constant rate (with `warm_up`: a linear warm-up, then constant)."""

    name: Literal["constant"] = "constant"

    def decay(self, s: Numbers) -> Numbers:
        return np.ones_like(s)


class Step(Schedule):
    """factor ** floor(s / every): the rate falls by `factor` every `every` iterations, torch's StepLR.

    Attributes:
        every: Iterations between two falls of the rate.
        factor: The factor of each fall.
    """

    name: Literal["step"] = "step"
    every: Length = Field(examples=["10 epochs"])
    factor: Ratio = 0.1

    def decay(self, s: Numbers) -> Numbers:
        return self.factor ** np.floor(s / iterations(self.every))


class Exponential(Schedule):
    """factor ** (s / every): a smooth decay by `factor` over `every` iterations, torch's ExponentialLR.

    Attributes:
        every: Iterations in which the rate falls by `factor`.
        factor: The factor of each `every` iterations.
    """

    name: Literal["exponential"] = "exponential"
    every: Length = Field(examples=["10 epochs"])
    factor: Ratio = 0.1

    def decay(self, s: Numbers) -> Numbers:
        return self.factor ** (s / iterations(self.every))


class Cosine(Schedule):
    """final + (1 - final) (1 + cos(pi s / horizon)) / 2, then `final` (Loshchilov and Hutter, "SGDR", 2016).

    Attributes:
        horizon: Length of the decay.
        final: The factor on the rate from the horizon on.
    """

    name: Literal["cosine"] = "cosine"
    horizon: Annotated[Length | None, Field(examples=["30 epochs"])] = None
    final: Fraction = 0.0

    def decay(self, s: Numbers) -> Numbers:
        return self.final + (1 - self.final) * 0.5 * (1 + np.cos(np.pi * np.minimum(s / iterations(self.horizon), 1.0)))


class Linear(Schedule):
    """1 + (final - 1) s / horizon, then `final`: a linear decay.

    Attributes:
        horizon: Length of the decay.
        final: The factor on the rate from the horizon on.
    """

    name: Literal["linear"] = "linear"
    horizon: Annotated[Length | None, Field(examples=["30 epochs"])] = None
    final: Fraction = 0.0

    def decay(self, s: Numbers) -> Numbers:
        return 1 + (self.final - 1) * np.minimum(s / iterations(self.horizon), 1.0)


SCHEDULES = table_of(Constant, Step, Exponential, Cosine, Linear)
