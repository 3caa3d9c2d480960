"""The forward pass of the torch engine: layers and functions, torch's own where it has them.

Images are (B, channels, height, width) to torch, but channels last in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from assay.engines import winograd
from assay.engines.torch_modules import ROWS, module_values
from assay.engines.torch_trial import TorchTrial
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool
from assay.parts.module_networks import ModuleNetwork
from assay.recipe.model import Recipe
from assay.rng import stream

_CACHED_VALUES = 2**21  # between two layers: 8 MB in float32
_EVALUATION_ROWS = 10_000

# torch's own functions where they are the same function; any other name falls back to the table's formula
TORCH_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": F.elu,
    "silu": F.silu,
    "gelu": lambda z: F.gelu(z, approximate="tanh"),
    "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),  # F.softplus turns linear above 20
    "identity": lambda z: z,
}
TORCH_OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: F.softmax(z, dim=-1),
    "log_softmax": lambda z: F.log_softmax(z, dim=-1),
}


class _Namespace:
    """torch's functions under NumPy's names, for the formulas of the tables."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def maximum(a: Tensor, b: Tensor | float) -> Tensor:
        return torch.maximum(a, b if isinstance(b, Tensor) else a.new_full((), b))

    @staticmethod
    def minimum(a: Tensor, b: Tensor | float) -> Tensor:
        return torch.minimum(a, b if isinstance(b, Tensor) else a.new_full((), b))

    @staticmethod
    def amax(a: Tensor, axis: int, keepdims: bool) -> Tensor:
        return torch.amax(a, dim=axis, keepdim=keepdims)


xp: Any = _Namespace()


@contextmanager
def full_float32() -> Generator[None]:
    """Inside, products of float32 are float32, where TensorFloat-32 is on for those of the network."""
    products: Any = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32 = before


def mixed(recipe: Recipe, device: str) -> Any:
    """bfloat16 for the products of the forward pass if the recipe asks for it; weights and loss stay float32."""
    return torch.autocast(device, dtype=torch.bfloat16) if recipe.precision == "bfloat16" else nullcontext()


def activation(name: str, z: Tensor) -> Tensor:
    """An activation of the table by torch's own function, else by its formula."""
    return TORCH_ACTIVATIONS[name](z) if name in TORCH_ACTIVATIONS else ACTIVATIONS[name].forward(xp, z)


def output(name: str, z: Tensor) -> Tensor:
    """An output function of the table by torch's own function, else by its formula."""
    return TORCH_OUTPUTS[name](z) if name in TORCH_OUTPUTS else OUTPUTS[name].forward(xp, z)


def forward(network: Network, trial: TorchTrial, a: Tensor, t: int | None, part: int = 0) -> Tensor:
    """The values before the output function, (B, C).

    `t`: the iteration, in training; None in evaluation. `part`: which part of the batch `a` is.
    """
    if isinstance(network, ModuleNetwork):
        return module_values(network, trial, a, t)
    if network.image is not None:
        a = a.view(len(a), *network.image).permute(0, 3, 1, 2)
    with mixed(trial.recipe, trial.w.device.type):
        for depth, (number, layer) in enumerate(network.numbered()):
            match layer:
                case Dense():
                    a = torch.addmm(trial.leaves[f"{number}.bias"], a, trial.leaves[f"{number}.weight"])
                case Conv2d():
                    a = _convolution(layer, a, trial.leaves[f"{number}.weight"], trial.leaves[f"{number}.bias"])
                case Activate():
                    a = activation(layer.function, a)
                case Pool():
                    a = (F.max_pool2d if layer.kind == "max" else F.avg_pool2d)(a, layer.size, layer.stride)
                case Flatten():
                    a = (a.permute(0, 2, 3, 1) if a.ndim == 4 else a).reshape(len(a), layer.values)
                case BatchNorm():
                    a = _normalised(trial, number, layer, a, training=t is not None)
                case Dropout():
                    a = a if t is None else a * dropout_mask(trial, layer, depth, a.shape, t, part)
    return a.to(trial.w.dtype)


def _convolution(layer: Conv2d, a: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if layer.whole:  # one window: a matrix product is three times as fast as torch's convolution on a CPU
        z = torch.addmm(bias, a.permute(0, 2, 3, 1).reshape(len(a), -1), weight.reshape(-1, layer.channels))
        return z.view(len(a), layer.channels, 1, 1)
    float32 = a.device.type == "cpu" and a.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if float32 and winograd.fits(layer):
        return winograd.convolution(layer, a, weight, bias)
    # contiguous: otherwise torch fails on the gradient of one channel's weights in float64
    return F.conv2d(a, weight.permute(3, 2, 0, 1).contiguous(), bias, layer.stride, layer.padding)


def _normalised(trial: TorchTrial, number: int, layer: BatchNorm, a: Tensor, *, training: bool) -> Tensor:
    mean, variance = (trial.running[f"{number}.{name}"] for name in layer.buffers)
    scale, bias = (trial.leaves[f"{number}.{name}"] for name in layer.shapes)
    if training and a.numel() == layer.channels:  # torch refuses a single value per channel, which is its own mean
        return (a - a.detach()) * scale.view(1, -1, *[1] * (a.ndim - 2)) + bias.view(1, -1, *[1] * (a.ndim - 2))
    return F.batch_norm(a, mean, variance, scale, bias, training, layer.momentum, layer.epsilon)


def dropout_mask(trial: TorchTrial, layer: Dropout, depth: int, shape: torch.Size, t: int, part: int) -> Tensor:
    """0 with probability `rate`, else 1 / (1 - rate), in the weights' type: bfloat16 would round it by up to 0.4 %.

    The mask of iteration `t` and of part `part` of its batch; `depth`: the layer's index in the network.
    """
    generator = torch.Generator(trial.w.device)
    generator.manual_seed(dropout_key(trial.recipe.seed, depth, t, part))
    return mask_of(layer, shape, generator, trial.w)


def dropout_key(seed: int, depth: int, t: int, part: int) -> int:
    """The seed of the mask of a layer in iteration `t` and part `part` of its batch."""
    return int(stream(seed, f"dropout/{depth}", t).words(1, start=part)[0]) & (2**63 - 1)


def mask_of(layer: Dropout, shape: torch.Size, generator: torch.Generator, w: Tensor) -> Tensor:
    """The next mask of a generator, on the device and in the type of the weights `w`."""
    kept = torch.rand(shape, generator=generator, device=w.device) >= layer.rate
    return kept.to(w.dtype) / (1.0 - layer.rate)


def winograd_layers(network: Network) -> list[Conv2d]:
    """The convolutions that are computed by Winograd's method in float32 on a CPU."""
    return [layer for layer in network.layers if isinstance(layer, Conv2d) and winograd.fits(layer)]


def rows_evaluated(network: Network, device: str) -> int:
    """How many examples are evaluated at once."""
    return ROWS if isinstance(network, ModuleNetwork) else rows_at_once(network, device) or _EVALUATION_ROWS


def rows_at_once(network: Network, device: str) -> int | None:
    """How many images a CPU takes through the network at once, so that the values between two layers stay in cache.

    None means all of them: on a GPU, in networks without images, and where a batch is normalised as a whole.
    """
    if isinstance(network, ModuleNetwork):
        return None
    if device != "cpu" or network.image is None or network.normalises:
        return None
    widest = max([network.widest, *map(winograd.values, winograd_layers(network))])
    return max(16, _CACHED_VALUES // widest)
