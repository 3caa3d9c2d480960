"""Optimizers: settings, the state per weight, and one pure rule, in order of increasing complexity.

`rule(xp, w, g, slots, h) -> (step, slots)` works on arrays of any shape of the namespace `xp`; the engine subtracts the
step from the weights. `h` has the settings, `learning_rate` after the schedule, and the `factors` of the iteration
count t. torch.optim or optax defines each of them. A user optimizer is a subclass in another module (see
`user_optimizers`).

Two more entries are for the few that need them: `matrix_rule` steps whole matrices, and `shown` gives the weights to
evaluate where those that are trained are others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer

from assay.parts import newton_schulz
from assay.parts.activations import Array
from assay.parts.part import Fraction, NonNegative, Part, Positive, table_of

Slots = tuple[Array, ...]


class Optimizer(Part):
    """An optimizer: the number of state arrays per array of weights, and one pure step.

    Attributes:
        learning_rate: The rate, before the schedule's factor.
    """

    slots: ClassVar[int] = 0
    flops: ClassVar[int] = 0
    """Arithmetic operations per weight and iteration, the subtraction of the step included."""
    decays_weights: ClassVar[bool] = False
    """Whether the rule applies `weight_decay` itself, which is 0 for biases; else the engine does before the rule."""

    learning_rate: Positive

    @classmethod
    def is_user_defined(cls) -> bool:
        """Whether the class is a user's, and not one of the table."""
        return cls not in OPTIMIZERS.values()

    @classmethod
    def class_path(cls) -> str:
        """Where the class is defined: `module:Class`."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @property
    def entry(self) -> str:
        return self.class_path() if self.is_user_defined() else str(self.__dict__["name"])

    @model_serializer(mode="wrap")
    def _plain(self, listed: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.entry, **self.settings()} if self.is_user_defined() else listed(self)

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The quantities that depend only on the iteration counts t, (k,) each, in float64."""
        return {}

    def factors_of_rates(self, rates: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The quantities that depend on all learning rates so far, (n,) each, for the rates of iterations 1 ... n."""
        return {}

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        """The step to subtract from the weights, and the new state."""
        raise NotImplementedError

    @staticmethod
    def matrix_rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        """The rule of a matrix of weights (..., inputs, outputs), which needs it as a whole; `rule` steps the rest."""
        raise NotImplementedError

    @staticmethod
    def shown(w: Array, slots: Slots, h: Any) -> Array:
        """The weights to evaluate, predict with and save; `h` has the settings only."""
        return w

    @classmethod
    def has_matrix_rule(cls) -> bool:
        """Whether matrices have a rule of their own."""
        return cls.matrix_rule is not Optimizer.matrix_rule

    @classmethod
    def averages(cls) -> bool:
        """Whether the weights to evaluate are not those that are trained."""
        return cls.shown is not Optimizer.shown

    @classmethod
    def stored_slots(cls) -> int:
        """The arrays of a checkpoint per array of weights: the slots and, where others are evaluated, the weights that
        are trained."""
        return cls.slots + cls.averages()

    @classmethod
    def operations(cls, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Arithmetic operations of an iteration for the arrays of weights of these shapes."""
        return cls.flops * sum(math.prod(shape) for shape in shapes.values())


class Descent(Optimizer):
    """Plain gradient descent: w <- w - learning_rate g."""

    name: Literal["descent"] = "descent"
    learning_rate: Positive = 0.1
    flops: ClassVar[int] = 2

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        return h.learning_rate * g, ()


class Momentum(Optimizer):
    """Heavy ball: v <- momentum v + g, w <- w - learning_rate v (Polyak 1964, as torch.optim.SGD writes it).

    Attributes:
        momentum: The fraction of the previous step's direction that is kept.
    """

    name: Literal["momentum"] = "momentum"
    learning_rate: Positive = 0.01
    momentum: Fraction = 0.9
    slots: ClassVar[int] = 1
    flops: ClassVar[int] = 4

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        v = h.momentum * slots[0] + g
        return h.learning_rate * v, (v,)


class Nesterov(Optimizer):
    """Momentum that looks ahead: v <- momentum v + g, w <- w - learning_rate (g + momentum v) (Nesterov 1983).

    Attributes:
        momentum: The fraction of the previous step's direction that is kept.
    """

    name: Literal["nesterov"] = "nesterov"
    learning_rate: Positive = 0.01
    momentum: Fraction = 0.9
    slots: ClassVar[int] = 1
    flops: ClassVar[int] = 6

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        v = h.momentum * slots[0] + g
        return h.learning_rate * (g + h.momentum * v), (v,)


class Adagrad(Optimizer):
    """s <- s + g**2, w <- w - learning_rate g / (sqrt(s) + epsilon) (Duchi, Hazan, Singer 2011).

    Attributes:
        epsilon: Added to the root, against a division by zero.
    """

    name: Literal["adagrad"] = "adagrad"
    learning_rate: Positive = 0.01
    epsilon: Positive = 1e-10
    slots: ClassVar[int] = 1
    flops: ClassVar[int] = 7

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        s = slots[0] + g * g
        return h.learning_rate * g / (xp.sqrt(s) + h.epsilon), (s,)


class RMSprop(Optimizer):
    """s <- rho s + (1 - rho) g**2, w <- w - learning_rate g / (sqrt(s) + epsilon) (Hinton, lecture 6e, 2012).

    `rho`, torch's alpha, is stored as `decay`. It is not Keras's `decay`, which lowers the learning rate.

    Attributes:
        decay: The averaging constant of the squared gradients, written rho; torch's alpha. No decay of the rate.
        epsilon: Added to the root, against a division by zero.
    """

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: Positive = 0.01
    decay: Fraction = 0.99
    epsilon: Positive = 1e-8
    slots: ClassVar[int] = 1
    flops: ClassVar[int] = 9

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        s = h.decay * slots[0] + (1 - h.decay) * (g * g)
        return h.learning_rate * g / (xp.sqrt(s) + h.epsilon), (s,)


class Adadelta(Optimizer):
    """s <- rho s + (1 - rho) g**2, d = g sqrt(u + epsilon) / sqrt(s + epsilon), u <- rho u + (1 - rho) d**2,
    w <- w - learning_rate d (Zeiler 2012).

    `rho` is stored as `decay`.

    Attributes:
        decay: The averaging constant of both averages of squares, written rho.
        epsilon: Added under both roots; decides the size of the first steps.
    """

    name: Literal["adadelta"] = "adadelta"
    learning_rate: Positive = 1.0
    decay: Fraction = 0.9
    epsilon: Positive = 1e-6
    slots: ClassVar[int] = 2
    flops: ClassVar[int] = 16

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        s, u = slots
        s = h.decay * s + (1 - h.decay) * (g * g)
        d = xp.sqrt(u + h.epsilon) / xp.sqrt(s + h.epsilon) * g
        u = h.decay * u + (1 - h.decay) * (d * d)
        return h.learning_rate * d, (s, u)


class Adam(Optimizer):
    """m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g**2,
    w <- w - learning_rate (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon) (Kingma, Ba 2014).

    Attributes:
        beta1: The averaging constant of the gradients.
        beta2: The averaging constant of the squared gradients.
        epsilon: Added to the root, against a division by zero.
    """

    name: Literal["adam"] = "adam"
    learning_rate: Positive = 0.001
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8
    slots: ClassVar[int] = 2
    flops: ClassVar[int] = 14

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        # -expm1(t log(beta)) is 1 - beta**t without cancellation at small t and without a float32 power at large t
        with np.errstate(divide="ignore"):
            log1, log2 = np.log(self.beta1), np.log(self.beta2)
        return {"correction1": -np.expm1(t * log1), "correction2": -np.expm1(t * log2)}

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        m, v = slots
        m = h.beta1 * m + (1 - h.beta1) * g
        v = h.beta2 * v + (1 - h.beta2) * (g * g)
        return h.learning_rate / h.correction1 * m / (xp.sqrt(v / h.correction2) + h.epsilon), (m, v)


class AdamW(Adam):
    """Adam after w <- w - learning_rate weight_decay w, which the engine applies to weights but not to biases
    (Loshchilov, Hutter, "Decoupled weight decay regularization", 2017).

    Attributes:
        weight_decay: Factor of the decoupled decay of weights.
    """

    name: Literal["adamw"] = "adamw"  # pyright: ignore[reportIncompatibleVariableOverride]
    weight_decay: NonNegative = 0.01
    flops: ClassVar[int] = 16


class Lion(Optimizer):
    """w <- w - learning_rate sign(beta1 m + (1 - beta1) g), m <- beta2 m + (1 - beta2) g (Chen et al., "Symbolic
    discovery of optimization algorithms", 2023), after w <- w - learning_rate weight_decay w for weights, not biases.

    Attributes:
        beta1: The fraction of the average in the direction of the step.
        beta2: The averaging constant of the gradients.
        weight_decay: Factor of the decoupled decay of weights.
    """

    name: Literal["lion"] = "lion"
    learning_rate: Positive = 0.0001
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    weight_decay: NonNegative = 0.0
    slots: ClassVar[int] = 1
    flops: ClassVar[int] = 11

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        direction = h.beta1 * slots[0] + (1 - h.beta1) * g
        return h.learning_rate * xp.sign(direction), (h.beta2 * slots[0] + (1 - h.beta2) * g,)


class NAdam(Adam):
    """Adam that looks ahead, with m and v as there and mu(t) = beta1 (1 - 0.96**(t momentum_decay) / 2):
    w <- w - learning_rate (own g + next m) / (sqrt(v / (1 - beta2**t)) + epsilon), where, with P(t) = mu(1) ... mu(t),
    own = (1 - mu(t)) / (1 - P(t)) and next = mu(t + 1) / (1 - P(t + 1)) (Dozat 2016, as torch.optim.NAdam writes it).

    Attributes:
        momentum_decay: How fast mu grows towards beta1.
    """

    name: Literal["nadam"] = "nadam"  # pyright: ignore[reportIncompatibleVariableOverride]
    learning_rate: Positive = 0.002
    momentum_decay: NonNegative = 0.004
    flops: ClassVar[int] = 15

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        last = int(t.max(initial=1.0)) + 1
        mu, products = _momenta(self.beta1, self.momentum_decay, 1 << (last - 1).bit_length())
        now = t.astype(np.int64) - 1
        return {
            "correction2": super().factors(t)["correction2"],
            "own": (1 - mu[now]) / (1 - products[now]),
            "next": mu[now + 1] / (1 - products[now + 1]),
        }

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        m, v = slots
        m = h.beta1 * m + (1 - h.beta1) * g
        v = h.beta2 * v + (1 - h.beta2) * (g * g)
        ahead = h.own * g + h.next * m
        return h.learning_rate * ahead / (xp.sqrt(v / h.correction2) + h.epsilon), (m, v)


@cache
def _momenta(beta1: float, decay: float, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """mu(t) of NAdam for t = 1 ... count, and their running products."""
    mu = beta1 * (1 - 0.5 * 0.96 ** (np.arange(1, count + 1, dtype=np.float64) * decay))
    return mu, np.cumprod(mu, dtype=np.float64)


class RAdam(Adam):
    """Adam with the variance of v rectified, with m and v as there:
    w <- w - learning_rate m / (1 - beta1**t) (rectified / (sqrt(v) + epsilon) + plain).

    With rho = 2 / (1 - beta2) - 1 and r = rho - 2 t beta2**t / (1 - beta2**t): where r > 5, plain = 0 and rectified =
    sqrt((1 - beta2**t) (r - 4) (r - 2) rho / ((rho - 4) (rho - 2) r)); else plain = 1 and rectified = 0 (Liu et al.,
    "On the variance of the adaptive learning rate and beyond", 2019, as torch.optim.RAdam writes it).
    """

    name: Literal["radam"] = "radam"  # pyright: ignore[reportIncompatibleVariableOverride]
    flops: ClassVar[int] = 15

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        corrections = super().factors(t)
        correction2, limit = corrections["correction2"], 2 / (1 - self.beta2) - 1
        rho = limit - 2 * t * (1 - correction2) / correction2
        rectifies = rho > 5
        safe = np.where(rectifies, rho, 6.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (safe - 4) * (safe - 2) * limit / ((limit - 4) * (limit - 2) * safe)
        return {
            "correction1": corrections["correction1"],
            "rectified": np.where(rectifies, np.sqrt(np.where(rectifies, ratio, 0.0) * correction2), 0.0),
            "plain": np.where(rectifies, 0.0, 1.0),
        }

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        m, v = slots
        m = h.beta1 * m + (1 - h.beta1) * g
        v = h.beta2 * v + (1 - h.beta2) * (g * g)
        return h.learning_rate / h.correction1 * m * (h.rectified / (xp.sqrt(v) + h.epsilon) + h.plain), (m, v)


class Adan(Optimizer):
    """w <- w - learning_rate (m + (1 - beta2) v) / (sqrt(n) + epsilon), with averages m of g, v of d and n of
    (g + (1 - beta2) d)**2, each divided by 1 - beta**t, and d = g - (the gradient before), 0 at first (Xie et al.,
    "Adan: adaptive Nesterov momentum algorithm", 2022, with betas as optax.adan has them), after
    w <- w - learning_rate weight_decay w for weights, not biases.

    Attributes:
        beta1: The averaging constant of the gradients.
        beta2: The averaging constant of their differences.
        beta3: The averaging constant of the squares.
        epsilon: Added to the root, against a division by zero.
        weight_decay: Factor of the decoupled decay of weights.
    """

    name: Literal["adan"] = "adan"
    learning_rate: Positive = 0.001
    beta1: Fraction = 0.98
    beta2: Fraction = 0.92
    beta3: Fraction = 0.99
    epsilon: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    slots: ClassVar[int] = 4
    flops: ClassVar[int] = 27

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        with np.errstate(divide="ignore"):
            logs = {f"correction{i}": np.log(beta) for i, beta in enumerate((self.beta1, self.beta2, self.beta3), 1)}
        corrections = {name: -np.expm1(t * log) for name, log in logs.items()}
        return corrections | {"has_before": np.where(t > 1, 1.0, 0.0)}

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        m, v, n, before = slots
        d = h.has_before * (g - before)
        ahead = g + (1 - h.beta2) * d
        m = h.beta1 * m + (1 - h.beta1) * g
        v = h.beta2 * v + (1 - h.beta2) * d
        n = h.beta3 * n + (1 - h.beta3) * (ahead * ahead)
        direction = m / h.correction1 + (1 - h.beta2) / h.correction2 * v
        return h.learning_rate * direction / (xp.sqrt(n / h.correction3) + h.epsilon), (m, v, n, 1.0 * g)


class Muon(Optimizer):
    """For matrices: m <- momentum m + (1 - momentum) g, w <- w - learning_rate max(1, outputs / inputs)**0.5 O, where O
    is momentum m / (1 - momentum**(t + 1)) + (1 - momentum) g / (1 - momentum**t) with its singular values moved near 1
    by five Newton-Schulz steps (Jordan, "Muon", 2024, as optax.contrib.muon writes it).

    Biases, kernels and scales are stepped by Adam with that same look-ahead, with beta1 and beta2, at learning_rate
    adam_ratio, as optax does. Before either, w <- w - learning_rate weight_decay w for weights, not biases.

    Attributes:
        momentum: The averaging constant of the gradients of matrices.
        epsilon: Added to the norm of a matrix and to Adam's root, against a division by zero.
        weight_decay: Factor of the decoupled decay of weights.
        adam_ratio: Adam's learning rate, as a multiple of that of matrices.
        beta1: Adam's averaging constant of the gradients.
        beta2: Adam's averaging constant of the squared gradients.
    """

    name: Literal["muon"] = "muon"
    learning_rate: Positive = 0.02
    momentum: Fraction = 0.95
    epsilon: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    adam_ratio: Positive = 1.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    slots: ClassVar[int] = 2
    """Matrices leave the second one, of Adam's squares, at 0."""
    flops: ClassVar[int] = 19

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        with np.errstate(divide="ignore"):
            logs = {"momentum": np.log(self.momentum), "m": np.log(self.beta1), "v": np.log(self.beta2)}
        return {
            "momentum_correction": -np.expm1(t * logs["momentum"]),
            "momentum_ahead": -np.expm1((t + 1) * logs["momentum"]),
            "correction1": -np.expm1(t * logs["m"]),
            "ahead1": -np.expm1((t + 1) * logs["m"]),
            "correction2": -np.expm1(t * logs["v"]),
        }

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        m, v = slots
        m = h.beta1 * m + (1 - h.beta1) * g
        v = h.beta2 * v + (1 - h.beta2) * (g * g)
        ahead = h.beta1 / h.ahead1 * m + (1 - h.beta1) / h.correction1 * g
        return h.learning_rate * h.adam_ratio * ahead / (xp.sqrt(v / h.correction2) + h.epsilon), (m, v)

    @staticmethod
    def matrix_rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        m = h.momentum * slots[0] + (1 - h.momentum) * g
        ahead = h.momentum / h.momentum_ahead * m + (1 - h.momentum) / h.momentum_correction * g
        inputs, outputs = w.shape[-2:]
        scale = math.sqrt(max(1.0, outputs / inputs))
        return h.learning_rate * scale * newton_schulz.orthogonalised(xp, ahead, h.epsilon), (m, slots[1])

    @classmethod
    def operations(cls, shapes: Mapping[str, tuple[int, ...]]) -> int:
        matrices = {name: shape for name, shape in shapes.items() if name.endswith("weight") and len(shape) == 2}
        rest = {name: shape for name, shape in shapes.items() if name not in matrices}
        around = 10 * sum(math.prod(shape) for shape in matrices.values())  # the averages, the decay and the step
        return around + sum(map(newton_schulz.operations, matrices.values())) + super().operations(rest)


class ScheduleFreeSGD(Optimizer):
    """z <- z - learning_rate (g + weight_decay w), x <- (1 - c) x + c z, w = beta1 x + (1 - beta1) z; the average x is
    evaluated, predicted with and saved (Defazio et al., "The road less scheduled", 2024, as
    optax.contrib.schedule_free_sgd writes it).

    c is r**weight_power, of the largest learning rate r so far, over the sum of these. Biases do not decay. The slot is
    z - x, which is 0 at first.

    Attributes:
        beta1: How near to the average x the gradients are taken.
        weight_decay: Factor of the decay of weights.
        weight_power: How much less the average counts iterations at low rates, such as those of a warm-up.
    """

    name: Literal["schedule-free-sgd"] = "schedule-free-sgd"
    learning_rate: Positive = 1.0
    beta1: Fraction = 0.9
    weight_decay: NonNegative = 0.0
    weight_power: NonNegative = 2.0
    slots: ClassVar[int] = 1
    flops: ClassVar[int] = 9
    decays_weights: ClassVar[bool] = True

    def factors_of_rates(self, rates: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        weights = np.maximum.accumulate(rates) ** self.weight_power
        totals = np.cumsum(weights)
        return {"average": np.divide(weights, totals, out=np.zeros_like(totals), where=totals > 0)}

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        step, apart = _averaged(slots[0], g + h.weight_decay * w, h)
        return step, (apart,)

    @staticmethod
    def shown(w: Array, slots: Slots, h: Any) -> Array:
        return w - (1 - h.beta1) * slots[0]


def _averaged(apart: Array, u: Array, h: Any) -> tuple[Array, Array]:
    """The step of w and the new z - x, from z - x and the step u of z without its rate."""
    moved = apart - h.learning_rate * u
    return (1 - h.beta1) * apart - (1 - h.beta1 * (1 - h.average)) * moved, (1 - h.average) * moved


class ScheduleFreeAdamW(ScheduleFreeSGD):
    """z <- z - learning_rate (g / (sqrt(v / (1 - beta2**t)) + epsilon) + weight_decay w), with Adam's v,
    x <- (1 - c) x + c z, w = beta1 x + (1 - beta1) z; the average x is evaluated, predicted with and saved (Defazio et
    al., "The road less scheduled", 2024, as optax.contrib.schedule_free_adamw writes it).

    c is r**weight_power, of the largest learning rate r so far, over the sum of these. Biases do not decay. The first
    slot is z - x, which is 0 at first.

    Attributes:
        beta1: How near to the average x the gradients are taken.
        beta2: The averaging constant of the squared gradients.
        epsilon: Added to the root, against a division by zero.
        weight_decay: Factor of the decay of weights.
        weight_power: How much less the average counts iterations at low rates, such as those of a warm-up.
    """

    name: Literal["schedule-free-adamw"] = "schedule-free-adamw"  # pyright: ignore[reportIncompatibleVariableOverride]
    learning_rate: Positive = 0.0025
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8
    slots: ClassVar[int] = 2
    flops: ClassVar[int] = 17

    def factors(self, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        with np.errstate(divide="ignore"):
            return {"correction2": -np.expm1(t * np.log(self.beta2))}

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        v = h.beta2 * slots[1] + (1 - h.beta2) * (g * g)
        u = g / (xp.sqrt(v / h.correction2) + h.epsilon) + h.weight_decay * w
        step, apart = _averaged(slots[0], u, h)
        return step, (apart, v)


OPTIMIZERS = table_of(
    Descent,
    Momentum,
    Nesterov,
    Adagrad,
    RMSprop,
    Adadelta,
    Adam,
    AdamW,
    NAdam,
    RAdam,
    Lion,
    Adan,
    Muon,
    ScheduleFreeSGD,
    ScheduleFreeAdamW,
)
