"""Optimizers: settings, the state per weight, and one pure rule, in order of increasing complexity.

`rule(xp, w, g, slots, h) -> (step, slots)` works on arrays of any shape of the namespace `xp`; the engine subtracts the
step from the weights. `h` has the settings, `learning_rate` after the schedule, and the `factors` of the iteration
count t. torch.optim defines each of them. A user optimizer is a subclass in another module (see `user_optimizers`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer

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

    @staticmethod
    def rule(xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
        """The step to subtract from the weights, and the new state."""
        raise NotImplementedError


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


OPTIMIZERS = table_of(Descent, Momentum, Nesterov, Adagrad, RMSprop, Adadelta, Adam, AdamW)
