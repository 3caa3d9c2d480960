"""Models by name: settings that, with the width of the data, make a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.layers import INITIALS, Activate, Dense, Dropout, Layer, Network
from assay.parts.losses import LOSSES, head
from assay.parts.optimizers import Optimizer
from assay.parts.part import Count, Fraction, Part, one_of, table_of

if TYPE_CHECKING:
    ActivationName = OutputName = InitialName = str
else:
    ActivationName = one_of("activation", ACTIVATIONS)
    OutputName = one_of("output", OUTPUTS)
    InitialName = one_of("initial", INITIALS)

Hidden = Annotated[tuple[Count, ...], Field(max_length=64)]


class MLP(Part):
    """A multilayer perceptron: dense layers of `hidden` units, `activation` after each, dropout after that, and one
    last dense layer with `output`."""

    name: Literal["mlp"] = "mlp"
    hidden: Hidden = (128,)
    activation: ActivationName = "relu"
    output: OutputName = "log_softmax"
    dropout: Fraction | tuple[Fraction, ...] = 0.0
    initial: InitialName = "glorot_uniform"

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate after each hidden layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * len(self.hidden)

    def canonical(self) -> dict[str, Any]:
        """The settings spelt as an mlp, so that a named model and its spelling are one."""
        rates = self.rates
        dropout = rates[0] if rates and len(set(rates)) == 1 else (rates if rates else 0.0)
        return {"name": "mlp", **self.settings(), "dropout": dropout}

    def network(self, inputs: int, classes: int) -> Network:
        """The layers for D `inputs` and C `classes`."""
        layers: list[Layer] = []
        width = inputs
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


MODELS = table_of(MLP, FourLS, ThreeLS, TwoLR)


def flops_forward(network: Network) -> int:
    """Arithmetic operations to turn one example into outputs."""
    layers = sum(layer.flops(first=i == 0)[0] for i, layer in enumerate(network.layers))
    return layers + network.classes * OUTPUTS[network.output].flops[0]


def flops_training(network: Network, loss: str, optimizer: Optimizer, *, iterations: int, examples: int) -> int:
    """Arithmetic operations of `iterations` updates that see `examples` examples together.

    Every addition, multiplication, division, comparison and elementary function counts as one; a dense layer's product
    is 2 D H an example, its bias included. Penalties, clipping and the logged evaluations are not counted.
    """
    output, computed = head(network.output, loss)
    ends = OUTPUTS[output].flops, LOSSES[computed].flops
    an_example = network.classes * sum(forward + backward for forward, backward in ends)
    an_example += sum(sum(layer.flops(first=i == 0)) for i, layer in enumerate(network.layers))
    return examples * an_example + iterations * network.parameters * type(optimizer).flops
