"""Learning-rate schedules: factors on the optimizer's rate, computed in float64 outside the engines.

The iteration count t starts at 1, and the factor is 1 at the first iteration after the warm-up. Horizons are explicit
numbers of iterations and never default to the budget, so that a longer budget continues the same training.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.parts.part import Count, Fraction, Part, Ratio, WholeNumber, table_of

Numbers = NDArray[np.float64]


class Schedule(Part):
    """A schedule, after a linear warm-up (t / warm_up) of `warm_up` iterations."""

    warm_up: WholeNumber = 0

    def factors(self, first: int, count: int) -> Numbers:
        """The factors of iterations first ... first + count - 1, (count,)."""
        t = np.arange(first, first + count, dtype=np.float64)
        after_warm_up = self.decay(np.maximum(t - 1 - self.warm_up, 0.0))
        return np.minimum(t / self.warm_up, 1.0) * after_warm_up if self.warm_up else after_warm_up

    def decay(self, s: Numbers) -> Numbers:
        """The factor s iterations after the warm-up, s from 0."""
        raise NotImplementedError


class Constant(Schedule):
    """A constant rate (with `warm_up`: a linear warm-up, then constant)."""

    name: Literal["constant"] = "constant"

    def decay(self, s: Numbers) -> Numbers:
        return np.ones_like(s)


class Step(Schedule):
    """factor ** floor(s / every): the rate falls by `factor` every `every` iterations, torch's StepLR."""

    name: Literal["step"] = "step"
    every: Count
    factor: Ratio = 0.1

    def decay(self, s: Numbers) -> Numbers:
        return self.factor ** np.floor(s / self.every)


class Exponential(Schedule):
    """factor ** (s / every): a smooth decay by `factor` over `every` iterations, torch's ExponentialLR."""

    name: Literal["exponential"] = "exponential"
    every: Count
    factor: Ratio = 0.1

    def decay(self, s: Numbers) -> Numbers:
        return self.factor ** (s / self.every)


class Cosine(Schedule):
    """final + (1 - final) (1 + cos(pi s / horizon)) / 2, then `final` (Loshchilov and Hutter, "SGDR", 2016)."""

    name: Literal["cosine"] = "cosine"
    horizon: Count
    final: Fraction = 0.0

    def decay(self, s: Numbers) -> Numbers:
        return self.final + (1 - self.final) * 0.5 * (1 + np.cos(np.pi * np.minimum(s / self.horizon, 1.0)))


class Linear(Schedule):
    """1 + (final - 1) s / horizon, then `final`: a linear decay."""

    name: Literal["linear"] = "linear"
    horizon: Count
    final: Fraction = 0.0

    def decay(self, s: Numbers) -> Numbers:
        return 1 + (self.final - 1) * np.minimum(s / self.horizon, 1.0)


SCHEDULES = table_of(Constant, Step, Exponential, Cosine, Linear)
