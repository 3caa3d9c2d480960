"""PyTorch as its users know it: eager, autograd, any of its devices, mixed precision.

A cohort's trials run one after the other. All weights of a trial lie in one vector, weights before biases, and so do
their gradients: a rule then is a handful of calls an iteration, not a handful for each array.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor

from assay.engines.base import Checkpoint, Cohort, Engine, Evaluation, Progress, Splits, hyperparameters
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import Batches
from assay.parts.layers import Activate, Dense, Dropout, Network
from assay.parts.losses import LOSSES, head
from assay.parts.own_rules import step_of
from assay.recipe import Recipe
from assay.rng import stream

_EVALUATION_ROWS = 10_000

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


class Trial:
    """One trial's weights, gradient and slots: vectors, and views of the first two for each array."""

    def __init__(self, cohort: Cohort, number: int, checkpoint: Checkpoint, device: torch.device) -> None:
        self.recipe = cohort.recipes[number]
        shapes = cohort.network.shapes
        self.order = [n for n in shapes if n.endswith("weight")] + [n for n in shapes if n.endswith("bias")]
        self.shapes = shapes
        self.weights = sum(layer.inputs * layer.units for layer in cohort.network.dense)
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

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """The arrays in a vector, as views that share its memory."""
        found: dict[str, Tensor] = {}
        start = 0
        for name in self.order:
            shape = self.shapes[name]
            size = int(np.prod(shape))
            found[name] = vector.detach()[start : start + size].view(shape)
            start += size
        return found

    def copy(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What an iteration changes."""
        return self.w.clone(), tuple(slot.clone() for slot in self.slots)

    def put_back(self, kept: tuple[Tensor, tuple[Tensor, ...]]) -> None:
        """Undoes what was done since `copy`."""
        self.w.copy_(kept[0])
        self.slots = tuple(slot.clone() for slot in kept[1])


@dataclass
class TorchState:
    """A cohort in training: trials one after the other, data on the device."""

    cohort: Cohort
    trials: list[Trial]
    t: int
    splits: dict[str, tuple[Tensor, Tensor]]  # inputs (N, D) and one-hot labels (N, C)


class TorchEngine(Engine):
    """Eager PyTorch; float32, float64, and bfloat16 mixed with float32 weights."""

    name: ClassVar[str] = "torch"
    numerics: ClassVar[int] = 1

    def why_not(self, recipe: Recipe) -> str | None:
        if reason := missing_device(self.device):
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
        trials = [Trial(cohort, number, checkpoint, device) for number in range(len(cohort.recipes))]
        return TorchState(cohort, trials, checkpoint.t, parts)

    def advance(self, state: TorchState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[TorchState, Progress]:
        k = batches.count
        constants, courses = state.cohort.constants(), state.cohort.courses(batches.first, k)
        losses = np.full((len(state.trials), k), np.nan)
        broken = np.zeros(len(state.trials), np.int64)
        with self._threads():
            for number in np.flatnonzero(alive):
                trial, h = state.trials[number], (constants[number], courses[number])
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
        network, recipe = state.cohort.network, state.cohort.first
        output, computed = head(network.output, recipe.loss)
        sums = np.zeros((2, len(state.trials)))
        with self._threads(), torch.no_grad():
            for number, trial in enumerate(state.trials):
                for rows, labels in zip(x.split(_EVALUATION_ROWS), y.split(_EVALUATION_ROWS), strict=True):
                    a = _activate(OUTPUTS, _OUTPUTS, output, _forward(network, trial, rows, None))
                    value = LOSSES[computed].value(_xp, a, labels, _epsilon(recipe)).sum(dtype=_sum_type(x))
                    sums[0, number] += float(value)
                    sums[1, number] += float((a.argmax(-1) == labels.argmax(-1)).sum())
        return Evaluation(sums[0] / len(x), sums[1] / len(x))

    def outputs(self, state: TorchState, x: NDArray[Any]) -> NDArray[Any]:
        network = state.cohort.network
        rows = _tensor(x, torch.device(self.device), _element(state.cohort.first)).split(_EVALUATION_ROWS)
        with self._threads(), torch.no_grad():
            each = [
                [_activate(OUTPUTS, _OUTPUTS, network.output, _forward(network, trial, r, None)).cpu() for r in rows]
                for trial in state.trials
            ]
        return np.stack([torch.cat(blocks).numpy() for blocks in each])

    def export(self, state: TorchState) -> Checkpoint:
        views = [{n: v.cpu().numpy().copy() for n, v in trial.views(trial.w).items()} for trial in state.trials]
        weights = {name: np.stack([view[name] for view in views]) for name in state.cohort.network.shapes}
        slots: dict[str, NDArray[Any]] = {}
        if state.trials[0].slots:
            for name in weights:
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
    def _threads(self) -> Generator[None]:
        """torch's threads set to the engine's while it works."""
        before = torch.get_num_threads()
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


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


def _mixed(trial: Trial) -> Any:
    """bfloat16 for the products of the forward pass where the recipe asks for it; weights and loss stay float32."""
    if trial.recipe.precision == "bfloat16":
        return torch.autocast(trial.w.device.type, dtype=torch.bfloat16)
    return nullcontext()


def _activate(table: Any, own: dict[str, Callable[[Tensor], Tensor]], name: str, z: Tensor) -> Tensor:
    return own[name](z) if name in own else table[name].forward(_xp, z)


def _forward(network: Network, trial: Trial, a: Tensor, t: int | None) -> Tensor:
    """The values before the output function, (B, C); with dropout where t says which iteration it is."""
    number = 0
    with _mixed(trial):
        for depth, layer in enumerate(network.layers):
            if isinstance(layer, Dense):
                a = torch.addmm(trial.leaves[f"{number}.bias"], a, trial.leaves[f"{number}.weight"])
                number += 1
            elif isinstance(layer, Activate):
                a = _activate(ACTIVATIONS, _ACTIVATIONS, layer.function, a)
            elif t is not None:
                a = a * _dropout_mask(trial, t, depth, layer, len(a))
    return a.to(trial.w.dtype)


def _dropout_mask(trial: Trial, t: int, depth: int, layer: Dropout, rows: int) -> Tensor:
    """0 with probability `rate`, else 1 / (1 - rate), (B, units), which bfloat16 would round by up to 0.4 %."""
    w = trial.w
    generator = torch.Generator(w.device)
    key = int(stream(trial.recipe.seed, f"dropout/{depth}", t).words(1)[0])
    generator.manual_seed(key & (2**63 - 1))
    kept = torch.rand((rows, layer.units), generator=generator, device=w.device) >= layer.rate
    return kept.to(w.dtype) / (1.0 - layer.rate)


def _iterate(
    state: TorchState,
    trial: Trial,
    batches: Batches,
    number: int,
    h: tuple[dict[str, float], dict[str, NDArray[np.float64]]],
    count: int,
) -> NDArray[np.float64]:
    """`count` iterations of one trial; the loss of each batch before its update, read from the device at the end."""
    network, recipe = state.cohort.network, trial.recipe
    output, computed = head(network.output, recipe.loss)
    loss, epsilon = LOSSES[computed], _epsilon(recipe)
    batch = _batches(state, batches, number)
    values: list[Tensor] = []
    for i in range(count):
        x, y = batch(i)
        trial.g.zero_()
        z = _forward(network, trial, x, batches.first + i)
        value = loss.value(_xp, _activate(OUTPUTS, _OUTPUTS, output, z), y, epsilon).mean()
        value.backward()
        values.append(value.detach())
        with torch.no_grad():
            _update(trial, hyperparameters(h[0], h[1], i))
    return torch.stack(values).cpu().numpy().astype(np.float64) if values else np.empty(0)


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


def _update(trial: Trial, h: Any) -> None:
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
