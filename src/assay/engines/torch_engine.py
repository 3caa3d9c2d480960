"""PyTorch as its users know it: eager, autograd, any of its devices, mixed precision.

A cohort's trials run one after the other. All weights of a trial lie in one vector, weights before biases, and so do
their gradients: a rule then is a handful of calls an iteration, not a handful for each array.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor

from assay.engines import winograd
from assay.engines.base import (
    Checkpoint,
    Cohort,
    Engine,
    Evaluation,
    Progress,
    Splits,
    hyperparameters,
    no_tensorfloat32,
)
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import Batches
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool
from assay.parts.losses import LOSSES, head
from assay.parts.user_optimizers import step_of
from assay.recipe.model import Recipe
from assay.rng import stream

_EVALUATION_ROWS = 10_000
_CACHED = 2**21  # values between two layers: 8 MB
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h

# torch's own functions where they are the same function; any other name falls back to the table's formula
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
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
_OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: F.softmax(z, dim=-1),
    "log_softmax": lambda z: F.log_softmax(z, dim=-1),
}


class _Namespace:
    """torch under NumPy's names, for the formulas of the tables."""

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


_xp: Any = _Namespace()


class TorchTrial:
    """One trial's weights, gradient and slots: vectors, and views of the first two for each array."""

    def __init__(self, cohort: Cohort, number: int, checkpoint: Checkpoint, device: torch.device) -> None:
        self.recipe = cohort.recipes[number]
        self.order, self.shapes = cohort.network.order, cohort.network.shapes
        self.weights = cohort.network.penalised  # how many numbers of the vectors, at their beginning, are no biases
        element = _element(self.recipe)

        def vector(arrays: dict[str, NDArray[Any]]) -> Tensor:
            flat = np.concatenate([arrays[name].ravel() for name in self.order])
            return torch.tensor(flat, dtype=element, device=device)

        self.w = vector({name: w[number] for name, w in checkpoint.weights.items()})
        slots = range(type(self.recipe.optimizer).slots)
        if checkpoint.slots:
            self.slots = tuple(vector({n: s[i, number] for n, s in checkpoint.slots.items()}) for i in slots)
        else:
            self.slots = tuple(torch.zeros_like(self.w) for _ in slots)
        self.g = torch.zeros_like(self.w)
        self.leaves = {name: view.requires_grad_() for name, view in self.views(self.w).items()}
        for name, view in self.views(self.g).items():
            self.leaves[name].grad = view  # autograd adds to what is there, so the gradient lands in `g`
        self.running = {
            name: torch.tensor(checkpoint.weights[name][number], dtype=element, device=device)
            for name in cohort.network.buffers
        }

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """The arrays in a vector, as views that share its memory."""
        found: dict[str, Tensor] = {}
        start = 0
        for name in self.order:
            shape = self.shapes[name]
            found[name] = vector.detach()[start : start + math.prod(shape)].view(shape)
            start += math.prod(shape)
        return found

    def copy(self) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        """What an iteration changes."""
        running = {name: array.clone() for name, array in self.running.items()}
        return self.w.clone(), tuple(slot.clone() for slot in self.slots), running

    def put_back(self, kept: tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]) -> None:
        """Undoes what was done since `copy`."""
        self.w.copy_(kept[0])
        self.slots = tuple(slot.clone() for slot in kept[1])
        for name, array in kept[2].items():
            self.running[name].copy_(array)


@dataclass
class TorchState:
    """A cohort in training: trials one after the other, data on the device."""

    cohort: Cohort
    network: Network  # that of the cohort, in the order that is computed
    trials: list[TorchTrial]
    t: int
    splits: dict[str, tuple[Tensor, Tensor]]  # inputs (N, D) and one-hot labels (N, C)


class TorchEngine(Engine):
    """Eager PyTorch; float32, float64, and bfloat16 mixed with float32 weights."""

    name: ClassVar[str] = "torch"
    numerics: ClassVar[int] = 3

    def why_not(self, recipe: Recipe) -> str | None:
        if reason := missing_device(self.device) or no_tensorfloat32(recipe, self.device):
            return reason
        if self.device == "mps" and recipe.precision == "float64":
            return "device 'mps' has no float64; use device 'cpu', or precision 'float32'"
        return None

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> TorchState:
        device, element = torch.device(self.device), _element(cohort.first)
        classes = torch.eye(cohort.network.classes, dtype=element, device=device)
        parts = {
            name: (_tensor(x, device, element), classes[_tensor(y, device)]) for name, (x, y) in splits.parts.items()
        }
        trials = [TorchTrial(cohort, number, checkpoint, device) for number in range(len(cohort.recipes))]
        if device.type == "cpu" and cohort.network.image is not None:
            _keep_freed_memory()
        return TorchState(cohort, cohort.network.pooled_first(), trials, checkpoint.t, parts)

    def advance(self, state: TorchState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[TorchState, Progress]:
        k = batches.count
        constants, step_values = state.cohort.constants(), state.cohort.step_values(batches.first, k)
        losses = np.full((len(state.trials), k), np.nan)
        broken = np.zeros(len(state.trials), np.int64)
        with self._settings(state.cohort.first):
            for number in np.flatnonzero(alive):
                trial, h = state.trials[number], (constants[number], step_values[number])
                kept = trial.copy()
                losses[number] = _iterate(state, trial, batches, int(number), h, k)
                bad = np.flatnonzero(~np.isfinite(losses[number]))
                if len(bad):  # replayed up to there, so that nothing need be read from the device in between
                    trial.put_back(kept)
                    _iterate(state, trial, batches, int(number), h, int(bad[0]))
                    losses[number, bad[0] + 1 :] = np.nan
                    broken[number] = batches.first + int(bad[0])
        state.t = batches.first + k - 1
        return state, Progress(losses, broken)

    def evaluate(self, state: TorchState, split: str) -> Evaluation:
        x, y = state.splits[split]
        network, recipe = state.network, state.cohort.first
        output, computed = head(network.output, recipe.loss)
        sums = np.zeros((2, len(state.trials)))
        block = _rows_at_once(network, self.device) or _EVALUATION_ROWS
        with self._settings(state.cohort.first), torch.no_grad():
            for number, trial in enumerate(state.trials):
                for rows, labels in zip(x.split(block), y.split(block), strict=True):
                    a = _activate(OUTPUTS, _OUTPUTS, output, _forward(network, trial, rows, None))
                    value = LOSSES[computed].value(_xp, a, labels, _epsilon(recipe)).sum(dtype=_sum_type(x))
                    sums[0, number] += float(value)
                    sums[1, number] += float((a.argmax(-1) == labels.argmax(-1)).sum())
        return Evaluation(sums[0] / len(x), sums[1] / len(x))

    def outputs(self, state: TorchState, x: NDArray[Any]) -> NDArray[Any]:
        network = state.network
        block = _rows_at_once(network, self.device) or _EVALUATION_ROWS
        rows = _tensor(x, torch.device(self.device), _element(state.cohort.first)).split(block)
        with self._settings(state.cohort.first), torch.no_grad():
            each = [
                [_activate(OUTPUTS, _OUTPUTS, network.output, _forward(network, trial, r, None)).cpu() for r in rows]
                for trial in state.trials
            ]
        return np.stack([torch.cat(blocks).numpy() for blocks in each])

    def export(self, state: TorchState) -> Checkpoint:
        views = [
            {n: v.cpu().numpy() for n, v in (trial.views(trial.w) | trial.running).items()} for trial in state.trials
        ]
        weights = {name: np.stack([view[name] for view in views]) for name in state.cohort.network.arrays}
        slots: dict[str, NDArray[Any]] = {}
        if state.trials[0].slots:
            for name in state.cohort.network.shapes:
                each = [[trial.views(slot)[name].cpu().numpy() for slot in trial.slots] for trial in state.trials]
                slots[name] = np.stack([np.stack(arrays) for arrays in each], axis=1)
        return Checkpoint(state.t, weights, slots)

    def warm_up(self, state: TorchState, batches: Batches) -> None:
        """One iteration on throw-away state, so that libraries are loaded and kernels chosen before the clock runs."""
        spare = self.start(state.cohort, self.export(state), Splits({}))
        spare.splits = state.splits
        one = Batches(
            batches.first,
            batches.sizes[:1],
            rows=None if batches.rows is None else batches.rows[:, :1],
            starts=None if batches.starts is None else batches.starts[:, :1],
        )
        self.advance(spare, one, np.ones(len(state.trials), np.bool_))

    def peak_device_memory(self) -> int | None:
        if torch.device(self.device).type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self.device))

    @contextmanager
    def _settings(self, recipe: Recipe) -> Generator[None]:
        """torch's own settings while the engine works: its threads, TensorFloat-32 where the recipe asks for it, and
        numbers too small to be normal taken for 0.

        Such numbers turn up in an optimizer's slots when a unit has died, and cost a CPU many times a normal one.
        """
        products: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
        before = torch.get_num_threads(), [each.allow_tf32 for each in products]
        if self.threads:
            torch.set_num_threads(self.threads)
        for each in products:
            each.allow_tf32 = recipe.precision == "tensorfloat32"
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(before[0])
            for each, allowed in zip(products, before[1], strict=True):
                each.allow_tf32 = allowed

    def allowed_outliers(self, cohort: Cohort) -> float:
        single = self.device == "cpu" and cohort.first.precision == "float32"
        return winograd.MAY_PART if single and _by_winograd(cohort.network) else 0.0

    def activations(self, cohort: Cohort, batch: int) -> int:
        return super().activations(cohort, min(batch, _rows_at_once(cohort.network, self.device) or batch))


def missing_device(device: str) -> str | None:
    """The sentence for a device that torch does not see here."""
    found = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    if device in found:
        return None
    return f"device {device!r} is not one that torch sees on this machine; use {' or '.join(map(repr, found))}"


def _tensor(array: NDArray[Any], device: torch.device, element: torch.dtype | None = None) -> Tensor:
    """An array on the device; a read-only one is copied first, as torch knows no read-only tensors and warns."""
    return torch.as_tensor(array if array.flags.writeable else array.copy(), dtype=element, device=device)


def _element(recipe: Recipe) -> torch.dtype:
    return torch.float64 if recipe.precision == "float64" else torch.float32


def _epsilon(recipe: Recipe) -> float:
    return torch.finfo(_element(recipe)).eps


def _sum_type(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64


def _mixed(trial: TorchTrial) -> Any:
    """bfloat16 for the products of the forward pass where the recipe asks for it; weights and loss stay float32."""
    if trial.recipe.precision == "bfloat16":
        return torch.autocast(trial.w.device.type, dtype=torch.bfloat16)
    return nullcontext()


def _activate(table: Any, own: dict[str, Callable[[Tensor], Tensor]], name: str, z: Tensor) -> Tensor:
    return own[name](z) if name in own else table[name].forward(_xp, z)


def _forward(network: Network, trial: TorchTrial, a: Tensor, t: int | None, part: int = 0) -> Tensor:
    """The values before the output function, (B, C); as in training where t says which iteration it is."""
    if network.image is not None:  # (B, channels, height, width) to torch, but channels last in memory
        a = a.view(len(a), *network.image).permute(0, 3, 1, 2)
    with _mixed(trial):
        for depth, (number, layer) in enumerate(network.numbered()):
            match layer:
                case Dense():
                    a = torch.addmm(trial.leaves[f"{number}.bias"], a, trial.leaves[f"{number}.weight"])
                case Conv2d():
                    a = _convolution(layer, a, trial.leaves[f"{number}.weight"], trial.leaves[f"{number}.bias"])
                case Activate():
                    a = _activate(ACTIVATIONS, _ACTIVATIONS, layer.function, a)
                case Pool():
                    a = (F.max_pool2d if layer.kind == "max" else F.avg_pool2d)(a, layer.size, layer.stride)
                case Flatten():
                    a = (a.permute(0, 2, 3, 1) if a.ndim == 4 else a).reshape(len(a), layer.values)
                case BatchNorm():
                    a = _normalised(trial, number, layer, a, training=t is not None)
                case Dropout():
                    a = a if t is None else a * _dropout_mask(trial, t, part, depth, layer, a.shape)
    return a.to(trial.w.dtype)


def _convolution(layer: Conv2d, a: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if layer.whole:  # one window: a product of matrices does it three times as fast as torch's convolution on a CPU
        z = torch.addmm(bias, a.permute(0, 2, 3, 1).reshape(len(a), -1), weight.reshape(-1, layer.channels))
        return z.view(len(a), layer.channels, 1, 1)
    single = a.device.type == "cpu" and a.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if single and winograd.fits(layer):
        return winograd.convolution(layer, a, weight, bias)
    # contiguous, for the gradient of one channel's weights in float64 fails for any other
    return F.conv2d(a, weight.permute(3, 2, 0, 1).contiguous(), bias, layer.stride, layer.padding)


def _normalised(trial: TorchTrial, number: int, layer: BatchNorm, a: Tensor, *, training: bool) -> Tensor:
    mean, variance = (trial.running[f"{number}.{name}"] for name in layer.buffers)
    scale, bias = (trial.leaves[f"{number}.{name}"] for name in layer.shapes)
    if training and a.numel() == layer.channels:  # torch refuses a single value a channel, which is its own mean
        return (a - a.detach()) * scale.view(1, -1, *[1] * (a.ndim - 2)) + bias.view(1, -1, *[1] * (a.ndim - 2))
    return F.batch_norm(a, mean, variance, scale, bias, training, layer.momentum, layer.epsilon)


def _dropout_mask(trial: TorchTrial, t: int, part: int, depth: int, layer: Dropout, shape: torch.Size) -> Tensor:
    """0 with probability `rate`, else 1 / (1 - rate), which bfloat16 would round by up to 0.4 %; each part of a batch
    has its own."""
    w = trial.w
    generator = torch.Generator(w.device)
    key = int(stream(trial.recipe.seed, f"dropout/{depth}", t).words(1, start=part)[0])
    generator.manual_seed(key & (2**63 - 1))
    kept = torch.rand(shape, generator=generator, device=w.device) >= layer.rate
    return kept.to(w.dtype) / (1.0 - layer.rate)


@cache
def _keep_freed_memory() -> None:
    """Has the C library keep what is freed for the next part of a batch, as far as it is glibc.

    Else every part's arrays of megabytes come from the system anew and page by page, which is a sixth of the time of
    lenet5-wide in batches of 600. The process holds on to at most half a gigabyte that it does not use.
    """
    with suppress(OSError, AttributeError):  # no C library by that name, or none with this function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**25)  # the most that it takes
        mallopt(_TRIM_THRESHOLD, 2**29)


def _by_winograd(network: Network) -> list[Conv2d]:
    return [layer for layer in network.layers if isinstance(layer, Conv2d) and winograd.fits(layer)]


def _rows_at_once(network: Network, device: str) -> int | None:
    """How many images a CPU takes through the network at once, so that what lies between two layers stays in its
    cache; None for all of them: on a GPU, in networks without images, and where a batch is normalised as a whole."""
    if device != "cpu" or network.image is None or network.normalises:
        return None
    widest = max([network.widest, *map(winograd.values, _by_winograd(network))])
    return max(16, _CACHED // widest)


def _iterate(
    state: TorchState,
    trial: TorchTrial,
    batches: Batches,
    number: int,
    h: tuple[dict[str, float], dict[str, NDArray[np.float64]]],
    count: int,
) -> NDArray[np.float64]:
    """`count` iterations of one trial; the loss of each batch before its update, read from the device at the end."""
    batch = _batches(state, batches, number)
    values: list[Tensor] = []
    for i in range(count):
        trial.g.zero_()
        values.append(_gradient(state.network, trial, *batch(i), batches.first + i))
        with torch.no_grad():
            _update(trial, hyperparameters(h[0], h[1], i))
    return torch.stack(values).cpu().numpy().astype(np.float64) if values else np.empty(0)


def _gradient(network: Network, trial: TorchTrial, x: Tensor, y: Tensor, t: int) -> Tensor:
    """Adds the gradient of the mean loss of the batch to `trial.g`, part by part; the loss."""
    output, computed = head(network.output, trial.recipe.loss)
    loss, epsilon = LOSSES[computed], _epsilon(trial.recipe)
    rows = _rows_at_once(network, trial.w.device.type) or len(y)
    values: list[Tensor] = []
    for part, (inputs, labels) in enumerate(zip(x.split(rows), y.split(rows), strict=True)):
        z = _forward(network, trial, inputs, t, part)
        value = loss.value(_xp, _activate(OUTPUTS, _OUTPUTS, output, z), labels, epsilon).sum() / len(y)
        value.backward()
        values.append(value.detach())
    return torch.stack(values).sum() if len(values) > 1 else values[0]


def _batches(state: TorchState, batches: Batches, number: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """A function from i to the inputs and one-hot labels of a trial's i-th batch; row numbers go up in one piece."""
    x, y = state.splits["train"]
    sizes = batches.sizes.tolist()
    if batches.starts is not None:
        starts = batches.starts[number % len(batches.starts)].tolist()
        return lambda i: (x[starts[i] : starts[i] + sizes[i]], y[starts[i] : starts[i] + sizes[i]])
    if batches.rows is None:
        return lambda i: (x, y)
    rows = torch.as_tensor(batches.rows[number % len(batches.rows)], device=x.device)
    return lambda i: (x.index_select(0, rows[i, : sizes[i]]), y.index_select(0, rows[i, : sizes[i]]))


def _update(trial: TorchTrial, h: Any) -> None:
    """Moves the trial's weights and slots by one step."""
    w, g = trial.w, trial.g
    reach = len(w) if trial.recipe.regularisation.biases else trial.weights
    if h.l1:
        g[:reach].add_(w[:reach].sign(), alpha=h.l1)
    if h.l2:
        g[:reach].add_(w[:reach], alpha=h.l2)
    if h.clip_norm < float("inf"):
        g.mul_(torch.clamp(h.clip_norm / (torch.linalg.vector_norm(g) + 1e-6), max=1.0))
    if h.weight_decay:
        w[: trial.weights].mul_(1.0 - h.learning_rate * h.weight_decay)
    rule = type(trial.recipe.optimizer)
    step, slots = step_of(rule, _xp, w, g, trial.slots, h)
    # a slot of a user's rule may be the gradient or the weights themselves, which change in place
    trial.slots = tuple(slot.clone() for slot in slots) if rule.is_own() else slots
    w.sub_(step)
