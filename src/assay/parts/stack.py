"""The layers that a model may list: settings from which, with the shape of the input, layers are built.

To add one: a part with `kind` and `build` here, its entry in LAYERS, its record in `layers`, and its arithmetic in the
engines; validation, error messages and the contract tests read the table.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from assay.parts.activations import ACTIVATIONS
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Image, Layer, Pool
from assay.parts.part import Count, Fraction, Part, Unit, WholeNumber, any_of, one_of, table_of

Shape = tuple[int, ...]

if TYPE_CHECKING:
    ActivationName = str
else:
    ActivationName = one_of("activation", ACTIVATIONS)


class MisfitError(ValueError):
    """The input does not fit a layer; the message continues the layer's name."""


class LayerPart(Part):
    """Settings of one layer."""

    @abstractmethod
    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        """The layer, with its activation, for examples of a shape, and the shape of its output.

        Raises: MisfitError.
        """

    @property
    @abstractmethod
    def short(self) -> str:
        """The layer in a label: 32c5 means 32 channels and a kernel of 5 x 5."""


class Conv2dPart(LayerPart):
    """A convolution with `channels` kernels of kernel x kernel values, then `activation`.

    Attributes:
        channels: Number of kernels, and of channels of the output.
        kernel: Side of each kernel.
        stride: Distance between two windows.
        padding: Zeros added at each side of the image.
        activation: The function of the output.
    """

    kind: Literal["conv2d"] = "conv2d"
    channels: Count = Field(examples=[32])
    kernel: Annotated[Count, Unit("pixels")] = Field(examples=[5])
    stride: Annotated[Count, Unit("pixels")] = 1
    padding: Annotated[WholeNumber, Unit("pixels")] = 0
    activation: ActivationName = "identity"

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        image = _image(shape)
        _fits(self.kernel, (image[0] + 2 * self.padding, image[1] + 2 * self.padding), shape, self.padding)
        layer = Conv2d(image, self.channels, self.kernel, self.stride, self.padding)
        return [layer, *_activated(self.activation, layer.values)], layer.out

    @property
    def short(self) -> str:
        return f"{self.channels}c{self.kernel}"


class _PoolPart(LayerPart):
    """Windows of an image.

    Attributes:
        size: Side of each window.
        stride: Distance between two windows; left out, the size, so that windows are adjacent.
    """

    size: Annotated[Count, Unit("pixels")] = 2
    stride: Annotated[Count | None, Unit("pixels"), Field(examples=[2])] = None

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        image = _image(shape)
        _fits(self.size, image[:2], shape)
        layer = Pool(image, self.size, self.stride or self.size, self.entry.removesuffix("_pool"))
        return [layer], layer.out

    @property
    def short(self) -> str:
        return f"{self.entry[0]}p{self.size}"


class MaxPoolPart(_PoolPart):
    """The maximum of each window of size x size values."""

    kind: Literal["max_pool"] = "max_pool"


class AveragePoolPart(_PoolPart):
    """The mean of each window of size x size values."""

    kind: Literal["average_pool"] = "average_pool"


class FlattenPart(LayerPart):
    """Images as vectors of values, the input of dense layers."""

    kind: Literal["flatten"] = "flatten"

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        size = math.prod(shape)
        return [Flatten(size)], (size,)

    @property
    def short(self) -> str:
        return ""


class BatchNormPart(LayerPart):
    """Standardises each channel, or each value of a flat input, by the mean and deviation of its batch."""

    kind: Literal["batch_norm"] = "batch_norm"

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        image = shape if len(shape) == 1 else _image(shape)
        return [BatchNorm(image[-1], math.prod(image[:-1]))], image

    @property
    def short(self) -> str:
        return "bn"


class DensePart(LayerPart):
    """A dense layer of `units`, then `activation`.

    Attributes:
        units: Number of outputs.
        activation: The function of the output.
    """

    kind: Literal["dense"] = "dense"
    units: Count = Field(examples=[64])
    activation: ActivationName = "identity"

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        if len(shape) != 1:
            raise MisfitError(f"takes flat values; got images of shape {shape}: put 'flatten' before it")
        return [Dense(shape[0], self.units), *_activated(self.activation, self.units)], (self.units,)

    @property
    def short(self) -> str:
        return str(self.units)


class ActivationPart(LayerPart):
    """An activation as a layer of its own, for use after a batch normalisation.

    Attributes:
        function: The function.
    """

    kind: Literal["activation"] = "activation"
    function: ActivationName = "relu"

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        return _activated(self.function, math.prod(shape)), shape

    @property
    def short(self) -> str:
        return self.function


class DropoutPart(LayerPart):
    """Sets values to 0 in training, each with probability `rate`.

    Attributes:
        rate: The probability.
    """

    kind: Literal["dropout"] = "dropout"
    rate: Fraction = 0.5

    def build(self, shape: Shape) -> tuple[list[Layer], Shape]:
        return [Dropout(self.rate, math.prod(shape))] if self.rate else [], shape

    @property
    def short(self) -> str:
        return f"d{self.rate:g}"


LAYERS: dict[str, Any] = table_of(
    Conv2dPart,
    MaxPoolPart,
    AveragePoolPart,
    FlattenPart,
    BatchNormPart,
    DensePart,
    ActivationPart,
    DropoutPart,
    tag="kind",
)

if TYPE_CHECKING:
    AnyLayer = LayerPart
else:
    AnyLayer = any_of("layer", LAYERS, tag="kind", default="")


def _image(shape: Shape) -> Image:
    """A shape as an image; a shape without channels has one channel."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    got = f"flat values ({shape[0]},)" if len(shape) == 1 else f"shape {shape}"
    raise MisfitError(f"takes images (height, width) or (height, width, channels); got {got}")


def _fits(size: int, sides: tuple[int, int], shape: Shape, padding: int = 0) -> None:
    if size > min(sides):
        padded = f", {sides[0]} x {sides[1]} with padding" if padding else ""
        raise MisfitError(f"has windows of {size} x {size}; got images of shape {shape}{padded}: too small")


def _activated(function: str, values: int) -> list[Layer]:
    return [Activate(function, values)] if function != "identity" else []
