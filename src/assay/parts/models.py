"""Models by name: settings from which, with the shape of the data, a network is built."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from assay.errors import RecipeError
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.initials import INITIALS
from assay.parts.layers import Activate, Dense, Dropout, Layer, Network
from assay.parts.losses import LOSSES, head
from assay.parts.optimizers import Optimizer
from assay.parts.part import Count, Fraction, Part, Unit, one_of, table_of
from assay.parts.stack import (
    ActivationPart,
    AnyLayer,
    AveragePoolPart,
    Conv2dPart,
    DensePart,
    DropoutPart,
    FlattenPart,
    LayerPart,
    MaxPoolPart,
    MisfitError,
    Shape,
)

if TYPE_CHECKING:
    ActivationName = OutputName = InitialName = str
else:
    ActivationName = one_of("activation", ACTIVATIONS)
    OutputName = one_of("output", OUTPUTS)
    InitialName = one_of("initial", INITIALS)

Hidden = Annotated[tuple[Count, ...], Field(max_length=64), Unit("units")]


class Model(Part):
    """The base of every model: its output function and its initial weights.

    Attributes:
        output: The function of the last layer. Left out, it follows a loss that needs another one.
        initial: The distribution of the initial weights.
    """

    output: OutputName = "log_softmax"
    initial: InitialName = "glorot_uniform"

    @property
    @abstractmethod
    def title(self) -> str:
        """A short name that distinguishes models of the same kind."""

    @property
    @abstractmethod
    def functions(self) -> str:
        """The activations of the hidden layers, joined by "+"."""

    @abstractmethod
    def canonical(self) -> dict[str, Any]:
        """The settings in full, so that a named model and the same settings without the name are equal."""

    def written(self) -> dict[str, Any]:
        table = super().written()
        if "output" not in self.model_fields_set:
            del table["output"]
        return table

    @abstractmethod
    def network(self, shape: Shape | int, classes: int) -> Network:
        """The layers for examples of a shape, or with that many values, and C `classes`. Raises: RecipeError."""


class MLP(Model):
    """A multilayer perceptron: dense layers of `hidden` units, each followed by `activation` and dropout, and a final
    dense layer with `output`.

    Attributes:
        hidden: Units of each hidden layer; an empty list for a linear model.
        activation: The function after each hidden layer.
        dropout: The probability that a value is set to 0 in training, after each hidden layer, or one for each.
    """

    name: Literal["mlp"] = "mlp"
    hidden: Hidden = (128,)
    activation: ActivationName = "relu"
    output: OutputName = "log_softmax"
    dropout: Fraction | tuple[Fraction, ...] = 0.0
    initial: InitialName = "glorot_uniform"

    @property
    def title(self) -> str:
        return self.name if self.name != "mlp" else "mlp " + ("-".join(map(str, self.hidden)) or "linear")

    @property
    def functions(self) -> str:
        return self.activation

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate after each hidden layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * len(self.hidden)

    def canonical(self) -> dict[str, Any]:
        rates = self.rates
        dropout = rates[0] if rates and len(set(rates)) == 1 else (rates if rates else 0.0)
        return {"name": "mlp", **self.settings(), "dropout": dropout}

    def network(self, shape: Shape | int, classes: int) -> Network:
        layers: list[Layer] = []
        width = inputs = shape if isinstance(shape, int) else math.prod(shape)
        for units, rate in zip(self.hidden, self.rates, strict=True):
            layers += [Dense(width, units), Activate(self.activation, units)]
            layers += [Dropout(rate, units)] if rate else []
            width = units
        layers.append(Dense(width, classes))
        return Network(tuple(layers), self.output, inputs, classes)


class FourLS(MLP):
    """4LS: D-16-16-16-C, sigmoid throughout; the articles train it with mse."""

    name: Literal["4LS"] = "4LS"  # pyright: ignore[reportIncompatibleVariableOverride]
    hidden: Hidden = (16, 16, 16)
    activation: ActivationName = "sigmoid"
    output: OutputName = "sigmoid"


class ThreeLS(MLP):
    """3LS: D-60-60-C, sigmoid throughout; the articles train it with mse."""

    name: Literal["3LS"] = "3LS"  # pyright: ignore[reportIncompatibleVariableOverride]
    hidden: Hidden = (60, 60)
    activation: ActivationName = "sigmoid"
    output: OutputName = "sigmoid"


class TwoLR(MLP):
    """2LR: D-32-C, relu, then softmax; the articles train it with cross-entropy."""

    name: Literal["2LR"] = "2LR"  # pyright: ignore[reportIncompatibleVariableOverride]
    hidden: Hidden = (32,)
    output: OutputName = "softmax"


Stack = Annotated[tuple[AnyLayer, ...], Field(max_length=256)]


class Sequential(Model):
    """Any `layers` of the table in `stack`, in order, and a final dense layer with `output`.

    Attributes:
        layers: The layers before the last one, each a table with its `kind`, or a kind alone.
    """

    name: Literal["sequential"] = "sequential"
    layers: Stack = ()

    @property
    def title(self) -> str:
        if self.name != "sequential":
            return self.name
        return "sequential " + ("-".join(layer.short for layer in self.layers if layer.short) or "linear")

    @property
    def functions(self) -> str:
        settings = [layer.settings() for layer in self.layers]
        functions = [s.get("activation", s.get("function", "identity")) for s in settings]
        return "+".join(dict.fromkeys(f for f in functions if f != "identity")) or "identity"

    @property
    def is_dense(self) -> bool:
        """Whether it is a multilayer perceptron written as a list: dense layers, activations and dropout."""
        return all(isinstance(layer, DensePart | FlattenPart | ActivationPart | DropoutPart) for layer in self.layers)

    def canonical(self) -> dict[str, Any]:
        layers = tuple({"kind": layer.entry, **layer.settings()} for layer in self.layers)
        return {"name": "sequential", **self.settings(), "layers": layers}

    def network(self, shape: Shape | int, classes: int) -> Network:
        shape = start = (shape,) if isinstance(shape, int) else shape
        layers: list[Layer] = []
        stack: list[LayerPart] = [*self.layers, DensePart(units=classes)]
        for number, part in enumerate(stack):
            try:
                built, shape = part.build(shape)
            except MisfitError as error:
                last = number == len(self.layers)
                where = "the last dense layer" if last else f"model.layers.{number} ({part.entry})"
                raise RecipeError([f"{where} {error}"]) from None
            layers += built
        return Network(tuple(layers), self.output, math.prod(start), classes)


class LeNet5(Sequential):
    """LeNet-5 in the shape of 1998: 6, 16 and 120 channels, 84 units, tanh and average pooling, softmax at the end.

    Images of 28 x 28 are padded to 32 x 32, as in LeCun, Bottou, Bengio, Haffner (1998). Unlike there, every channel of
    a convolution sees all channels of the previous layer, and the output is a softmax, not radial basis functions.
    """

    name: Literal["lenet5"] = "lenet5"  # pyright: ignore[reportIncompatibleVariableOverride]
    layers: Stack = (
        Conv2dPart(channels=6, kernel=5, padding=2, activation="tanh"),
        AveragePoolPart(),
        Conv2dPart(channels=16, kernel=5, activation="tanh"),
        AveragePoolPart(),
        Conv2dPart(channels=120, kernel=5, activation="tanh"),
        FlattenPart(),
        DensePart(units=84, activation="tanh"),
    )


class LeNet5Wide(Sequential):
    """The widened LeNet-5 of the framework comparison: 32, 64 and 128 channels, 84 units, relu and max-pooling."""

    name: Literal["lenet5-wide"] = "lenet5-wide"  # pyright: ignore[reportIncompatibleVariableOverride]
    layers: Stack = (
        Conv2dPart(channels=32, kernel=5, activation="relu"),
        MaxPoolPart(),
        Conv2dPart(channels=64, kernel=5, activation="relu"),
        MaxPoolPart(),
        Conv2dPart(channels=128, kernel=4, activation="relu"),
        FlattenPart(),
        DensePart(units=84, activation="relu"),
    )


MODELS = table_of(MLP, FourLS, ThreeLS, TwoLR, Sequential, LeNet5, LeNet5Wide)


def model_of(table: Mapping[str, Any]) -> str:
    """The model of a table without a name: `sequential` if it has layers, else `mlp`."""
    return "sequential" if "layers" in table else "mlp"


def flops_forward(network: Network) -> int:
    """Arithmetic operations to compute the outputs of one example."""
    layers = sum(layer.flops(first=i == 0)[0] for i, layer in enumerate(network.layers))
    return layers + network.classes * OUTPUTS[network.output].flops[0]


def flops_training(network: Network, loss: str, optimizer: Optimizer, *, iterations: int, examples: int) -> int:
    """Arithmetic operations of `iterations` updates that see `examples` examples in total; 0 if they are unknown,
    which those of a user's module are.

    Every addition, multiplication, division, comparison and elementary function counts as one; a dense layer's product
    is 2 D H per example, its bias included. Penalties, clipping and the logged evaluations are not counted.
    """
    if not network.layers:
        return 0
    output, loss = head(network.output, loss)
    ends = OUTPUTS[output].flops, LOSSES[loss].flops
    per_example = network.classes * sum(forward + backward for forward, backward in ends)
    per_example += sum(sum(layer.flops(first=i == 0)) for i, layer in enumerate(network.layers))
    return examples * per_example + iterations * type(optimizer).operations(network.shapes)
